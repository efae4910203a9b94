//! Decoded data on disk, so that a resume or another cell of a grid does not decode again. There is one safetensors
//! file for each source, named by what it was made from, with a checksum over its contents. A damaged file is reported
//! and made again. Of a set that is kept in [`pages`](super::pages), it holds the checksums of the pages instead of the pixels.

use crate::base::hash::Hasher;
use crate::base::{Error, Result, files};
use crate::data::decode::Listing;
use crate::data::kept::mark_used;
use crate::data::pages::{PageFile, Sum, path_of};
use crate::data::{
    DecodedData, Images, Keep, LeftOut, LoadOptions, Loading, Origin, Paged, Paging, Part, Pixels, Split, groups,
};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Must change whenever decoding, resizing or this file's layout changes what is stored.
const VERSION: &str = "wgslab decoded 8";

/// The only metadata key. The order of several keys in a file would not be fixed.
const META: &str = "wgslab";

/// The bytes of an [`Origin`] on disk.
const ORIGIN: usize = 24;

/// The bytes of the checksum of a page.
const SUM: usize = size_of::<Sum>();

/// How many files are read for a key until it is asked whether to go on.
const AT_ONCE: usize = 256;

/// The data that is not a tensor.
#[derive(Serialize, Deserialize)]
struct Meta {
    name: String,
    classes: Vec<String>,
    height: usize,
    width: usize,
    channels: usize,
    names: [Option<Vec<String>>; 3],
    /// Digests of the groups that the files themselves name, which may be those of a hospital.
    groups: [Vec<Option<String>>; 3],
    notes: Vec<String>,
    unreadable: Vec<LeftOut>,
    checksum: String,
}

/// A cache file that is not written yet. Only the caller knows whether the data is valid.
pub struct Fresh {
    path: PathBuf,
    bytes: Vec<u8>,
    /// The page files that go with it.
    pages: Vec<Arc<PageFile>>,
    /// What the user should know about the file that it replaces.
    pub warning: Option<String>,
}

impl Fresh {
    /// Writes the file, after its page files: what it says of pages holds whenever it is there.
    pub fn keep(&self) -> Result<()> {
        self.pages.iter().try_for_each(|pages| pages.keep())?;
        files::write_atomic(&self.path, &self.bytes)?;
        mark_used(&self.path);
        Ok(())
    }
}

/// The key of a cache file: names, classes and contents of the source's files. Times and sizes would be faster to read,
/// but a picture may change and keep both, for example when a folder is restored or copied. Reading costs less than the
/// decoding that it saves. A file that cannot be read is an error.
pub fn key_of(listing: &Listing, progress: &dyn Loading) -> Result<Hasher> {
    let mut key = Hasher::new().part("files").part(&listing.name);
    listing.classes.iter().for_each(|c| key.update(c));
    for (split, entries) in Split::ALL.into_iter().zip(&listing.files) {
        let Some(entries) = entries else { continue };
        for some in entries.chunks(AT_ONCE) {
            progress.at(0, entries.len())?;
            let digests: Vec<Result<[u8; 32]>> = some.par_iter().map(|e| digest(&e.path)).collect();
            for (e, digest) in some.iter().zip(digests) {
                key.update(split.name());
                key.update(&e.name);
                key.update(e.label.to_le_bytes());
                key.update(digest?);
            }
        }
    }
    Ok(key)
}

/// The SHA-256 of a file, read in parts.
pub fn digest(path: &Path) -> Result<[u8; 32]> {
    let failed = |e| Error::io(path, "read", e);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut sum = Sha256::new();
    let mut bytes = vec![0; (length + 1).clamp(1 << 12, 1 << 20) as usize];
    loop {
        match file.read(&mut bytes).map_err(failed)? {
            0 => return Ok(sum.finalize().into()),
            n => sum.update(&bytes[..n]),
        }
    }
}

/// The cached source for `key`. Without one, the result of `make`, with the file that will keep it. A source without a
/// key is not cached. With `paging`, pixels are kept in pages: of a source that is not cached, in files that are gone with it.
pub fn through(
    key: impl FnOnce() -> Result<Option<Hasher>>,
    options: &LoadOptions,
    paging: Option<&Paging>,
    make: impl FnOnce(Keep<'_>) -> Result<DecodedData>,
) -> Result<(DecodedData, Option<Fresh>)> {
    let known = options.cache.as_ref().map(|folder| Ok((folder, key()?))).transpose()?;
    let Some((folder, Some(key))) = known else {
        let stem = paging.map(|p| p.folder.join("decoded"));
        return Ok((make(stem.as_deref().map_or(Keep::Memory, Keep::Pages))?, None));
    };
    // The most pixels decide which files are left out.
    let how = [options.store_size as u64, options.channels as u64, options.bit_depth.into(), options.max_pixels];
    let key = how.iter().fold(key.part(VERSION), |key, n| key.part(n.to_le_bytes()));
    let key = if paging.is_some() { key.part("pages") } else { key }.short();
    let (path, stem) = (folder.join(format!("{key}.safetensors")), folder.join(&key));
    let mut warning = None;
    if path.exists() {
        // Only a regular file is read: reading a pipe in its place would wait.
        let bytes =
            if path.is_file() { files::read(&path).map_err(|e| e.to_string()) } else { Err("it is not a file".into()) };
        match bytes.and_then(|bytes| unpack(&bytes, &stem)) {
            Ok(source) => {
                mark_used(&path);
                return Ok((source, None));
            }
            Err(why) => {
                let path = path.display();
                warning = Some(format!("warning: the cached data {path} is damaged ({why}); decoding again"));
            }
        }
    }
    let source = make(if paging.is_some() { Keep::Pages(&stem) } else { Keep::Memory })?;
    let pages = source.parts_with_images().filter_map(|(_, images)| Some(images.pages()?.file().clone())).collect();
    let fresh = pack(&path, &source)?;
    Ok((source, fresh.map(|bytes| Fresh { path, bytes, pages, warning })))
}

/// The groups of a part as digests.
fn hidden(part: &Part) -> Vec<Option<String>> {
    part.groups.iter().map(|g| g.as_deref().map(groups::digest)).collect()
}

/// The cache file for `source`. None where the source has no images.
fn pack(path: &Path, source: &DecodedData) -> Result<Option<Vec<u8>>> {
    let failed = |e: &dyn std::fmt::Display| Error::Failed(format!("cannot pack {}: {e}", path.display()));
    let Some(first) = source.parts.iter().flatten().next() else { return Ok(None) };
    let Images { height, width, channels, .. } = first.images;
    let names = source.parts.each_ref().map(|p| p.as_ref().map(|p| p.images.names.clone()));
    let (name, classes, notes) = (source.name.clone(), source.classes.clone(), source.notes.clone());
    let groups = source.parts.each_ref().map(|p| p.as_ref().map_or(Vec::new(), hidden));
    let unreadable = source.unreadable.clone();
    let mut meta =
        Meta { name, classes, height, width, channels, names, groups, notes, unreadable, checksum: String::new() };
    let origins = source.parts.each_ref().map(|p| p.as_ref().map_or(Vec::new(), |p| pack_origins(&p.origins)));
    let sums = source.parts.each_ref().map(|p| p.as_ref().map_or(Vec::new(), |p| sums_of(&p.images).concat()));
    let mut tensors = Vec::new();
    for ((split, part), (origins, sums)) in Split::ALL.into_iter().zip(&source.parts).zip(origins.iter().zip(&sums)) {
        let Some(part) = part else { continue };
        let n = part.images.len();
        let labels = bytemuck::cast_slice(&part.images.labels);
        let pixels = match &part.images.pixels {
            Pixels::Memory(all) => ("pixels", Dtype::U8, vec![n, height, width, channels], all.as_slice()),
            Pixels::Pages(_) => ("pages", Dtype::U8, vec![n, SUM], sums.as_slice()),
        };
        let each = [
            pixels,
            ("labels", Dtype::U32, vec![n], labels),
            ("origins", Dtype::U8, vec![n, ORIGIN], origins.as_slice()),
        ];
        for (what, dtype, shape, data) in each {
            let view = TensorView::new(dtype, shape, data).map_err(|e| failed(&e))?;
            tensors.push((format!("{}.{what}", split.name()), view));
        }
    }
    meta.checksum = checksum(&meta, &tensors).map_err(|e| failed(&e))?;
    let json = serde_json::to_string(&meta).map_err(|e| failed(&e))?;
    let bytes = safetensors::serialize(tensors, Some([(META.to_string(), json)].into())).map_err(|e| failed(&e))?;
    Ok(Some(bytes))
}

/// The checksums of the pages of images that are kept in some.
fn sums_of(images: &Images) -> Vec<Sum> {
    images.pages().map_or(Vec::new(), |pages| pages.file().sums())
}

/// Covers every tensor and all metadata except the checksum itself.
fn checksum(meta: &Meta, tensors: &[(String, TensorView<'_>)]) -> Result<String, serde_json::Error> {
    let mut hasher = Hasher::new();
    hasher.update(serde_json::to_vec(&(
        &meta.name,
        &meta.classes,
        meta.height,
        meta.width,
        meta.channels,
        &meta.names,
        &meta.groups,
        &meta.notes,
        &meta.unreadable,
    ))?);
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, view) in sorted {
        hasher.update(name);
        hasher.update(view.data());
    }
    Ok(hasher.hex())
}

/// The data of a cache file, whose page files have names that begin with `stem`.
fn unpack(bytes: &[u8], stem: &Path) -> Result<DecodedData, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let json = header.metadata().as_ref().and_then(|m| m.get(META)).ok_or("it has no metadata")?;
    let meta: Meta = serde_json::from_str(json).map_err(|e| e.to_string())?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?.tensors();
    if checksum(&meta, &tensors).map_err(|e| e.to_string())? != meta.checksum {
        return Err("its checksum differs".into());
    }
    let find = |split: Split, what: &str| {
        let name = format!("{}.{what}", split.name());
        let view = tensors.iter().find(|(n, _)| *n == name).ok_or_else(|| format!("{name} is missing"))?;
        Ok::<_, String>(view.1.data())
    };
    let Meta { name, classes, height, width, channels, names, groups, notes, unreadable, .. } = meta;
    let mut source = DecodedData { name, classes, notes, unreadable, ..DecodedData::default() };
    for ((split, names), groups) in Split::ALL.into_iter().zip(names).zip(groups) {
        let Some(names) = names else { continue };
        let stride = height * width * channels;
        let (pixels, bytes) = match find(split, "pages") {
            Ok(sums) => {
                let sums: Vec<Sum> = sums.chunks_exact(SUM).filter_map(|s| s.try_into().ok()).collect();
                let bytes = sums.len() * stride;
                (Pixels::Pages(Paged::new(PageFile::open(path_of(stem, split), stride, sums)?)), bytes)
            }
            Err(_) => {
                let pixels = find(split, "pixels")?.to_vec();
                let bytes = pixels.len();
                (Pixels::Memory(pixels), bytes)
            }
        };
        let labels: Vec<u32> = find(split, "labels")?.chunks_exact(4).map(word).collect();
        let origins = unpack_origins(find(split, "origins")?);
        let n = names.len();
        let grouped = groups.is_empty() || groups.len() == n;
        if labels.len() != n || origins.len() != n || !grouped || bytes != n * stride {
            return Err("its parts differ in length".into());
        }
        let images = Images { height, width, channels, pixels, labels, names };
        source.parts[split as usize] = Some(Part { images, origins, groups });
    }
    Ok(source)
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |a, &b| a << 8 | u32::from(b))
}

fn pack_origins(origins: &[Origin]) -> Vec<u8> {
    let one = |o: &Origin| [&o.digest[..], &o.height.to_le_bytes(), &o.width.to_le_bytes()].concat();
    origins.iter().flat_map(one).collect()
}

fn unpack_origins(bytes: &[u8]) -> Vec<Origin> {
    let one = |b: &[u8]| {
        let mut digest = [0; 16];
        digest.copy_from_slice(&b[..16]);
        Origin { digest, height: word(&b[16..20]), width: word(&b[20..24]) }
    };
    bytes.chunks_exact(ORIGIN).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::write_png;

    #[test]
    fn a_second_load_reads_the_cache_and_a_damaged_one_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..8 {
            let split = if i < 4 { "train" } else { "test" };
            write_png(&dir.path().join(format!("set/{split}/c/{i}.png")), i, 12);
        }
        let cache = dir.path().join("cache");
        let options = LoadOptions { cache: Some(cache.clone()), ..crate::data::testing::options(dir.path(), 3) };
        let load = || {
            let decoded = std::cell::Cell::new(0);
            let data = crate::data::load("set", &options, &|done, _| decoded.set(done)).unwrap();
            (data, decoded.get())
        };
        let (first, decoded) = load();
        assert_eq!(decoded, 8);
        let (second, decoded) = load();
        assert_eq!(decoded, 0);
        assert_eq!((&second.train, &second.val, &second.test), (&first.train, &first.val, &first.test));
        let mut files = std::fs::read_dir(&cache).unwrap().map(|f| f.unwrap().path());
        let file = files.find(|f| f.extension().unwrap() == "safetensors").unwrap();
        let whole = std::fs::read(&file).unwrap();
        for at in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&file, &bytes).unwrap();
            let (data, decoded) = load();
            assert_eq!((data.fingerprint, decoded), (first.fingerprint.clone(), 8), "byte {at}");
        }
        for cut in [0, 5, 100, whole.len() - 1] {
            std::fs::write(&file, &whole[..cut]).unwrap();
            assert_eq!(load().1, 8);
        }
        assert_eq!(load().1, 0);
        write_png(&dir.path().join("set/train/c/0.png"), 77, 12);
        assert_eq!(load().1, 8, "a changed file must be decoded again");
    }

    #[test]
    fn a_file_that_cannot_be_read_ends_the_load_and_is_not_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["0.png", "1.png"];
        write_png(&dir.path().join(names[0]), 0, 12);
        std::fs::create_dir(dir.path().join(names[1])).unwrap(); // reading a folder fails for every user
        let file = |name: &str| {
            let (path, name) = (dir.path().join(name), name.to_string());
            crate::data::decode::ImageFile { path, name, label: 0, group: None }
        };
        let files = [Some(names.map(file).to_vec()), None, None];
        let listing = Listing { name: "x".into(), classes: vec!["c".into()], files, ..Listing::default() };
        let options = crate::data::testing::options(dir.path(), 3);
        for said in [listing.decode(&options, Keep::Memory, &|_, _| ()).err(), key_of(&listing, &|_, _| ()).err()] {
            let said = said.unwrap().to_string();
            assert!(said.contains("1.png") && said.contains("read"), "{said}");
        }
    }

    #[test]
    fn a_picture_changed_with_its_size_and_time_kept_is_decoded_again() {
        let dir = tempfile::tempdir().unwrap();
        let bmp = |v: u8| {
            let mut bytes = Vec::new();
            let image = image::GrayImage::from_pixel(8, 8, image::Luma([v]));
            image.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Bmp).unwrap();
            bytes
        };
        for (split, v) in [("train", 10), ("train", 20), ("test", 30), ("val", 40)] {
            let path = dir.path().join(format!("set/{split}/c/{v}.bmp"));
            files::write_atomic(&path, &bmp(v)).unwrap();
        }
        let options =
            LoadOptions { cache: Some(dir.path().join("cache")), ..crate::data::testing::options(dir.path(), 1) };
        let load = || crate::data::load("set", &options, &|_, _| ()).unwrap();
        let before = load();
        let path = dir.path().join("set/train/c/10.bmp");
        let was = path.metadata().unwrap();
        std::fs::write(&path, bmp(99)).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(was.modified().unwrap()).unwrap();
        let is = path.metadata().unwrap();
        assert_eq!((is.len(), is.modified().unwrap()), (was.len(), was.modified().unwrap()));
        let after = load();
        assert_ne!(after.fingerprint, before.fingerprint);
        assert_eq!(after.train.image(0).unwrap()[0], 99);
        std::fs::write(&path, bmp(10)).unwrap();
        assert_eq!(load().fingerprint, before.fingerprint, "only its name and its content may count");
    }
}

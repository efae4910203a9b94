//! MedMNIST archives: {train,val,test}_{images,labels}; images (N,H,W) or (N,H,W,3) of uint8, labels (N,1) or (N,)
//! of any integer type.

use crate::base::{Error, Result};
use crate::data::{LoadOptions, Part, Source, Split, decode};
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, npz::NpzArchive};
use std::io::{Cursor, Read};
use std::path::Path;

/// Labels past this are taken for a mistake: each would become a class.
const MAX_CLASSES: u64 = 65_536;

/// Class names of archives known by the start of their file name.
const KNOWN: &[(&str, &[&str])] = &[("pneumoniamnist", &["normal", "pneumonia"])];

type Archive<'a> = NpzArchive<Cursor<&'a [u8]>>;

/// Reads the archive `bytes`, which came from `path`.
pub fn read(path: &Path, bytes: &[u8], options: &LoadOptions, progress: &dyn Fn(usize, usize)) -> Result<Source> {
    let mut archive = NpzArchive::new(Cursor::new(bytes)).map_err(|e| {
        Error::Data(format!("{} is not a whole .npz archive ({e}); fetch or save it again", path.display()))
    })?;
    let mut raw = Vec::new();
    for split in Split::ALL {
        raw.push(read_split(&mut archive, path, split)?);
    }
    let name = decode::name_of(path);
    let classes = class_names(path, &name, raw[0].as_ref())?;
    let total = raw.iter().flatten().map(|r| r.labels.len()).sum();
    let (mut parts, mut before) = ([None, None, None], 0);
    for (split, raw) in Split::ALL.into_iter().zip(raw) {
        let Some(raw) = raw else { continue };
        let n = raw.labels.len();
        parts[split as usize] = Some(raw.decode(split, options, &|done| progress(before + done, total))?);
        before += n;
    }
    Ok(Source { name, classes, parts, ..Source::default() })
}

/// The named classes of a known archive, else "0", "1", … up to the largest training label.
fn class_names(path: &Path, name: &str, train: Option<&Raw>) -> Result<Vec<String>> {
    let lower = name.to_ascii_lowercase();
    if let Some((_, names)) = KNOWN.iter().find(|(prefix, _)| lower.starts_with(prefix)) {
        return Ok(names.iter().map(|n| n.to_string()).collect());
    }
    let Some(train) = train else { return Err(bad(path, "train_images", "is missing; nothing can be learnt")) };
    Ok((0..=train.labels.iter().copied().max().unwrap_or(0)).map(|c| c.to_string()).collect())
}

fn bad(path: &Path, member: &str, what: impl std::fmt::Display) -> Error {
    Error::Data(format!("{}: member {member} {what}", path.display()))
}

/// One split as it stands in the archive.
struct Raw {
    height: usize,
    width: usize,
    channels: usize,
    pixels: Vec<u8>,
    labels: Vec<u32>,
}

impl Raw {
    fn decode(self, split: Split, options: &LoadOptions, progress: &dyn Fn(usize)) -> Result<Part> {
        let stride = self.height * self.width * self.channels;
        let pixels = &self.pixels;
        let one = |i: usize, resizer: &mut decode::Resizer| {
            let raw = decode::Raw {
                height: self.height,
                width: self.width,
                channels: self.channels,
                pixels: pixels[i * stride..(i + 1) * stride].to_vec(),
            };
            raw.store(options, resizer)
        };
        let mut part = Part::empty(options);
        decode::in_parallel(self.labels.len(), one, |i, stored| {
            let (pixels, origin) = stored?;
            part.push(&pixels, origin, self.labels[i], format!("{}/{i}", split.name()));
            progress(i + 1);
            Ok(())
        })?;
        Ok(part)
    }
}

fn read_split(archive: &mut Archive, path: &Path, split: Split) -> Result<Option<Raw>> {
    let (images_name, labels_name) = (format!("{}_images", split.name()), format!("{}_labels", split.name()));
    let images = Member::read(archive, path, &images_name)?;
    let labels = Member::read(archive, path, &labels_name)?;
    let (images, labels) = match (images, labels) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(bad(path, &labels_name, format!("is missing beside {images_name}"))),
        (None, Some(_)) => return Err(bad(path, &images_name, format!("is missing beside {labels_name}"))),
        (Some(images), Some(labels)) => (images, labels),
    };
    if images.kind != (TypeChar::Uint, 1) {
        return Err(bad(path, &images_name, "must be of uint8"));
    }
    let (n, height, width, channels) = match *images.shape.as_slice() {
        [n, h, w] => (n, h, w, 1),
        [n, h, w, c @ (1 | 3)] => (n, h, w, c),
        _ => {
            let shape = &images.shape;
            return Err(bad(path, &images_name, format!("has shape {shape:?}; it must be (N,H,W) or (N,H,W,3)")));
        }
    };
    if n == 0 || height == 0 || width == 0 {
        return Err(bad(path, &images_name, "holds no pixels"));
    }
    if !matches!(*labels.shape.as_slice(), [_] | [_, 1]) {
        let shape = &labels.shape;
        return Err(bad(
            path,
            &labels_name,
            format!("has shape {shape:?}; one label an image, (N,) or (N,1), is needed"),
        ));
    }
    if labels.shape[0] != n {
        let m = labels.shape[0];
        return Err(bad(path, &labels_name, format!("holds {m} labels, but {images_name} holds {n} images")));
    }
    let labels = labels.labels(path, &labels_name)?;
    Ok(Some(Raw { height, width, channels, pixels: images.bytes, labels }))
}

/// An array of the archive, its bytes as stored.
struct Member {
    shape: Vec<usize>,
    kind: (TypeChar, u64),
    big_endian: bool,
    bytes: Vec<u8>,
}

impl Member {
    /// The member called `name`, or none where the archive has none.
    fn read(archive: &mut Archive, path: &Path, name: &str) -> Result<Option<Self>> {
        let damaged = |e| bad(path, name, format!("is truncated or damaged ({e}); fetch or save the file again"));
        let Some(file) = archive.by_name(name).map_err(damaged)? else { return Ok(None) };
        let (kind, big_endian) = element_type(file.header()).map_err(|what| bad(path, name, what))?;
        let shape: Option<Vec<usize>> = file.shape().iter().map(|&d| usize::try_from(d).ok()).collect();
        let size = shape.as_ref().and_then(|s| s.iter().try_fold(kind.1 as usize, |a, &d| a.checked_mul(d)));
        let (Some(shape), Some(size)) = (shape, size) else {
            return Err(bad(path, name, "claims more elements than memory can hold"));
        };
        // One byte more than is due: it shows a member that is too long, and reaching the end checks the CRC.
        let mut bytes = Vec::new();
        file.into_inner().take(size as u64 + 1).read_to_end(&mut bytes).map_err(damaged)?;
        if bytes.len() != size {
            let than = if bytes.len() > size { "more" } else { "fewer" };
            return Err(bad(path, name, format!("holds {than} bytes than its shape {shape:?} needs")));
        }
        Ok(Some(Member { shape, kind, big_endian, bytes }))
    }

    /// The bytes as labels: whole numbers from 0 to [`MAX_CLASSES`].
    fn labels(&self, path: &Path, name: &str) -> Result<Vec<u32>> {
        let value = |bytes: &[u8]| {
            let byte = |a: u64, &b: &u8| a << 8 | u64::from(b);
            if self.big_endian { bytes.iter().fold(0, byte) } else { bytes.iter().rev().fold(0, byte) }
        };
        // Read as unsigned, a negative label has its high bit set.
        let signed_limit = if self.kind.0 == TypeChar::Int { 1 << (8 * self.kind.1 - 1) } else { u64::MAX };
        let labels = self.bytes.chunks_exact(self.kind.1 as usize).enumerate().map(|(i, bytes)| {
            let v = value(bytes);
            if v >= MAX_CLASSES || v >= signed_limit {
                return Err(bad(path, name, format!("row {i} is not a class number from 0 to {}", MAX_CLASSES - 1)));
            }
            Ok(v as u32)
        });
        labels.collect()
    }
}

/// The integer type of a header and whether it is big-endian, or what is wrong with it.
fn element_type(header: &NpyHeader) -> Result<((TypeChar, u64), bool), String> {
    if header.order() == Order::Fortran && header.shape().len() > 1 {
        return Err("is in Fortran order; save numpy.ascontiguousarray of it".into());
    }
    match header.dtype() {
        DType::Plain(t) if matches!(t.type_char(), TypeChar::Uint | TypeChar::Int) => match t.size_field() {
            size @ (1 | 2 | 4 | 8) => Ok(((t.type_char(), size), t.endianness() == Endianness::Big)),
            size => Err(format!("has integers of {size} bytes, which cannot be read")),
        },
        other => Err(format!("has elements of type {}, not whole numbers", other.descr())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::load;
    use crate::data::testing::{complaint, options};
    use npyz::WriterBuilder;

    /// An archive in memory; members are added with their shape and elements.
    struct Maker(npyz::npz::NpzWriter<Cursor<Vec<u8>>>);

    impl Maker {
        fn new() -> Self {
            Maker(npyz::npz::NpzWriter::new(Cursor::new(Vec::new())))
        }

        fn add<T: npyz::AutoSerialize + Copy>(mut self, name: &str, shape: &[u64], data: &[T]) -> Self {
            let writer = self.0.array::<T>(name, Default::default()).unwrap().default_dtype().shape(shape);
            let mut writer = writer.begin_nd().unwrap();
            writer.extend(data.iter().copied()).unwrap();
            writer.finish().unwrap();
            self
        }

        fn split(self, split: &str, n: usize, seed: u8) -> Self {
            let pixels: Vec<u8> = (0..n * 16).map(|i| (i as u8).wrapping_mul(37).wrapping_add(seed)).collect();
            let labels: Vec<u8> = (0..n).map(|i| i as u8 % 2).collect();
            self.add(&format!("{split}_images"), &[n as u64, 4, 4], &pixels).add(
                &format!("{split}_labels"),
                &[n as u64, 1],
                &labels,
            )
        }

        fn bytes(mut self) -> Vec<u8> {
            self.0.zip_writer().finish().unwrap().into_inner()
        }
    }

    fn whole() -> Vec<u8> {
        Maker::new().split("train", 6, 0).split("val", 2, 100).split("test", 4, 200).bytes()
    }

    fn parse(bytes: &[u8]) -> Result<Source> {
        read(Path::new("some.npz"), bytes, &options(Path::new(""), 1), &|_, _| ())
    }

    #[test]
    fn an_archive_becomes_three_splits() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("PneumoniaMNIST_4.npz"), whole()).unwrap();
        let mut options = options(dir.path(), 1);
        options.store_size = 4;
        let data = load("PneumoniaMNIST_4.npz", &options, &|_, _| ()).unwrap();
        assert_eq!(data.classes, ["normal", "pneumonia"]);
        assert_eq!((data.train.len(), data.val.len(), data.test.len()), (6, 2, 4));
        assert_eq!(data.train.labels, [0, 1, 0, 1, 0, 1]);
        assert_eq!(data.val.image(0)[..3], [100, 137, 174]);
        assert_eq!(data.test.names[3], "test/3");
        options.channels = 3;
        let rgb = load("PneumoniaMNIST_4.npz", &options, &|_, _| ()).unwrap();
        assert_eq!(rgb.val.image(0)[..6], [100, 100, 100, 137, 137, 137]);
    }

    #[test]
    fn labels_of_any_integer_type_and_either_shape_are_read() {
        let images: Vec<u8> = (0..2 * 4 * 4 * 3).collect();
        let base = || Maker::new().add("train_images", &[2, 4, 4, 3], &images);
        for bytes in [
            base().add("train_labels", &[2], &[0i64, 2]).bytes(),
            base().add("train_labels", &[2, 1], &[0u16, 2]).bytes(),
            base().add("train_labels", &[2], &[0i8, 2]).bytes(),
        ] {
            let source = parse(&bytes).unwrap();
            assert_eq!(source.classes, ["0", "1", "2"]);
            assert_eq!(source.parts[0].as_ref().unwrap().images.labels, [0, 2]);
        }
        for bytes in [
            base().add("train_labels", &[2], &[0i64, -1]).bytes(),
            base().add("train_labels", &[2], &[0i8, -1]).bytes(),
            base().add("train_labels", &[2], &[0u32, 70_000]).bytes(),
        ] {
            assert!(complaint(parse(&bytes)).contains("member train_labels row 1"));
        }
    }

    #[test]
    fn a_wrong_member_is_named() {
        let images = [1u8; 32];
        let base = || Maker::new().add("train_images", &[2, 4, 4], &images);
        let labels = |m: Maker| m.add("train_labels", &[2], &[0u8, 1]).bytes();
        for (bytes, say) in [
            (Maker::new().add("x", &[1], &[0u8]).bytes(), "member train_images is missing"),
            (base().bytes(), "member train_labels is missing beside train_images"),
            (Maker::new().add("test_labels", &[1], &[0u8]).bytes(), "member test_images is missing"),
            (base().add("train_labels", &[3], &[0u8; 3]).bytes(), "holds 3 labels, but train_images holds 2"),
            (base().add("train_labels", &[2, 2], &[0u8; 4]).bytes(), "one label an image"),
            (base().add("train_labels", &[2], &[0f32; 2]).bytes(), "not whole numbers"),
            (labels(Maker::new().add("train_images", &[2, 4, 4], &[1u16; 32])), "must be of uint8"),
            (labels(Maker::new().add("train_images", &[2, 16], &images)), "has shape [2, 16]"),
            (labels(Maker::new().add("train_images", &[2, 4, 2, 2], &images)), "has shape [2, 4, 2, 2]"),
            (labels(Maker::new().add::<u8>("train_images", &[0, 4, 4], &[])), "holds no pixels"),
        ] {
            let said = complaint(parse(&bytes));
            assert!(said.contains("some.npz") && said.contains(say), "{said}");
        }
    }

    #[test]
    fn a_truncated_archive_is_refused_at_every_length() {
        let whole = whole();
        for cut in 0..whole.len() {
            complaint(parse(&whole[..cut]));
        }
    }

    #[test]
    fn a_flipped_byte_never_panics_and_never_changes_pixels_unseen() {
        let whole = whole();
        let good = parse(&whole).unwrap();
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                // Some bytes, such as times, mean nothing; a member whose name changed is a missing split.
                if let Ok(source) = parse(&bytes) {
                    for (got, due) in source.parts.iter().zip(&good.parts) {
                        assert!(got.is_none() || got == due, "byte {at}");
                    }
                }
            }
        }
    }
}

//! MedMNIST archives: {train,val,test}_{images,labels}. Images are (N,H,W) or (N,H,W,3) of numbers of any type, which
//! [`levels`] says how to read. Labels are (N,1) or (N,) of whole numbers of any type. Both are read in C and in Fortran
//! order, and in either byte order.
//!
//! An archive is checked by the heads of its members before anything is inflated. Its images are inflated a part at a
//! time, so only the resized images are held in memory.

mod levels;
mod member;
#[cfg(test)]
mod tests;

use super::{Claims, Found, Layout, Open, Take};
use crate::base::hash::Hasher;
use crate::base::{Error, Result};
use crate::data::split::Outline;
use crate::data::{
    DecodedData, Keep, LeftOut, LoadOptions, Loading, Need, Origin, Part, Split, cache, classes, decode,
};
use decode::{Mode, Notes, PixelForm, Remark};
use levels::Scale;
use member::{Head, MAX_CLASSES, Zip, bad, entry, header};
use npyz::TypeChar;
use npyz::npz::NpzArchive;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) const LAYOUT: Layout = Layout {
    name: "npz",
    takes: "a MedMNIST .npz file",
    help: "a MedMNIST .npz file",
    claims: Claims::Ending("npz"),
    open: Open::Path(|path| Ok(Box::new(Archive::open(path)?))),
};

/// Class names of archives known by the start of their file name.
const KNOWN: &[(&str, &[&str])] = &[("pneumoniamnist", &["normal", "pneumonia"])];

/// Real images shrink to a half or, if they are plain, to a twentieth. A file that claims more than this many times its
/// size counts as an attack on memory. [`SMALL`] bytes are always read.
const MAX_RATIO: u64 = 100;

/// Fortran order mixes all images, so all of them are held at once. Such a file may claim less.
const MAX_RATIO_HELD: u64 = 32;

/// The bytes of images that fit any machine.
const SMALL: u64 = 64 << 20;

/// The least bytes of the file for each image. Even a plain image takes that many. Many almost empty images would be
/// stored at a far larger size.
const MIN_BYTES: u64 = 128;

/// A number of images that fits any machine.
const FEW: u64 = 65_536;

/// The most bytes of one image: a square of 11,585 pixels in gray.
const MAX_IMAGE: usize = 1 << 27;

/// The most bytes of images that are inflated at a time, and the most images.
const CHUNK: (usize, usize) = (32 << 20, 1024);

/// An archive whose heads and labels are read.
pub struct Archive {
    path: PathBuf,
    name: String,
    classes: Vec<String>,
    splits: [Option<Held>; 3],
    /// Notes for the user on how it was read, one for each line.
    pub notes: Vec<String>,
}

/// One split of an archive.
struct Held {
    images: Head,
    /// Images, rows, columns, channels.
    dims: [usize; 4],
    /// The numbers in the file until [`Archive::open`] ends, then the classes.
    labels: Vec<u32>,
}

impl Archive {
    /// Reads the heads of all members and the labels.
    pub fn open(path: &Path) -> Result<Archive> {
        let mut zip = zip(path)?;
        let mut heads = Vec::new();
        for split in Split::ALL {
            heads.push(heads_of(&mut zip, path, split)?);
        }
        plausible(path, &heads)?;
        let (mut splits, mut notes) = ([None, None, None], Vec::new());
        for (slot, heads) in splits.iter_mut().zip(heads) {
            let Some((images, labels, dims)) = heads else { continue };
            notes.extend(labels.label_note());
            *slot = Some(Held { labels: labels.labels(&mut zip, path)?, images, dims });
        }
        let name = decode::name_of(path);
        let classes = name_classes(path, &name, &mut splits, &mut notes)?;
        notes.extend(classes::notes(&classes));
        Ok(Archive { path: path.to_path_buf(), name, classes, splits, notes })
    }

    /// The key of the cache: its name and its bytes.
    pub fn key(&self) -> Result<Hasher> {
        Ok(Hasher::new().part("npz").part(&self.name).part(cache::digest(&self.path)?))
    }

    /// What is known without its pixels.
    fn outline(&self) -> Outline<'_> {
        Outline {
            name: &self.name,
            classes: &self.classes,
            labels: self.splits.each_ref().map(|s| s.as_ref().map(|s| s.labels.clone())),
            groups: Default::default(),
            place: Box::new(|split, i| format!("{}/{i}", split.name())),
        }
    }

    /// Decodes every image.
    pub fn decode(&self, options: &LoadOptions, keep: Keep<'_>, progress: &dyn Loading) -> Result<DecodedData> {
        let mut zip = zip(&self.path)?;
        let total = self.images();
        let (mut parts, mut before, mut notes) = ([None, None, None], 0, Notes::default());
        let mut forms: [BTreeMap<PixelForm, usize>; 3] = Default::default();
        let heads = self.heads();
        let range = levels::range(&heads, &mut zip, &self.path)?;
        let mut lines: Vec<String> = heads.iter().filter_map(|head| levels::note(head, range)).collect();
        for split in Split::ALL {
            let Some(held) = &self.splits[split as usize] else { continue };
            let mut part = Part::begin(options, split, keep)?;
            let scale = Scale::of(&held.images, range, options.bit_depth);
            let of = (self.path.as_path(), split, scale);
            held.each(&mut zip, of, options, &mut notes, &mut |i, name, (pixels, origin)| {
                part.push(&pixels, origin, held.labels[i], name)?;
                progress.at(before + i + 1, total)
            })?;
            parts[split as usize] = Some(part);
            before += held.labels.len();
            forms[split as usize].insert(held.form(), held.labels.len());
        }
        let (name, classes) = (self.name.clone(), self.classes.clone());
        lines.extend(notes.lines(options));
        Ok(DecodedData { name, classes, parts, notes: lines, forms, ..DecodedData::default() })
    }

    /// The heads of the arrays of images.
    fn heads(&self) -> Vec<&Head> {
        self.splits.iter().flatten().map(|s| &s.images).collect()
    }
}

/// An array of class numbers called `name`, and of the array `names` its texts, where the archive at `path` has one; for labels
/// beside a dataset.
pub(in crate::data) fn labels_beside(path: &Path, name: &str) -> Result<(Vec<u32>, Option<Vec<String>>)> {
    let mut archive = zip(path)?;
    let Some(head) = Head::read(&mut archive, path, name)? else {
        let mut known: Vec<String> = archive.array_names().map(str::to_string).collect();
        known.sort_unstable();
        return Err(bad(path, name, format!("is not there; the archive has {}", classes::listed(&known))));
    };
    if !matches!(head.shape[..], [_] | [_, 1]) {
        return Err(bad(
            path,
            name,
            format!("has the shape {:?}; one label for each image is (N,) or (N,1)", head.shape),
        ));
    }
    let count = head.shape[0];
    if count > MAX_LABELS {
        return Err(bad(path, name, format!("claims {count} labels; at most {MAX_LABELS} are read")));
    }
    let labels = head.labels(&mut archive, path)?;
    if !archive.array_names().any(|n| n == NAMES) {
        return Ok((labels, None));
    }
    let (mut reader, stored) = entry(&mut archive, path, NAMES)?;
    let (head, _) = header(&mut reader).map_err(|e| bad(path, NAMES, e))?;
    drop(reader);
    // A text takes four bytes at least: a head that claims more of them is not believed.
    let fits = count as u64 <= stored / 4 && stored <= SMALL;
    if head.shape() != [count as u64] || !fits {
        return Err(bad(
            path,
            NAMES,
            format!("is not one name for each of the {count} labels in {name}, or larger than {SMALL} bytes"),
        ));
    }
    let names = archive.by_name(NAMES).ok().flatten().and_then(|names| names.into_vec::<String>().ok());
    names.map(|names| (labels, Some(names))).ok_or_else(|| bad(path, NAMES, "is no array of texts"))
}

/// The array with the names of images.
const NAMES: &str = "names";
/// The most labels beside a dataset: more than any has, and few enough for memory.
const MAX_LABELS: usize = 1 << 21;

impl Found for Archive {
    fn images(&self) -> usize {
        self.splits.iter().flatten().map(|s| s.labels.len()).sum()
    }

    fn check(&self, _: &LoadOptions, need: Option<Need>) -> Result<()> {
        need.map_or(Ok(()), |need| self.outline().check(need))
    }

    fn key(&self, _: &dyn Loading) -> Result<Option<Hasher>> {
        Archive::key(self).map(Some)
    }

    fn decode(&self, options: &LoadOptions, keep: Keep<'_>, progress: &dyn Loading) -> Result<DecodedData> {
        Archive::decode(self, options, keep, progress)
    }

    /// The images before it have to be inflated, too: all of the split are given.
    fn again(&self, options: &LoadOptions, at: (Split, usize), _: &[LeftOut], take: &mut Take<'_>) -> Result<()> {
        let Some(held) = &self.splits[at.0 as usize] else { return Ok(()) };
        let mut zip = zip(&self.path)?;
        let range = levels::range(&self.heads(), &mut zip, &self.path)?;
        let of = (self.path.as_path(), at.0, Scale::of(&held.images, range, options.bit_depth));
        held.each(&mut zip, of, options, &mut Notes::default(), &mut |i, _, (pixels, _)| take(i, &pixels))
    }

    fn told(&self, source: DecodedData) -> DecodedData {
        source.noting(self.notes.clone())
    }
}

/// Takes a decoded image: its place in the split, its name, its pixels and its origin.
type Put<'a> = dyn FnMut(usize, String, (Vec<u8>, Origin)) -> Result<()> + 'a;

impl Held {
    /// How its numbers are stored.
    fn form(&self) -> PixelForm {
        let (kind, bytes) = self.images.kind;
        let mode = if self.dims[3] == 3 { Mode::Rgb } else { Mode::Gray };
        let bits = if kind == TypeChar::Bool { 1 } else { 8 * bytes as u32 };
        PixelForm { mode, bits, float: kind == TypeChar::Float }
    }

    /// Decodes each image of the split, in order.
    fn each(
        &self,
        zip: &mut Zip,
        (path, split, scale): (&Path, Split, Scale),
        options: &LoadOptions,
        notes: &mut Notes,
        put: &mut Put<'_>,
    ) -> Result<()> {
        let [n, height, width, channels] = self.dims;
        let stride = height * width * channels * self.images.kind.1;
        let mut body = self.images.body(zip, path)?;
        let mut take = |bytes: &[u8], start: usize, of: &(dyn Fn(&[u8], usize) -> Vec<u8> + Sync), count: usize| {
            let one = |i: usize, resizer: &mut decode::Resizer| {
                let (pixels, most) = scale.levels(&self.images, path, start + i, &of(bytes, i))?;
                let gray = options.channels == 1 && channels == 3;
                let colour = gray && pixels.chunks_exact(3).any(|p| p[0] != p[1] || p[1] != p[2]);
                let stored = decode::Raw { height, width, channels, pixels }.store(options, resizer)?;
                Ok((stored, (scale.deep.then_some(most as u16), colour)))
            };
            decode::in_parallel(count, one, |i, stored: Result<_>| {
                let (stored, (deep, colour)) = stored?;
                let i = start + i;
                let name = format!("{}/{i}", split.name());
                let remarks = deep.map(Remark::Deep).into_iter().chain(colour.then_some(Remark::Colour));
                notes.add(remarks.collect(), &name);
                put(i, name, stored)
            })
        };
        if self.images.fortran {
            let mut bytes = vec![0; self.images.size];
            body.fill(&mut bytes)?;
            body.end()?;
            let dims = self.dims;
            let each = self.images.kind.1;
            return take(&bytes, 0, &|bytes, i| fortran_image(bytes, each, dims, i), n);
        }
        let some = (CHUNK.0 / stride).clamp(1, CHUNK.1).min(n);
        let mut bytes = vec![0; some * stride];
        for start in (0..n).step_by(some) {
            let count = some.min(n - start);
            let bytes = &mut bytes[..count * stride];
            body.fill(bytes)?;
            take(bytes, start, &|bytes, i| bytes[i * stride..(i + 1) * stride].to_vec(), count)?;
        }
        body.end()
    }
}

/// Image `i`, in C order, of an array in Fortran order, whose first axis varies fastest. An element has `each` bytes.
fn fortran_image(bytes: &[u8], each: usize, [n, height, width, channels]: [usize; 4], i: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(each * height * width * channels);
    for h in 0..height {
        for w in 0..width {
            for c in 0..channels {
                let at = each * (i + n * (h + height * (w + width * c)));
                out.extend_from_slice(&bytes[at..at + each]);
            }
        }
    }
    out
}

fn zip(path: &Path) -> Result<Zip> {
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, "read", e))?;
    NpzArchive::new(std::io::BufReader::new(file)).map_err(|e| {
        Error::Data(format!("{} is not a whole .npz archive ({e}); fetch or save it again", path.display()))
    })
}

/// The heads of one split and the images' axes: images, rows, columns, channels. None if it has no such split.
fn heads_of(zip: &mut Zip, path: &Path, split: Split) -> Result<Option<(Head, Head, [usize; 4])>> {
    let (images_name, labels_name) = (format!("{}_images", split.name()), format!("{}_labels", split.name()));
    let images = Head::read(zip, path, &images_name)?;
    let labels = Head::read(zip, path, &labels_name)?;
    let (images, labels) = match (images, labels) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(bad(path, &labels_name, format!("is missing beside {images_name}"))),
        (None, Some(_)) => return Err(bad(path, &images_name, format!("is missing beside {labels_name}"))),
        (Some(images), Some(labels)) => (images, labels),
    };
    let dims @ [n, height, width, channels] = match *images.shape.as_slice() {
        [n, h, w] => [n, h, w, 1],
        [n, h, w, c @ (1 | 3)] => [n, h, w, c],
        _ => {
            let shape = &images.shape;
            let volumes = matches!(shape.as_slice(), [_, a, b, c] if a == b && b == c);
            let volumes = if volumes { "; volumes, as in MedMNIST's 3D sets, are not read" } else { "" };
            let what = format!("has shape {shape:?}; it must be (N,H,W) or (N,H,W,3){volumes}");
            return Err(bad(path, &images_name, what));
        }
    };
    if n == 0 || height == 0 || width == 0 {
        return Err(bad(path, &images_name, "holds no pixels"));
    }
    if !matches!(*labels.shape.as_slice(), [_] | [_, 1]) {
        let shape = &labels.shape;
        let several = if let [_, k] = shape.as_slice() {
            format!("; {k} labels for each image, as in ChestMNIST, are not read: keep one column, and save it as (N,)")
        } else {
            String::new()
        };
        let what = format!("has shape {shape:?}; one label for each image, (N,) or (N,1), is needed{several}");
        return Err(bad(path, &labels_name, what));
    }
    if labels.shape[0] != n {
        let m = labels.shape[0];
        return Err(bad(path, &labels_name, format!("holds {m} labels, but {images_name} holds {n} images")));
    }
    if images.size / n > MAX_IMAGE {
        let what = format!("has images of {height} × {width} × {channels} bytes; an image may have {MAX_IMAGE} bytes");
        return Err(bad(path, &images_name, what));
    }
    Ok(Some((images, labels, dims)))
}

/// Refuses a file that claims far more than it can hold, before any of it is inflated.
fn plausible(path: &Path, heads: &[Option<(Head, Head, [usize; 4])>]) -> Result<()> {
    let file = path.metadata().map_err(|e| Error::io(path, "read", e))?.len();
    let heads = || heads.iter().flatten();
    let claimed = heads().map(|(i, l, _)| i.size as u64 + l.size as u64).fold(0, u64::saturating_add);
    let images = heads().map(|(_, _, dims)| dims[0] as u64).fold(0, u64::saturating_add);
    let ratio = if heads().any(|(i, ..)| i.fortran) { MAX_RATIO_HELD } else { MAX_RATIO };
    let way_out = "real images do not shrink so much; if these do, save them uncompressed with numpy.savez";
    if claimed > SMALL && claimed / ratio > file {
        return Err(Error::Data(format!(
            "{} has {file} bytes and claims {claimed} bytes of images and labels, over {ratio} times as many: {way_out}",
            path.display()
        )));
    }
    if images > FEW && file / images < MIN_BYTES {
        return Err(Error::Data(format!(
            "{} has {file} bytes and claims {images} images, under {MIN_BYTES} bytes each: {way_out}",
            path.display()
        )));
    }
    Ok(())
}

/// Turns the numbers of all splits into classes and names them: by the names of a known archive, otherwise by the
/// numbers. A number without an image is not a class: labels would flip to it, and it would count in every mean over
/// classes.
fn name_classes(
    path: &Path,
    name: &str,
    splits: &mut [Option<Held>; 3],
    notes: &mut Vec<String>,
) -> Result<Vec<String>> {
    let lower = name.to_ascii_lowercase();
    let known = KNOWN.iter().find(|(prefix, _)| lower.starts_with(prefix)).map(|(_, names)| *names);
    let mut class_of = vec![None; MAX_CLASSES as usize];
    for held in splits.iter().flatten() {
        for (i, &label) in held.labels.iter().enumerate() {
            if let Some(names) = known.filter(|names| label as usize >= names.len()) {
                let member = held.images.name.replace("images", "labels");
                let what = format!("row {i} has the label {label}; {name} has the classes {}", names.join(", "));
                return Err(bad(path, &member, what));
            }
            class_of[label as usize] = Some(0);
        }
    }
    let used: Vec<u32> = (0..).zip(&class_of).filter(|(_, c)| c.is_some()).map(|(l, _)| l).collect();
    for (class, &label) in used.iter().enumerate() {
        class_of[label as usize] = Some(class as u32);
    }
    for held in splits.iter_mut().flatten() {
        held.labels.iter_mut().for_each(|l| *l = class_of[*l as usize].unwrap_or(*l));
    }
    let Some(&last) = used.last() else { return Err(bad(path, "train_images", "is missing, and so is every other")) };
    let unused: Vec<String> = (0..last).filter(|&l| class_of[l as usize].is_none()).map(|l| l.to_string()).collect();
    if !unused.is_empty() {
        let which = classes::listed(&unused).replace('\'', "");
        let what = "a number without images is not a class; the others keep their numbers as names";
        notes.push(format!("no image has the class number {which}: {what}"));
    }
    let named = |label: u32| known.map_or(label.to_string(), |names| names[label as usize].to_string());
    Ok(used.into_iter().map(named).collect())
}

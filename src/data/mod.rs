//! data: turns files, or nothing for phantoms, into decoded images with labels, in three splits.
//!
//! A [`layout`] reads a SPEC into a [`DecodedData`], [`cache`] keeps what was decoded, and [`split`] makes the
//! [`Dataset`]. Its training, validation and test images never share a picture or a patient.

pub mod alike;
pub mod arrays;
pub mod augment;
mod bound;
pub mod cache;
pub mod classes;
pub mod decode;
pub mod descriptor;
pub mod given;
mod groups;
pub mod layout;
mod left_out;
pub mod split;
pub mod store;
pub mod summary;

pub use alike::{Alike, alike};
pub use bound::MAX_BYTES;
pub use decode::png;
pub use layout::{folder, manifest, npz, phantom};
pub use left_out::LeftOut;
pub(crate) use left_out::covered;
pub use summary::{Summary, inspect, inspect_beside};

use crate::base::hash::Hasher;
use crate::base::{Error, Result};
use layout::Spec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The decoded images of one split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// Rows of one image.
    pub height: usize,
    /// Columns of one image.
    pub width: usize,
    /// 1 (gray) or 3 (red, green, blue).
    pub channels: usize,
    /// The pixels: N × H × W × C bytes.
    pub pixels: Vec<u8>,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// The path of each image relative to the root. Without files, its place, for example "train/17".
    pub names: Vec<String>,
}

impl Images {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of one image.
    pub fn stride(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The bytes of image `i`.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.pixels[i * self.stride()..(i + 1) * self.stride()]
    }

    /// How many images each of `classes` classes has.
    pub fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            if let Some(c) = counts.get_mut(label as usize) {
                *c += 1;
            }
        }
        counts
    }

    /// The hash of sizes and pixels in order. Learning without labels depends on nothing else in the data.
    pub fn fingerprint(&self) -> String {
        let dims = [self.len(), self.height, self.width, self.channels];
        let sized = dims.iter().fold(Hasher::new().part("wgslab images 1"), |h, d| h.part((*d as u64).to_le_bytes()));
        sized.part(&self.pixels).hex()
    }

    /// Mean and standard deviation of each channel, with pixels as fractions of 255. Zeros if there are no images.
    pub fn statistics(&self) -> (Vec<f32>, Vec<f32>) {
        let channels = self.channels.max(1);
        // Integer sums are exact, so the result does not depend on how the work is divided.
        let mut sums = vec![(0u64, 0u64); channels];
        for pixel in self.pixels.chunks_exact(channels) {
            for (s, &v) in sums.iter_mut().zip(pixel) {
                s.0 += u64::from(v);
                s.1 += u64::from(v) * u64::from(v);
            }
        }
        let n = (self.pixels.len() / channels).max(1) as f64;
        let moments = sums.iter().map(|&(sum, squares)| {
            let mean = sum as f64 / n;
            ((mean / 255.0) as f32, ((squares as f64 / n - mean * mean).max(0.0).sqrt() / 255.0) as f32)
        });
        moments.unzip()
    }
}

/// Images in three splits that share no picture.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// A short name for tables: the file's stem, the folder's name or the spec of a phantom.
    pub name: String,
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// The images to learn from.
    pub train: Images,
    /// The images that choose among settings.
    pub val: Images,
    /// The images that results are reported on.
    pub test: Images,
    /// Exact duplicates of test images dropped from train and val, and of validation images dropped from train.
    pub dropped_duplicates: usize,
    /// Images that the files have for train, with those that were dropped and those that were cut from it for val.
    pub train_in_files: usize,
    /// Files that could not be decoded.
    pub left_out: Vec<LeftOut>,
    /// Content address of the classes, of every split's pixels and labels, in order, and of what is left out.
    pub fingerprint: String,
    /// Notes for the user on how it was read, one for each line.
    pub warnings: Vec<String>,
}

impl Dataset {
    /// The images of a split.
    pub fn part(&self, split: Split) -> &Images {
        match split {
            Split::Train => &self.train,
            Split::Val => &self.val,
            Split::Test => &self.test,
        }
    }
}

/// How to decode and split.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The folder that relative specs start from.
    pub data_root: PathBuf,
    /// Every image is resized to this many rows and columns.
    pub store_size: usize,
    /// The number of channels: 1 (gray) or 3 (red, green, blue).
    pub channels: usize,
    /// The share of train that becomes val if the data has no validation split.
    pub val_fraction: f32,
    /// The seed of that choice.
    pub seed: u64,
    /// The most pixels of one picture file; a larger one is refused by name.
    pub max_pixels: u64,
    /// The most bytes of all decoded images together: images × store_size² × channels. More is refused before decoding.
    pub max_bytes: u64,
    /// The bits that 16-bit picture files use, from 9 to 16: the level 2^bits − 1 is white.
    pub bit_depth: u32,
    /// Whether a file that cannot be decoded is an error, however few there are.
    pub strict: bool,
    /// A folder for decoded data. None decodes each time.
    pub cache: Option<PathBuf>,
}

impl LoadOptions {
    fn check(&self) -> Result<()> {
        if self.channels != 1 && self.channels != 3 {
            return Err(Error::Usage(format!("channels is {}; it must be 1 (gray) or 3 (colour)", self.channels)));
        }
        if !(4..=2048).contains(&self.store_size) {
            return Err(Error::Usage(format!("store_size is {}; it must be from 4 to 2048", self.store_size)));
        }
        if !(9..=16).contains(&self.bit_depth) {
            return Err(Error::Usage(format!("bit_depth is {}; it must be from 9 to 16", self.bit_depth)));
        }
        if self.max_pixels == 0 {
            return Err(Error::Usage("max_pixels is 0; it must be at least 1".into()));
        }
        Ok(())
    }
}

/// The split that an image belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// The images to learn from.
    Train,
    /// The images that choose among settings.
    Val,
    /// The images that results are reported on.
    Test,
}

impl Split {
    /// The splits, in the order of [`DecodedData::parts`].
    pub const ALL: [Split; 3] = [Split::Train, Split::Val, Split::Test];

    /// The name used in messages, files and image names.
    pub fn name(self) -> &'static str {
        ["train", "val", "test"][self as usize]
    }

    /// The split that a folder or a manifest names by `text`, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Split::Train),
            "val" | "valid" | "validation" => Some(Split::Val),
            "test" | "testing" => Some(Split::Test),
            _ => None,
        }
    }
}

/// What is known about an image besides its stored pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The digest of size and pixels before resizing. Equal digests mean the same picture.
    pub digest: [u8; 16],
    /// Rows before resizing.
    pub height: u32,
    /// Columns before resizing.
    pub width: u32,
}

/// One split as read, before duplicates are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The decoded images.
    pub images: Images,
    /// The origin of each image.
    pub origins: Vec<Origin>,
    /// The group of each image, for example its patient. Splits never divide a group. Empty if the data has no groups.
    pub groups: Vec<Option<String>>,
}

impl Part {
    /// A part without images of the shape that `options` ask for.
    pub fn empty(options: &LoadOptions) -> Self {
        let (size, channels) = (options.store_size, options.channels);
        let images = Images { height: size, width: size, channels, ..Images::default() };
        Part { images, ..Part::default() }
    }

    /// Adds one image.
    pub fn push(&mut self, pixels: &[u8], origin: Origin, label: u32, name: String) {
        self.images.pixels.extend_from_slice(pixels);
        self.images.labels.push(label);
        self.images.names.push(name);
        self.origins.push(origin);
    }

    /// The images at `indices`, in that order.
    pub fn select(&self, indices: impl IntoIterator<Item = usize>) -> Self {
        let Images { height, width, channels, .. } = self.images;
        let images = Images { height, width, channels, ..Images::default() };
        let mut out = Part { images, ..Part::default() };
        for i in indices {
            out.push(self.images.image(i), self.origins[i], self.images.labels[i], self.images.names[i].clone());
            out.groups.extend(self.groups.get(i).cloned());
        }
        out
    }
}

/// The result of a reader: the splits as the files have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecodedData {
    /// A short name.
    pub name: String,
    /// Class names.
    pub classes: Vec<String>,
    /// Train, val and test. None if the files have no such split.
    pub parts: [Option<Part>; 3],
    /// Files that could not be decoded.
    pub unreadable: Vec<LeftOut>,
    /// How many files of each ending were found but are not read.
    pub unread: BTreeMap<String, usize>,
    /// Notes for the user on how the files were read, one for each line.
    pub notes: Vec<String>,
    /// How many pictures of each split have which form. The cache of decoded images does not keep it.
    pub forms: [BTreeMap<decode::PixelForm, usize>; 3],
}

impl DecodedData {
    /// The splits that there are, with their images.
    pub fn parts_with_images(&self) -> impl Iterator<Item = (Split, &Images)> {
        Split::ALL.into_iter().zip(&self.parts).filter_map(|(split, part)| Some((split, &part.as_ref()?.images)))
    }

    /// Puts the notes of the listing before the notes of the decoding.
    fn noting(mut self, listed: Vec<String>) -> Self {
        self.notes.splice(0..0, listed);
        self
    }
}

/// What a dataset is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Training. There must be images to learn from and to test on, and train must have every class. If there is no
    /// validation split, it is cut from train.
    Training,
    /// Learning without a test, as a pretraining: as for training, but there may be no test split.
    Learning,
    /// Evaluation of a trained classifier on one split. The other splits may be missing; they then have no images.
    Evaluation(Split),
}

impl Need {
    /// Whether train is learnt from, so that it must hold images of each class.
    fn learns(self) -> bool {
        matches!(self, Need::Training | Need::Learning)
    }
}

/// [`load_for`] with [`Need::Training`].
pub fn load(spec: &str, options: &LoadOptions, progress: &dyn Fn(usize, usize)) -> Result<Dataset> {
    load_for(spec, options, Need::Training, progress)
}

/// Reads the data of `spec`, drops duplicates across splits, and cuts a validation split if there is none. During
/// decoding it calls `progress` with (done, total) images. Data that does not serve `need` is an error; if the labels
/// alone show it, the error comes before decoding.
pub fn load_for(spec: &str, options: &LoadOptions, need: Need, progress: &dyn Fn(usize, usize)) -> Result<Dataset> {
    let (source, fresh) = read(spec, options, Some(need), progress)?;
    left_out::check(&source, options)?;
    let notes = source.notes.clone();
    let mut data = split::assemble(source, options, need)?;
    data.warnings.extend(notes);
    if let Some(fresh) = fresh {
        fresh.keep()?; // after all checks, so that unusable data leaves no file
        data.warnings.extend(fresh.warning);
    }
    Ok(data)
}

/// Reads every image that `spec` names as it stands in its files: nothing is dropped, and no split is made.
pub fn load_all(spec: &str, options: &LoadOptions, progress: &dyn Fn(usize, usize)) -> Result<DecodedData> {
    let (source, fresh) = read(spec, options, None, progress)?;
    left_out::check(&source, options)?;
    if source.parts.iter().flatten().all(|p| p.images.is_empty()) {
        return Err(Error::Data(format!("{}: it holds no image", source.name)));
    }
    fresh.map_or(Ok(()), |fresh| fresh.keep())?;
    Ok(source)
}

/// Refuses data that cannot serve `need`, without decoding it: a missing file, an invalid line or member, a missing
/// split, a class without images. A study checks all its datasets before its first cell.
pub fn check(spec: &str, options: &LoadOptions, need: Need) -> Result<()> {
    options.check()?;
    let found = Spec::parse(spec, &options.data_root)?.open()?;
    bound::check(spec, found.images(), options)?;
    found.check(options, Some(need))
}

/// Whether the file or folder that `spec` names exists. Data without files does.
pub fn is_there(spec: &str, data_root: &std::path::Path) -> Result<bool> {
    Ok(Spec::find(spec, data_root)?.is_ok())
}

/// Reads the data of `spec` through the cache. Data that cannot serve `need` is refused before decoding.
pub(crate) fn read(
    spec: &str,
    options: &LoadOptions,
    need: Option<Need>,
    progress: &dyn Fn(usize, usize),
) -> Result<(DecodedData, Option<cache::Fresh>)> {
    options.check()?;
    let found = Spec::parse(spec, &options.data_root)?.open()?;
    bound::check(spec, found.images(), options)?;
    found.check(options, need)?;
    let (source, fresh) = cache::through(|| found.key(), options, || found.decode(options, progress))?;
    let mut source = found.told(source);
    source.notes.extend(left_out::note(&source.unreadable));
    Ok((source, fresh))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Options for a test: 8 × 8 pixels, without a cache.
    pub fn options(root: &std::path::Path, channels: usize) -> LoadOptions {
        LoadOptions {
            data_root: root.into(),
            store_size: 8,
            channels,
            val_fraction: 0.2,
            seed: 1,
            max_pixels: decode::MAX_PIXELS,
            max_bytes: MAX_BYTES,
            bit_depth: 16,
            strict: false,
            cache: None,
        }
    }

    /// Writes a PNG whose pixels depend only on `seed`.
    pub fn write_png(path: &std::path::Path, seed: u64, size: usize) {
        let mut rng = crate::base::rng::Rng::new(seed, 0, 0);
        let pixels = (0..size * size * 3).map(|_| rng.below(256) as u8).collect();
        let one =
            Images { height: size, width: size, channels: 3, pixels, labels: vec![0], names: vec![String::new()] };
        crate::base::files::write_atomic(path, &png(&one, 0).unwrap()).unwrap();
    }

    /// Writes `each` images `0.ENDING`, `1.ENDING`, … into `folder/CLASS/inner` for every class. All images differ.
    pub fn class_tree(folder: &std::path::Path, classes: &[&str], inner: &str, each: usize, ending: &str) {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1 << 32);
        for class in classes {
            for i in 0..each {
                let seed = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                write_png(&folder.join(class).join(inner).join(format!("{i}.{ending}")), seed, 9);
            }
        }
    }

    /// The text of the error of a result.
    pub fn complaint<T>(result: Result<T>) -> String {
        match result {
            Ok(_) => panic!("expected an error"),
            Err(e) => {
                assert_eq!(e.exit_code(), 4, "{e}");
                e.to_string()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_their_pixels_alone() {
        let images = |pixels: [u8; 2], labels: [u32; 2]| Images {
            height: 1,
            width: 1,
            channels: 1,
            pixels: pixels.into(),
            labels: labels.into(),
            names: vec!["a".into(), "b".into()],
        };
        let one = images([1, 2], [0, 1]);
        assert_eq!(one.fingerprint(), Images { names: Vec::new(), ..images([1, 2], [1, 0]) }.fingerprint());
        assert_ne!(one.fingerprint(), images([2, 1], [0, 1]).fingerprint());
        assert_ne!(one.fingerprint(), Images { width: 2, labels: vec![0], ..one.clone() }.fingerprint());
    }

    #[test]
    fn statistics_are_per_channel() {
        let images = Images {
            height: 1,
            width: 2,
            channels: 3,
            pixels: vec![0, 255, 51, 255, 255, 51],
            labels: vec![0],
            names: vec!["a".into()],
        };
        let (mean, std) = images.statistics();
        assert_eq!(mean, [0.5, 1.0, 0.2]);
        assert_eq!(std, [0.5, 0.0, 0.0]);
        assert_eq!(Images::default().statistics().0, [0.0]);
    }
}

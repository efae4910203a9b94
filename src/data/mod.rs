//! data: turns files, or nothing for phantoms, into decoded images with labels, in three splits.
//!
//! A [`layout`] reads a SPEC into a [`DecodedData`], [`cache`] keeps what was decoded, and [`split`] makes the
//! [`Dataset`]. Its training, validation and test images never share a picture or a patient.

mod ahead;
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
mod images;
pub mod kept;
pub mod layout;
mod left_out;
mod pages;
mod source;
pub mod split;
pub mod store;
pub mod summary;

pub use ahead::Ahead;
pub use alike::{Alike, alike};
pub use bound::{MAX_BYTES, RESIDENT_BYTES};
pub use decode::png;
pub use images::{Images, Pixels};
pub use layout::{folder, manifest, npz, phantom};
pub use left_out::LeftOut;
pub(crate) use left_out::covered;
pub use pages::{Keep, Paged, Paging};
pub use source::{DecodedData, Origin, Part, Split};
pub use summary::{Summary, inspect, inspect_beside};

use crate::base::{Error, Result};
use layout::{Found, Spec};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// Hears how far a load is, and may end it. A closure of (done, total) images hears and never ends it.
pub trait Loading {
    /// So many images of `total` are decoded. Between them it is asked with what was told last. An error ends the load
    /// with it.
    fn at(&self, done: usize, total: usize) -> Result<()>;
}

impl<F: Fn(usize, usize)> Loading for F {
    fn at(&self, done: usize, total: usize) -> Result<()> {
        self(done, total);
        Ok(())
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
    /// Which sets are kept in pages on disk. None keeps all in memory, and refuses a set of more than [`RESIDENT_BYTES`],
    /// whatever `max_bytes` is.
    pub paging: Option<Paging>,
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
pub fn load(spec: &str, options: &LoadOptions, progress: &dyn Loading) -> Result<Dataset> {
    load_for(spec, options, Need::Training, progress)
}

/// Reads the data of `spec`, drops duplicates across splits, and cuts a validation split if there is none. During
/// decoding it tells `progress` of its images. Data that does not serve `need` is an error; if the labels
/// alone show it, the error comes before decoding.
pub fn load_for(spec: &str, options: &LoadOptions, need: Need, progress: &dyn Loading) -> Result<Dataset> {
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
pub fn load_all(spec: &str, options: &LoadOptions, progress: &dyn Loading) -> Result<DecodedData> {
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
pub fn is_there(spec: &str, data_root: &Path) -> Result<bool> {
    Ok(Spec::find(spec, data_root)?.is_ok())
}

/// Reads the data of `spec` through the cache. Data that cannot serve `need` is refused before decoding.
pub(crate) fn read(
    spec: &str,
    options: &LoadOptions,
    need: Option<Need>,
    progress: &dyn Loading,
) -> Result<(DecodedData, Option<cache::Fresh>)> {
    options.check()?;
    let found: Arc<dyn Found> = Spec::parse(spec, &options.data_root)?.open()?.into();
    bound::check(spec, found.images(), options)?;
    found.check(options, need)?;
    let paging = bound::paging(found.images(), options);
    // Data without files is cached only where it is kept in pages.
    let key = || Ok(found.key(progress)?.or_else(|| paging.and_then(|_| found.paged_key())));
    let (source, fresh) = cache::through(key, options, paging, |keep| found.decode(options, keep, progress))?;
    source.tell_pages(&found, options);
    let mut source = found.told(source);
    source.notes.extend(left_out::note(&source.unreadable));
    source.notes.extend(paging.map(|_| bound::note(found.images(), options)));
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
            paging: None,
        }
    }

    /// Writes a PNG whose pixels depend only on `seed`.
    pub fn write_png(path: &std::path::Path, seed: u64, size: usize) {
        let mut rng = crate::base::rng::Rng::new(seed, 0, 0);
        let pixels = (0..size * size * 3).map(|_| rng.below(256) as u8).collect();
        let pixels = Pixels::Memory(pixels);
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

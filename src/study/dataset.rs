//! A dataset on the device. It is decoded on the host and its images are uploaded. What pretraining may see of it has
//! its own type.

use super::config;
use super::folder::sweep;
use super::session::Job;
use crate::base::progress::Progress;
use crate::base::{Error, Result};
use crate::data::store::ImageStore;
use crate::data::{self, Dataset, Images, LeftOut, LoadOptions, Loading, Need, Paging, Split};
use crate::tape::State;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The training images of a dataset on the device, and nothing else: all that pretraining is given.
#[derive(Clone)]
pub(super) struct TrainImages {
    /// The dataset's name, for people.
    pub name: String,
    /// The hash of the pixels, and of the training images that are left out.
    pub fingerprint: String,
    /// Training images that could not be decoded.
    pub left_out: Vec<LeftOut>,
    /// The pages of the images. Each stage starts from a copy of this state.
    pub resident: State,
    pub store: ImageStore,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

/// A dataset on the device.
pub(super) struct Loaded {
    pub spec: String,
    pub data: Dataset,
    pub train: TrainImages,
    /// The pages of all three splits.
    pub resident: State,
    pub val: ImageStore,
    pub test: ImageStore,
}

/// After this long without a change, a temporary file in the cache is one that a killed process left, perhaps of gigabytes, and
/// a set that was not used for as long may be removed to make room.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

impl TrainImages {
    /// The same with all images on the device, as recordings for an address have them.
    pub fn resident(&self) -> TrainImages {
        TrainImages { store: self.store.resident(), ..self.clone() }
    }
}

impl Loaded {
    /// The training, validation and test images.
    pub fn stores(&self) -> [&ImageStore; 3] {
        [&self.train.store, &self.val, &self.test]
    }
}

/// How a config's datasets are read. A set that memory is not to hold goes to pages in the folder of the cache, so that only
/// what reads no image may have none.
pub(super) fn load_options(c: &config::Data, data_root: &Path, cache: Option<PathBuf>) -> LoadOptions {
    LoadOptions {
        data_root: data_root.to_path_buf(),
        store_size: c.store_size,
        channels: c.channels,
        val_fraction: c.val_fraction as f32,
        seed: 0, // all seeds share one split, so that they are compared on the same images
        max_pixels: c.max_pixels,
        max_bytes: c.max_bytes,
        bit_depth: c.bit_depth,
        strict: c.strict,
        paging: Some(Paging { resident_bytes: c.resident_bytes, folder: cache.clone().unwrap_or_default() }),
        cache,
    }
}

/// Shows how far the load of a dataset is, and ends it where a signal asks to stop.
pub(super) struct UntilStopped<'a> {
    progress: &'a dyn Progress,
    stop: &'a AtomicBool,
    spec: &'a str,
}

impl Loading for UntilStopped<'_> {
    fn at(&self, done: usize, _: usize) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            let spec = self.spec;
            return Err(Error::TryAgain(format!(
                "stopped while the images of {spec} were loaded; the same command goes on"
            )));
        }
        self.progress.step(done as u64, "");
        Ok(())
    }
}

impl Job<'_> {
    /// Listens to the load of a dataset.
    pub(super) fn until_stopped<'b>(&'b self, spec: &'b str) -> UntilStopped<'b> {
        UntilStopped { progress: self.progress, stop: self.stop, spec }
    }

    /// Decodes a dataset. `say` gets the notes on how it was read.
    pub(super) fn read(&self, spec: &str, need: Need, say: &dyn Fn(&str)) -> Result<Dataset> {
        self.progress.stage(&format!("load {spec}"), 0, 0, "images");
        let step = self.until_stopped(spec);
        let cache = self.out.join("cache");
        sweep(&cache, ABANDONED);
        let data = data::load_for(spec, &self.load_options(), need, &step)?;
        // A set that was loaded longer ago may still be in use: its open pages stay readable, and who needs it again decodes
        // it again.
        let is_old = |p: &Path| {
            let used = p.metadata().and_then(|m| m.modified()).ok();
            used.and_then(|used| used.elapsed().ok()).is_some_and(|ago| ago >= ABANDONED)
        };
        data::kept::trim(&cache, self.config.data.max_bytes, &is_old).iter().for_each(|what| say(what));
        data.warnings.iter().for_each(|w| say(w));
        let pages = Split::ALL.into_iter().filter_map(|split| data.part(split).pages());
        pages.flat_map(|pages| pages.notes()).for_each(|note| say(&note));
        Ok(data)
    }

    /// Sets that pass `data.resident_bytes`, or half of the device's memory budget, are kept in pages.
    pub(super) fn load_options(&self) -> LoadOptions {
        let folder = self.out.join("cache");
        let half = self.gpu.options().memory_budget_bytes.map_or(u64::MAX, |budget| budget / 2);
        let paging = Paging { resident_bytes: self.config.data.resident_bytes.min(half), folder: folder.clone() };
        LoadOptions { paging: Some(paging), ..load_options(&self.config.data, self.data_root, Some(folder)) }
    }

    /// Puts images on the device, under the name of their split, or streams them where they are kept in pages.
    pub(super) fn upload(&self, name: &str, i: &Images, state: &mut State) -> Result<ImageStore> {
        let dims = [i.height, i.channels];
        match i.pages() {
            Some(pages) => ImageStore::streaming(self.gpu, name, (pages, i.len()), dims, None),
            None => ImageStore::upload(self.gpu, state, name, &i.all()?, dims, None),
        }
    }

    /// Decodes a dataset and puts its images on the device.
    pub(super) fn load(&self, spec: &str) -> Result<Loaded> {
        let data = self.read(spec, Need::Training, &|w| self.progress.note(w))?;
        let train = self.train_images(&data)?;
        let mut resident = train.resident.clone();
        let val = self.upload("val", &data.val, &mut resident)?;
        let test = self.upload("test", &data.test, &mut resident)?;
        self.say_loaded(&data);
        Ok(Loaded { spec: spec.to_string(), data, train, resident, val, test })
    }

    /// Decodes a dataset, which needs no test split, and puts its training images on the device.
    pub(super) fn load_train(&self, spec: &str) -> Result<TrainImages> {
        let data = self.read(spec, Need::Learning, &|w| self.progress.note(w))?;
        let train = self.train_images(&data)?;
        self.say_loaded(&data);
        Ok(train)
    }

    fn train_images(&self, data: &Dataset) -> Result<TrainImages> {
        let (mut mean, mut std) = ([0.0; 3], [1.0; 3]);
        let (m, s) = data.train.statistics()?;
        for i in 0..3 {
            mean[i] = m[i.min(m.len() - 1)];
            std[i] = s[i.min(s.len() - 1)].max(1e-3); // images of one constant value have a deviation of 0
        }
        let mut pages = State::new();
        let store = self.upload("train", &data.train, &mut pages)?;
        let left_out: Vec<LeftOut> = data.left_out.iter().filter(|f| f.split == Split::Train).cloned().collect();
        let fingerprint = data::covered(data.train.fingerprint()?, left_out.iter());
        Ok(TrainImages { name: data.name.clone(), fingerprint, left_out, resident: pages, store, mean, std })
    }

    fn say_loaded(&self, data: &Dataset) {
        self.progress.done(&format!(
            "{}: {} train, {} val, {} test images in {} classes; {} duplicates dropped",
            data.name,
            data.train.len(),
            data.val.len(),
            data.test.len(),
            data.classes.len(),
            data.dropped_duplicates
        ));
    }
}

#[cfg(test)]
mod tests;

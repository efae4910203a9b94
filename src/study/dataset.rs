//! A dataset on the device. It is decoded on the host and its images are uploaded. What pretraining may see of it has
//! its own type.

use super::config;
use super::session::Job;
use crate::base::Result;
use crate::data::store::ImageStore;
use crate::data::{self, Dataset, Images, LeftOut, LoadOptions, Need, Split};
use crate::tape::State;
use std::path::{Path, PathBuf};

/// The training images of a dataset on the device. Pretraining gets this and nothing else.
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

/// How the datasets of a config are read.
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
        cache,
    }
}

impl Job<'_> {
    /// Decodes a dataset. `say` gets the notes on how it was read.
    pub(super) fn read(&self, spec: &str, need: Need, say: &dyn Fn(&str)) -> Result<Dataset> {
        self.progress.stage(&format!("load {spec}"), 0, 0, "images");
        let step = |done: usize, _| self.progress.step(done as u64, "");
        let data = data::load_for(spec, &self.load_options(), need, &step)?;
        data.warnings.iter().for_each(|w| say(w));
        Ok(data)
    }

    pub(super) fn load_options(&self) -> LoadOptions {
        load_options(&self.config.data, self.data_root, Some(self.out.join("cache")))
    }

    /// Puts images on the device, under the name of their split.
    pub(super) fn upload(&self, name: &str, i: &Images, state: &mut State) -> Result<ImageStore> {
        ImageStore::upload(self.gpu, state, name, &i.pixels, [i.height, i.channels], None)
    }

    /// Decodes a dataset and puts its images on the device.
    pub(super) fn load(&self, spec: &str) -> Result<Loaded> {
        let data = self.read(spec, Need::Training, &|w| self.progress.note(w))?;
        let (mut mean, mut std) = ([0.0; 3], [1.0; 3]);
        let (m, s) = data.train.statistics();
        for i in 0..3 {
            mean[i] = m[i.min(m.len() - 1)];
            std[i] = s[i.min(s.len() - 1)].max(1e-3); // images of one constant value have a deviation of 0
        }
        let mut pages = State::new();
        let store = self.upload("train", &data.train, &mut pages)?;
        let mut resident = pages.clone();
        let val = self.upload("val", &data.val, &mut resident)?;
        let test = self.upload("test", &data.test, &mut resident)?;
        let left_out: Vec<LeftOut> = data.left_out.iter().filter(|f| f.split == Split::Train).cloned().collect();
        let fingerprint = data::covered(data.train.fingerprint(), left_out.iter());
        let train = TrainImages { name: data.name.clone(), fingerprint, left_out, resident: pages, store, mean, std };
        self.progress.done(&format!(
            "{}: {} train, {} val, {} test images in {} classes; {} duplicates dropped",
            data.name,
            data.train.len(),
            data.val.len(),
            data.test.len(),
            data.classes.len(),
            data.dropped_duplicates
        ));
        Ok(Loaded { spec: spec.to_string(), data, train, resident, val, test })
    }
}

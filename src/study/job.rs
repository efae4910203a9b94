//! A job: everything a stage needs, and the commands of one stage.

use super::config::Config;
use super::grid::{Cell, cells};
use super::results::CellResult;
use super::start::Start;
use super::{Progress, pretrain, train};
use crate::base::{Error, Result, files};
use crate::data::store::ImageStore;
use crate::data::{self, Dataset, Images, LoadOptions, Need};
use crate::device::Gpu;
use crate::device::tune::Table;
use crate::kernels::{fuse, tune};
use crate::nn::{Backbone, Mode, Params};
use crate::noise::NoiseKind;
use crate::ssl;
use crate::tape::{Options, Schedule, State, Tape};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// What a command gives to the study.
pub struct Job<'a> {
    /// The device.
    pub gpu: &'a Gpu,
    /// The resolved config.
    pub config: &'a Config,
    /// Where results go.
    pub out: &'a Path,
    /// Where data SPECs are looked for.
    pub data_root: &'a Path,
    /// Who is told of it.
    pub progress: &'a dyn Progress,
    /// Raised by a signal: save and stop.
    pub stop: &'a AtomicBool,
    /// Which variants won on this adapter; empty where nothing was tuned.
    pub kernels: Table,
}

/// Weights that a person brings.
#[derive(Clone, Copy, Debug)]
pub struct Brought<'a> {
    /// A safetensors file.
    pub path: &'a Path,
    /// Whether its classifier is kept: its classes must be the data's. Otherwise training begins with a new one.
    pub keep_classifier: bool,
}

/// Where a folder keeps the table of variants that its runs use.
pub const KERNELS: &str = "kernels.json";

/// Whether a run or a study was begun in a folder.
pub fn begun(out: &Path) -> bool {
    ["runs", "pretraining", "config.toml"].iter().any(|name| out.join(name).exists())
}

/// The training images of a dataset on the device, and nothing else: all that pretraining is given.
pub(super) struct TrainImages {
    /// The dataset's name, for people.
    pub name: String,
    /// Of the pixels alone.
    pub fingerprint: String,
    /// Their pages: stages start from a copy.
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
    /// Pages of all three splits.
    pub resident: State,
    pub val: ImageStore,
    pub test: ImageStore,
}

impl Job<'_> {
    /// Pretrains on one dataset into `out`; returns the path of the backbone.
    pub fn pretrain(&self, spec: &str, method: &str, seed: u64) -> Result<PathBuf> {
        let method = self.config.pretraining_of(method)?;
        let images = self.load(spec)?.train;
        self.keep_kernels()?;
        let made = pretrain::provenance(self, &images, &method, seed)?;
        Ok(pretrain::run(self, &images, &method, seed, self.out, &made)?.0)
    }

    /// The schedule of a tape with the variants of the job's table.
    pub(super) fn schedule(&self, tape: &Tape) -> Result<Schedule> {
        let choose = tune::chooser(&self.kernels);
        let schedule = Schedule::new(tape, &Options { choose: &choose, ..fuse::options(self.gpu.caps()) })?;
        if !self.kernels.entries.is_empty() && !tune::expect_fresh(self.gpu, &schedule, &self.kernels)? {
            let what = "warning: the table of kernels has no result for any op of this step; tune with its sizes";
            self.progress.note(what);
        }
        Ok(schedule)
    }

    /// A table of the whole study. Only when it is whole does it stand beside the runs: until then it is in the cache, where
    /// an interrupted race goes on.
    pub fn tuned(&self) -> Result<Table> {
        self.tune(&self.out.join("cache").join(KERNELS))
    }

    /// Writes a tuned table beside the runs that use it, so that going on, and other processes, use the same.
    pub(super) fn keep_kernels(&self) -> Result<()> {
        let path = self.out.join(KERNELS);
        if self.kernels.entries.is_empty() || files::exists(&path)? {
            return Ok(());
        }
        self.kernels.save(&path)
    }

    /// Trains on one dataset into `out`, from `weights` or from random ones.
    pub fn train(
        &self,
        spec: &str,
        weights: Option<Brought<'_>>,
        noise: (NoiseKind, f64),
        seed: u64,
    ) -> Result<CellResult> {
        let start = weights.map(Start::given).transpose()?;
        let set = self.load(spec)?;
        self.keep_kernels()?;
        let mut cell = self.single(spec, noise, seed)?;
        cell.name = format!("train on {}, seed {seed}", set.data.name);
        train::run(self, &set, &cell, start.as_ref(), self.out)
    }

    /// The one cell of a command that trains.
    pub(super) fn single(&self, spec: &str, noise: (NoiseKind, f64), seed: u64) -> Result<Cell> {
        let mut c = self.config.clone();
        c.data.specs = vec![spec.to_string()];
        c.pretraining.methods = vec![ssl::NONE.to_string()];
        (c.noise.kinds, c.noise.rates, c.seeds) = (vec![noise.0], vec![noise.1], vec![seed]);
        c.noise.settings.insert(noise.0.to_string(), c.noise.settings_of(noise.0)?);
        cells(&c).into_iter().next().ok_or_else(|| Error::Usage("the config names no training method".into()))
    }

    /// Decodes a dataset; `say` is told what a person should know of how it was read.
    pub(super) fn read(&self, spec: &str, need: Need, say: &dyn Fn(&str)) -> Result<Dataset> {
        self.progress.stage(&format!("load {spec}"), 0, 0, "images");
        let step = |done: usize, _| self.progress.step(done as u64, "");
        let data = data::load_for(spec, &self.load_options(), need, &step)?;
        data.warnings.iter().for_each(|w| say(w));
        Ok(data)
    }

    pub(super) fn load_options(&self) -> LoadOptions {
        let c = &self.config.data;
        LoadOptions {
            data_root: self.data_root.to_path_buf(),
            store_size: c.store_size,
            channels: c.channels,
            val_fraction: c.val_fraction as f32,
            seed: 0, // one split for all seeds, so that they are compared on the same images
            max_pixels: c.max_pixels,
            bit_depth: c.bit_depth,
            cache: Some(self.out.join("cache")),
        }
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
            std[i] = s[i.min(s.len() - 1)].max(1e-3); // a constant image set has no spread to divide by
        }
        let mut pages = State::new();
        let store = self.upload("train", &data.train, &mut pages)?;
        let mut resident = pages.clone();
        let val = self.upload("val", &data.val, &mut resident)?;
        let test = self.upload("test", &data.test, &mut resident)?;
        let (name, fingerprint) = (data.name.clone(), data.train.fingerprint());
        let train = TrainImages { name, fingerprint, resident: pages, store, mean, std };
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

    /// Names and types of a backbone's tensors, without prefix.
    pub(super) fn backbone_tensors(&self, backbone: &dyn Backbone) -> Result<Vec<(String, crate::tape::Type)>> {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let size = self.config.data.image_size;
        let x = t.input("x", crate::tape::Type::f32([2, self.config.data.channels, size, size]))?;
        backbone.forward(&mut t, &mut params, "", x, Mode::Eval)?;
        Ok(params.list().iter().map(|p| (p.name.clone(), p.ty)).collect())
    }
}

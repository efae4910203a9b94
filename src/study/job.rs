//! A job: everything a stage needs, and the grid that calls the stages. The one place where data, self-supervision and
//! label noise meet.

use super::config::Config;
use super::folder::{clear, locked, locked_soon, sweep, wait_for_any, write_config};
use super::grid::{Cell, Selection, cells};
use super::provenance::expect_table;
use super::results::{CellResult, Picture, gather, read_pictures, run_folder, write_csv, write_pictures};
use super::train::Start;
use super::{Progress, pretrain, report, train};
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
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

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

/// How the cells of a study are gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// End at once where nothing is left but what other processes work on, instead of waiting for them.
    pub no_wait: bool,
    /// Empty the folder of a damaged cell or pretraining and make it again.
    pub redo_damaged: bool,
}

/// What a study came to.
#[derive(Debug)]
pub struct Outcome {
    /// The results of the chosen cells, in the grid's order.
    pub results: Vec<CellResult>,
    /// A sentence for each cell that is damaged and was left out.
    pub damaged: Vec<String>,
}

impl Job<'_> {
    /// Runs the selected cells of the grid, resuming what was begun, and writes `results.csv` and `report.html`. A cell
    /// that another process works on is left to it, and looked at again when the others are done. A damaged cell is told,
    /// and the others go on.
    pub fn run(&self, selection: Selection, manner: Manner) -> Result<Outcome> {
        let all = cells(self.config);
        let chosen = selection.of(&all)?;
        self.check_sets(chosen)?;
        sweep(self.out, Duration::from_secs(2));
        expect_table(self.out, &self.kernels)?;
        self.keep_kernels()?;
        let mut loaded: Option<Loaded> = None;
        let (mut results, mut damaged) = (BTreeMap::new(), Vec::new());
        let mut left: Vec<&Cell> = chosen.iter().collect();
        while !left.is_empty() {
            let (mut busy, mut held) = (Vec::new(), Vec::new());
            for cell in left {
                if loaded.as_ref().is_none_or(|l| l.spec != cell.spec) {
                    drop(loaded.take()); // frees its pages before the next ones are made
                    loaded = Some(self.load(&cell.spec)?);
                }
                let Some(set) = &loaded else { continue };
                match self.cell(cell, set, manner) {
                    Ok(result) => {
                        results.insert(cell.index, result);
                        self.gather()?;
                    }
                    Err(Error::Busy(folder)) => {
                        busy.push(cell);
                        held.push(folder);
                    }
                    Err(Error::Damaged { what, .. }) => {
                        self.progress.note(&format!("damaged: {}: {what}", cell.name));
                        damaged.push(format!("{}: {what}", cell.name));
                    }
                    Err(e) => return Err(e),
                }
            }
            if let (Some(folder), true) = (held.first(), manner.no_wait) {
                return Err(Error::Busy(folder.clone()));
            }
            if let Some(folder) = held.first() {
                let (n, folder) = (busy.len(), folder.display());
                self.progress.note(&format!("{n} cells wait for other processes; one works in {folder}"));
                wait_for_any(&held, self.stop)?;
            }
            left = busy;
        }
        if !results.is_empty() {
            self.gather()?;
        }
        Ok(Outcome { results: results.into_values().collect(), damaged })
    }

    /// Writes what the study says of itself: its config, the table and the report. One process at a time, so that what an
    /// earlier one gathered never replaces what a later one did.
    fn gather(&self) -> Result<()> {
        // Not before a cell is done: a study that cannot run leaves nothing behind.
        locked_soon(self.out, self.stop, || {
            write_config(self.out, self.config)?;
            let gathered = gather(self.out)?;
            write_csv(self.out, &gathered)?;
            report(self.out, &gathered).map(drop)
        })
    }

    /// Runs a cell; with `redo_damaged`, each folder of its that is damaged is emptied once and made again.
    fn cell(&self, cell: &Cell, set: &Loaded, manner: Manner) -> Result<CellResult> {
        let mut cleared = BTreeSet::new();
        loop {
            match self.cell_once(cell, set) {
                Err(Error::Damaged { path, what }) if manner.redo_damaged => {
                    let folder = path.parent().unwrap_or(self.out).to_path_buf();
                    let own = ["runs", "pretraining"].iter().any(|f| folder.parent() == Some(&self.out.join(f)));
                    if !own || !cleared.insert(folder.clone()) {
                        return Err(Error::Damaged { path, what });
                    }
                    self.progress.note(&format!("{} is made again, because {what}", folder.display()));
                    clear(&folder)?;
                }
                other => return other,
            }
        }
    }

    /// Refuses a set that the cells cannot use before the first of them is trained on another. All are listed first; then
    /// each is decoded through the cache, where it is found again when its turn comes. One set with one kind of noise
    /// is read next anyway.
    fn check_sets(&self, chosen: &[Cell]) -> Result<()> {
        let mut sets: Vec<&str> = Vec::new();
        for cell in chosen {
            if !sets.contains(&cell.spec.as_str()) {
                data::check(&cell.spec, &self.load_options(), Need::Training)?;
                sets.push(&cell.spec);
            }
        }
        // One cell of each kind of noise: what keeps it from going wrong keeps the others.
        let mut noisy: Vec<&Cell> = Vec::new();
        for cell in chosen.iter().filter(|c| c.noise_kind.is_some()) {
            if !noisy.iter().any(|n| (&n.spec, n.noise_kind) == (&cell.spec, cell.noise_kind)) {
                noisy.push(cell);
            }
        }
        for spec in sets.iter().filter(|_| sets.len() > 1 || noisy.len() > 1) {
            let named = |e: Error| Error::Data(format!("{spec}: {e}"));
            let data = self.read(spec, Need::Training, &|_| {})?;
            pretrain::batch_of(self.config.training.optimization.batch_size, data.train.len()).map_err(named)?;
            for cell in noisy.iter().filter(|n| n.spec == *spec) {
                cell.given(&data).map_err(named)?;
            }
        }
        Ok(())
    }

    fn cell_once(&self, cell: &Cell, set: &Loaded) -> Result<CellResult> {
        let start = match cell.pretraining.as_str() {
            ssl::NONE => None,
            name => {
                let method = self.config.pretraining_of(name)?;
                let made = pretrain::provenance(self, &set.train, &method, cell.seed)?;
                let key = format!("{}-{name}-seed-{}-{}", cell.dataset, cell.seed, made.address);
                let folder = self.out.join("pretraining").join(key);
                let (path, done) = pretrain::run(self, &set.train, &method, cell.seed, &folder, &made)?;
                Some(Start::pretrained(path, name, &done)?)
            }
        };
        let result = train::run(self, set, cell, start.as_ref(), &run_folder(self.out, &cell.name))?;
        self.pictures(cell, set)?;
        Ok(result)
    }

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
    fn keep_kernels(&self) -> Result<()> {
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

    fn load_options(&self) -> LoadOptions {
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

    /// A strip of training images for the report, labels as the noisiest cell of the first seed trains on them. It is
    /// written once for a dataset, whichever of its cells comes first.
    fn pictures(&self, cell: &Cell, set: &Loaded) -> Result<()> {
        match read_pictures(self.out, &cell.dataset) {
            Ok(pictures) if !pictures.is_empty() => return Ok(()),
            Err(Error::Damaged { what, .. }) => {
                self.progress.note(&format!("pictures are written anew, because {what}"))
            }
            other => drop(other?),
        }
        let folder = self.out.join("pictures").join(&cell.dataset);
        match locked(&folder, || self.write_pictures(cell, set)) {
            Err(Error::Busy(_)) => Ok(()), // another shard is writing the same ones
            written => written,
        }
    }

    fn write_pictures(&self, cell: &Cell, set: &Loaded) -> Result<()> {
        let rate = self.config.noise.rates.iter().copied().fold(0.0, f64::max);
        let noise = &self.config.noise;
        let kind = noise.kinds.first().copied().filter(|_| rate > 0.0);
        let settings = kind.map_or(Ok(toml::Table::new()), |k| noise.settings_of(k))?;
        let seed = self.config.seeds.first().copied().unwrap_or(cell.seed);
        let noisiest = Cell { seed, noise_kind: kind, noise_rate: rate, noise_settings: settings, ..cell.clone() };
        let (train, given) = (&set.data.train, noisiest.given(&set.data)?);
        let class = |l: u32| set.data.classes.get(l as usize).cloned().unwrap_or_default();
        let count = train.len().min(12);
        let pictures = (0..count)
            .map(|i| i * train.len() / count)
            .map(|i| Ok(Picture { png: data::png(train, i)?, clean: class(train.labels[i]), given: class(given[i]) }))
            .collect::<Result<Vec<_>>>()?;
        write_pictures(self.out, &cell.dataset, &pictures)
    }
}

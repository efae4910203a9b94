//! A job: everything a stage needs, and the grid that calls the stages. The one place where data, self-supervision and
//! label noise meet.

use super::config::{Config, Model, PretrainingMethod, Stem};
use super::grid::{Cell, Selection, cells};
use super::results::{CellResult, Picture, read_result, run_folder, write_csv, write_pictures};
use super::train::Start;
use super::{Progress, pretrain, report, train};
use crate::base::hash::Hasher;
use crate::base::{Error, Result, files};
use crate::data::spec::Spec;
use crate::data::store::ImageStore;
use crate::data::{self, Dataset, LoadOptions};
use crate::device::Gpu;
use crate::nn::{self, Mode, Params, ResNet, checkpoint};
use crate::noise::{self, NoiseKind};
use crate::tape::{Options, Plan, Schedule, State, Tape};
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
}

/// A dataset on the device.
pub(super) struct Loaded {
    pub spec: String,
    pub data: Dataset,
    /// Pages of images, and nothing else: stages start from a copy.
    pub resident: State,
    pub train: ImageStore,
    pub val: ImageStore,
    pub test: ImageStore,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl Job<'_> {
    /// Runs the selected cells of the grid, resuming what was begun, and writes `results.csv` and `report.html`.
    pub fn run(&self, selection: Selection) -> Result<Vec<CellResult>> {
        let all = cells(self.config);
        let chosen = selection.of(&all)?;
        for cell in chosen {
            Spec::parse(&cell.spec, self.data_root)?; // a wrong name shows now, not after hours of other cells
        }
        sweep(self.out, Duration::from_secs(2));
        let mut loaded: Option<Loaded> = None;
        let mut results = Vec::new();
        for cell in chosen {
            if loaded.as_ref().is_none_or(|l| l.spec != cell.spec) {
                drop(loaded.take()); // frees its pages before the next ones are made
                loaded = Some(self.load(&cell.spec)?);
            }
            let Some(set) = &loaded else { continue };
            results.push(self.cell(cell, set)?);
            // Not before a cell is done: a study that cannot run leaves nothing behind.
            files::write_atomic(&self.out.join("config.toml"), self.config.to_toml()?.as_bytes())?;
            write_csv(self.out)?;
        }
        report(self.out)?;
        Ok(results)
    }

    fn cell(&self, cell: &Cell, set: &Loaded) -> Result<CellResult> {
        let folder = run_folder(self.out, &cell.name);
        let world = self.world(set);
        let world: Vec<&str> = world.iter().map(String::as_str).collect();
        let key = cell.pretraining_key(self.config, &world)?;
        let start = match &key {
            None => None,
            Some(key) => {
                let folder = self.out.join("pretraining").join(key);
                let path = pretrain::run(self, set, cell.pretraining, cell.seed, &folder, key)?;
                Some(Start { path, made_by: cell.pretraining.to_string() })
            }
        };
        let address = self.address(cell, key.as_deref(), &world)?;
        let result = train::run(self, set, cell, start.as_ref(), &folder, &address)?;
        self.pictures(cell, set)?;
        Ok(result)
    }

    /// Pretrains on one dataset into `out`; returns the path of the backbone.
    pub fn pretrain(&self, spec: &str, method: PretrainingMethod, seed: u64) -> Result<PathBuf> {
        let set = self.load(spec)?;
        let cell = self.single(spec, method, (NoiseKind::Symmetric, 0.0), seed)?;
        let world = self.world(&set);
        let world: Vec<&str> = world.iter().map(String::as_str).collect();
        match cell.pretraining_key(self.config, &world)? {
            Some(key) => pretrain::run(self, &set, method, seed, self.out, &key),
            None => Err(Error::Usage("--method none does not pretrain; take simclr".into())),
        }
    }

    /// Trains on one dataset into `out`, from `weights` or from random ones.
    pub fn train(&self, spec: &str, weights: Option<&Path>, noise: (NoiseKind, f64), seed: u64) -> Result<CellResult> {
        let start =
            weights.map(|w| Ok::<_, Error>(Start { path: w.to_path_buf(), made_by: made_by(w)? })).transpose()?;
        let set = self.load(spec)?;
        let mut cell = self.single(spec, PretrainingMethod::None, noise, seed)?;
        cell.name = format!("train on {}, seed {seed}", set.data.name);
        let world = self.world(&set);
        let world: Vec<&str> = world.iter().map(String::as_str).collect();
        let made = weights.map(|w| Ok::<_, Error>(Hasher::new().part(files::read(w)?).hex())).transpose()?;
        let address = self.address(&cell, made.as_deref(), &world)?;
        train::run(self, &set, &cell, start.as_ref(), self.out, &address)
    }

    /// The one cell of a command that runs a single stage.
    fn single(&self, spec: &str, method: PretrainingMethod, noise: (NoiseKind, f64), seed: u64) -> Result<Cell> {
        let mut c = self.config.clone();
        c.data.specs = vec![spec.to_string()];
        c.pretraining.methods = vec![method];
        (c.noise.kinds, c.noise.rates, c.seeds) = (vec![noise.0], vec![noise.1], vec![seed]);
        cells(&c).into_iter().next().ok_or_else(|| Error::Usage("the config names no training method".into()))
    }

    /// Decodes a dataset and puts its images on the device.
    pub(super) fn load(&self, spec: &str) -> Result<Loaded> {
        let c = &self.config.data;
        let options = LoadOptions {
            data_root: self.data_root.to_path_buf(),
            store_size: c.store_size,
            channels: c.channels,
            val_fraction: c.val_fraction as f32,
            seed: 0, // one split for all seeds, so that they are compared on the same images
            cache: Some(self.out.join("cache")),
        };
        self.progress.stage(&format!("load {spec}"), 0, 0, "images");
        let data = data::load(spec, &options, &|done, _| self.progress.step(done as u64, ""))?;
        data.warnings.iter().for_each(|w| self.progress.note(w));
        let (mut mean, mut std) = ([0.0; 3], [1.0; 3]);
        let (m, s) = data.train.statistics();
        for i in 0..3 {
            mean[i] = m[i.min(m.len() - 1)];
            std[i] = s[i.min(s.len() - 1)].max(1e-3); // a constant image set has no spread to divide by
        }
        let mut resident = State::new();
        let mut upload = |name: &str, i: &data::Images| {
            ImageStore::upload(self.gpu, &mut resident, name, &i.pixels, [i.height, i.channels], None)
        };
        let (train, val, test) =
            (upload("train", &data.train)?, upload("val", &data.val)?, upload("test", &data.test)?);
        self.progress.done(&format!(
            "{}: {} train, {} val, {} test images in {} classes; {} duplicates dropped",
            data.name,
            data.train.len(),
            data.val.len(),
            data.test.len(),
            data.classes.len(),
            data.dropped_duplicates
        ));
        Ok(Loaded { spec: spec.to_string(), data, resident, train, val, test, mean, std })
    }

    /// What bits depend on besides the config.
    pub(super) fn world(&self, set: &Loaded) -> Vec<String> {
        let a = self.gpu.adapter();
        let version = env!("CARGO_PKG_VERSION").to_string();
        vec![set.data.fingerprint.clone(), version, a.name.clone(), a.driver.clone(), a.backend.clone()]
    }

    /// The address of a cell's run: every setting it depends on and the world.
    fn address(&self, cell: &Cell, weights: Option<&str>, world: &[&str]) -> Result<String> {
        let mut c = self.config.clone();
        c.name = String::new();
        c.seeds = vec![cell.seed];
        c.data.specs = vec![cell.spec.clone()];
        c.pretraining.methods = vec![cell.pretraining];
        c.training.methods = vec![cell.method];
        c.noise.kinds = cell.noise_kind.into_iter().collect();
        c.noise.rates = vec![cell.noise_rate];
        c.run = Config::parse("base", "")?.run; // how often it saves and reads does not change what it computes
        let mut h = Hasher::new().part(c.to_toml()?).part(weights.unwrap_or("random"));
        world.iter().for_each(|w| h.update(w));
        Ok(h.short())
    }

    pub(super) fn model(&self) -> ResNet {
        let Model { stem, width, .. } = self.config.model;
        let stem = match stem {
            Stem::Small => nn::Stem::Small,
            Stem::Large => nn::Stem::Large,
        };
        ResNet { stem, width, in_channels: self.config.data.channels }
    }

    /// Names and types of a backbone's tensors, without prefix.
    pub(super) fn backbone_tensors(&self) -> Result<Vec<(String, crate::tape::Type)>> {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let size = self.config.data.image_size;
        let x = t.input("x", crate::tape::Type::f32([2, self.config.data.channels, size, size]))?;
        self.model().forward(&mut t, &mut params, "", x, Mode::Eval)?;
        Ok(params.list().iter().map(|p| (p.name.clone(), p.ty)).collect())
    }

    /// Compiles a training step, see [`Job::compile`]. Batch statistics and contrast need two images.
    pub(super) fn step(
        &self,
        state: &State,
        key: &str,
        batch: usize,
        record: &dyn Fn(usize) -> Result<Tape>,
    ) -> Result<Plan> {
        let plans = self.compile(state, key, batch, 2, &|b| Ok(vec![record(b)?]))?;
        plans.into_iter().next().ok_or_else(|| Error::Failed("a step has no plan".into()))
    }

    /// Compiles what `record` records for a batch. Where that does not fit the memory budget, the error names the
    /// largest value of the config's `key` that does, at least `least`.
    pub(super) fn compile(
        &self,
        state: &State,
        key: &str,
        batch: usize,
        least: usize,
        record: &dyn Fn(usize) -> Result<Vec<Tape>>,
    ) -> Result<Vec<Plan>> {
        let options = Options::new(self.gpu.caps());
        let schedules = |b: usize| record(b)?.iter().map(|t| Schedule::new(t, &options)).collect::<Result<Vec<_>>>();
        let bytes = |all: &[Schedule]| all.iter().map(Schedule::plan_bytes).sum::<u64>();
        let all = schedules(batch)?;
        if self.gpu.fits(bytes(&all)) {
            return all.into_iter().map(|s| Plan::new(self.gpu, s, state)).collect();
        }
        let fits = |b: usize| Ok::<_, Error>(self.gpu.fits(bytes(&schedules(b)?)));
        let way_out = if batch > least && fits(least)? {
            let (mut low, mut high) = (least, batch); // low fits, high does not
            while high - low > 1 {
                let middle = (low + high) / 2;
                if fits(middle)? { low = middle } else { high = middle }
            }
            format!("the largest {key} that fits is {low}")
        } else {
            format!("no {key} is small enough: use a smaller data.image_size or model.width, or a larger budget")
        };
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64);
        Err(Error::Usage(format!(
            "{batch} images a step ({key}) need {} of device memory besides the {} in use, and the budget is {} \
             (--memory-budget sets it); {way_out}",
            mib(bytes(&all)),
            mib(self.gpu.meter().live_bytes()),
            mib(self.gpu.options().memory_budget_bytes.unwrap_or(0))
        )))
    }

    /// `config.toml` and `environment.json` of a folder: what its bits depend on, in words.
    pub(super) fn describe(&self, folder: &Path, set: &Loaded, address: &str) -> Result<()> {
        let a = self.gpu.adapter();
        let record = serde_json::json!({
            "wgslab": env!("CARGO_PKG_VERSION"), "adapter": a.name, "driver": a.driver, "backend": a.backend,
            "os": std::env::consts::OS, "data": set.data.name, "data_fingerprint": set.data.fingerprint,
            "address": address, "classes": set.data.classes, "mean": set.mean, "std": set.std,
        });
        files::write_atomic(&folder.join("environment.json"), format!("{record:#}\n").as_bytes())?;
        files::write_atomic(&folder.join("config.toml"), self.config.to_toml()?.as_bytes())
    }

    /// A strip of training images for the report, labels as the noisiest cell of the first seed trains on them. It is
    /// written once for a dataset, whichever of its cells comes first.
    fn pictures(&self, cell: &Cell, set: &Loaded) -> Result<()> {
        let folder = self.out.join("pictures").join(&cell.dataset);
        if folder.join("labels.json").exists() {
            return Ok(());
        }
        match locked(&folder, || self.write_pictures(cell, set)) {
            Err(Error::TryAgain(_)) => Ok(()), // another shard is writing the same ones
            written => written,
        }
    }

    fn write_pictures(&self, cell: &Cell, set: &Loaded) -> Result<()> {
        let rate = self.config.noise.rates.iter().copied().fold(0.0, f64::max);
        let kind = self.config.noise.kinds.first().copied().unwrap_or(NoiseKind::Symmetric);
        let seed = self.config.seeds.first().copied().unwrap_or(cell.seed);
        let train = &set.data.train;
        let given = noise::corrupt(kind, rate, &train.labels, set.data.classes.len(), seed)?;
        let class = |l: u32| set.data.classes.get(l as usize).cloned().unwrap_or_default();
        let count = train.len().min(12);
        let pictures = (0..count)
            .map(|i| i * train.len() / count)
            .map(|i| Ok(Picture { png: data::png(train, i)?, clean: class(train.labels[i]), given: class(given[i]) }))
            .collect::<Result<Vec<_>>>()?;
        write_pictures(self.out, &cell.dataset, &pictures)
    }
}

/// The method that made a backbone, by its metadata or, where that is not ours, by the file's name.
fn made_by(weights: &Path) -> Result<String> {
    let metadata: serde_json::Value = serde_json::from_str(&checkpoint::read_metadata(weights)?).unwrap_or_default();
    let stem = || weights.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(metadata["method"].as_str().map_or_else(stem, str::to_string))
}

/// Holds a folder for one process; another one gets a sentence instead of a race.
pub(super) fn locked<T>(folder: &Path, f: impl FnOnce() -> Result<T>) -> Result<T> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "make the folder", e))?;
    let path = folder.join("lock");
    let file = std::fs::File::create(&path).map_err(|e| Error::io(&path, "make", e))?;
    let mut lock = fd_lock::RwLock::new(file);
    let _guard = lock.try_write().map_err(|_| {
        Error::TryAgain(format!("another process works in {}; wait for it or take another --out", folder.display()))
    })?;
    sweep(folder, Duration::ZERO);
    f()
}

/// Removes what writes cut short by a kill left behind. Who holds the folder's lock takes them all; in a folder that
/// shards share, only those too old to belong to a write under way.
fn sweep(folder: &Path, older_than: Duration) {
    let old = |p: &Path| {
        let changed = p.metadata().and_then(|m| m.modified()).ok();
        changed.and_then(|c| c.elapsed().ok()).is_some_and(|age| age >= older_than)
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|e| e.path()).filter(|p| files::is_temporary(p) && old(p)) {
        let _ = std::fs::remove_file(path); // it is in nobody's way
    }
}

/// The result of a folder whose `done` names this address; another address is an error.
pub(super) fn finished(folder: &Path, address: &str) -> Result<bool> {
    match std::fs::read_to_string(folder.join("done")) {
        Ok(text) if text.trim() == address => Ok(true),
        Ok(_) => Err(super::stage::another_run(folder)),
        Err(_) => Ok(false),
    }
}

/// Reads a finished run's result.
pub(super) fn finished_result(folder: &Path, address: &str) -> Result<Option<CellResult>> {
    if finished(folder, address)? { read_result(folder).map(Some) } else { Ok(None) }
}

//! What a study still has to do, and what that will take: counted from what its stages record, and timed by one small
//! step.

use super::config::{Config, Protocol};
use super::grid::{Cell, Selection, cells};
use super::names::DONE;
use super::outlay::{Outlay, Work};
use super::pretrain::Pretraining;
use super::results::{Phase, run_folder};
use super::session::Job;
use super::start::{Beginning, Begun};
use super::{pretrain, probe, train};
use crate::base::progress::Silent;
use crate::base::text::counted;
use crate::base::{Error, Result};
use crate::data;
use crate::device::Gpu;
use crate::tape::demand::size;
use crate::tape::{Feed, Plan};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The most images in the timed step.
const TIMED_IMAGES: usize = 32;

/// The step is repeated for this long after its first run, and [`TIMED_RUNS`] times if that takes no ten times as long. The fastest run counts:
/// where other programs want the processor, too, the mean says what they take.
const TIMED: Duration = Duration::from_millis(300);
const TIMED_RUNS: usize = 3;

/// How far the hours may be off on either side, beside what flops and bytes differ in: a step of another size keeps the
/// device differently busy.
const SLACK: f64 = 1.5;

/// What some cells of a study, or all, have to do.
#[derive(Clone, Debug, Default)]
pub struct Forecast {
    /// The stages, pretrainings first. Each is a kind of stage over all datasets, backbones, seeds and noise.
    pub stages: Vec<StageForecast>,
    /// Datasets whose files are not there. Their cells are counted, and nothing more is known of them.
    pub absent: Vec<String>,
    /// The timed step. `None` if nothing is left to do.
    pub timed: Option<TimedStep>,
    /// Bytes of the folders of what is left.
    pub disk_bytes: u64,
    /// The most bytes on the device at once, and the stage.
    pub peak: (u64, String),
    /// The most bytes that a kernel binds in one buffer, and its layer and op.
    pub largest: (u64, String),
}

/// A kind of stage.
#[derive(Clone, Debug, Default)]
pub struct StageForecast {
    /// In words: `pretrain simclr`, `train co_teaching`.
    pub name: String,
    /// How often it is run in the study, and how often it was.
    pub runs: usize,
    /// Those that are done.
    pub done: usize,
    /// Steps of those that are left.
    pub steps: usize,
    /// The work of those that are left.
    pub work: Work,
}

/// A training step that was run.
#[derive(Clone, Copy, Debug)]
pub struct TimedStep {
    /// Its images.
    pub images: usize,
    /// Its time in seconds.
    pub seconds: f64,
    /// Its work.
    pub work: Work,
}

impl Forecast {
    /// The seconds that some work will take at least and at most, without compiling. `None` if nothing was timed.
    pub fn seconds(&self, work: Work) -> Option<[f64; 2]> {
        let timed = self.timed?;
        let [least, most] = work.seconds(timed.work, timed.seconds);
        Some([least / SLACK, most * SLACK])
    }

    /// All work that is left.
    pub fn work(&self) -> Work {
        self.stages.iter().map(|stage| stage.work).sum()
    }

    /// What is left, in sentences.
    pub fn lines(&self, gpu: &Gpu) -> Vec<String> {
        let (cells, pretrainings) = self.counts();
        let mut lines = vec![format!(
            "{} and {}, {} and {} of them done",
            counted(cells.0, "cell"),
            counted(pretrainings.0, "pretraining"),
            cells.1,
            pretrainings.1
        )];
        if let (Some(took), Some(timed)) = (self.seconds(self.work()), self.timed) {
            lines.push(format!(
                "time left: {} on {}. A training step of {} took {:.3} s; other steps are scaled by their operations and bytes, and \
                 what is compiled first is not counted",
                span(took),
                gpu.adapter().name,
                counted(timed.images, "image"),
                timed.seconds
            ));
            let ((peak, stage), (largest, label)) = (&self.peak, &self.largest);
            lines.push(format!(
                "disk: {} more for the folders of runs. Device memory at the peak: {} ({stage}). The largest tensor: {} ({label}); the adapter \
                 binds at most {}",
                size(self.disk_bytes),
                size(*peak),
                size(*largest),
                size(gpu.caps().binding_bytes)
            ));
        }
        if !self.absent.is_empty() {
            lines.push(format!("not below --data-root, and in no sum but that of cells: {}", self.absent.join(", ")));
        }
        lines
    }

    /// Cells and pretrainings, each with those that are done.
    pub fn counts(&self) -> ((usize, usize), (usize, usize)) {
        let sum = |pretrains: bool| {
            let of = self.stages.iter().filter(|stage| stage.name.starts_with(PRETRAIN) == pretrains);
            of.fold((0, 0), |(runs, done), stage| (runs + stage.runs, done + stage.done))
        };
        (sum(false), sum(true))
    }

    /// It is an error if a stage that is left needs more than the device has. A run would refuse it when it comes to it.
    pub fn expect_fit(&self, gpu: &Gpu) -> Result<()> {
        let ((largest, label), binding) = (&self.largest, gpu.caps().binding_bytes);
        if *largest > binding {
            return Err(Error::Usage(format!(
                "the plan does not fit: {label} needs a tensor of {}, and the adapter binds at most {}; use a smaller batch_size \
                 or micro_batch_size, image_size or width",
                size(*largest),
                size(binding)
            )));
        }
        match gpu.options().memory_budget_bytes {
            Some(budget) if self.peak.0 > budget => Err(Error::Usage(format!(
                "the plan does not fit: {} needs {} of device memory at its peak, and the budget is {}; use a smaller batch_size or \
                 micro_batch_size, run.recompute, or a larger budget",
                self.peak.1,
                size(self.peak.0),
                size(budget)
            ))),
            _ => Ok(()),
        }
    }

    /// Adds `runs` runs of a stage of which `done` are done.
    fn add(&mut self, name: String, (runs, done): (usize, usize), each: Option<&Outlay>) {
        let at = self.stages.iter().position(|stage| stage.name == name).unwrap_or(self.stages.len());
        if at == self.stages.len() {
            self.stages.push(StageForecast { name, ..StageForecast::default() });
        }
        let (stage, left) = (&mut self.stages[at], runs - done);
        (stage.runs, stage.done) = (stage.runs + runs, stage.done + done);
        let Some(each) = each.filter(|_| left > 0) else { return };
        (stage.steps, stage.work) = (stage.steps + each.steps * left, stage.work + each.work.times(left));
        self.disk_bytes += each.disk_bytes * left as u64;
        if each.peak_bytes > self.peak.0 {
            self.peak = (each.peak_bytes, stage.name.clone());
        }
        if each.largest.0 > self.largest.0 {
            self.largest = each.largest.clone();
        }
    }
}

impl Job<'_> {
    /// What the chosen cells have to do. It records every stage, times one small step, and decodes the datasets, and it
    /// runs no cell.
    pub fn forecast(&self, selection: Selection) -> Result<Forecast> {
        let all = cells(self.config);
        let chosen = selection.of(&all)?;
        let (mut found, mut timed) = (Forecast::default(), None);
        let mut there = chosen.to_vec();
        there.retain(|cell| data::is_there(&cell.spec, self.data_root).unwrap_or(true));
        self.check_all_sets(&there)?;
        for spec in &self.config.data.specs {
            let of_set: Vec<&Cell> = chosen.iter().filter(|cell| *cell.spec == **spec).collect();
            if of_set.is_empty() {
                continue;
            }
            if data::is_there(spec, self.data_root)? {
                self.forecast_set(spec, &of_set, &mut found)?;
                timed = timed.or(Some(spec));
            } else {
                found.absent.push(spec.clone());
                of_set.iter().for_each(|cell| found.add(stage_of(cell), (1, 0), None));
            }
        }
        // Pretrainings come first, in the order of the config.
        found.stages.sort_by_key(|stage| !stage.name.starts_with(PRETRAIN));
        if let Some(spec) = timed.filter(|_| found.work() != Work::default()) {
            found.timed = Some(self.timed_step(spec)?);
        }
        Ok(found)
    }

    fn forecast_set(&self, spec: &str, of_set: &[&Cell], found: &mut Forecast) -> Result<()> {
        let set = self.load(spec)?;
        let begun = Begun::read(self.config, self.data_root, Beginning::Config)?;
        let (mut known, mut outlays) = (BTreeSet::new(), BTreeMap::new());
        for cell in of_set {
            let (Some(name), Some(key)) = (cell.pretrained_by(), cell.pretraining_key()) else { continue };
            if !known.insert(key) {
                continue;
            }
            let (method, seed) = (self.config.pretraining_on(name, &cell.backbone)?, cell.seed);
            // The address needs a recording of the steps, and most studies that are looked at have not begun.
            let done = pretrain::begun_folders(self.out, cell).next().is_some() && {
                let one = Pretraining { images: &set.train, method: &method, seed, begun: &begun, limit: None };
                pretrain::folder_of(self.out, cell, &pretrain::provenance(self, one)?).join(DONE).exists()
            };
            let shape = (name, &*cell.backbone); // seeds change none
            if !done && !outlays.contains_key(&shape) {
                outlays.insert(shape, pretrain::outlay(self, &set.train, &method, seed)?);
            }
            found.add(format!("{PRETRAIN}{name}"), (1, usize::from(done)), outlays.get(&shape));
        }
        // Seeds and noise change no shape, and another pretraining may have another backbone.
        let mut alike: BTreeMap<(String, &str), (&Cell, usize, usize)> = BTreeMap::new();
        for cell in of_set {
            let model = serde_json::json!(cell.model(self.config)?).to_string();
            let done = usize::from(run_folder(self.out, &cell.name).join(DONE).exists());
            let of = alike.entry((model, &cell.method)).or_insert((cell, 0, 0));
            (of.1, of.2) = (of.1 + 1, of.2 + done);
        }
        let mut alike: Vec<_> = alike.into_values().collect();
        alike.sort_by_key(|(cell, ..)| cell.index);
        for (cell, runs, done) in alike {
            let each = match cell.protocol {
                _ if runs == done => None,
                Protocol::Finetune => Some(train::outlay(self, &set, cell)?),
                Protocol::Linear | Protocol::Knn => Some(probe::outlay(self, &set, cell)?),
            };
            found.add(stage_of(cell), (runs, done), each.as_ref());
        }
        Ok(())
    }

    /// Runs a small step of training on the first backbone of the grid.
    fn timed_step(&self, spec: &str) -> Result<TimedStep> {
        let mut config: Config = self.config.clone();
        config.model.arch = config.grid_backbones()[0].to_string();
        config.backbones.clear();
        let batch = &mut config.training.optimization.batch_size;
        *batch = (*batch).min(TIMED_IMAGES);
        let job = Job { config: &config, progress: &Silent, kernels: self.kernels.clone(), ..*self };
        let mut subject = job.step_of(spec, Phase::Train, 0)?;
        let (tape, params) = (subject.record)()?;
        params.fill(job.gpu, &mut subject.state, 0)?;
        subject.state.insert_missing(job.gpu, &tape.state_types())?;
        let schedule = job.scheduled(&tape)?;
        let (work, plan) = (Work::of(&schedule), Plan::new(job.gpu, schedule, &subject.state)?);
        let mut feed = Feed::new();
        feed.inputs.extend(subject.inputs.iter().map(|(name, bytes)| (*name, bytes.as_slice())));
        feed.scalars.extend(subject.scalars.iter().map(|(name, value)| (name.as_str(), *value)));
        let step = || plan.run(job.gpu, &feed).and_then(|_| job.gpu.wait());
        step()?; // a driver compiles in the first
        let (begin, mut runs) = (Instant::now(), Vec::new());
        while begin.elapsed() < TIMED || runs.len() < TIMED_RUNS && begin.elapsed() < 10 * TIMED {
            let since = Instant::now();
            step()?;
            runs.push(since.elapsed().as_secs_f64());
        }
        let seconds = runs.into_iter().fold(f64::INFINITY, f64::min);
        Ok(TimedStep { images: subject.images, seconds, work })
    }
}

/// A length of time between two numbers of seconds.
pub fn span([least, most]: [f64; 2]) -> String {
    let (unit, name) = match most {
        ..100.0 => (1.0, "s"),
        ..6000.0 => (60.0, "min"),
        _ => (3600.0, "h"),
    };
    let digits = usize::from(most / unit < 10.0);
    format!("{:.digits$} to {:.digits$} {name}", least / unit, most / unit)
}

/// How the name of a pretraining's stage begins.
const PRETRAIN: &str = "pretrain ";

/// The kind of a cell's own stage.
fn stage_of(cell: &Cell) -> String {
    match cell.protocol {
        Protocol::Finetune => format!("train {}", cell.method),
        probe => format!("judge {}", probe.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::GpuOptions;
    use crate::study::Manner;
    use crate::study::grid::pretrainings;
    use crate::study::testing::with_job;

    /// The whole study, with generated images of its sizes, on a GPU that binds 2 GiB.
    #[test]
    fn the_paper_s_study_fits_bindings_of_2_gib() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/study/paper.toml");
        let mut config = Config::load(std::path::Path::new(path)).unwrap();
        assert_eq!((cells(&config).len(), pretrainings(&cells(&config)).count()), (5 * 9 * 19 * 3 * 3, 5 * 8 * 3));
        // As many images as a step of training has, and twice a micro-batch; the classes of the largest set change little.
        config.data.specs = vec!["phantom:nct-crc?train=128&val=4&test=9".to_string()];
        config.seeds = vec![0];
        with_job("", &Silent, |job| {
            let mut gpu = Gpu::open(&GpuOptions::default()).unwrap();
            gpu.pretend(|caps| (caps.binding_bytes, caps.software) = (1 << 31, false));
            let job = &Job { gpu: &gpu, config: &config, kernels: job.kernels.clone(), ..*job };
            let (all, mut found) = (cells(&config), Forecast::default());
            job.forecast_set(&config.data.specs[0], &all.iter().collect::<Vec<_>>(), &mut found).unwrap();
            found.expect_fit(&gpu).unwrap();
            assert!(found.largest.0 > 1 << 28 && found.peak.0 < 24 << 30, "{:?} {:?}", found.largest, found.peak);
            assert_eq!(found.stages.len(), 8 + 3);
        });
    }

    /// A run refuses it before its first step, and so does a look at what the run would take.
    #[test]
    fn noise_that_the_labels_cannot_have_is_refused() {
        let text = "[data]\nspecs = [\"phantom:fetal?train=12&val=6&test=6\"]\nstore_size = 16\nimage_size = 16\n[pretraining]\n\
                    methods = [\"none\"]\n[noise]\nkinds = [\"asymmetric\"]\nrates = [0.4]\n";
        with_job(text, &Silent, |job| {
            let e = job.forecast(Selection::default()).unwrap_err();
            let said = e.to_string();
            assert!(
                e.exit_code() == 2 && said.contains("phantom") && said.contains("noise.asymmetric.map is empty"),
                "{said}"
            );
        });
    }

    /// A grid's first method may be one that the backbone of the timed step does not take.
    #[test]
    fn a_grid_of_several_backbones_is_timed() {
        let text = "backbones = [\"resnet18\", \"vit_tiny\"]\n[data]\nspecs = [\"phantom:covid?train=8&val=3&test=3\"]\n\
                    store_size = 16\nimage_size = 16\n[model]\nwidth = 0.0625\n[pretraining]\nmethods = [\"none\", \"mae\", \"simclr\"]\n\
                    batch_size = 4\n[training]\nbatch_size = 4\n";
        with_job(text, &Silent, |job| {
            assert!(job.config.pretraining_of("mae").is_ok() && job.config.pretraining_on("mae", "resnet18").is_err());
            let timed = job.timed_step(&job.config.data.specs[0]).unwrap();
            assert!(timed.images == 4 && timed.seconds > 0.0, "{timed:?}");
        });
    }

    /// The plan counts the steps that a run takes and the bytes that it leaves, and what is done is not counted again.
    #[test]
    fn a_plan_says_what_a_run_then_does() {
        let text = "[data]\nspecs = [\"phantom:covid?train=24&val=8&test=9\", \"gone\"]\nstore_size = 16\nimage_size = 16\n\
                    [model]\nwidth = 0.125\n[noise]\nrates = [0.0]\n[pretraining]\nmethods = [\"none\", \"simclr\"]\nepochs = 2\n\
                    batch_size = 8\nwarmup_epochs = 0\n[pretraining.simclr]\nprojection_dims = [8, 4]\n[training]\nepochs = 3\nbatch_size = 8\n\
                    [evaluation]\nprotocols = [\"finetune\", \"knn\"]\n";
        with_job(text, &Silent, |job| {
            let plan = job.forecast(Selection::All).unwrap();
            let of = |plan: &Forecast| -> Vec<(String, usize, usize, usize)> {
                plan.stages.iter().map(|s| (s.name.clone(), s.runs, s.done, s.steps)).collect()
            };
            let due = |name: &str, runs, done, steps| (name.to_string(), runs, done, steps);
            // "gone" has four cells, of which nothing is known.
            let stages =
                [due("pretrain simclr", 1, 0, 6), due("train cross_entropy", 4, 0, 18), due("judge knn", 4, 0, 0)];
            assert_eq!((of(&plan), &plan.absent[..]), (stages.to_vec(), &["gone".to_string()][..]));
            let [least, most] = plan.seconds(plan.work()).unwrap();
            assert!(least > 0.0 && least < most && plan.timed.unwrap().images == 8, "{plan:?}");
            assert_eq!(
                [span([0.2, 5.0]), span([60.0, 1200.0]), span([3600.0, 90e3])],
                ["0.2 to 5.0 s", "1 to 20 min", "1 to 25 h"]
            );
            plan.expect_fit(job.gpu).unwrap();
            let large = Forecast { largest: (u64::MAX, "conv".into()), ..plan.clone() };
            assert!(large.expect_fit(job.gpu).unwrap_err().to_string().contains("conv needs a tensor of"));
            assert!(!job.out.join("runs").exists() && !job.out.join("pretraining").exists(), "it runs no cell");
            let mut config = job.config.clone();
            config.data.specs.pop();
            let job = &Job { config: &config, kernels: job.kernels.clone(), ..*job };
            job.run(Selection::All, Manner::default()).unwrap();
            let bytes = |of: &str| -> u64 {
                let files = walkdir::WalkDir::new(job.out.join(of)).into_iter().map(|e| e.unwrap());
                files.filter(|e| e.file_type().is_file()).map(|e| e.metadata().unwrap().len()).sum()
            };
            let (due, got) = (plan.disk_bytes, bytes("runs") + bytes("pretraining"));
            assert!(due < got && got < due * 3 / 2 + (5 << 17), "{due} bytes were planned, {got} are there");
            let rest = job.forecast(Selection::All).unwrap();
            assert!(rest.stages.iter().all(|s| s.runs == s.done && s.steps == 0) && rest.timed.is_none(), "{rest:?}");
        });
    }
}

//! `wgslab tune`.

use super::listener::Listener;
use super::options::Options;
use super::output::print;
use super::study::default_out;
use crate::base::{Error, Result};
use crate::device::Gpu;
use crate::device::tune::{Rules, Table};
use crate::kernels::fuse;
use crate::kernels::tune::{self, Subject};
use crate::lab::{Environment, landscape};
use crate::nn::step::TrainingStep;
use crate::nn::{ResNet, Stem};
use crate::study::progress::Progress;
use crate::study::{Config, Job};
use crate::tape::Schedule;
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Find the fastest variant of each kernel of a model or a study on this adapter
///
/// With CONFIG, records every step that the config's stages would run (pretraining, training,
/// evaluation), which reads its datasets; without, a supervised training step with SGD and an
/// evaluation of the given sizes. Runs every variant of every op in them at its shapes, compares
/// each with the naive variant, and races those that agree. The winners go into a table that `study run`,
/// `pretrain` and `train` read with --kernels FILE. What is in the table already, with unchanged
/// kernels, is not raced again.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab tune configs/smoke.toml
  wgslab tune --size 32 --batch 64 --out kernels.json --export landscape.csv"
)]
pub(super) struct Tune {
    /// A study's config: tune what its stages run
    #[arg(conflicts_with_all = ["width", "size", "batch", "channels", "classes", "stem"])]
    config: Option<PathBuf>,
    /// Times 64, 128, 256, 512 channels of the ResNet-18
    #[arg(long, default_value_t = 1.0)]
    width: f64,
    /// Side of the images in pixels
    #[arg(long, default_value_t = 32)]
    size: usize,
    /// Images of a step
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Channels of the images
    #[arg(long, default_value_t = 3)]
    channels: usize,
    /// Classes
    #[arg(long, default_value_t = 10)]
    classes: usize,
    /// The first layers: 3x3, or 7x7 with pooling
    #[arg(long, default_value = "3x3", value_parser = ["3x3", "7x7"])]
    stem: String,
    /// The table; what it holds is kept
    #[arg(long, value_name = "FILE", default_value = "kernels.json")]
    out: PathBuf,
    /// Write the whole landscape of the table: every candidate, every sample, and why one was refused
    #[arg(long, value_name = "FILE.csv|.json")]
    export: Option<PathBuf>,
}

impl Tune {
    pub fn run(&self, options: &Options) -> Result<()> {
        if let Some(export) = &self.export {
            landscape::format(export)?; // before hours of races
        }
        match &self.config {
            None => {
                let gpu = Gpu::open(&options.gpu())?;
                self.races(&gpu, &self.steps(&gpu)?, &Listener::new(options.quiet))
            }
            Some(path) => {
                let config = Config::load(path)?;
                // Where `study run` looks for decoded images.
                options.job(&config, &default_out(path), |job| {
                    let untuned = Job { kernels: Table::default(), ..*job };
                    self.races(job.gpu, &untuned.schedules()?, job.progress)
                })
            }
        }
    }

    /// The plain steps of the given sizes.
    fn steps(&self, gpu: &Gpu) -> Result<Vec<Schedule>> {
        if [self.size, self.batch, self.channels, self.classes].contains(&0) || self.width.is_nan() || self.width <= 0.0
        {
            return Err(Error::Usage("--width, --size, --batch, --channels and --classes must be above 0".into()));
        }
        let stem = if self.stem == "3x3" { Stem::Small } else { Stem::Large };
        let model = ResNet { stem, width: self.width, in_channels: self.channels };
        let step = TrainingStep { model, batch: self.batch, size: self.size, classes: self.classes };
        let tapes = [step.record()?.0, step.record_evaluation()?.0];
        tapes.iter().map(|tape| Schedule::new(tape, &fuse::options(gpu.caps()))).collect()
    }

    /// Races what the table does not have, and prints and writes what it has then.
    fn races(&self, gpu: &Gpu, schedules: &[Schedule], progress: &dyn Progress) -> Result<()> {
        let (adapter, driver) = (gpu.adapter().name.as_str(), gpu.adapter().driver.as_str());
        let mut table = Table::load(&self.out, adapter, driver)?.unwrap_or_else(|| Table::new(adapter, driver));
        let mut subjects: BTreeMap<String, Subject> = BTreeMap::new();
        for schedule in schedules {
            let missing = tune::missing(gpu, schedule, &table)?;
            subjects.extend(missing.into_iter().map(|s| (s.key.clone(), s)));
        }
        progress.stage(&format!("tune on {adapter}"), subjects.len() as u64, 0, "ops");
        for (i, (key, subject)) in subjects.iter().enumerate() {
            let entry = tune::tune(gpu, subject, &Rules::default())?;
            for (variant, why) in &entry.refused {
                progress.note(&format!("warning: {key} [{variant}] is not used: {why}"));
            }
            progress.step(i as u64 + 1, &format!("{} takes {}", subject.op.name(), entry.variant));
            table.entries.insert(key.clone(), entry);
            table.save(&self.out)?; // an interruption loses one race
        }
        progress.done(&format!("{} ops tuned, {} known before", subjects.len(), table.entries.len() - subjects.len()));
        if let Some(export) = &self.export {
            landscape::export(&table, &Environment::of(gpu), export)?;
        }
        print(&summary(&table, &self.out))
    }
}

/// The winner of each op with every median, and how many ops there are.
fn summary(table: &Table, path: &std::path::Path) -> String {
    let mut lines = Vec::new();
    for (key, e) in &table.entries {
        let mut times: Vec<(&String, &f64)> = e.median_ms.iter().collect();
        times.sort_by(|a, b| a.1.total_cmp(b.1));
        let times = times.iter().map(|(v, ms)| format!("{v} {ms:.3} ms")).collect::<Vec<_>>().join(", ");
        lines.push(format!("{:<11} {key}\n            {times}", e.variant));
    }
    lines.push(format!("{} ops in {}", table.entries.len(), path.display()));
    lines.join("\n") + "\n"
}

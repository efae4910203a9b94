//! `wgslab tune`.

use super::listener::Listener;
use super::options::Options;
use super::output::print;
use crate::base::{Error, Result};
use crate::device::Gpu;
use crate::device::tune::{Rules, Table};
use crate::kernels::{fuse, tune};
use crate::nn::step::TrainingStep;
use crate::nn::{ResNet, Stem};
use crate::study::progress::Progress;
use crate::tape::Schedule;
use clap::Args;
use std::path::PathBuf;

/// Find the fastest variant of each kernel of a model on this adapter
///
/// Records a supervised training step with SGD and an evaluation, runs every variant of every
/// op in them at its shapes, compares each with the naive variant, and races those that agree.
/// The winners go into a table that `study run`, `pretrain` and `train` read with --kernels
/// FILE; give the sizes of your config. Ops that the step does not have (a contrastive loss,
/// Adam) are not raced. What is in the table already, with unchanged kernels, is not raced again.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment, after_help = "Example:\n  wgslab tune --size 32 --batch 64 --out kernels.json")]
pub(super) struct Tune {
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
}

impl Tune {
    pub fn run(&self, options: &Options) -> Result<()> {
        if [self.size, self.batch, self.channels, self.classes].contains(&0) || self.width.is_nan() || self.width <= 0.0
        {
            return Err(Error::Usage("--width, --size, --batch, --channels and --classes must be above 0".into()));
        }
        let gpu = Gpu::open(&options.gpu())?;
        let (adapter, driver) = (gpu.adapter().name.as_str(), gpu.adapter().driver.as_str());
        let mut table = Table::load(&self.out, adapter, driver)?.unwrap_or_else(|| Table::new(adapter, driver));
        let stem = if self.stem == "3x3" { Stem::Small } else { Stem::Large };
        let model = ResNet { stem, width: self.width, in_channels: self.channels };
        let step = TrainingStep { model, batch: self.batch, size: self.size, classes: self.classes };
        let mut subjects = Vec::new();
        for (tape, _) in [step.record()?, step.record_evaluation()?] {
            let schedule = Schedule::new(&tape, &fuse::options(gpu.caps()))?;
            for s in tune::missing(&gpu, &schedule, &table)? {
                if subjects.iter().all(|known: &tune::Subject| known.key != s.key) {
                    subjects.push(s);
                }
            }
        }
        let listener = Listener::new(options.quiet);
        listener.stage(&format!("tune on {adapter}"), subjects.len() as u64, 0, "ops");
        for (i, subject) in subjects.iter().enumerate() {
            let entry = tune::tune(&gpu, subject, &Rules::default())?;
            for (variant, why) in &entry.refused {
                listener.note(&format!("warning: {} [{variant}] is not used: {why}", subject.key));
            }
            listener.step(i as u64 + 1, &format!("{} takes {}", subject.op.name(), entry.variant));
            table.entries.insert(subject.key.clone(), entry);
            table.save(&self.out)?; // an interruption loses one race
        }
        listener.done(&format!("{} ops tuned, {} known before", subjects.len(), table.entries.len() - subjects.len()));
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

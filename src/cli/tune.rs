//! `wgslab tune`.

use super::listener::{Listener, waiting};
use super::network::NetworkOptions;
use super::options::Options;
use super::output::print;
use super::roofline::given;
use super::signals;
use super::stats::told;
use super::study::default_out;
use crate::base::{Error, Result};
use crate::device::Gpu;
use crate::device::tune::{Rules, Table, TunedOp};
use crate::kernels::tune::{Told, Tuning};
use crate::kernels::{fuse, tune};
use crate::lab::{Environment, tuning_export};
use crate::nn::step::TrainingStep;
use crate::study::{self, Config};
use crate::tape::{self, Schedule, Tape};
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

/// Find the fastest variant of each kernel of a model or a study on this adapter
///
/// With CONFIG, tunes every step that the config's stages run (pretraining, training, evaluation);
/// this reads its datasets. Without, tunes a supervised training step and an evaluation of the given
/// sizes. With --precision f16 the steps of training run in halves; evaluation stays in f32. Every
/// variant of every op in them runs at its shapes and is compared with the naive variant. Those that
/// agree race, in the order that a model of flops and bytes expects, and the winners go into a table
/// that `study run`, `pretrain` and `train` read with --kernels FILE. Where times cannot be told apart
/// and the driver tells what it compiles (VK_KHR_pipeline_executable_properties), fewer spills win,
/// then more waves. What the table holds already, for unchanged kernels, is not
/// raced again.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab tune configs/smoke.toml
  wgslab tune --size 32 --batch 64 --precision f16
  wgslab tune --size 32 --batch 64 --out kernels.json --export samples.csv"
)]
pub(super) struct Tune {
    /// A study's config: tune what its stages run
    #[arg(conflicts_with_all = ["model", "width", "size", "batch", "channels", "classes", "stem", "patch"])]
    config: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkOptions,
    /// Side of the images in pixels
    #[arg(long, default_value_t = 32)]
    size: usize,
    /// Images of a step
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Classes
    #[arg(long, default_value_t = 10)]
    classes: usize,
    /// The table; what it holds is kept
    #[arg(long, value_name = "FILE", default_value = "kernels.json")]
    out: PathBuf,
    /// The roofs of this adapter, which `wgslab bench --roofline roof.svg` writes to roof.json: the model that puts the
    /// candidates in order and says its estimates divides by them [default: usual rates of the adapter's kind]
    #[arg(long, value_name = "FILE")]
    roof: Option<PathBuf>,
    /// Write everything that was measured: every candidate, every sample, and why one was refused
    #[arg(long, value_name = "FILE.csv|.json")]
    export: Option<PathBuf>,
}

impl Tune {
    pub fn run(&self, options: &Options) -> Result<()> {
        if let Some(export) = &self.export {
            tuning_export::format(export)?; // before hours of races
        }
        match &self.config {
            None => {
                let listener = Arc::new(Listener::new(options.quiet));
                let mut gpu = Gpu::open(&options.gpu())?;
                let (tapes, stop) = (self.steps()?, signals::watch(listener.clone())?);
                gpu.while_compiling(waiting(listener.clone(), Some(stop.clone())));
                let schedules = |table: &Table| -> Result<Vec<Schedule>> {
                    let choose = tune::chooser(table);
                    let fusing = tape::Options { choose: &choose, ..fuse::options(gpu.caps()) };
                    tapes.iter().map(|tape| Schedule::new(tape, &fusing)).collect()
                };
                let compiler = told(&gpu);
                let with = (self.out.as_path(), &self.tuning(&gpu, &compiler)?);
                let table = study::tune(&gpu, &schedules, with, &*listener, &stop);
                listener.clear();
                self.show(&gpu, &table?)
            }
            Some(path) => {
                let mut config = Config::load(path)?;
                if let Some(precision) = self.network.precision {
                    config = config.pretrained_in(precision)?.trained_in(precision)?;
                }
                // `study run` looks for decoded images there.
                options.job(&config, &default_out(path), |job| {
                    let compiler = told(job.gpu);
                    let table = job.tune(&self.out, &self.tuning(job.gpu, &compiler)?)?;
                    self.show(job.gpu, &table)
                })
            }
        }
    }

    /// What races go by: the roofs that were given, and a compiler that tells.
    fn tuning<'a>(&self, gpu: &Gpu, told: Told<'a>) -> Result<Tuning<'a>> {
        let usual = Tuning::usual(gpu.caps());
        let roof = given(self.roof.as_deref(), gpu)?;
        let rates = roof.map_or(usual.rates, |roof| roof.rates(gpu.caps()));
        Ok(Tuning { rates, told: Some(told), ..usual })
    }

    /// The plain steps of the given sizes: one of training, one of evaluation.
    fn steps(&self) -> Result<[Tape; 2]> {
        if [self.size, self.batch, self.classes].contains(&0) {
            return Err(Error::Usage("--size, --batch and --classes must be above 0".into()));
        }
        let model = self.network.network(self.size)?;
        let step = TrainingStep {
            model,
            batch: self.batch,
            size: self.size,
            classes: self.classes,
            precision: self.network.precision.unwrap_or_default(),
        };
        Ok([step.record()?.0, step.record_evaluation()?.0])
    }

    /// Prints the table, and exports it if asked to.
    fn show(&self, gpu: &Gpu, table: &Table) -> Result<()> {
        if let Some(export) = &self.export {
            tuning_export::export(table, &Environment::of(gpu), export)?;
        }
        print(&summary(table, &self.out))
    }
}

/// The winner of each op with every median, what a compiler decided, what the model's order was worth, and how many ops
/// there are.
fn summary(table: &Table, path: &std::path::Path) -> String {
    let mut lines = Vec::new();
    for (key, e) in &table.entries {
        let mut times: Vec<(&String, &f64)> = e.median_ms.iter().collect();
        times.sort_by(|a, b| a.1.total_cmp(b.1));
        let times = times.iter().map(|(v, ms)| format!("{v} {ms:.3} ms")).collect::<Vec<_>>().join(", ");
        lines.push(format!("{:<11} {key}\n            {times}", e.variant));
        let why = e.tie.as_ref().map(|why| format!("equal times, the compiler decides: {why}")).or_else(|| unbeaten(e));
        lines.extend(why.map(|why| format!("            {why}")));
    }
    lines.extend(foresight(table));
    lines.push(format!("{} ops in {}", table.entries.len(), path.display()));
    lines.join("\n") + "\n"
}

/// Why an op's winner is not the candidate of the smallest median. `None` if it is.
fn unbeaten(e: &TunedOp) -> Option<String> {
    let (fastest, least) = e.median_ms.iter().min_by(|a, b| a.1.total_cmp(b.1))?;
    let winner = e.median_ms.get(&e.variant)?;
    let share = Rules::default().margin;
    match least < winner {
        false => None,
        true if *least >= share * winner => Some(format!(
            "{fastest} is {:.1} % faster; only {:.0} % take the place of one that is expected to be faster",
            100.0 * (1.0 - least / winner),
            100.0 * (1.0 - share)
        )),
        true => Some(format!("{fastest} left the race early: its best time was far behind")),
    }
}

/// How often the candidate that the model of flops and bytes expects to be the fastest was the fastest of those that it
/// estimates, and what it cost at worst to take it unraced. Nothing is said where no op has two raced candidates with an estimate.
fn foresight(table: &Table) -> Option<String> {
    let mut costs = Vec::new();
    for e in table.entries.values() {
        let raced = || e.estimate_ms.iter().filter_map(|(v, &expected)| Some((expected, *e.median_ms.get(v)?)));
        let expected = raced().min_by(|a, b| a.0.total_cmp(&b.0));
        let fastest = raced().map(|(_, ms)| ms).min_by(f64::total_cmp);
        let (Some((_, taken)), Some(fastest)) = (expected, fastest) else { continue };
        if raced().count() > 1 {
            costs.push(taken / fastest);
        }
    }
    let worst = costs.iter().copied().max_by(f64::total_cmp)?;
    let (right, all) = (costs.iter().filter(|&&cost| cost <= 1.0).count(), costs.len());
    let elsewhere = match right == all {
        true => String::new(),
        false => format!("; elsewhere its choice took up to {worst:.2} times as long"),
    };
    Some(format!(
        "of the candidates that it estimates, the model of flops and bytes expected the fastest in {right} of {all} ops{elsewhere}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// An op whose candidates have these medians and estimates, in ms.
    fn op(candidates: &[(&str, f64, Option<f64>)]) -> TunedOp {
        let name = |c: &(&str, f64, Option<f64>)| c.0.to_string();
        TunedOp {
            variant: "a".into(),
            checksum: String::new(),
            median_ms: candidates.iter().map(|c| (name(c), c.1)).collect(),
            estimate_ms: candidates.iter().filter_map(|c| Some((name(c), c.2?))).collect(),
            samples_ms: BTreeMap::new(),
            tie: None,
            refused: BTreeMap::new(),
        }
    }

    #[test]
    fn the_worth_of_the_models_order_is_counted_where_it_chose() {
        let mut table = Table::new("adapter", "1");
        table.entries.insert("alone".into(), op(&[("a", 1.0, Some(1.0)), ("b", 0.5, None)]));
        assert_eq!(foresight(&table), None);
        table.entries.insert("right".into(), op(&[("a", 1.0, Some(2.0)), ("b", 3.0, Some(2.5)), ("c", 0.9, None)]));
        table.entries.insert("wrong".into(), op(&[("a", 1.0, Some(2.0)), ("b", 1.5, Some(1.0))]));
        let said = foresight(&table).unwrap();
        assert!(
            said.contains("the fastest in 1 of 2 ops; elsewhere its choice took up to 1.50 times as long"),
            "{said}"
        );
        assert!(summary(&table, "k.json".as_ref()).ends_with(&format!("{said}\n3 ops in k.json\n")));
    }

    #[test]
    fn a_winner_that_is_not_the_fastest_has_a_reason() {
        assert_eq!(unbeaten(&op(&[("a", 1.0, None), ("b", 1.2, None)])), None);
        let same = op(&[("a", 1.0, None), ("A", 1.0, None)]); // a coarse timer; A is the first by name
        assert_eq!(unbeaten(&same), None);
        let near = unbeaten(&op(&[("a", 1.0, None), ("b", 0.98, None)])).unwrap();
        assert!(near.starts_with("b is 2.0 % faster; only 3 % take the place"), "{near}");
        let early = unbeaten(&op(&[("a", 1.0, None), ("b", 0.5, None)])).unwrap();
        assert!(early.starts_with("b left the race early"), "{early}");
    }
}

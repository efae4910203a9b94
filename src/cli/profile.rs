//! `wgslab profile`.

use super::network::NetworkOptions;
use super::options::{Options, config};
use super::output::{expect_writable, print, size, table, temporary};
use super::roofline::given;
use super::stats::compiled;
use crate::base::{Error, Result, files};
use crate::device::Gpu;
use crate::lab::profile::{self, Profile, Sum, page, trace};
use crate::lab::statistics::of_step;
use crate::lab::step::Ready;
use crate::lab::{Figures, Spread, Timer};
use crate::nn::Backbone;
use crate::nn::step::{MeasuredStep, TrainingStep};
use crate::study::{Job, Phase};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Show where the time and the memory of a training step go
///
/// Runs one step again and again: the plain supervised step of a model on random images, or with a
/// CONFIG the step of a study's stage on its first dataset, augmentation included. Prints time by
/// part of the step, by kernel and by layer, the memory and what holds it, and the host's time. Each
/// dispatch is timed in a pass of its own. The first lines say what that costs, and how well the
/// parts add up to the whole. Trains nothing to the end, and writes only the files that you name.
///
/// Where the driver tells what it compiles (VK_KHR_pipeline_executable_properties), the kernels have
/// registers, spills, waves, instructions and the share of multiply-adds beside their times, as
/// `wgslab kernels stats` has them; of several texts those of the one with the most registers. Other
/// drivers give no such columns, and `"compiled": null` in the file of --json.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab profile --model resnet18 --size 32 --batch 8 --html profile.html
  wgslab profile --model vit_tiny --patch 4 --size 32 --batch 8
  wgslab profile --model resnet18 --precision f16
  wgslab profile configs/smoke.toml --stage pretrain --method byol --trace trace.json
      open ui.perfetto.dev and drop trace.json there
  wgslab profile configs/smoke.toml --precision f16    the step of its first method, in f16
  wgslab profile --batch 4 --steps 1 --recording step.json"
)]
pub(super) struct ProfileStep {
    /// A study's config: profile the step of one of its stages
    #[arg(value_name = "CONFIG", conflicts_with_all = ["config", "model", "size", "batch", "channels", "width", "stem", "patch", "recompute"])]
    study: Option<PathBuf>,
    /// The same config, as an option
    #[arg(long, value_name = "CONFIG", conflicts_with_all = ["model", "size", "batch", "channels", "width", "stem", "patch", "recompute"])]
    config: Option<PathBuf>,
    /// Which stage of the config
    #[arg(long, value_enum, default_value_t = StudyStage::Pretrain)]
    stage: StudyStage,
    /// The pretraining method of the config's step [default: the first method of the config that pretrains]
    #[arg(long, value_name = "METHOD", value_parser = super::stage::methods())]
    method: Option<String>,
    /// The images of the config's step [default: its first dataset]
    #[arg(long, value_name = "SPEC")]
    data: Option<String>,
    #[command(flatten)]
    network: NetworkOptions,
    /// Without a config: side of the images in pixels
    #[arg(long, default_value_t = 32)]
    size: usize,
    /// Without a config: images of a step
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Without a config: compute values again for the backward pass instead of keeping them, as run.recompute does
    #[arg(long)]
    recompute: bool,
    /// How many times each kind of step runs; figures are medians
    #[arg(long, value_name = "N", default_value_t = 5)]
    steps: usize,
    /// Submit each dispatch alone and use the host's clock, even if the adapter has timestamps
    #[arg(long)]
    wall_clock: bool,
    /// The roofs of this adapter, which `wgslab bench --roofline roof.svg` writes to roof.json. Tables and page then
    /// say how near to them a kernel is
    #[arg(long, value_name = "FILE")]
    roof: Option<PathBuf>,
    /// Rows in the tables of kernels, layers and values; the files have all rows
    #[arg(long, value_name = "N", default_value_t = 12)]
    rows: usize,
    /// Write everything as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with pictures
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the step as data: kernels as complete WGSL, buffers, launches, inputs and outputs, as JSON
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
    /// Write a trace for ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// A stage of a study.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum StudyStage {
    /// Self-supervised pretraining
    Pretrain,
    /// Supervised training
    Train,
}

impl ProfileStep {
    pub fn run(&self, options: &Options) -> Result<()> {
        let study = self.study.as_deref().or(self.config.as_deref());
        if [self.size, self.batch, self.steps].contains(&0) {
            return Err(Error::Usage("--size, --batch and --steps must be above 0".into()));
        }
        expect_writable(&[
            ("--json", self.json.as_deref()),
            ("--html", self.html.as_deref()),
            ("--recording", self.recording.as_deref()),
            ("--trace", self.trace.as_deref()),
        ])?;
        let model = self.network.network(self.size)?;
        let mut config = config(study)?;
        if let Some(method) = &self.method {
            if study.is_none() || self.stage != StudyStage::Pretrain {
                return Err(Error::Usage("--method needs a CONFIG and --stage pretrain".into()));
            }
            config.pretraining.methods = vec![method.clone()];
        }
        if let (Some(precision), Some(_)) = (self.network.precision, study) {
            config = match self.stage {
                // Only the method whose step is recorded must be able to have it.
                StudyStage::Pretrain => {
                    config.pretraining.methods = vec![config.pretraining.first().to_string()];
                    config.pretrained_in(precision)?
                }
                StudyStage::Train => config.trained_in(precision)?,
            };
        }
        // The decoded images of a study's step are cached in a temporary folder.
        let folder = temporary()?;
        let found = options.job(&config, folder.path(), |job| {
            let subject = if study.is_some() { self.of_study(job)? } else { self.of(model, job.gpu)? };
            let ready = Ready::new(job.gpu, subject, &job.kernels)?;
            if let Some(path) = &self.recording {
                ready.plan.recording().write(path)?;
            }
            let timestamps = job.gpu.has_timestamps() && !self.wall_clock;
            let timer = if timestamps { Timer::Timestamps } else { Timer::Wall };
            let mut found = profile::profile_until(
                job.gpu,
                &ready,
                self.steps,
                timer,
                given(self.roof.as_deref(), job.gpu)?,
                job.stop,
            )?;
            found.compiled = compiled(job.gpu, |c| of_step(ready.plan.schedule(), c, job.gpu.tree()));
            Ok(found)
        })?;
        write_json(self.json.as_deref(), || Ok(&found))?;
        write_json(self.trace.as_deref(), || Ok(trace::trace(&found)))?;
        if let Some(path) = &self.html {
            files::write_atomic(path, page::page(&found)?.as_bytes())?;
        }
        print(&self.report(&found))
    }

    fn of(&self, model: Arc<dyn Backbone>, gpu: &Gpu) -> Result<MeasuredStep<'static>> {
        let precision = self.network.precision.unwrap_or_default();
        let step = TrainingStep { model, batch: self.batch, size: self.size, classes: 10, precision };
        precision.expect_taken(step.model.as_ref())?;
        step.expect_bindable(gpu)?;
        Ok(MeasuredStep { recompute: self.recompute, ..step.measured() })
    }

    fn of_study<'a>(&self, job: &'a Job<'_>) -> Result<MeasuredStep<'a>> {
        let first = job.config.data.specs.first().cloned();
        let Some(spec) = self.data.clone().or(first) else {
            return Err(Error::Usage("the config names no dataset; give one with --data".into()));
        };
        let (phase, seed) = match self.stage {
            StudyStage::Pretrain => (Phase::Pretrain, job.config.seeds.first().copied().unwrap_or(0)),
            StudyStage::Train => (Phase::Train, job.config.seeds.first().copied().unwrap_or(0)),
        };
        job.step_of(&spec, phase, seed)
    }

    fn report(&self, p: &Profile) -> String {
        let files = [&self.json, &self.html, &self.recording, &self.trace].into_iter().flatten();
        let files: Vec<String> = files.map(|f| f.display().to_string()).collect();
        let roof = p.roof.as_ref().map(super::roofline::table);
        let parts = [
            whole(p),
            sums("part", &p.phases, self.rows, None),
            sums("kernel", &p.kernels, self.rows, p.compiled.as_ref()),
        ];
        let rest = [layers(p, self.rows), memory(p, self.rows), host(p), files.join("\n")];
        parts.into_iter().chain(roof).chain(rest).collect::<Vec<_>>().join("\n\n")
    }
}

/// Writes the result of `make`, if a file was asked for.
fn write_json<T: Serialize>(path: Option<&Path>, make: impl FnOnce() -> Result<T>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string(&make()?).map_err(|e| Error::Failed(format!("{}: {e}", path.display())))?;
    files::write_atomic(path, format!("{text}\n").as_bytes())
}

fn ms(s: Spread) -> String {
    format!("{:.2} ms ({:.2} to {:.2})", s.median, s.q1, s.q3)
}

fn whole(p: &Profile) -> String {
    let (w, e) = (&p.whole, &p.environment);
    let timer = match e.timer {
        Timer::Timestamps => "timestamps of the device",
        Timer::Wall => "the host's clock, each dispatch submitted alone",
    };
    // A separate pass costs about the same for every dispatch. In a step of short dispatches that is a large part.
    let small = w.overhead > 1.3 || (w.agreement - 1.0).abs() > 0.1;
    let doubt = match small {
        true => {
            "\n\nThe step is too small for exact times of single dispatches. Take more images, or read only the shares."
        }
        false => "",
    };
    format!(
        "{}, {} ({}); timer: {timer}\n{}, {} images; medians and quartiles of {} steps\n\
         {} dispatches in {} passes with {} barriers\n\n\
         plain step        {}, {:.1} images/s\n\
         on the device     {}\n\
         sum of kernels    {}: {:.3} × the device's time\n\
         profiled step     {}: {:.3} × a plain step{doubt}",
        e.adapter,
        e.driver,
        e.backend,
        p.subject,
        p.images,
        p.steps,
        p.cuts.dispatches,
        p.cuts.passes,
        p.cuts.barriers,
        ms(w.step_ms),
        p.images as f64 / w.step_ms.median * 1e3,
        ms(w.device_ms),
        ms(w.kernels_ms),
        w.agreement,
        ms(w.profiled_ms),
        w.overhead
    )
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The first `most` of `rows` under `head`, and a line that says how many are left.
fn shortened(head: &[&str], mut rows: Vec<Vec<String>>, most: usize) -> String {
    let left = rows.len().saturating_sub(most);
    rows.truncate(most);
    rows.insert(0, head.iter().map(ToString::to_string).collect());
    let more = if left > 0 { format!("\n… {left} more (--rows, --json, --html)") } else { String::new() };
    table(&rows) + &more
}

/// What compilers say of the kernels of sums, by their names.
type Compiled = BTreeMap<String, Vec<Figures>>;

fn sums(what: &str, sums: &[Sum], most: usize, compiled: Option<&Compiled>) -> String {
    let row = |s: &Sum| {
        let mut cells = vec![
            s.name.clone(),
            s.calls.to_string(),
            s.dispatches.to_string(),
            format!("{:.3}", s.ms.median),
            percent(s.share),
            format!("{:.2}", s.gflop_per_s),
            format!("{:.2}", s.gb_per_s),
            s.roof_share.map_or(String::new(), percent),
        ];
        if let Some(compiled) = compiled {
            cells.extend(Figures::cells(compiled.get(&s.name).and_then(|all| Figures::shown(all))));
        }
        cells
    };
    let of_roof = if sums.iter().any(|s| s.roof_share.is_some()) { "of roof" } else { "" };
    let mut head = vec![what, "calls", "dispatches", "ms", "share", "GFLOP/s", "GB/s", of_roof];
    head.extend(Figures::HEADS.into_iter().filter(|_| compiled.is_some()));
    shortened(&head, sums.iter().map(row).collect(), most)
}

/// Layers, the longest first.
fn layers(p: &Profile, most: usize) -> String {
    let mut sorted: Vec<&Sum> = p.layers.iter().collect();
    sorted.sort_by(|a, b| b.ms.median.total_cmp(&a.ms.median));
    let row = |s: &&Sum| {
        let part = |phase: &str| s.phases_ms.get(phase).map_or("-".to_string(), |ms| format!("{ms:.3}"));
        vec![s.name.clone(), part("forward"), part("backward"), format!("{:.3}", s.ms.median), percent(s.share)]
    };
    let head = ["layer", "forward ms", "backward ms", "all ms", "share"];
    shortened(&head, sorted.iter().map(row).collect(), most)
}

fn memory(p: &Profile, most: usize) -> String {
    let m = &p.memory;
    let held = m.allocated.iter().filter(|a| a.1 > 0).map(|(what, bytes)| format!("{what} {}", size(*bytes)));
    let row = |a: &profile::memory::Alive| {
        let lives = format!("{} to {}", a.born, a.dies);
        vec![size(a.bytes), a.label.clone(), a.ty.clone(), a.kind.to_string(), lives]
    };
    format!(
        "memory            {}: {}\nalive in slabs    at most {}, at node {} of {}, {}\n\n{}",
        size(m.allocated_bytes()),
        held.collect::<Vec<_>>().join(", "),
        size(m.peak_bytes()),
        m.peak_node,
        m.alive.len(),
        m.peak_label,
        shortened(&["bytes", "value of", "type", "kind", "nodes"], m.at_peak.iter().map(row).collect(), most)
    )
}

fn host(p: &Profile) -> String {
    let (a, h) = (&p.preparation, &p.host);
    format!(
        "host, once        record {:.1} ms, schedule {:.1} ms, compile {:.1} ms, first step {:.1} ms\n\
         host, each step   encode {:.2} ms, submit {:.2} ms, wait {:.2} ms",
        a.record_ms, a.schedule_ms, a.compile_ms, a.first_step_ms, h.encode_ms, h.submit_ms, h.wait_ms
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(name: &str) -> Sum {
        let ms = Spread::of(&[1.5]);
        Sum {
            name: name.into(),
            calls: 1,
            dispatches: 1,
            ms,
            share: 0.5,
            flops: 1,
            bytes: 1,
            gflop_per_s: 1.0,
            gb_per_s: 1.0,
            roof_share: None,
            phases_ms: BTreeMap::new(),
        }
    }

    #[test]
    fn a_compiler_s_figures_stand_beside_the_kernels() {
        let all = [sum("scale.forward [portable]"), sum("relu.forward [portable]")];
        let figures = Figures { registers: Some(17), spills: Some(0), ..Figures::default() };
        let compiled = BTreeMap::from([("scale.forward [portable]".to_string(), vec![figures])]);
        let lines: Vec<String> = sums("kernel", &all, 9, Some(&compiled)).lines().map(str::to_string).collect();
        assert!(Figures::HEADS.iter().all(|head| lines[0].contains(head)), "{lines:?}");
        let of = |name: &str| lines.iter().find(|l| l.contains(name)).unwrap().split_whitespace().collect::<Vec<_>>();
        assert!(of("scale").ends_with(&["17", "0", "-", "-", "-"]) && of("relu").ends_with(&["-"; 5]), "{lines:?}");
        assert!(!sums("kernel", &all, 9, None).contains("registers"));
    }
}

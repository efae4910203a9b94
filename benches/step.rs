//! Times whole training steps on random images: a ResNet-18 or a ViT-Ti on cross-entropy, or an epoch of SimCLR from the
//! bytes of its images, augmentation on the device included.
//!
//! `cargo bench --bench step -- --model resnet18 --size 32 --batch 64 --json FILE` prints and writes images per second,
//! step time (median, quartiles), where the CPU's time goes (record, compile, encode) and the device's, memory against
//! what the values would take without sharing, and what was allocated while steps ran (nothing). `--kernels` adds the
//! device time of each kernel. One warm-up step, then `--steps` timed ones (of SimCLR the epoch's), each waited for.

mod common;
#[path = "common/work.rs"]
mod work;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use wgslab::base::{Error, Result, files};
use wgslab::device::{Dispatch, Gpu, GpuOptions};
use wgslab::kernels::fuse;
use wgslab::lab::Spread;
use wgslab::tape::{Plan, Schedule, State};
use work::{Model, Work};

/// Times whole training steps
#[derive(Parser, Debug)]
#[command(name = "cargo bench --bench step --")]
pub struct Arguments {
    /// What is trained
    #[arg(long, value_enum, default_value = "resnet18")]
    model: Model,
    /// Pixels of a side
    #[arg(long, default_value_t = 32, value_parser = at_least_one())]
    size: usize,
    /// Images a step
    #[arg(long, default_value_t = 64, value_parser = at_least_one())]
    batch: usize,
    /// Channels of an image
    #[arg(long, default_value_t = 3, value_parser = at_least_one())]
    channels: usize,
    /// Scales the channels of a ResNet
    #[arg(long, default_value_t = 1.0)]
    width: f64,
    /// Pixels of the side of a ViT's patch
    #[arg(long, default_value_t = 8, value_parser = at_least_one())]
    patch: usize,
    /// Timed steps; simclr times an epoch instead
    #[arg(long, default_value_t = 5, value_parser = at_least_one())]
    steps: usize,
    /// Images of an epoch of simclr
    #[arg(long, default_value_t = 1024, value_parser = at_least_one())]
    images: usize,
    /// Print the device time of each kernel too
    #[arg(long)]
    kernels: bool,
    /// Write the report there
    #[arg(long)]
    json: Option<PathBuf>,
    /// cargo adds it
    #[arg(long, hide = true)]
    bench: bool,
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn run() -> Result<()> {
    let (start, a) = (Instant::now(), Arguments::parse());
    let epoch = a.model == Model::Simclr;
    if epoch && a.images < a.batch {
        return Err(Error::Usage(format!("--images {} is less than a batch of {}", a.images, a.batch)));
    }
    let gpu = Gpu::open(&GpuOptions::default())?;
    let mut state = State::new();
    let clock = Instant::now();
    let Work { tape, params, inputs } = Work::record(&gpu, &mut state, &a)?;
    let record_ms = ms(clock);
    let clock = Instant::now();
    let schedule = Schedule::new(&tape, &fuse::options(gpu.caps()))?;
    params.fill(&gpu, &mut state, 0)?;
    state.insert_missing(&gpu, &tape.state_types())?;
    let state_bytes = gpu.meter().live_bytes();
    let (values_bytes, plan_bytes) = (schedule.values_bytes, schedule.plan_bytes());
    let plan = Plan::new(&gpu, schedule, &state)?;
    let compile_ms = ms(clock);

    let clock = Instant::now();
    plan.run(&gpu, &inputs.feed(0))?;
    gpu.wait()?;
    let (first_ms, to_first_ms) = (ms(clock), ms(start)); // the driver compiles at the first dispatch
    let made = (gpu.meter().buffers_made(), gpu.meter().bind_groups_made());
    let steps = if epoch { a.images / a.batch } else { a.steps };
    let (mut step_ms, mut encode_ms) = (Vec::new(), Vec::new());
    for i in 0..steps {
        let clock = Instant::now();
        plan.write(&gpu, &inputs.feed(i))?;
        let work = gpu.encode(plan.dispatches());
        encode_ms.push(ms(clock)); // what Plan::run does before it submits; a software driver computes while submitting
        gpu.wait_for(&gpu.submit(work))?;
        step_ms.push(ms(clock));
    }
    let made = (gpu.meter().buffers_made() - made.0, gpu.meter().bind_groups_made() - made.1);
    let loss = plan.read_f32(&gpu, "loss")?[0];
    let (step, encode) = (Spread::of(&step_ms), Spread::of(&encode_ms).median);
    let median = step.median;
    let flops: u64 = plan.schedule().steps.iter().map(|s| s.cost().flops).sum();
    // An epoch counts as a whole, of like steps the median does.
    let each_ms = if epoch { step_ms.iter().sum::<f64>() / steps as f64 } else { median };
    let report = serde_json::json!({
        "schema": "wgslab-step/1", "environment": wgslab::lab::Environment::of(&gpu),
        "model": a.model.name(), "stem": "3x3", "width": a.width, "size": a.size, "channels": a.channels,
        "batch": a.batch, "steps": steps, "images_per_s": a.batch as f64 / each_ms * 1e3,
        "gflop_per_s": flops as f64 / median * 1e-6, "step_ms": step, "samples_ms": step_ms,
        "record_ms": record_ms, "compile_ms": compile_ms, "first_step_ms": first_ms,
        "time_to_first_step_ms": to_first_ms, "encode_ms": encode, "device_ms": median - encode,
        "encode_share": encode / median, "peak_device_bytes": gpu.meter().peak_bytes(),
        "peak_process_bytes": common::peak_process_bytes(), "state_bytes": state_bytes, "plan_bytes": plan_bytes,
        "values_bytes": values_bytes, "plan_share_of_values": plan_bytes as f64 / values_bytes as f64,
        "buffers_made_per_step": made.0 as f64 / steps as f64,
        "bind_groups_made_per_step": made.1 as f64 / steps as f64,
        "loss": loss,
    });
    println!("{:#}", write(&gpu, report, a.json.as_deref())?);
    if a.kernels {
        by_kernel(&gpu, plan.dispatches())?;
    }
    Ok(())
}

/// Writes `report` with the adapter's facts added, where a file was asked for.
fn write(gpu: &Gpu, mut report: Value, path: Option<&Path>) -> Result<Value> {
    let adapter = gpu.adapter();
    report["adapter"] = adapter.name.as_str().into();
    report["driver"] = adapter.driver.as_str().into();
    report["backend"] = adapter.backend.as_str().into();
    if let Some(path) = path {
        files::write_atomic(path, format!("{report:#}\n").as_bytes())?;
    }
    Ok(report)
}

/// Prints the device time of `list` by kernel, the longest first.
fn by_kernel(gpu: &Gpu, list: &[Dispatch]) -> Result<()> {
    let mut sums: BTreeMap<String, (f64, usize)> = BTreeMap::new();
    for (d, ms) in list.iter().zip(gpu.time_each(list)?) {
        let name = d.label.rsplit('/').next().unwrap_or_default().to_string();
        let e = sums.entry(name).or_default();
        *e = (e.0 + ms, e.1 + 1);
    }
    let total: f64 = sums.values().map(|v| v.0).sum();
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by(|x, y| y.1.0.total_cmp(&x.1.0));
    for (name, (ms, calls)) in rows {
        println!("{name:36} {calls:4} calls {ms:10.2} ms {:5.1} %", 100.0 * ms / total);
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    common::ended(run())
}

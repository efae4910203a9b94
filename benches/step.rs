//! Times a whole training step: SGD with momentum on cross-entropy, a 3×3-stem ResNet, random images.
//!
//! `cargo bench --bench step -- --model resnet18 --size 32 --batch 64 --json FILE` prints and writes images per second,
//! step time (median, quartiles), where the CPU's time goes (record, compile, encode) and the device's, memory against
//! what the values would take without sharing, and what was allocated while steps ran (nothing). `--kernels` adds the
//! device time of each kernel. One warm-up step, then `--steps` timed ones, each waited for.

mod common;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use wgslab::base::{Result, files};
use wgslab::device::tune::Table;
use wgslab::device::{Dispatch, Gpu, GpuOptions};
use wgslab::lab::Spread;
use wgslab::lab::step::{Host, Ready};
use wgslab::nn::step::TrainingStep;
use wgslab::nn::{ResNet, Stem};
use wgslab::tape::demand::padded;

const CLASSES: usize = 10;

/// Times a whole training step
#[derive(Parser, Debug)]
#[command(name = "cargo bench --bench step --")]
struct Arguments {
    /// Which network; there is resnet18
    #[arg(long, default_value = "resnet18", value_parser = ["resnet18"])]
    model: String,
    /// Pixels of a side
    #[arg(long, default_value_t = 32, value_parser = at_least_one())]
    size: usize,
    /// Images a step
    #[arg(long, default_value_t = 64, value_parser = at_least_one())]
    batch: usize,
    /// Channels of an image
    #[arg(long, default_value_t = 3, value_parser = at_least_one())]
    channels: usize,
    /// Scales the channels of the network
    #[arg(long, default_value_t = 1.0)]
    width: f64,
    /// Timed steps
    #[arg(long, default_value_t = 5, value_parser = at_least_one())]
    steps: usize,
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

fn run() -> Result<()> {
    let a = Arguments::parse();
    let gpu = Gpu::open(&GpuOptions::default())?;
    let model = ResNet { stem: Stem::Small, width: a.width, in_channels: a.channels };
    let step = TrainingStep { model, batch: a.batch, size: a.size, classes: CLASSES };
    let ready = Ready::new(&gpu, step.subject(), &Table::default())?;
    let made = (gpu.meter().buffers_made(), gpu.meter().bind_groups_made());
    let steps = (0..a.steps).map(|_| ready.plain(&gpu)).collect::<Result<Vec<Host>>>()?;
    let made = (gpu.meter().buffers_made() - made.0, gpu.meter().bind_groups_made() - made.1);
    let loss = ready.plan.read_f32(&gpu, "loss")?[0];
    let (step, host) = (Spread::of(&steps.iter().map(Host::total_ms).collect::<Vec<_>>()), Host::medians(&steps));
    let (median, encode, p) = (step.median, host.encode_ms, ready.preparation);
    let schedule = ready.plan.schedule();
    let flops: u64 = schedule.steps.iter().map(|s| s.cost().flops).sum();
    let state_bytes: u64 = schedule.states.iter().map(|s| padded(s.1.bytes())).sum();
    let report = serde_json::json!({
        "model": a.model, "stem": "3x3", "width": a.width, "size": a.size, "channels": a.channels, "batch": a.batch,
        "steps": a.steps, "images_per_s": a.batch as f64 / median * 1e3, "gflop_per_s": flops as f64 / median * 1e-6,
        "step_ms": step,
        "record_ms": p.record_ms, "compile_ms": p.schedule_ms + p.compile_ms, "first_step_ms": p.first_step_ms,
        "encode_ms": encode, "device_ms": median - encode, "encode_share": encode / median,
        "peak_device_bytes": gpu.meter().peak_bytes(), "state_bytes": state_bytes, "plan_bytes": schedule.plan_bytes(),
        "values_bytes": schedule.values_bytes,
        "plan_share_of_values": schedule.plan_bytes() as f64 / schedule.values_bytes as f64,
        "buffers_made_per_step": made.0 as f64 / a.steps as f64,
        "bind_groups_made_per_step": made.1 as f64 / a.steps as f64,
        "loss": loss,
    });
    println!("{:#}", write(&gpu, report, a.json.as_deref())?);
    if a.kernels {
        by_kernel(&gpu, ready.plan.dispatches())?;
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

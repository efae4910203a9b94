//! Times whole training steps on random images: a ResNet-18 with the 3×3 stem (SGD with momentum) or a ViT-Ti (AdamW)
//! on cross-entropy, or an epoch of SimCLR from the bytes of its images, whose augmentation is on the device.
//!
//! `cargo bench --bench step -- --model resnet18 --size 32 --batch 64 --json FILE` prints and writes images per second
//! and the step time (median, quartiles). It also shows the time of the CPU (record, compile, encode) and of the
//! device, the memory compared with what the values would take without sharing, and what was allocated during the steps
//! (nothing). `--kernels` adds the device time of each kernel. There is one warm-up step, then `--steps` timed ones
//! (for SimCLR those of the epoch). Each is waited for.

mod common;
#[path = "common/simclr.rs"]
mod simclr;
#[path = "common/subjects.rs"]
mod subjects;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use subjects::Model;
use wgslab::base::{Error, Result, files};
use wgslab::device::tune::Table;
use wgslab::device::{Dispatch, Gpu, GpuOptions};
use wgslab::lab::step::{Host, Ready};
use wgslab::lab::{Environment, Spread};
use wgslab::nn::Precision;
use wgslab::tape::demand::padded;

/// Times whole training steps
#[derive(Parser, Debug)]
#[command(name = "cargo bench --bench step --")]
struct Arguments {
    /// The model to train
    #[arg(long, value_enum, default_value_t = Model::Resnet18)]
    model: Model,
    /// Pixels of a side
    #[arg(long, default_value_t = 32, value_parser = at_least_one())]
    size: usize,
    /// Images in each step
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
    /// The elements of activations
    #[arg(long, default_value = "f32", value_parser = precision)]
    precision: Precision,
    /// Timed steps; simclr times an epoch instead
    #[arg(long, default_value_t = 5, value_parser = at_least_one())]
    steps: usize,
    /// Images of an epoch of simclr
    #[arg(long, default_value_t = 1024, value_parser = at_least_one())]
    images: usize,
    /// Print the device time of each kernel too
    #[arg(long)]
    kernels: bool,
    /// Write the report to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

fn precision(text: &str) -> Result<Precision, String> {
    let all = [Precision::F32, Precision::F16];
    all.into_iter().find(|p| p.to_string() == text).ok_or_else(|| "use f32 or f16".to_string())
}

fn run() -> Result<()> {
    let (start, a) = (Instant::now(), Arguments::parse());
    let epoch = a.model == Model::Simclr;
    if epoch && a.images < a.batch {
        return Err(Error::Usage(format!("--images {} is less than a batch of {}", a.images, a.batch)));
    }
    let gpu = Gpu::open(&GpuOptions::default())?;
    let ready = Ready::new(&gpu, subjects::subject(&gpu, &a)?, &Table::default())?;
    let to_first_ms = start.elapsed().as_secs_f64() * 1e3;
    let made = (gpu.meter().buffers_made(), gpu.meter().bind_groups_made());
    let count = if epoch { a.images / a.batch } else { a.steps };
    let steps = (0..count).map(|_| ready.plain(&gpu)).collect::<Result<Vec<Host>>>()?;
    let made = (gpu.meter().buffers_made() - made.0, gpu.meter().bind_groups_made() - made.1);
    let loss = ready.plan.read_f32(&gpu, "loss")?[0];
    let samples_ms: Vec<f64> = steps.iter().map(Host::total_ms).collect();
    let (step, host) = (Spread::of(&samples_ms), Host::medians(&steps));
    let (median, encode, p) = (step.median, host.encode_ms, ready.preparation);
    let schedule = ready.plan.schedule();
    let flops: u64 = schedule.steps.iter().map(|s| s.cost().flops).sum();
    let state_bytes: u64 = schedule.states.iter().map(|s| padded(s.1.bytes())).sum();
    // An epoch counts as a whole. For equal steps the median counts.
    let each_ms = if epoch { samples_ms.iter().sum::<f64>() / count as f64 } else { median };
    let report = serde_json::json!({
        "schema": "wgslab-step/1", "environment": Environment::of(&gpu),
        "model": a.model, "stem": "3x3", "width": a.width, "size": a.size, "channels": a.channels, "batch": a.batch,
        "precision": a.precision, "steps": count, "images_per_s": a.batch as f64 / each_ms * 1e3, "gflop_per_s": flops as f64 / median * 1e-6,
        "step_ms": step, "samples_ms": samples_ms, "time_to_first_step_ms": to_first_ms,
        "record_ms": p.record_ms, "compile_ms": p.schedule_ms + p.compile_ms, "first_step_ms": p.first_step_ms,
        "encode_ms": encode, "device_ms": median - encode, "encode_share": encode / median,
        "peak_device_bytes": gpu.meter().peak_bytes(), "state_bytes": state_bytes, "plan_bytes": schedule.plan_bytes(),
        "values_bytes": schedule.values_bytes,
        "plan_share_of_values": schedule.plan_bytes() as f64 / schedule.values_bytes as f64,
        "peak_process_bytes": common::peak_process_bytes(),
        "buffers_made_per_step": made.0 as f64 / count as f64,
        "bind_groups_made_per_step": made.1 as f64 / count as f64,
        "loss": loss,
    });
    println!("{:#}", write(&gpu, report, a.json.as_deref())?);
    if a.kernels {
        by_kernel(&gpu, ready.plan.dispatches())?;
    }
    Ok(())
}

/// Adds the adapter's facts to `report`, and writes it if a file was asked for.
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

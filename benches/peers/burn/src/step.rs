//! A whole training step, as wgslab's benches/step.rs times it: ResNet-18 with the 3×3 stem, cross-entropy, SGD with
//! momentum, random images; a first step, one to warm up and the timed ones, each waited for.

use crate::measure::{spread, wait};
use crate::resnet::ResNet18;
use crate::{device, report};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Distribution, Tensor};
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

const CLASSES: usize = 10;

/// What to time.
#[derive(clap::Args)]
pub struct Arguments {
    /// Images a step
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Pixels of a side
    #[arg(long, default_value_t = 32)]
    size: usize,
    /// Timed steps
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Write the report there
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Times the step and prints what it took.
pub fn run(a: &Arguments) -> Result<(), String> {
    let start = Instant::now();
    let plain = device();
    let training = plain.clone().autodiff();
    let mut model = ResNet18::new(3, CLASSES, &training);
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    let loss = CrossEntropyLossConfig::new().init(&training);
    let images = Tensor::<4>::random([a.batch, 3, a.size, a.size], Distribution::Normal(0.0, 1.0), &training);
    let labels =
        Tensor::<1>::random([a.batch], Distribution::Uniform(0.0, CLASSES as f64), &training).int().clamp(0, 9);
    wait(&plain);
    let mut step = || {
        let clock = Instant::now();
        let value = loss.forward(model.forward(images.clone()), labels.clone());
        let gradients = GradientsParams::from_grads(value.backward(), &model);
        model = optimizer.step(0.05, model.clone(), gradients);
        wait(&plain);
        (clock.elapsed().as_secs_f64() * 1e3, value)
    };
    let (first, _) = step();
    let to_first = start.elapsed().as_secs_f64() * 1e3;
    step();
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..a.steps.max(1) {
        let (ms, value) = step();
        times.push(ms);
        last = Some(value);
    }
    let [median, q1, q3] = spread(&times);
    let loss = last.map(|v| v.into_scalar::<f32>());
    let report = json!({
        "schema": "wgslab-step/1", "environment": report::environment()?, "model": "resnet18", "size": a.size,
        "batch": a.batch, "steps": a.steps, "images_per_s": a.batch as f64 / median * 1e3,
        "step_ms": { "median": median, "q1": q1, "q3": q3 }, "samples_ms": times, "first_step_ms": first,
        "time_to_first_step_ms": to_first, "peak_process_bytes": peak(),
        "device_bytes_reserved": plain.memory_pool_usage().map(|u| u.bytes_reserved), "loss": loss,
    });
    println!("{report:#}");
    a.json.as_ref().map_or(Ok(()), |path| report::save(&report, path))
}

/// The most memory the process has held; a software driver's device memory is in it. Linux says.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    kib.trim().parse::<u64>().ok().map(|k| k << 10)
}

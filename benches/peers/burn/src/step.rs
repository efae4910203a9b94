//! A whole training step, as wgslab's benches/step.rs times it: ResNet-18 with the 3×3 stem, cross-entropy, SGD with
//! momentum, random images. There is a first step, one to warm up, and then the timed ones. Each is waited for.

use crate::measure::{spread, wait};
use crate::resnet::ResNet18;
use crate::{device, report};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Distribution, Tensor};
use std::path::Path;
use std::time::Instant;

const CLASSES: usize = 10;

/// Times the step and prints what it took.
pub fn run(batch: usize, size: usize, steps: usize, json: Option<&Path>) -> Result<(), String> {
    let start = Instant::now();
    let plain = device();
    let training = plain.clone().autodiff();
    let mut model = ResNet18::new(3, CLASSES, &training);
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    let loss = CrossEntropyLossConfig::new().init(&training);
    let images = Tensor::<4>::random([batch, 3, size, size], Distribution::Normal(0.0, 1.0), &training);
    let labels = Tensor::<1>::random([batch], Distribution::Uniform(0.0, CLASSES as f64), &training).int().clamp(0, 9);
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
    for _ in 0..steps.max(1) {
        let (ms, value) = step();
        times.push(ms);
        last = Some(value);
    }
    let [median, q1, q3] = spread(&times);
    let loss = last.map(|v| v.into_scalar::<f32>());
    let report = serde_json::json!({
        "schema": "wgslab-step/1", "environment": report::environment()?, "model": "resnet18", "size": size,
        "batch": batch, "steps": steps, "images_per_s": batch as f64 / median * 1e3,
        "step_ms": { "median": median, "q1": q1, "q3": q3 }, "samples_ms": times, "first_step_ms": first,
        "time_to_first_step_ms": to_first, "peak_process_bytes": peak(),
        "device_bytes_reserved": plain.memory_pool_usage().map(|u| u.bytes_reserved), "loss": loss,
    });
    println!("{report:#}");
    json.map_or(Ok(()), |path| report::save(&report, path))
}

/// The most memory that the process has held, including a software driver's device memory. Only Linux reports it.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    kib.trim().parse::<u64>().ok().map(|k| k << 10)
}

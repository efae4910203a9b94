//! Times a whole training step: SGD with momentum on cross-entropy, a 3×3-stem ResNet, random images.
//!
//! `cargo bench --bench step -- --model resnet18 --size 32 --batch 64 --json FILE` prints and writes images per second,
//! step time (median, quartiles), where the CPU's time goes (record, compile, encode) and the device's, memory against
//! what the values would take without sharing, and what was allocated while steps ran (nothing). `--kernels` adds the
//! device time of each kernel. One warm-up step, then `--steps` timed ones, each waited for.

mod common;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use std::path::PathBuf;
use std::time::Instant;
use wgslab::base::Result;
use wgslab::base::rng::Rng;
use wgslab::device::{Gpu, GpuOptions};
use wgslab::kernels::fuse;
use wgslab::lab::Spread;
use wgslab::nn::step::TrainingStep;
use wgslab::nn::{Params, ResNet, Stem};
use wgslab::tape::{Feed, Plan, Schedule, State, Tape};

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

fn record(a: &Arguments) -> Result<(Tape, Params)> {
    let model = ResNet { stem: Stem::Small, width: a.width, in_channels: a.channels };
    TrainingStep { model, batch: a.batch, size: a.size, classes: CLASSES }.record()
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn run() -> Result<()> {
    let a = Arguments::parse();
    let gpu = Gpu::open(&GpuOptions::default())?;
    let clock = Instant::now();
    let (tape, params) = record(&a)?;
    let record_ms = ms(clock);
    let clock = Instant::now();
    let schedule = Schedule::new(&tape, &fuse::options(gpu.caps()))?;
    let mut state = State::new();
    params.fill(&gpu, &mut state, 0)?;
    state.insert_missing(&gpu, &tape.state_types())?;
    let state_bytes = gpu.meter().live_bytes();
    let (values_bytes, plan_bytes) = (schedule.values_bytes, schedule.plan_bytes());
    let plan = Plan::new(&gpu, schedule, &state)?;
    let compile_ms = ms(clock);

    let mut rng = Rng::new(0, 0, 0);
    let images: Vec<f32> = (0..a.batch * a.channels * a.size * a.size).map(|_| rng.normal()).collect();
    let labels: Vec<u32> = (0..a.batch).map(|_| rng.below(CLASSES) as u32).collect();
    let weights = vec![1.0f32; a.batch];
    let inputs = Feed::new().input("images", &images).input("labels", &labels).input("weights", &weights);
    let feed = inputs.scalar("lr", 0.05);
    let clock = Instant::now();
    plan.run(&gpu, &feed)?;
    gpu.wait()?;
    let first_ms = ms(clock); // the driver compiles at the first dispatch
    let made = (gpu.meter().buffers_made(), gpu.meter().bind_groups_made());
    let (mut step_ms, mut encode_ms) = (Vec::new(), Vec::new());
    for _ in 0..a.steps {
        let clock = Instant::now();
        plan.write(&gpu, &feed)?;
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
    let report = serde_json::json!({
        "model": a.model, "stem": "3x3", "width": a.width, "size": a.size, "channels": a.channels, "batch": a.batch,
        "steps": a.steps, "images_per_s": a.batch as f64 / median * 1e3, "gflop_per_s": flops as f64 / median * 1e-6,
        "step_ms": step,
        "record_ms": record_ms, "compile_ms": compile_ms, "first_step_ms": first_ms,
        "encode_ms": encode, "device_ms": median - encode, "encode_share": encode / median,
        "peak_device_bytes": gpu.meter().peak_bytes(), "state_bytes": state_bytes, "plan_bytes": plan_bytes,
        "values_bytes": values_bytes, "plan_share_of_values": plan_bytes as f64 / values_bytes as f64,
        "buffers_made_per_step": made.0 as f64 / a.steps as f64,
        "bind_groups_made_per_step": made.1 as f64 / a.steps as f64,
        "loss": loss,
    });
    println!("{:#}", common::write(&gpu, report, a.json.as_deref())?);
    if a.kernels {
        common::by_kernel(&gpu, plan.dispatches())?;
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    common::ended(run())
}

//! A network of your own: an MLP that separates two moons. `cargo run --release --example mlp`

use wgslab::base::{Error, Result, rng::Rng};
use wgslab::device::{Gpu, GpuOptions};
use wgslab::nn::{Init, Optimizer, Params};
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type};

const POINTS: usize = 256;

/// Two half circles that interlock, with noise: coordinates f32 [N, 2], and the moon of each point.
fn moons(seed: u64) -> (Vec<f32>, Vec<u32>) {
    let (mut rng, mut x) = (Rng::new(seed, 0, 0), Vec::new());
    let labels: Vec<u32> = (0..POINTS as u32).map(|i| i % 2).collect();
    for &moon in &labels {
        let (sin, cos) = (std::f32::consts::PI * rng.uniform()).sin_cos();
        let (across, up) = if moon == 0 { (cos, sin) } else { (1.0 - cos, 0.5 - sin) };
        x.extend([across + 0.1 * rng.normal(), up + 0.1 * rng.normal()]);
    }
    (x, labels)
}

fn main() -> Result<()> {
    let gpu = Gpu::open(&GpuOptions::default())?;
    // A step is recorded once: the network, its loss, the gradients and the update. Nothing runs yet.
    let (mut t, mut params) = (Tape::new(), Params::new());
    let (x, labels) = (t.input("x", Type::f32([POINTS, 2]))?, t.input("labels", Type::u32([POINTS]))?);
    let mut h = x;
    for (layer, [from, to]) in [[2, 32], [32, 32], [32, 2]].into_iter().enumerate() {
        let w = params.weight(&mut t, &format!("{layer}.weight"), [to, from], Init::UniformFanIn(from))?;
        let b = params.weight(&mut t, &format!("{layer}.bias"), [to], Init::UniformFanIn(from))?;
        h = if layer == 0 { h } else { t.relu(h)? };
        h = t.linear(h, w, Some(b))?;
    }
    let weights = t.fill([POINTS], 1.0)?; // each point counts the same
    let [loss, ..] = t.cross_entropy(h, labels, weights)?;
    t.output("loss", loss);
    t.output("logits", h);
    Optimizer::adam(0.0).minimize(&mut t, loss, &params.trained())?;
    // The state outlives steps: weights drawn from a seed, and zeros for what the optimizer remembers.
    let mut state = State::new();
    params.fill(&gpu, &mut state, 1)?;
    state.insert_missing(&gpu, &t.state_types())?;
    let plan = Plan::new(&gpu, Schedule::new(&t, &Options::new(gpu.caps()))?, &state)?;
    let (train, test) = (moons(1), moons(2));
    for step in 0..=300 {
        let feed = Feed::new().input("x", &train.0).input("labels", &train.1).scalar("lr", 0.01);
        gpu.wait_for(&plan.run(&gpu, &feed)?)?; // otherwise steps pile up in front of the device
        if step % 100 == 0 {
            println!("step {step}: loss {:.4}", plan.read_f32(&gpu, "loss")?[0]);
        }
    }
    // A learning rate of 0 leaves the weights as they are, so the same plan tests points it has never seen.
    plan.run(&gpu, &Feed::new().input("x", &test.0).input("labels", &test.1).scalar("lr", 0.0))?;
    let logits = plan.read_f32(&gpu, "logits")?;
    let right = logits.chunks(2).zip(&test.1).filter(|(l, label)| u32::from(l[1] > l[0]) == **label).count();
    println!("accuracy on new points: {:.1} %", 100.0 * right as f32 / POINTS as f32);
    let learnt = right * 100 >= POINTS * 95; // chance is half
    if learnt { Ok(()) } else { Err(Error::Failed("it did not learn: fewer than 95 % of new points are right".into())) }
}

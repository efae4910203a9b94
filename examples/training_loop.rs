//! A training loop of your own that is stopped in the middle and goes on to the same bits. `cargo run --release
//! --example training_loop`
//!
//! A step depends only on the state and on its own number: batches are drawn from (seed, step), the learning rate is
//! computed from the step, and all else that it remembers (weights, Adam's moments, its step count) is in the state. So
//! a checkpoint of the state and the step's number is all that a run needs to go on.

use std::path::Path;
use wgslab::base::{Error, Result, rng::Rng};
use wgslab::device::{Gpu, GpuOptions};
use wgslab::nn::checkpoint::{Checkpoint, save_state};
use wgslab::nn::{Init, Optimizer, Params};
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type};

const SEED: u64 = 7;
const BATCH: usize = 64;
const STEPS: u64 = 300;
const WARM_UP: u64 = 20;

/// A run: the plan of a step over a state, and the number of the next step.
struct Run<'a> {
    gpu: &'a Gpu,
    plan: Plan,
    state: State,
    step: u64,
}

impl<'a> Run<'a> {
    /// Regression of one number from two: x f32 [BATCH, 2] gives y f32 [BATCH, 1].
    fn new(gpu: &'a Gpu) -> Result<Self> {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let (x, y) = (t.input("x", Type::f32([BATCH, 2]))?, t.input("y", Type::f32([BATCH, 1]))?);
        let mut h = x;
        for (name, from, to) in [("in", 2, 32), ("out", 32, 1)] {
            let w = params.weight(&mut t, &format!("{name}.weight"), [to, from], Init::UniformFanIn(from))?;
            let b = params.weight(&mut t, &format!("{name}.bias"), [to], Init::Zeros)?;
            h = t.linear(h, w, Some(b))?;
            h = if name == "in" { t.tanh(h)? } else { h };
        }
        let weights = t.fill([BATCH], 1.0)?;
        let [loss, _] = t.mse(h, y, weights)?;
        t.output("loss", loss);
        Optimizer::adamw(0.01).minimize(&mut t, loss, &params.trained())?;
        let mut state = State::new();
        params.fill(gpu, &mut state, SEED)?;
        state.insert_missing(gpu, &t.state_types())?;
        let plan = Plan::new(gpu, Schedule::new(&t, &Options::new(gpu.caps()))?, &state)?;
        Ok(Run { gpu, plan, state, step: 0 })
    }

    /// Trains until `end` steps are done.
    fn until(&mut self, end: u64) -> Result<()> {
        while self.step < end {
            // The generator counts by step, so a resumed run draws the same batches as one that was not stopped.
            let mut rng = Rng::new(SEED, 1, self.step);
            let x: Vec<f32> = (0..2 * BATCH).map(|_| rng.normal()).collect();
            let y: Vec<f32> = x.chunks(2).map(|p| p[0].sin() + 0.5 * p[1] * p[1]).collect();
            let warm = (self.step + 1).min(WARM_UP) as f32 / WARM_UP as f32;
            let decay = 0.5 * (1.0 + (std::f32::consts::PI * self.step as f32 / STEPS as f32).cos());
            let feed = Feed::new().input("x", &x).input("y", &y).scalar("lr", 0.02 * warm * decay);
            self.gpu.wait_for(&self.plan.run(self.gpu, &feed)?)?; // otherwise steps pile up in front of the device
            self.step += 1;
        }
        Ok(())
    }

    /// The loss of the last step.
    fn loss(&self) -> Result<f32> {
        Ok(self.plan.read_f32(self.gpu, "loss")?[0])
    }

    /// Writes the whole state, with the step as metadata. The file is replaced as a whole or not at all.
    fn save(&self, path: &Path) -> Result<()> {
        let step = serde_json::Map::from_iter([("step".to_string(), self.step.into())]);
        save_state(path, self.gpu, &self.state, step)
    }

    /// Goes on from a file of [`Run::save`]. It is an error if the file is damaged or belongs to another network.
    fn restore(&mut self, path: &Path) -> Result<()> {
        let file = Checkpoint::open(path)?;
        let step = file.metadata.get("step").and_then(serde_json::Value::as_u64);
        self.step = step.ok_or_else(|| Error::Data(format!("{} does not say its step", path.display())))?;
        file.restore(self.gpu, &self.state)
    }
}

fn main() -> Result<()> {
    let gpu = Gpu::open(&GpuOptions::default())?;
    let mut whole = Run::new(&gpu)?;
    whole.until(1)?;
    let first = whole.loss()?;
    whole.until(STEPS)?;
    println!("in one go:  loss {first:.4} at the first step, {:.4} at the last", whole.loss()?);

    let folder = tempfile::tempdir().map_err(|e| Error::io(Path::new("a temporary folder"), "make", e))?;
    let path = folder.path().join("run.safetensors");
    let mut stopped = Run::new(&gpu)?;
    stopped.until(STEPS / 2)?;
    stopped.save(&path)?;
    drop(stopped); // what was on the device is gone; only the file is left

    let mut resumed = Run::new(&gpu)?;
    resumed.restore(&path)?;
    println!("stopped:    goes on at step {}", resumed.step);
    resumed.until(STEPS)?;
    println!("resumed:    loss {:.4} at the last step", resumed.loss()?);

    if whole.loss()? > 0.2 * first {
        return Err(Error::Failed("it did not learn: the loss fell to no fifth of the first one".into()));
    }
    for name in whole.state.names() {
        if whole.state.read(&gpu, name)? != resumed.state.read(&gpu, name)? {
            return Err(Error::Failed(format!("{name} differs between the run in one go and the resumed one")));
        }
    }
    println!("the same bits in all {} tensors", whole.state.names().count());
    Ok(())
}

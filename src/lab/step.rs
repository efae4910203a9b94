//! Times a whole step: recording, scheduling, compiling and running. The profiler and the step bench share it.

use super::Spread;
use crate::base::{Error, Result};
use crate::device::tune::Table;
use crate::device::{Clocked, Gpu};
use crate::kernels::{fuse, tune};
use crate::nn::Params;
use crate::nn::step::MeasuredStep;
use crate::tape::demand::misfit;
use crate::tape::{Feed, Options, Plan, Schedule, State};
use serde::Serialize;
use std::time::Instant;

/// What the host does before the second step, ms.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Preparation {
    /// Recording the model, its gradient and the update on a tape.
    pub record_ms: f64,
    /// Choosing variants, placing values.
    pub schedule_ms: f64,
    /// Making buffers, pipelines and bind groups.
    pub compile_ms: f64,
    /// The first step: a driver may compile then.
    pub first_step_ms: f64,
}

/// What the host does in a step, ms.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Host {
    /// Writing the inputs and encoding the dispatches.
    pub encode_ms: f64,
    /// Handing them to the driver; a software driver may compute meanwhile.
    pub submit_ms: f64,
    /// Waiting until the device was done.
    pub wait_ms: f64,
}

impl Host {
    /// All three.
    pub fn total_ms(&self) -> f64 {
        self.encode_ms + self.submit_ms + self.wait_ms
    }

    /// The medians of some steps, each of its own.
    pub fn medians(steps: &[Host]) -> Host {
        let of = |part: fn(&Host) -> f64| Spread::of(&steps.iter().map(part).collect::<Vec<_>>()).median;
        Host { encode_ms: of(|h| h.encode_ms), submit_ms: of(|h| h.submit_ms), wait_ms: of(|h| h.wait_ms) }
    }
}

/// A step that was run once, so that later runs take their usual time.
pub struct Ready<'a> {
    /// What it is.
    pub subject: MeasuredStep<'a>,
    /// Its parameters.
    pub params: Params,
    /// Its plan.
    pub plan: Plan,
    /// The state it moves.
    pub state: State,
    /// What that took.
    pub preparation: Preparation,
}

impl<'a> Ready<'a> {
    /// Records, schedules with the variants of `table`, compiles and runs the step once.
    pub fn new(gpu: &Gpu, subject: MeasuredStep<'a>, table: &Table) -> Result<Self> {
        let (mut clock, mut ms) = (Instant::now(), [0.0; 4]);
        let mut lap = |i: usize| {
            ms[i] = clock.elapsed().as_secs_f64() * 1e3;
            clock = Instant::now();
        };
        let (tape, params) = (subject.record)()?;
        lap(0);
        let choose = tune::chooser(table);
        let recompute = subject.recompute;
        let options = Options { choose: &choose, recompute, ..fuse::options(gpu.caps()) };
        let schedule = Schedule::new(&tape, &options)?;
        lap(1);
        let mut state = subject.state.clone();
        if let Some(why) = misfit(gpu, std::slice::from_ref(&schedule), &state) {
            return Err(Error::Usage(format!("the step does not fit: {why}; use a smaller batch, image or model")));
        }
        params.fill(gpu, &mut state, 0)?;
        state.insert_missing(gpu, &tape.state_types())?;
        let plan = Plan::new(gpu, schedule, &state)?;
        lap(2);
        plan.run(gpu, &feed(&subject))?;
        gpu.wait()?;
        lap(3);
        let [record_ms, schedule_ms, compile_ms, first_step_ms] = ms;
        let preparation = Preparation { record_ms, schedule_ms, compile_ms, first_step_ms };
        Ok(Ready { subject, params, plan, state, preparation })
    }

    /// Runs a plain step.
    pub fn plain(&self, gpu: &Gpu) -> Result<Host> {
        let clock = Instant::now();
        let ms = || clock.elapsed().as_secs_f64() * 1e3;
        self.plan.write(gpu, &feed(&self.subject))?;
        let work = gpu.encode(self.plan.dispatches());
        let encoded = ms();
        let ticket = gpu.submit(work);
        let submitted = ms();
        gpu.wait_for(&ticket)?;
        Ok(Host { encode_ms: encoded, submit_ms: submitted - encoded, wait_ms: ms() - submitted })
    }

    /// Runs a step through `clock`, and returns with it how long the host took for all of it, ms.
    pub fn clocked(&self, gpu: &Gpu, clock: impl FnOnce(&Gpu) -> Result<Clocked>) -> Result<(Clocked, f64)> {
        let started = Instant::now();
        self.plan.write(gpu, &feed(&self.subject))?;
        let clocked = clock(gpu)?;
        Ok((clocked, started.elapsed().as_secs_f64() * 1e3))
    }
}

fn feed<'a>(subject: &'a MeasuredStep<'_>) -> Feed<'a> {
    let inputs = subject.inputs.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let scalars = subject.scalars.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    Feed { inputs, scalars }
}

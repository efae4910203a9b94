//! A plan is a schedule bound to a device. What runs is the schedule as data, a [`Recording`]. The plan keeps the
//! schedule for callers that ask which node a launch belongs to.

use super::demand::misfit;
use super::op::Type;
use super::recording::Recording;
use super::replay::{Feed, Replay};
use super::schedule::{Place, Schedule};
use super::state::State;
use crate::base::{Error, Result};
use crate::device::{Buffer, Dispatch, Gpu, Ticket};
use std::sync::Arc;

/// A compiled step.
///
/// ```
/// use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type};
///
/// # let Some(gpu) = wgslab::lab::check::gpu_or_skip()? else { return Ok(()) };
/// let mut t = Tape::new();
/// let x = t.input("x", Type::f32([3]))?;
/// let y = t.relu(x)?;
/// t.output("y", y);
/// let plan = Plan::new(&gpu, Schedule::new(&t, &Options::new(gpu.caps()))?, &State::new())?;
/// plan.run(&gpu, &Feed::new().input("x", &[-1.0f32, 0.0, 2.0]))?;
/// assert_eq!(plan.read_f32(&gpu, "y")?, [0.0, 0.0, 2.0]);
/// // What the feed lacks is named.
/// assert!(plan.run(&gpu, &Feed::new()).is_err_and(|e| e.to_string().contains("input x")));
/// # Ok::<(), wgslab::base::Error>(())
/// ```
#[derive(Debug)]
pub struct Plan {
    schedule: Schedule,
    replay: Replay,
}

impl Plan {
    /// Compiles a schedule over the tensors of `state`. It is an error if `state` lacks a tensor that the schedule
    /// names, or has it with another type. Tensors that ops take together move into one buffer. Those that an earlier
    /// plan holds elsewhere stay, and the ops launch once more for each: make the plan that updates tensors before
    /// plans that only read them, or call [`State::arrange`] first. A launch cannot read one tensor of such a buffer
    /// and write another: a plan that does so is an error once an earlier plan holds the buffer, so make it first. It
    /// is an error before anything is allocated if the plan would not fit the device.
    pub fn new(gpu: &Gpu, schedule: Schedule, state: &State) -> Result<Plan> {
        if let Some(why) = misfit(gpu, std::slice::from_ref(&schedule), state) {
            return Err(Error::Usage(format!(
                "the plan does not fit: {why}; use a smaller batch_size, image_size or case"
            )));
        }
        let held = state.arrange(gpu, &schedule.arenas)?;
        let schedule = if held.is_empty() { schedule } else { schedule.apart(&held, gpu.caps())? };
        let replay = Replay::new(gpu, Recording::on(gpu, &schedule)?, state)?;
        Ok(Plan { schedule, replay })
    }

    /// What the plan was made from.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The step as data. This is what runs.
    pub fn recording(&self) -> &Recording {
        self.replay.recording()
    }

    /// The dispatches of a run, in order, for timing.
    pub fn dispatches(&self) -> &[Dispatch] {
        self.replay.dispatches()
    }

    /// Runs one step: writes the feed, encodes and submits. It returns before the device is done.
    pub fn run(&self, gpu: &Gpu, feed: &Feed<'_>) -> Result<Ticket> {
        self.replay.run(gpu, feed)
    }

    /// Writes the inputs and scalars of a run. See [`Replay::write`] for the errors.
    pub fn write(&self, gpu: &Gpu, feed: &Feed<'_>) -> Result<()> {
        self.replay.write(gpu, feed)
    }

    /// Reads the bytes of a named output of the last run. It waits for the device. It is an error if there is no such
    /// output.
    pub fn read(&self, gpu: &Gpu, name: &str) -> Result<Vec<u8>> {
        self.replay.read(gpu, name)
    }

    /// Reads a named output of the last run as f32, in row-major order. The output must hold f32.
    pub fn read_f32(&self, gpu: &Gpu, name: &str) -> Result<Vec<f32>> {
        self.replay.read_f32(gpu, name)
    }

    /// Reads the bytes of the value of type `ty` that lies at a place of the schedule.
    pub fn read_place(&self, gpu: &Gpu, place: &Place, ty: Type) -> Result<Vec<u8>> {
        let at = self.recording().index_of(place).and_then(|i| self.replay.part(i));
        let Some(part) = at else { return Err(Error::Failed("the plan has no such place".into())) };
        gpu.read_part(part, ty.bytes())
    }

    /// The buffers of computed values. Tests fill them with NaN.
    pub fn slabs(&self) -> &[Arc<Buffer>] {
        self.replay.slabs()
    }
}

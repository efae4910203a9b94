//! The debugger. It runs the same nodes and variants as the plan, one dispatch at a time, with each value in a buffer
//! of its own that can be read afterwards. Its values equal the plan's bit for bit. It is not a second engine.

use super::plan::Plan;
use super::record::{Tape, Var};
use super::replay::Feed;
use super::schedule::{Options, Schedule};
use super::state::State;
use crate::base::{Error, Result};
use crate::device::Gpu;

/// A traced run.
#[derive(Debug)]
pub struct Trace {
    plan: Plan,
}

impl Trace {
    /// Runs the tape once over `state` and waits after each dispatch. An error names the dispatch.
    pub fn run(gpu: &Gpu, tape: &Tape, options: &Options<'_>, state: &State, feed: &Feed<'_>) -> Result<Trace> {
        let options = Options { reuse: false, ..*options };
        let plan = Plan::new(gpu, Schedule::new(tape, &options)?, state)?;
        plan.write(gpu, feed)?;
        for d in plan.dispatches() {
            gpu.submit(gpu.encode(std::slice::from_ref(d)));
            gpu.wait().map_err(|e| match e {
                Error::Failed(why) => Error::Failed(format!("at {}: {why}", d.label)),
                e => e,
            })?;
        }
        Ok(Trace { plan })
    }

    /// Reads any value of the tape that the run computed.
    pub fn read(&self, gpu: &Gpu, v: Var) -> Result<Vec<u8>> {
        match self.plan.schedule().places.get(&v) {
            Some((ty, place)) => self.plan.read_place(gpu, place, *ty),
            None => Err(Error::Failed("that value was not computed: nothing needs it; make it an output".into())),
        }
    }

    /// Reads any f32 value of the tape that the run computed.
    pub fn read_f32(&self, gpu: &Gpu, v: Var) -> Result<Vec<f32>> {
        Ok(bytemuck::pod_collect_to_vec(&self.read(gpu, v)?))
    }
}

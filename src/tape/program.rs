//! A program is several plans over one state, each repeated a number of times: twice the critic and once the generator
//! of a GAN, or several micro-batches and one update.

use super::plan::Plan;
use super::replay::Feed;
use crate::base::Result;
use crate::device::Gpu;

/// A list of plans, each with its number of repeats.
#[derive(Debug, Default)]
pub struct Program {
    stages: Vec<(Plan, usize)>,
}

impl Program {
    /// An empty program.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a plan to be run `repeats` times.
    pub fn then(mut self, plan: Plan, repeats: usize) -> Self {
        self.stages.push((plan, repeats));
        self
    }

    /// Runs every plan in order. `feed(stage, repeat, run)` makes the feed of one run and calls `run` with it.
    pub fn run(
        &self,
        gpu: &Gpu,
        mut feed: impl FnMut(usize, usize, &mut dyn FnMut(&Feed<'_>) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        for (i, (plan, repeats)) in self.stages.iter().enumerate() {
            for r in 0..*repeats {
                feed(i, r, &mut |f| plan.run(gpu, f).map(drop))?;
            }
        }
        Ok(())
    }

    /// Its plans in order, each with how often it runs.
    pub fn stages(&self) -> impl Iterator<Item = (&Plan, usize)> {
        self.stages.iter().map(|(plan, repeats)| (plan, *repeats))
    }

    /// The plan of a stage. `stage` counts from 0; it panics if there is no such stage.
    pub fn plan(&self, stage: usize) -> &Plan {
        &self.stages[stage].0
    }
}

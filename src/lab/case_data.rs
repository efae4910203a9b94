//! A recorded case with its data: the same for a row of a bench and for an edit under trial.

use crate::base::Result;
use crate::device::Gpu;
use crate::kernels::Recorded;
use crate::tape::{Feed, Plan};

/// Seed of the data.
const SEED: u64 = 20;

/// The words of each input.
pub(super) fn words(recorded: &Recorded) -> Vec<Vec<u32>> {
    recorded.inputs.iter().enumerate().map(|(i, (_, ty, fill))| fill.words(*ty, SEED, i as u32)).collect()
}

/// The inputs with their `words`.
pub(super) fn feed<'a>(recorded: &'a Recorded, words: &'a [Vec<u32>]) -> Feed<'a> {
    let named = recorded.inputs.iter().zip(words);
    named.fold(Feed::new(), |feed, ((name, ty, _), words)| feed.words(name, *ty, words))
}

/// Runs its plan on them and waits.
pub(super) fn run_once(gpu: &Gpu, plan: &Plan, recorded: &Recorded) -> Result<()> {
    plan.run(gpu, &feed(recorded, &words(recorded)))?;
    gpu.wait()
}

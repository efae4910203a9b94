//! The data of a recorded case, the same for a row of a bench and for a shader on trial.

use crate::base::Result;
use crate::device::Gpu;
use crate::kernels::Recorded;
use crate::tape::{Feed, Plan};

/// Seed of the data.
const SEED: u64 = 20;

/// The data of each input, as words.
pub(super) fn words(recorded: &Recorded) -> Vec<Vec<u32>> {
    recorded.inputs.iter().enumerate().map(|(i, (_, ty, fill))| fill.words(*ty, SEED, i as u32)).collect()
}

/// A feed of the inputs with these words.
pub(super) fn feed<'a>(recorded: &'a Recorded, words: &'a [Vec<u32>]) -> Feed<'a> {
    let named = recorded.inputs.iter().zip(words);
    named.fold(Feed::new(), |feed, ((name, ty, _), words)| feed.words(name, *ty, words))
}

/// Runs the case's plan on its data, and waits.
pub(super) fn run_once(gpu: &Gpu, plan: &Plan, recorded: &Recorded) -> Result<()> {
    plan.run(gpu, &feed(recorded, &words(recorded)))?;
    gpu.wait()
}

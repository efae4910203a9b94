//! What a training would need of the device, computed from what it records.

use super::super::batches::Batches;
use super::super::dataset::Loaded;
use super::super::fit::Sizes;
use super::super::grid::Cell;
use super::super::memory::{self, Planned};
use super::super::outlay::{Outlay, passes, predictions_bytes};
use super::super::pass::Pass;
use super::super::session::Job;
use super::super::turns;
use super::{batches, eyes, first_stage, record};
use crate::base::Result;
use crate::nn::Params;
use crate::nn::optimization::MOST_IMAGES;
use crate::tape::Tape;

/// What the evaluation of a cell and its steps record. All of it is on the device at once.
pub(super) fn tapes(job: &Job<'_>, set: &Loaded, cell: &Cell, batches: Batches) -> Result<Vec<Tape>> {
    let (stores, classes) = (set.stores(), set.data.classes.len());
    let eval = Pass::batch(job, &stores);
    let learning = job.config.learning_of(&cell.method)?;
    let mut all = Vec::new();
    for eye in eyes(job, set, cell, learning.learner.as_ref())? {
        all.extend(Pass::tapes(job, &eye, &stores, Some(classes), eval)?);
    }
    let record = |b| record(job, &set.train, cell, classes, b);
    all.extend(turns::tapes(batches, &record)(batches.whole)?);
    Ok(all)
}

/// What training a cell costs, with its first stage if it has one.
pub(in crate::study) fn outlay(job: &Job<'_>, set: &Loaded, cell: &Cell) -> Result<Outlay> {
    let (stores, classes, learning) = (set.stores(), set.data.classes.len(), job.config.learning_of(&cell.method)?);
    let (eval, epochs) = (Pass::batch(job, &stores), learning.optimization.epochs);
    let mut parts = Vec::new();
    for (i, eye) in eyes(job, set, cell, learning.learner.as_ref())?.into_iter().enumerate() {
        let tapes = Pass::tapes(job, &eye, &stores, Some(classes), eval)?;
        for ((tape, store), part) in tapes.iter().zip(stores).zip(["train", "val", "test"]) {
            // After each epoch the first network sees the validation and test images, and in the end all see all.
            let looks = if i == 0 && part != "train" { epochs + 1 } else { 1 };
            parts.push((job.scheduled(tape)?, looks * passes(store.count, eval)));
        }
    }
    let batches = batches(job, &learning, set)?;
    let (mut params, whole) = (Params::new(), batches.images / batches.whole);
    for (size, steps) in batches.sizes().into_iter().zip([whole, 1]) {
        for turn in record(job, &set.train, cell, classes, size)? {
            for (tape, runs) in &turn.tapes {
                parts.push((job.scheduled(tape)?, runs * turn.turn.repeats * steps * epochs));
            }
            params = turn.params;
        }
    }
    let one = Outlay::of(job, parts, batches.steps() * epochs, (&set.resident, &params));
    let images = stores.iter().map(|store| store.count).sum();
    let one = Outlay { disk_bytes: one.disk_bytes + predictions_bytes(images, classes), ..one };
    match first_stage(job, cell)? {
        Some((first, _)) => Ok(outlay(job, set, &first)?.then(one)),
        None => Ok(one),
    }
}

/// What training a cell would need of the device, and the largest batch that fits. It is an error if the config's batch
/// does not fit.
pub(in crate::study) fn plan(job: &Job<'_>, set: &Loaded, cell: &Cell, name: &str) -> Result<Planned> {
    let (learning, state) = (job.config.learning_of(&cell.method)?, &set.resident);
    let (batches, sizes) = (batches(job, &learning, set)?, Sizes::from(2));
    job.say_batches(&learning.optimization, batches);
    let tapes = |whole| tapes(job, set, cell, Batches { whole, ..batches });
    let fitting = job.fitting(state, &learning.batch_key, batches.whole, sizes, &tapes)?;
    let planned = memory::Outline {
        name: name.to_string(),
        batch_key: &learning.batch_key,
        batch: (batches.whole, MOST_IMAGES),
        sizes,
        micro_batch: None,
        images: batches.images,
        streamed: set.train.store.streamed.is_some(),
        tapes: &tapes,
    };
    Planned::of(job, planned, &fitting, state)
}

//! What a training would need of the device, computed from what it records.

use super::super::batches::Batches;
use super::super::dataset::Loaded;
use super::super::fit::Sizes;
use super::super::grid::Cell;
use super::super::memory::{self, Planned};
use super::super::pass::Pass;
use super::super::session::Job;
use super::super::turns;
use super::{batches, eyes, record};
use crate::base::Result;
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

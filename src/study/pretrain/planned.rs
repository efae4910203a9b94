//! Whether a pretraining fits the device, and what it would need of it, computed from what it records.

use super::super::collapse::Mirror;
use super::super::config::Pretrained;
use super::super::dataset::TrainImages;
use super::super::fit::Sizes;
use super::super::memory::{self, Planned};
use super::super::pass::Eye;
use super::super::session::Job;
use super::super::turns;
use super::{at_once, batch_for, batches, micro_batch, name_of, record};
use crate::base::{Error, Result};
use crate::nn::Optimization;
use crate::nn::optimization::MOST_IMAGES;
use crate::tape::{Schedule, State, Tape};

/// The batches that a pretraining can have instead of `batch`. With micro-batches it is a whole number of them.
pub(super) fn sizes(method: &Pretrained, batch: usize) -> Sizes {
    match micro_batch(method, batch) {
        Some(micro) => Sizes { least: micro, multiple: micro },
        None => Sizes::multiples(method.method.batch_multiple()),
    }
}

/// All that a pretraining records: a step of `batch` images, and the looks at its features.
fn tapes(job: &Job<'_>, images: &TrainImages, method: &Pretrained, seed: u64, batch: usize) -> Result<Vec<Tape>> {
    let eye = Eye::new(method.backbone.clone(), images.mean, images.std);
    let record = |b| record(job, images, method, seed, b);
    let steps = turns::tapes(batches(images.store.count, batch), &record)(batch)?;
    Ok([Mirror::tapes(job, &eye, &images.store, at_once(method, batch))?, steps].concat())
}

/// The schedules of a pretraining, if they fit the device. If not, the error names the largest batch, or the largest
/// micro-batch, that fits.
pub(super) fn fitting(
    job: &Job<'_>,
    images: &TrainImages,
    method: &Pretrained,
    seed: u64,
    state: &State,
) -> Result<Vec<Schedule>> {
    let batch = batch_for(method, images.store.count)?;
    let whole = |b: usize| tapes(job, images, method, seed, b);
    // The same batch in micro-batches of a given number of images.
    let in_parts = |micro_batch_size: usize| {
        let optimization = Optimization { micro_batch_size, ..method.optimization.clone() };
        tapes(job, images, &Pretrained { optimization, ..method.clone() }, seed, batch)
    };
    let any = Sizes::multiples(method.method.batch_multiple());
    let key = &method.micro_batch_key;
    let other = || {
        let now = at_once(method, batch);
        Ok(match job.largest_part(state, (batch, now), any, &in_parts) {
            Ok(Some(micro)) => format!("in micro-batches they fit: the largest {key} that does is {micro}; "),
            // A method that takes no micro-batches says so only when they are asked for.
            Ok(None) | Err(Error::Usage(_)) => String::new(),
            Err(e) => return Err(e),
        })
    };
    job.fitting_or(state, &method.batch_key, batch, sizes(method, batch), &whole, &other)
}

/// What a pretraining would need of the device, and the largest batch that fits. It is an error if the config's batch
/// does not fit.
pub(in crate::study) fn plan(job: &Job<'_>, images: &TrainImages, method: &Pretrained, seed: u64) -> Result<Planned> {
    let (count, state) = (images.store.count, &images.resident);
    let batch = batch_for(method, count)?;
    job.say_batches(&method.optimization, batches(count, batch));
    let (sizes, tapes) = (sizes(method, batch), |whole| tapes(job, images, method, seed, whole));
    let fitting = fitting(job, images, method, seed, state)?;
    // A method may bound its batch, as MoCo does by its queue.
    let takes = |b: &usize| b.is_multiple_of(sizes.multiple) && method.method.takes_batch(*b).is_ok();
    let most = (batch..=MOST_IMAGES).rev().find(takes);
    let planned = memory::Outline {
        name: name_of(method, &images.name, seed),
        batch_key: &method.batch_key,
        batch: (batch, most.unwrap_or(batch)),
        sizes,
        micro_batch: micro_batch(method, batch).map(|micro| (method.micro_batch_key.clone(), micro)),
        images: count,
        streamed: images.store.streamed.is_some(),
        tapes: &tapes,
    };
    Planned::of(job, planned, &fitting, state)
}

//! Self-supervised pretraining of a backbone on the training images of one dataset. It is given images and nothing
//! else: no label, no validation or test image.

use super::batches::Batches;
use super::config::{LastBatch, Optimization, Optimizer as Kind, PretrainingMethod};
use super::folder::{BACKBONE, CONFIG, Done, ENVIRONMENT, EPOCHS, STATE, busy, finished, locked, object};
use super::job::{Job, TrainImages};
use super::provenance::Provenance;
use super::results::{EpochRecord, Phase};
use super::settings::pretraining_settings;
use super::stage::{EpochSums, RING, Stage, Task, add_missing, load_cursor};
use crate::base::{Error, Result};
use crate::data::augment::Augmentation;
use crate::nn::{Optimizer, Params, checkpoint};
use crate::ssl::simclr::SimClr;
use crate::tape::{Schedule, State, Tape, Type};
use serde_json::json;
use std::env::consts::OS;
use std::path::{Path, PathBuf};

/// SimCLR needs nothing besides the images, and records the loss alone.
struct Unlabelled;

impl Task for Unlabelled {
    fn inputs(&self, _indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        Vec::new()
    }

    fn epoch(&self, _: &State, _: &EpochSums<'_>, _: &mut EpochRecord, _: &mut serde_json::Value) -> Result<()> {
        Ok(())
    }
}

/// The schedules of the plans that a pretraining runs.
pub(super) fn schedules(job: &Job<'_>, images: &TrainImages, seed: u64) -> Result<Vec<Schedule>> {
    let batch = batch_of(job.config.pretraining.batch_size, images.store.count)?;
    Ok(vec![job.schedule(&record(job, images, seed, batch)?.0)?])
}

/// What the bits of a pretraining depend on: neither a label nor an image of another split is in it.
pub(super) fn provenance(
    job: &Job<'_>,
    images: &TrainImages,
    method: PretrainingMethod,
    seed: u64,
) -> Result<Provenance> {
    let settings = pretraining_settings(job.config, method, seed);
    Provenance::new(job.gpu, settings, &images.fingerprint, "random", &schedules(job, images, seed)?)
}

/// Pretrains into `folder` unless that is done, and returns the path of the backbone with what the folder's `done` says.
pub(super) fn run(
    job: &Job<'_>,
    images: &TrainImages,
    method: PretrainingMethod,
    seed: u64,
    folder: &Path,
    made: &Provenance,
) -> Result<(PathBuf, Done)> {
    let backbone = folder.join(BACKBONE);
    if let Some(done) = finished(folder, made)? {
        return Ok((backbone, done));
    }
    if busy(folder)? {
        return Err(Error::Busy(folder.to_path_buf())); // before minutes of compiling
    }
    // What can be refused is refused before the folder is touched.
    let optimization = job.config.pretraining.optimization();
    let (count, dataset) = (images.store.count, &images.name);
    let batch = batch_of(optimization.batch_size, count)?;
    job.say_batch(optimization.batch_size, batch);
    let mut state = images.resident.clone();
    let (tape, params) = record(job, images, seed, batch)?;
    // A contrastive loss over fewer images is another one: what does not fill a batch is left out.
    let batches = Batches { images: count, whole: batch, last: LastBatch::Drop };
    let record = |b| record(job, images, seed, b).map(|r| r.0);
    job.fitting(&state, "pretraining.batch_size", batch, 2, &|whole| batches.tapes(whole, &record))?;
    params.fill(job.gpu, &mut state, seed)?;
    add_missing(job.gpu, &mut state, &tape)?;
    let plans = job.steps(&state, "pretraining.batch_size", batches, &record)?;
    let name = format!("pretrain {method} on {dataset}, seed {seed}");
    let (phase, address, task) = (Phase::Pretrain, made.address.clone(), &Unlabelled);
    let stage = Stage { job, name, phase, folder, address, seed, batches, columns: 2, task, optimization };
    let done = locked(folder, || {
        if let Some(done) = finished(folder, made)? {
            return Ok(done); // by another process, meanwhile
        }
        let at = load_cursor(folder, job.gpu, &state, made)?.unwrap_or_else(|| stage.start());
        let about = json!({ "os": OS, "data": dataset, "mean": images.mean, "std": images.std });
        job.describe(folder, made, about)?;
        let (records, _, _) = stage.run(&plans, &state, at)?;
        let steps = (records.len() * stage.steps()) as i64;
        let by = json!({ "method": method.to_string(), "data": dataset, "address": made.address });
        checkpoint::save_backbone(&backbone, job.gpu, &state, "backbone.", steps, object(by))?;
        Done::write(folder, &made.address, &[CONFIG, ENVIRONMENT, EPOCHS, STATE, BACKBONE])
    })?;
    Ok((backbone, done))
}

/// One step: two views, the loss, the update.
pub(super) fn record(job: &Job<'_>, images: &TrainImages, seed: u64, batch: usize) -> Result<(Tape, Params)> {
    let (mut t, mut params) = (Tape::new(), Params::new());
    let indices = t.input("indices", Type::u32([batch]))?;
    let (augmentation, size) = (augmentation(job, images), job.config.data.image_size as u32);
    let views = [
        t.layer("view0", |t| augmentation.view(t, &images.store, indices, 0, seed, size))?,
        t.layer("view1", |t| augmentation.view(t, &images.store, indices, 1, seed, size))?,
    ];
    let p = &job.config.pretraining;
    let method = SimClr { temperature: p.temperature as f32, hidden: p.projection_dims[0], out: p.projection_dims[1] };
    let loss = method.loss(&mut t, &mut params, &job.model(), views)?;
    job.expect_bearable(&params, &p.optimization())?;
    let skipped = optimizer(&p.optimization()).minimize(&mut t, loss, &params.trained())?;
    let row = t.scalar("ring_row")?;
    t.ring(RING, job.config.run.loss_every, row, &[loss, skipped])?;
    Ok((t, params))
}

fn augmentation(job: &Job<'_>, images: &TrainImages) -> Augmentation {
    let a = &job.config.augmentation;
    let pair = |v: [f64; 2]| v.map(|x| x as f32);
    Augmentation {
        crop_scale: pair(a.crop_scale),
        crop_ratio: pair(a.crop_ratio),
        flip_probability: a.flip_probability as f32,
        jitter_probability: a.jitter_probability as f32,
        jitter: a.jitter.map(|x| x as f32),
        grayscale_probability: a.grayscale_probability as f32,
        blur_probability: a.blur_probability as f32,
        blur_sigma: pair(a.blur_sigma),
        mean: images.mean,
        std: images.std,
    }
}

/// The optimizer a config names.
pub(super) fn optimizer(o: &Optimization) -> Optimizer {
    match o.optimizer {
        Kind::Adam => Optimizer::adam(o.weight_decay as f32),
        Kind::Sgd => {
            Optimizer::Sgd { momentum: o.momentum as f32, nesterov: o.nesterov, weight_decay: o.weight_decay as f32 }
        }
    }
}

/// The batch of a stage: the config's, or all images where there are fewer.
pub(super) fn batch_of(wanted: usize, images: usize) -> Result<usize> {
    if images < 2 {
        return Err(Error::Data(format!("{images} training images are too few; at least 2 are needed")));
    }
    Ok(wanted.min(images))
}

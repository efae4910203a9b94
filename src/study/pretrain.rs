//! Self-supervised pretraining of a backbone on the training images of one dataset. It is given images and nothing
//! else: no label, no validation or test image.

use super::config::{Optimization, Optimizer as Kind, PretrainingMethod};
use super::job::{Job, Loaded, finished, locked};
use super::results::{EpochRecord, Phase};
use super::stage::{EpochSums, RING, Stage, Task, add_missing, load_cursor};
use crate::base::{Error, Result, files};
use crate::data::augment::Augmentation;
use crate::nn::{Optimizer, Params, checkpoint};
use crate::ssl::simclr::SimClr;
use crate::tape::{State, Tape, Type};
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

/// Pretrains into `folder` unless that is done, and returns the path of the backbone.
pub(super) fn run(
    job: &Job<'_>,
    set: &Loaded,
    method: PretrainingMethod,
    seed: u64,
    folder: &Path,
    address: &str,
) -> Result<PathBuf> {
    let backbone = folder.join("backbone.safetensors");
    if finished(folder, address)? {
        return Ok(backbone);
    }
    // What can be refused is refused before the folder is touched.
    let optimization = job.config.pretraining.optimization();
    let images = set.data.train.len();
    let batch = batch_of(job, optimization.batch_size, images)?;
    let mut state = set.resident.clone();
    let (tape, params) = record(job, set, seed, batch)?;
    params.fill(job.gpu, &mut state, seed)?;
    add_missing(job.gpu, &mut state, &tape)?;
    let plan = job.step(&state, "pretraining.batch_size", batch, &|b| record(job, set, seed, b).map(|r| r.0))?;
    let name = format!("pretrain {method} on {}, seed {seed}", set.data.name);
    let (phase, address) = (Phase::Pretrain, address.to_string());
    let task = &Unlabelled;
    let stage = Stage { job, name, phase, folder, address, seed, images, batch, columns: 1, task, optimization };
    locked(folder, || {
        if finished(folder, &stage.address)? {
            return Ok(()); // by another process, meanwhile
        }
        let at = load_cursor(folder, job.gpu, &state, &stage.address)?.unwrap_or_else(|| stage.start());
        job.describe(folder, set, &stage.address)?;
        let (records, _, _) = stage.run(&plan, &state, at)?;
        let steps = (records.len() * stage.steps()) as i64;
        let made = serde_json::json!({ "method": method.to_string(), "data": set.data.name, "address": stage.address });
        checkpoint::save_backbone(&backbone, job.gpu, &state, "backbone.", steps, &made.to_string())?;
        files::write_atomic(&folder.join("done"), stage.address.as_bytes())
    })?;
    Ok(backbone)
}

/// One step: two views, the loss, the update.
fn record(job: &Job<'_>, set: &Loaded, seed: u64, batch: usize) -> Result<(Tape, Params)> {
    let (mut t, mut params) = (Tape::new(), Params::new());
    let indices = t.input("indices", Type::u32([batch]))?;
    let (augmentation, size) = (augmentation(job, set), job.config.data.image_size as u32);
    let views = [
        t.layer("view0", |t| augmentation.view(t, &set.train, indices, 0, seed, size))?,
        t.layer("view1", |t| augmentation.view(t, &set.train, indices, 1, seed, size))?,
    ];
    let p = &job.config.pretraining;
    let method = SimClr { temperature: p.temperature as f32, hidden: p.projection_dims[0], out: p.projection_dims[1] };
    let loss = method.loss(&mut t, &mut params, &job.model(), views)?;
    optimizer(&p.optimization()).minimize(&mut t, loss, &params.trained())?;
    let row = t.scalar("ring_row")?;
    t.ring(RING, job.config.run.loss_every, row, &[loss])?;
    Ok((t, params))
}

fn augmentation(job: &Job<'_>, set: &Loaded) -> Augmentation {
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
        mean: set.mean,
        std: set.std,
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

/// The batch of a stage: the config's, or all images where there are fewer, which is said.
pub(super) fn batch_of(job: &Job<'_>, wanted: usize, images: usize) -> Result<usize> {
    if images < 2 {
        return Err(Error::Data(format!("{images} training images are too few; at least 2 are needed")));
    }
    if wanted > images {
        job.progress
            .note(&format!("batch_size is {wanted} and there are {images} training images: a step takes them all"));
    }
    Ok(wanted.min(images))
}

//! Self-supervised pretraining of a backbone on the training images of one dataset. It is given images and nothing
//! else: no label, no validation or test image.

use super::batches::{Batches, batch_of};
use super::collapse::Mirror;
use super::config::{LastBatch, Pretrained};
use super::dataset::TrainImages;
use super::fit::Sizes;
use super::folder::{Done, busy, finished, locked};
use super::memory::{Planned, Promise};
use super::names::{BACKBONE, CONFIG, ENVIRONMENT, EPOCHS, RESULT, STATE, STEPS};
use super::pass::Eye;
use super::provenance::Provenance;
use super::results::{EpochRecord, Phase, PretrainResult, write_pretrained};
use super::session::Job;
use super::settings::pretraining_settings;
use super::stage::{EpochSums, Stage, Task, add_missing, load_cursor};
use super::start::{Begun, COLLAPSED, backbone_metadata};
use super::turns::{self, Recorded, Update, terms};
use crate::base::{Error, Result};
use crate::data::augment::StoreViews;
use crate::nn::recorder::{Progress, Recorder};
use crate::nn::{Mode, Params, checkpoint};
use crate::tape::{Schedule, State, Tape, Type};
use serde_json::json;
use std::env::consts::OS;
use std::path::{Path, PathBuf};

/// A method at work: what its turns are called and what they measure.
struct Unlabelled<'a> {
    job: &'a Job<'a>,
    /// The stage's name, for people.
    name: &'a str,
    method: &'a Pretrained,
    /// Steps of an epoch.
    steps: usize,
    /// The name of each column of all rings, in order; the first is the loss of the first turn.
    columns: Vec<String>,
    mirror: Mirror,
}

impl Task for Unlabelled<'_> {
    fn inputs(&self, at: Progress, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        self.method.method.inputs(at, indices)
    }

    fn scalars(&self, at: Progress) -> Vec<(&'static str, f32)> {
        self.method.method.scalars(at)
    }

    fn epoch(
        &self,
        _: &State,
        sums: &EpochSums<'_>,
        record: &mut EpochRecord,
        memory: &mut serde_json::Value,
    ) -> Result<()> {
        record.terms = terms(&self.columns, sums.sums, self.steps, &[]);
        let spread = self.mirror.look(self.job)?;
        record.feature_std = Some(spread.feature_std);
        record.effective_rank = Some(spread.effective_rank);
        record.collapsed = Some(spread.collapsed());
        // Told when it happens, not after each epoch that follows.
        let told = memory.get(COLLAPSED).is_some();
        if spread.collapsed() && !told {
            let (name, epoch) = (self.name, record.epoch);
            self.job.progress.note(&format!("warning: {name} has collapsed by epoch {epoch}: {spread}"));
        }
        *memory = if spread.collapsed() { json!({ COLLAPSED: true }) } else { serde_json::Value::Null };
        Ok(())
    }
}

/// A pretraining.
#[derive(Clone, Copy)]
pub(super) struct Pretraining<'a> {
    pub images: &'a TrainImages,
    pub method: &'a Pretrained,
    pub seed: u64,
    pub begun: &'a Begun,
    /// Steps after which it ends; none where the method's epochs say it.
    pub limit: Option<usize>,
}

/// The schedules of the plans that a pretraining runs.
pub(super) fn schedules(job: &Job<'_>, images: &TrainImages, method: &Pretrained, seed: u64) -> Result<Vec<Schedule>> {
    let mut all = steps(job, images, method, seed)?;
    let eye = Eye::new(method.backbone.clone(), images.mean, images.std);
    let batch = batch_for(method, images.store.count)?;
    for tape in Mirror::tapes(job, &eye, &images.store, batch)? {
        all.push(job.schedule(&tape)?);
    }
    Ok(all)
}

/// The schedules of its steps.
fn steps(job: &Job<'_>, images: &TrainImages, method: &Pretrained, seed: u64) -> Result<Vec<Schedule>> {
    let batch = batch_for(method, images.store.count)?;
    record(job, images, method, seed, batch)?.iter().map(|r| job.schedule(&r.tape)).collect()
}

/// What the bits of a pretraining depend on: neither a label nor an image of another split is in it.
pub(super) fn provenance(job: &Job<'_>, one: Pretraining<'_>) -> Result<Provenance> {
    let Pretraining { images, method, seed, begun, limit } = one;
    let mut settings = pretraining_settings(job.config, method, seed);
    if let Some(limit) = limit {
        settings["steps"] = json!(limit); // no key without: the address stays
    }
    // A look at the backbone between epochs changes no bit of it.
    let schedules = steps(job, images, method, seed)?;
    Provenance::new(job.gpu, settings, &images.fingerprint, begun.address(), &schedules)
}

/// Pretrains into `folder` unless that is done, and returns the path of the backbone with what the folder's `done` says.
pub(super) fn run(job: &Job<'_>, one: Pretraining<'_>, folder: &Path, made: &Provenance) -> Result<(PathBuf, Done)> {
    let Pretraining { images, method, seed, begun, limit } = one;
    let backbone = folder.join(BACKBONE);
    if let Some(done) = finished(folder, made)? {
        return Ok((backbone, done));
    }
    if busy(folder)? {
        return Err(Error::Busy(folder.to_path_buf())); // before minutes of compiling
    }
    // What can be refused is refused before the folder is touched.
    begun.expect_model(&method.model)?;
    let (count, dataset) = (images.store.count, &images.name);
    let batch = batch_for(method, count)?;
    let optimization = method.optimization.for_batch(batch);
    job.say_batch(optimization.batch_size, batch, count);
    job.say_rate(&method.optimization, batch);
    say_overridden(job, method);
    let mut state = images.resident.clone();
    let recorded = record(job, images, method, seed, batch)?;
    // A contrastive loss over fewer images is another one: what does not fill a batch is left out.
    let batches = Batches { images: count, whole: batch, last: LastBatch::Drop };
    let record = |b| record(job, images, method, seed, b);
    let sizes = Sizes::multiples(method.method.batch_multiple());
    let eye = Eye::new(method.backbone.clone(), images.mean, images.std);
    let steps = turns::tapes(batches, &record);
    let both = |whole| Ok([Mirror::tapes(job, &eye, &images.store, whole)?, steps(whole)?].concat());
    let fitting = job.fitting(&state, &method.batch_key, batch, sizes, &both)?;
    let promise = Promise::of(job, &fitting, &state);
    promise.begin(job);
    begun.load(job, method.backbone.as_ref(), &mut state, &recorded)?;
    if let Some(last) = recorded.last() {
        last.params.fill(job.gpu, &mut state, seed)?;
    }
    recorded.iter().try_for_each(|r| add_missing(job.gpu, &mut state, &r.tape))?;
    let name = name_of(method, dataset, seed);
    let mirror = Mirror::new(job, &eye, (&images.store, batch), (&state, &format!("the weights of {name}")))?;
    let plans = turns::compile(job, &state, &method.batch_key, (batches, sizes), &record)?;
    let columns = recorded.iter().flat_map(|r| r.columns.clone()).collect();
    let task = &Unlabelled { job, name: &name, method, steps: batches.steps(), columns, mirror };
    let turns = recorded.into_iter().map(|r| (r.turn, r.columns)).collect();
    let (name, phase, address) = (name.clone(), Phase::Pretrain, made.address.clone());
    let stage = Stage { job, name, phase, folder, address, seed, batches, turns, limit, task, optimization };
    let done = locked(folder, || {
        if let Some(done) = finished(folder, made)? {
            return Ok(done); // by another process, meanwhile
        }
        let at = load_cursor(folder, job.gpu, &state, made)?.unwrap_or_else(|| stage.start());
        let about = json!({
            "os": OS, "data": dataset, "mean": images.mean, "std": images.std, "begun_with": begun.about(),
            "left_out": images.left_out,
        });
        job.describe(folder, made, about)?;
        let (records, seconds, at) = stage.run(&plans, &state, at)?;
        promise.end(job);
        let loss = records.last().map(|r| r.loss);
        let (epochs, steps) = (at.epoch, at.epoch * stage.steps() + at.step);
        finish(job, one, (folder, made), (&state, &task.mirror), Ended { epochs, steps, loss, seconds })
    })?;
    Ok((backbone, done))
}

/// How far a pretraining came.
struct Ended {
    epochs: usize,
    steps: usize,
    /// Mean loss of the last epoch.
    loss: Option<f64>,
    seconds: f64,
}

/// Writes what a pretraining came to, `done` last.
fn finish(
    job: &Job<'_>,
    one: Pretraining<'_>,
    (folder, made): (&Path, &Provenance),
    (state, mirror): (&State, &Mirror),
    Ended { epochs, steps, loss, seconds }: Ended,
) -> Result<Done> {
    let (method, dataset) = (&one.method.name, &one.images.name);
    let spread = mirror.look(job)?;
    let collapsed = spread.collapsed();
    let mut by = backbone_metadata(job, one.images, (method, &one.method.model), &[], &made.address);
    if collapsed {
        by.insert(COLLAPSED.to_string(), true.into());
    }
    checkpoint::save_backbone(&folder.join(BACKBONE), job.gpu, state, "backbone.", steps as i64, by)?;
    let result = PretrainResult {
        dataset: dataset.clone(),
        method: method.clone(),
        seed: one.seed,
        epochs,
        steps,
        train_images: one.images.store.count,
        loss,
        feature_std: spread.feature_std,
        effective_rank: spread.effective_rank,
        collapsed,
        seconds,
        adapter: job.gpu.adapter().name.clone(),
    };
    write_pretrained(folder, &result)?;
    Done::write(folder, &made.address, &[CONFIG, ENVIRONMENT, EPOCHS, STEPS, STATE, BACKBONE, RESULT])
}

/// Says which keys of the config the method has values of its own for.
fn say_overridden(job: &Job<'_>, method: &Pretrained) {
    if !method.overridden.is_empty() {
        let (name, keys) = (&method.name, method.overridden.join(", "));
        job.progress.note(&format!(
            "{name} has values of its own for {keys}, in place of the config's; change them in [pretraining.{name}]"
        ));
    }
}

/// What a pretraining would need of the device, and the largest batch that fits; an error if its own does not.
pub(super) fn plan(job: &Job<'_>, images: &TrainImages, method: &Pretrained, seed: u64) -> Result<Planned> {
    let (count, state) = (images.store.count, &images.resident);
    let batch = batch_for(method, count)?;
    job.say_batch(method.optimization.batch_size, batch, count);
    let batches = Batches { images: count, whole: batch, last: LastBatch::Drop };
    let record = |b| record(job, images, method, seed, b);
    let (sizes, steps) = (Sizes::multiples(method.method.batch_multiple()), turns::tapes(batches, &record));
    let eye = Eye::new(method.backbone.clone(), images.mean, images.std);
    let tapes = |whole| Ok([Mirror::tapes(job, &eye, &images.store, whole)?, steps(whole)?].concat());
    let fitting = job.fitting(state, &method.batch_key, batch, sizes, &tapes)?;
    // A method may bound its batch, as MoCo does by its queue.
    let most = (batch..=count).rev().find(|&b| b % sizes.multiple == 0 && method.method.takes_batch(b).is_ok());
    let again = |t: &Tape| job.schedule_by(t, true);
    let again = (!job.config.run.recompute).then(|| tapes(batch)?.iter().map(again).collect::<Result<Vec<_>>>());
    Ok(Planned {
        name: name_of(method, &images.name, seed),
        batch_key: method.batch_key.clone(),
        batch,
        largest_batch: job.largest_batch(state, (batch, most.unwrap_or(batch)), sizes, &tapes)?,
        promise: Promise::of(job, &fitting, state),
        recomputed: again.transpose()?.map(|schedules| Promise::of(job, &schedules, state)),
        binding_bytes: job.gpu.caps().binding_bytes,
        budget_bytes: job.gpu.options().memory_budget_bytes,
    })
}

/// What a pretraining is called.
fn name_of(method: &Pretrained, dataset: &str, seed: u64) -> String {
    format!("pretrain {} on {dataset}, seed {seed}", method.name)
}

/// The batch of a pretraining: the config's, or where there are fewer images the largest that the method can take of them.
pub(super) fn batch_for(method: &Pretrained, images: usize) -> Result<usize> {
    let (wanted, multiple) = (method.optimization.batch_size, method.method.batch_multiple());
    let batch = batch_of(wanted, images)?;
    Ok(if batch < wanted { (batch / multiple * multiple).max(2) } else { batch })
}

/// The turns of one step: each has its views, its loss and the update of what it trains.
pub(super) fn record(
    job: &Job<'_>,
    images: &TrainImages,
    method: &Pretrained,
    seed: u64,
    batch: usize,
) -> Result<Vec<Recorded>> {
    let (mean, std, out) = (images.mean, images.std, job.config.data.image_size as u32);
    let views = StoreViews { store: &images.store, seed, out, mean, std };
    let update = Update {
        name: &method.name,
        optimization: &method.optimization,
        model: &method.model,
        size_key: &|one| method.size_key(one),
    };
    let mut params = Params::new();
    let mut recorded = Vec::new();
    for turn in turns::checked(&method.name, method.method.turns(), false)? {
        let mut t = Tape::new();
        let indices = t.input("indices", Type::u32([batch]))?;
        let mut r = Recorder {
            t: &mut t,
            params: &mut params,
            backbone: method.backbone.as_ref(),
            recipe: &method.augmentation,
            batch,
            indices,
            views: &views,
            mode: Mode::Train,
        };
        let minimize = |r: &mut Recorder<'_>| Ok((method.method.record(&turn, r)?, Vec::new()));
        let after = |r: &mut Recorder<'_>| method.method.after_update(&turn, r);
        let columns = update.record(job, &turn, &mut r, &minimize, &after)?;
        recorded.push(Recorded { turn, tape: t, params: params.clone(), columns });
    }
    Ok(recorded)
}

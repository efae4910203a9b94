//! Self-supervised pretraining of a backbone on the training images of one dataset. It gets these images and nothing
//! else: no labels, no validation images and no test images.

mod notes;
mod planned;

use super::batches::{Batches, batch_of};
use super::collapse::Mirror;
use super::config::{LastBatch, Pretrained};
use super::dataset::TrainImages;
use super::folder::{Done, once};
use super::grid::Cell;
use super::memory::Promise;
use super::micro::{self, Parts, Recording};
use super::names::{BACKBONE, CONFIG, ENVIRONMENT, EPOCHS, RESULT, STATE, STEPS};
use super::outlay::Outlay;
use super::owner::still_mine;
use super::pass::Eye;
use super::provenance::Provenance;
use super::results::{EpochRecord, Phase, PretrainResult, write_pretrained};
use super::session::Job;
use super::settings::pretraining_settings;
use super::stage::{EpochSums, Stage, Task, add_missing, load_cursor};
use super::start::{Begun, COLLAPSED, backbone_metadata};
use super::turns::{self, Plans, Recorded, Update, terms};
use crate::base::Result;
use crate::data::augment::StoreViews;
use crate::nn::optimizer::Group;
use crate::nn::recorder::{Progress, Recorder, Turn};
use crate::nn::{Mode, Optimization, Params, Views, checkpoint};
use crate::tape::{Schedule, State, Tape, Type};
pub(super) use planned::plan;
use planned::{fitting, sizes};
use serde_json::json;
use std::env::consts::OS;
use std::path::{Path, PathBuf};

/// A pretraining at work. The stage asks it for inputs, scalars and records.
struct Unlabelled<'a> {
    job: &'a Job<'a>,
    /// The stage's name in messages.
    name: String,
    method: &'a Pretrained,
    /// Steps in an epoch.
    steps: usize,
    /// The column names of all rings of metrics, in order. The first is the loss of the first turn.
    columns: Vec<String>,
    mirror: Mirror,
}

impl Task for Unlabelled<'_> {
    fn inputs(&self, at: Progress, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        self.method.inputs(at, indices, self.job.config.data.image_size)
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
        // A collapse is reported once, when it happens.
        let told = memory.get(COLLAPSED).is_some();
        if spread.collapsed() && !told {
            let (name, epoch) = (&self.name, record.epoch);
            self.job.progress.note(&format!("warning: {name} has collapsed by epoch {epoch}: {spread}"));
        }
        *memory = if spread.collapsed() { json!({ COLLAPSED: true }) } else { serde_json::Value::Null };
        Ok(())
    }
}

/// A pretraining to be run.
#[derive(Clone, Copy)]
pub(super) struct Pretraining<'a> {
    pub images: &'a TrainImages,
    pub method: &'a Pretrained,
    pub seed: u64,
    pub begun: &'a Begun,
    /// Steps after which it ends. `None` if the method's epochs decide it.
    pub limit: Option<usize>,
}

/// The schedules of the plans that a pretraining runs.
pub(super) fn schedules(job: &Job<'_>, images: &TrainImages, method: &Pretrained, seed: u64) -> Result<Vec<Schedule>> {
    let mut all = steps(job, images, method, seed)?;
    let eye = Eye::new(method.backbone.clone(), images.mean, images.std);
    let batch = batch_for(method, images.store.count)?;
    for tape in Mirror::tapes(job, &eye, &images.store.resident(), at_once(method, batch))? {
        all.push(job.schedule(&tape)?);
    }
    Ok(all)
}

/// The schedules of its steps, with all images on the device: where they are streamed, the bits are the same.
fn steps(job: &Job<'_>, images: &TrainImages, method: &Pretrained, seed: u64) -> Result<Vec<Schedule>> {
    let (batch, images) = (batch_for(method, images.store.count)?, images.resident());
    let recorded = record(job, &images, method, seed, batch)?;
    recorded.iter().flat_map(|r| &r.tapes).map(|(t, _)| job.schedule(t)).collect()
}

/// What a pretraining costs.
pub(super) fn outlay(job: &Job<'_>, images: &TrainImages, method: &Pretrained, seed: u64) -> Result<Outlay> {
    let batch = batch_for(method, images.store.count)?;
    let (steps, epochs) = (batches(images.store.count, batch).steps(), method.optimization.epochs);
    let (mut parts, mut params) = (Vec::new(), Params::new());
    for turn in record(job, images, method, seed, batch)? {
        for (tape, runs) in &turn.tapes {
            parts.push((job.scheduled(tape)?, runs * turn.turn.repeats * steps * epochs));
        }
        params = turn.params;
    }
    let (eye, at_once) = (Eye::new(method.backbone.clone(), images.mean, images.std), at_once(method, batch));
    for tape in Mirror::tapes(job, &eye, &images.store, at_once)? {
        parts.push((job.scheduled(&tape)?, Mirror::runs(job, &images.store, at_once) * (epochs + 1)));
    }
    Ok(Outlay::of(job, parts, steps * epochs, (&images.resident, &params)))
}

/// The folder of a cell's pretraining in the study's folder `out`.
pub(super) fn folder_of(out: &Path, cell: &Cell, made: &Provenance) -> PathBuf {
    out.join("pretraining").join(format!("{}{}", folder_begins(cell), made.address))
}

/// How the names of the folders of a cell's pretraining begin, on whatever backbone. The address of what made it follows.
pub(super) fn folder_begins(cell: &Cell) -> String {
    format!("{}-{}-seed-{}-", cell.dataset, cell.pretraining, cell.seed)
}

/// The folders whose names begin as that of a cell's pretraining, whatever made them.
pub(super) fn begun_folders(out: &Path, cell: &Cell) -> impl Iterator<Item = PathBuf> {
    let (folders, begins) = (std::fs::read_dir(out.join("pretraining")), folder_begins(cell));
    let folders = folders.into_iter().flatten().flatten();
    folders.filter(move |e| e.file_name().to_string_lossy().starts_with(&begins)).map(|e| e.path())
}

/// What the bits of a pretraining depend on. Neither a label nor an image of another split is in it.
pub(super) fn provenance(job: &Job<'_>, one: Pretraining<'_>) -> Result<Provenance> {
    let Pretraining { images, method, seed, begun, limit } = one;
    let mut settings = pretraining_settings(job.config, method, seed);
    if let Some(limit) = limit {
        settings["steps"] = json!(limit); // without a limit there is no key, so older addresses stay valid
    }
    // The look at the backbone between epochs changes no bit of it, so it is not part of this.
    let schedules = steps(job, images, method, seed)?;
    Provenance::new(job.gpu, settings, &images.fingerprint, begun.address(), &schedules)
}

/// Pretrains into `folder` unless that is done. Returns the path of the backbone, and the folder's `done`.
pub(super) fn run(job: &Job<'_>, one: Pretraining<'_>, folder: &Path, made: &Provenance) -> Result<(PathBuf, Done)> {
    let done = once(job, folder, made, Ok, || Ready::new(job, one), |ready| ready.train(one, folder, made))?;
    Ok((folder.join(BACKBONE), done))
}

/// A pretraining whose plans are made. Nothing is written yet.
struct Ready<'a> {
    task: Unlabelled<'a>,
    promise: Promise,
    batches: Batches,
    state: State,
    turns: Vec<(Turn, Vec<String>)>,
    plans: Vec<Plans>,
}

impl<'a> Ready<'a> {
    fn new(job: &'a Job<'a>, one: Pretraining<'a>) -> Result<Self> {
        let Pretraining { images, method, seed, begun, .. } = one;
        begun.expect_model(&method.model)?;
        let batch = batch_for(method, images.store.count)?;
        let batches = batches(images.store.count, batch);
        job.say_batches(&method.optimization, batches);
        job.say_rate(&method.optimization, batch);
        if let Some(Group::ConstantRate { layer }) = method.method.group().filter(|_| method.optimization.epochs > 0) {
            let lr = method.optimization.for_batch(batch).optimizer.lr;
            job.progress.note(&format!("the learning rate of the layer {layer} stays {lr} in every step"));
        }
        if let Some(micro) = micro_batch(method, batch) {
            let key = &method.micro_batch_key;
            job.progress
                .note(&format!("{key}: the network and its batch norm see {micro} images at a time, the loss {batch}"));
        }
        notes::say(job, one, batch)?;
        let mut state = images.resident.clone();
        let record = |b| record(job, images, method, seed, b);
        let recorded = record(batch)?;
        let promise = Promise::of(job, &fitting(job, images, method, seed, &state)?, &state);
        promise.begin(job);
        begun.load(job, method.backbone.as_ref(), &mut state, &recorded)?;
        if let Some(last) = recorded.last() {
            last.params.fill(job.gpu, &mut state, seed)?;
        }
        recorded.iter().flat_map(|r| &r.tapes).try_for_each(|(t, _)| add_missing(job.gpu, &mut state, t))?;
        let name = name_of(method, &images.name, seed);
        let (eye, weights) =
            (Eye::new(method.backbone.clone(), images.mean, images.std), format!("the weights of {name}"));
        // Before the plans that only read: what moves takes tensors together only where no plan holds them yet.
        let plans = turns::compile(job, &state, &method.batch_key, (batches, sizes(method, batch)), &record)?;
        let mirror = Mirror::new(job, &eye, (&images.store, at_once(method, batch)), (&state, &weights))?;
        let columns = recorded.iter().flat_map(|r| r.columns.clone()).collect();
        let turns = recorded.into_iter().map(|r| (r.turn, r.columns)).collect();
        let task = Unlabelled { job, name, method, steps: batches.steps(), columns, mirror };
        Ok(Ready { task, promise, batches, state, turns, plans })
    }

    fn train(&self, one: Pretraining<'_>, folder: &Path, made: &Provenance) -> Result<Done> {
        let (job, images) = (self.task.job, one.images);
        let stage = Stage {
            job,
            name: self.task.name.clone(),
            phase: Phase::Pretrain,
            folder,
            address: made.address.clone(),
            seed: one.seed,
            optimization: one.method.optimization.for_batch(self.batches.whole),
            batches: self.batches,
            images: Some(&images.store),
            turns: self.turns.clone(),
            limit: one.limit,
            task: &self.task,
        };
        let at = load_cursor(folder, job.gpu, &self.state, made)?.unwrap_or_else(|| stage.start());
        let about = json!({
            "os": OS, "data": images.name, "mean": images.mean, "std": images.std, "begun_with": one.begun.about(),
            "left_out": images.left_out,
        });
        job.describe(folder, made, about)?;
        let (records, seconds, at) = stage.run(&self.plans, &self.state, at)?;
        self.promise.end(job);
        let loss = records.last().map(|r| r.loss);
        let (epochs, steps) = (at.epoch, at.epoch * stage.steps() + at.step);
        finish(job, one, (folder, made), (&self.state, &self.task.mirror), Ended { epochs, steps, loss, seconds })
    }
}

/// The end of a pretraining.
struct Ended {
    epochs: usize,
    steps: usize,
    /// Mean loss of the last epoch.
    loss: Option<f64>,
    seconds: f64,
}

/// Writes the results of a pretraining, `done` last.
fn finish(
    job: &Job<'_>,
    one: Pretraining<'_>,
    (folder, made): (&Path, &Provenance),
    (state, mirror): (&State, &Mirror),
    Ended { epochs, steps, loss, seconds }: Ended,
) -> Result<Done> {
    let (method, dataset) = (&one.method.name, &one.images.name);
    let spread = job.shared.evaluating(|| mirror.look(job))?;
    let collapsed = spread.collapsed();
    let mut by = backbone_metadata(job, one.images, (method, &one.method.model), &[], &made.address);
    if collapsed {
        by.insert(COLLAPSED.to_string(), true.into());
    }
    still_mine(folder)?;
    checkpoint::save_backbone(&folder.join(BACKBONE), job.gpu, state, "backbone.", steps as i64, by)?;
    let result = PretrainResult {
        dataset: dataset.clone(),
        method: method.clone(),
        seed: one.seed,
        epochs,
        steps,
        precision: one.method.optimization.precision,
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

/// A contrastive loss over fewer images is another loss, so images that do not fill a batch are left out.
pub(super) fn batches(images: usize, whole: usize) -> Batches {
    Batches { images, whole, last: LastBatch::Drop }
}

/// The name of a pretraining in messages.
fn name_of(method: &Pretrained, dataset: &str, seed: u64) -> String {
    format!("pretrain {} on {dataset}, seed {seed}", method.name)
}

/// The batch of a pretraining: the config's, or, if there are fewer images, the largest that the method can take.
pub(super) fn batch_for(method: &Pretrained, images: usize) -> Result<usize> {
    let Optimization { batch_size: wanted, micro_batch_size: micro, .. } = method.optimization;
    let batch = batch_of(wanted, images)?;
    let multiple = if micro > 0 && micro <= batch { micro } else { method.method.batch_multiple() };
    Ok(if batch < wanted { (batch / multiple * multiple).max(2) } else { batch })
}

/// The images of a micro-batch in a step of `batch` images. `None` if the network sees the whole batch.
fn micro_batch(method: &Pretrained, batch: usize) -> Option<usize> {
    let micro = method.optimization.micro_batch_size;
    (micro > 0).then(|| micro.min(batch))
}

/// How many images the network sees at a time in a step of `batch` images.
fn at_once(method: &Pretrained, batch: usize) -> usize {
    micro_batch(method, batch).unwrap_or(batch)
}

/// The turns of one step. Each has its views, its loss, and the update of what it trains.
pub(super) fn record(
    job: &Job<'_>,
    images: &TrainImages,
    method: &Pretrained,
    seed: u64,
    batch: usize,
) -> Result<Vec<Recorded>> {
    let (mean, std, out) = (images.mean, images.std, job.config.data.image_size as u32);
    record_with(job, method, batch, &StoreViews { store: &images.store, seed, out, mean, std })
}

/// The turns of one step, with views that `views` makes.
fn record_with(job: &Job<'_>, method: &Pretrained, batch: usize, views: &dyn Views) -> Result<Vec<Recorded>> {
    let update = Update {
        name: &method.name,
        optimization: &method.optimization,
        model: &method.model,
        size_key: &|one| method.size_key(one),
        group: method.method.group(),
    };
    let taped = |params: &mut Params, batch: usize, f: &mut Recording<'_>| {
        let mut t = Tape::new();
        let (indices, backbone) = (t.input("indices", Type::u32([batch]))?, method.backbone.as_ref());
        let (recipe, mode) = (&method.augmentation, Mode::Train);
        f(&mut Recorder { t: &mut t, params, backbone, recipe, batch, indices, views, mode })?;
        Ok(t)
    };
    let mut params = Params::of(method.optimization.precision);
    let mut recorded = Vec::new();
    for turn in turns::checked(&method.name, method.method.turns(), false)? {
        let minimize = |r: &mut Recorder<'_>| Ok((method.method.record(&turn, r)?, Vec::new()));
        let after = |r: &mut Recorder<'_>| method.method.after_update(&turn, r);
        let (tapes, columns) = match micro_batch(method, batch) {
            Some(micro) => {
                let (key, one) = (&*method.micro_batch_key, (&turn, &mut params));
                micro::record(job, &update, one, Parts { batch, micro, key }, &taped, &minimize, &after)?
            }
            None => {
                let mut columns = Vec::new();
                let tape = taped(&mut params, batch, &mut |r| {
                    columns = update.record(job, &turn, r, &minimize, &after)?;
                    Ok(())
                })?;
                (vec![(tape, 1)], columns)
            }
        };
        recorded.push(Recorded { turn, tapes, params: params.clone(), columns });
    }
    Ok(recorded)
}

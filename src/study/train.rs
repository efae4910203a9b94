//! Supervised training on labels that may be wrong, and the evaluation of what came out on clean test images.

use super::batches::{Batches, batch_of};
use super::config::Learning;
use super::cursor::Cursor;
use super::dataset::{Loaded, TrainImages};
use super::fit::Sizes;
use super::folder::{Done, busy, finished, locked};
use super::grid::Cell;
use super::metrics::{argmax, metrics};
use super::names::{BACKBONE, CONFIG, ENVIRONMENT, EPOCHS, LABELS, RESULT, STATE, STEPS};
use super::neighbours::knn;
use super::pass::{Eye, Pass};
use super::provenance::Provenance;
use super::results::{CellResult, EpochRecord, LabelRow, Phase, read_result, write_labels, write_result};
use super::sample_loss::{keep_losses, losses_before, losses_of};
use super::session::Job;
use super::settings::training_settings;
use super::stage::{EpochSums, Stage, Task, add_missing, load_cursor};
use super::start::{Start, backbone_metadata};
use super::statistics::mean_last;
use super::turns::{self, Plans, Recorded, Update, terms};
use crate::base::text::counted;
use crate::base::{Error, Result};
use crate::data::augment::StoreViews;
use crate::nn::recorder::{Progress, Recorder, Turn};
use crate::nn::{Mode, Params, Recipe, checkpoint};
use crate::noise;
use crate::noise::learn::{Batch, Epoch, EpochPlan, Known, Learner, informed};
use crate::tape::{Schedule, State, Tape, Type};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::cell::RefCell;
use std::env::consts::OS;
use std::path::Path;
use std::sync::Arc;

/// What training keeps between epochs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Memory {
    best_val_accuracy: f64,
    best_val_epoch: usize,
    best_val_test_accuracy: f64,
    /// Test accuracy of the last epochs, the newest last.
    test_accuracy: Vec<f64>,
}

impl Memory {
    /// What a cursor holds: null at the start. What cannot be read is damaged, and is not taken for a new start.
    fn read(value: serde_json::Value) -> Result<Memory> {
        if value.is_null() {
            return Ok(Memory::default());
        }
        serde_json::from_value(value)
            .map_err(|e| Error::Data(format!("the checkpoint's memory of earlier epochs is damaged ({e}); start anew")))
    }
}

/// The epochs at the end whose test accuracies are averaged: LNMBench's convention.
const LAST: usize = 5;

struct Labelled<'a> {
    job: &'a Job<'a>,
    set: &'a Loaded,
    given: Vec<u32>,
    learner: Arc<dyn Learner>,
    epochs: usize,
    /// Steps of an epoch.
    steps: usize,
    /// The columns of all rings, in order.
    columns: Vec<String>,
    /// What this epoch does with each image; none of learners that plan no epochs.
    plan: RefCell<Option<EpochPlan>>,
    train: Pass,
    val: Pass,
    test: Pass,
}

impl Labelled<'_> {
    fn classes(&self) -> usize {
        self.set.data.classes.len()
    }

    fn is_wrong(&self, i: usize) -> bool {
        self.given[i] != self.set.data.train.labels[i]
    }

    fn val_accuracy(&self) -> Result<f64> {
        let logits = self.val.logits(self.job)?;
        Ok(metrics(&logits, &self.set.data.val.labels, self.classes())?.accuracy)
    }

    fn test_accuracy(&self) -> Result<f64> {
        let logits = self.test.logits(self.job)?;
        Ok(metrics(&logits, &self.set.data.test.labels, self.classes())?.accuracy)
    }
}

impl Task for Labelled<'_> {
    fn inputs(&self, at: Progress, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        let plan = self.plan.borrow();
        let mut all = inputs(&self.given, &self.set.data.train.labels, (indices, self.classes()), plan.as_ref());
        all.extend(self.learner.inputs(at, indices));
        all
    }

    fn scalars(&self, at: Progress) -> Vec<(&'static str, f32)> {
        self.learner.scalars(at)
    }

    /// The losses that a plan follows from are put aside at the first step of its epoch, since its steps write new ones: a run
    /// that was stopped makes the same plan of them again.
    fn begin_epoch(&self, state: &State, at: Progress, usual: Vec<usize>) -> Result<Vec<usize>> {
        if !self.learner.plans_epochs() {
            return Ok(usual);
        }
        let (gpu, turns) = (self.job.gpu, self.learner.turns());
        let mut losses = Vec::new();
        for turn in &turns {
            let (newest, before) = (losses_of(turn), losses_before(turn));
            if at.step == 0 {
                state.write(gpu, &before, &state.read(gpu, &newest)?)?;
            }
            losses.push(state.read_f32(gpu, &before)?);
        }
        let (images, classes) = (self.given.len(), self.classes());
        let epoch = Epoch { at: Progress { step: 0, ..at }, losses, given: &self.given, classes, order: usual };
        let plan = self.learner.before_epoch(&epoch)?;
        plan.check(images, classes)?;
        let order = plan.order.clone();
        self.plan.replace(Some(plan));
        Ok(order)
    }

    fn epoch(
        &self,
        _: &State,
        sums: &EpochSums<'_>,
        record: &mut EpochRecord,
        memory: &mut serde_json::Value,
    ) -> Result<()> {
        let mut m = Memory::read(memory.take())?;
        let sum = |name: &str| self.columns.iter().position(|c| c == name).map_or(0.0, |i| sums.sums[i]);
        record.train_accuracy = Some(sum(CORRECT) / sums.seen.len() as f64);
        let wrong = sums.seen.iter().filter(|&&i| self.is_wrong(i)).count();
        record.wrong_label_memorised = (wrong > 0).then(|| sum(MEMORISED) / wrong as f64);
        record.terms = terms(&self.columns, sums.sums, self.steps, &[CORRECT, MEMORISED]);
        let val = self.val_accuracy()?;
        record.val_accuracy = Some(val);
        let improved = sums.epoch == 0 || val > m.best_val_accuracy;
        if improved || sums.epoch + LAST >= self.epochs {
            let test = self.test_accuracy()?;
            if improved {
                (m.best_val_accuracy, m.best_val_epoch, m.best_val_test_accuracy) = (val, sums.epoch + 1, test);
            }
            if sums.epoch + LAST >= self.epochs {
                m.test_accuracy.push(test);
            }
        }
        *memory = serde_json::to_value(m).map_err(|e| Error::Failed(format!("cannot keep the best epoch: {e}")))?;
        Ok(())
    }
}

/// The metrics of a step: how many images it takes for their given label, and how many of those labels are wrong.
const CORRECT: &str = "correct";
const MEMORISED: &str = "memorised";

/// What a step reads besides the images at `indices`: their given labels, what each counts, soft labels, and which of the
/// given ones are wrong. Without a plan each counts 1.
pub(super) fn inputs(
    given: &[u32],
    clean: &[u32],
    (indices, classes): (&[u32], usize),
    plan: Option<&EpochPlan>,
) -> Vec<(&'static str, Vec<u8>)> {
    let each = |f: &dyn Fn(usize) -> f32| indices.iter().map(|&i| f(i as usize)).collect::<Vec<f32>>();
    let labels: Vec<u32> = indices.iter().map(|&i| given[i as usize]).collect();
    let weights = each(&|i| plan.map_or(1.0, |p| p.weights[i]));
    let wrong = each(&|i| f32::from(u8::from(given[i] != clean[i])));
    let mut all = vec![
        ("labels", bytemuck::cast_slice(&labels).to_vec()),
        ("weights", bytemuck::cast_slice(&weights).to_vec()),
        ("wrong", bytemuck::cast_slice(&wrong).to_vec()),
    ];
    if let Some(plan) = plan {
        let soft = |i: usize, k: usize| match plan.targets.is_empty() {
            false => plan.targets[i * classes + k],
            true => f32::from(u8::from(given[i] as usize == k)),
        };
        let targets = indices.iter().flat_map(|&i| (0..classes).map(move |k| (i as usize, k)));
        let targets: Vec<f32> = targets.map(|(i, k)| soft(i, k)).collect();
        all.push(("targets", bytemuck::cast_slice(&targets).to_vec()));
        all.extend(plan.inputs.iter().map(|(name, of)| (*name, bytemuck::cast_slice(&each(&|i| of[i])).to_vec())));
    }
    all
}

fn batches(job: &Job<'_>, learning: &Learning, set: &Loaded) -> Result<Batches> {
    let images = set.data.train.len();
    let whole = batch_of(learning.optimization.batch_size, images)?;
    Ok(Batches { images, whole, last: job.config.training.last_batch })
}

/// The schedules of the plans that a cell runs: the passes of its evaluation, then the training steps.
pub(super) fn schedules(job: &Job<'_>, set: &Loaded, cell: &Cell) -> Result<Vec<Schedule>> {
    let (c, classes, train) = (job.config, set.data.classes.len(), &set.train);
    let (stores, eye) = ([&train.store, &set.val, &set.test], Eye::of(job, set, cell)?);
    let mut tapes = Pass::tapes(job, &eye, &stores, Some(classes), c.evaluation.batch_size)?;
    for batch in batches(job, &c.learning_of(&cell.method)?, set)?.sizes() {
        tapes.extend(record(job, train, cell, classes, batch)?.into_iter().map(|r| r.tape));
    }
    tapes.iter().map(|t| job.schedule(t)).collect()
}

/// What the bits of a cell depend on.
fn provenance(job: &Job<'_>, set: &Loaded, cell: &Cell, start: Option<&Start>) -> Result<Provenance> {
    let start = start.map_or("random", |s| &s.address);
    let settings = training_settings(job.config, cell)?;
    Provenance::new(job.gpu, settings, &set.data.fingerprint, start, &schedules(job, set, cell)?)
}

/// Trains a cell into `folder` unless that is done, and returns its result.
pub(super) fn run(
    job: &Job<'_>,
    set: &Loaded,
    cell: &Cell,
    start: Option<&Start>,
    folder: &Path,
) -> Result<CellResult> {
    let made = provenance(job, set, cell, start)?;
    let kept = || finished(folder, &made)?.map(|done| read_result(folder, &done)).transpose();
    if let Some(result) = kept()? {
        return Ok(result);
    }
    if busy(folder)? {
        return Err(Error::Busy(folder.to_path_buf())); // before minutes of compiling
    }
    // What can be refused is refused before the folder is touched.
    let ready = Ready::new(job, set, cell, start)?;
    locked(folder, || {
        if let Some(result) = kept()? {
            return Ok(result); // of another process, meanwhile
        }
        let at = load_cursor(folder, job.gpu, &ready.state, &made)?;
        let (data, train) = (&set.data, &set.train);
        let weights = start.map(|s| json!({ "made_by": s.made_by, "file": s.path.file_name().map(|n| n.to_string_lossy()), "sha256": s.sha256 }));
        let about = json!({
            "os": OS, "data": data.name, "classes": data.classes, "mean": train.mean, "std": train.std,
            "weights": weights, "left_out": data.left_out,
        });
        job.describe(folder, &made, about)?;
        write_labels(&folder.join(LABELS), &LabelRow::all(&data.train, &ready.task.given))?;
        let result = ready.train(cell, at, folder, &made.address)?;
        write_result(folder, &result)?;
        Done::write(folder, &made.address, &[CONFIG, ENVIRONMENT, LABELS, EPOCHS, STEPS, STATE, BACKBONE, RESULT])?;
        Ok(result)
    })
}

/// A cell whose plans are made, with nothing written yet.
struct Ready<'a> {
    task: Labelled<'a>,
    made_by: String,
    collapsed: Option<bool>,
    learning: Learning,
    eye: Eye,
    batches: Batches,
    state: State,
    turns: Vec<(Turn, Vec<String>)>,
    plans: Vec<Plans>,
}

impl<'a> Ready<'a> {
    fn new(job: &'a Job<'a>, set: &'a Loaded, cell: &Cell, start: Option<&Start>) -> Result<Self> {
        let (data, classes) = (&set.data, set.data.classes.len());
        let given = cell.given(data)?;
        let mut learning = job.config.learning_of(&cell.method)?;
        learning.learner = informed(&learning.learner, &Known::of(&data.train.labels, &given, classes)?)?;
        let batches = batches(job, &learning, set)?;
        job.say_batches(learning.optimization.batch_size, batches);
        job.say_rate(&learning.optimization, batches.whole);
        say_late(job, &learning);
        let mut state = set.resident.clone();
        let recorded = record(job, &set.train, cell, classes, batches.whole)?;
        let record = |b| record(job, &set.train, cell, classes, b);
        let (stores, eye) = ([&set.train.store, &set.val, &set.test], Eye::of(job, set, cell)?);
        let eval = Pass::batch(job, &stores);
        let passes = |batch| Pass::tapes(job, &eye, &stores, Some(classes), batch);
        job.fitting(&state, "evaluation.batch_size", eval, Sizes::from(1), &passes)?;
        let steps = turns::tapes(batches, &record);
        let both = |whole| Ok([passes(eval)?, steps(whole)?].concat());
        job.fitting(&state, &learning.batch_key, batches.whole, Sizes::from(2), &both)?;
        if let Some(start) = start {
            start.load(job, &data.classes, eye.backbone.as_ref(), &mut state)?;
            if let Some(last) = recorded.last() {
                spread(job, &last.params, &mut state)?;
            }
        }
        if let Some(last) = recorded.last() {
            last.params.fill(job.gpu, &mut state, cell.seed)?;
        }
        recorded.iter().try_for_each(|r| add_missing(job.gpu, &mut state, &r.tape))?;
        for before in learning.learner.turns().iter().filter(|_| learning.learner.plans_epochs()).map(losses_before) {
            state.insert(job.gpu, &before, Type::f32([data.train.len(), 1]), None)?;
        }
        let weights = format!("the weights of {}", cell.name);
        let [train, val, test] = Pass::each(job, &eye, stores, (&state, &weights), Some(classes))?;
        let plans = turns::compile(job, &state, &learning.batch_key, (batches, Sizes::from(2)), &record)?;
        let columns = recorded.iter().flat_map(|r| r.columns.clone()).collect();
        let turns = recorded.into_iter().map(|r| (r.turn, r.columns)).collect();
        let (learner, steps, epochs) = (learning.learner.clone(), batches.steps(), learning.optimization.epochs);
        let plan = RefCell::new(None);
        let task = Labelled { job, set, given, learner, epochs, steps, columns, plan, train, val, test };
        let made_by = start.map_or("none".to_string(), |s| s.made_by.clone());
        let collapsed = start.and_then(|s| s.collapsed);
        Ok(Ready { task, made_by, collapsed, learning, eye, batches, state, turns, plans })
    }

    fn train(&self, cell: &Cell, at: Option<Cursor>, folder: &Path, address: &str) -> Result<CellResult> {
        let (job, data) = (self.task.job, &self.task.set.data);
        let stage = Stage {
            job,
            name: cell.name.clone(),
            phase: Phase::Train,
            folder,
            address: address.to_string(),
            seed: cell.seed,
            batches: self.batches,
            turns: self.turns.clone(),
            limit: None,
            task: &self.task,
            optimization: self.learning.optimization.for_batch(self.batches.whole),
        };
        let (records, seconds, at) = stage.run(&self.plans, &self.state, at.unwrap_or_else(|| stage.start()))?;
        let steps = (records.len() * stage.steps()) as i64;
        let by = (&*cell.method, &job.config.model_of(&cell.pretraining)?);
        let made = backbone_metadata(job, &self.task.set.train, by, &data.classes, address);
        let path = folder.join(BACKBONE);
        checkpoint::save_backbone(&path, job.gpu, &self.state, "backbone.", steps, made)?;
        summarize(&self.task, (cell, &self.eye), (&self.made_by, self.collapsed), &at, (records.len(), seconds))
    }
}

/// The turns of one step: what the learner records of the images and their labels, the update, the metrics.
pub(super) fn record(
    job: &Job<'_>,
    images: &TrainImages,
    cell: &Cell,
    classes: usize,
    batch: usize,
) -> Result<Vec<Recorded>> {
    let (c, learning) = (&job.config.training, job.config.learning_of(&cell.method)?);
    let (model, crop_ratio) = (job.config.model_of(&cell.pretraining)?, job.config.augmentation.crop_ratio);
    let (crop_scale, flip_probability) = (c.crop_scale, c.flip_probability);
    let recipe = Recipe { off: false, crop_scale, crop_ratio, flip_probability, ..Recipe::PLAIN };
    let (mean, std, out) = (images.mean, images.std, job.config.data.image_size as u32);
    let views = StoreViews { store: &images.store, seed: cell.seed, out, mean, std };
    let backbone = model.backbone(job.config.data.channels)?;
    let name = &*cell.method;
    let update = Update { name, optimization: &learning.optimization, model: &model, size_key: &|_| None };
    let mut params = Params::new();
    let mut recorded = Vec::new();
    for turn in turns::checked(&cell.method, learning.learner.turns(), true)? {
        let mut t = Tape::new();
        let indices = t.input("indices", Type::u32([batch]))?;
        let labels = t.input("labels", Type::u32([batch]))?;
        let weights = t.input("weights", Type::f32([batch]))?;
        let plans = learning.learner.plans_epochs();
        let targets = plans.then(|| t.input("targets", Type::f32([batch, classes]))).transpose()?;
        let first = recorded.is_empty();
        let wrong = first.then(|| t.input("wrong", Type::f32([batch]))).transpose()?;
        let (params_of, recipe, views, mode) = (&mut params, &recipe, &views, Mode::Train);
        let backbone = backbone.as_ref();
        let mut r = Recorder { t: &mut t, params: params_of, backbone, recipe, batch, indices, views, mode };
        let labelled = Batch { labels, weights, targets, classes, images: images.store.count };
        let learned = |r: &mut Recorder<'_>| {
            let learned = learning.learner.record(&turn, r, &labelled)?;
            if plans {
                keep_losses(r, &turn, &learned, images.store.count)?;
            }
            let mut metrics = Vec::new();
            if let Some(wrong) = wrong {
                // Each image counts once, whatever a plan lets it count in the loss.
                let once = if plans { r.t.fill([batch], 1.0)? } else { weights };
                metrics.push((CORRECT, r.t.correct(learned.logits, labels, once)?));
                metrics.push((MEMORISED, r.t.correct(learned.logits, labels, wrong)?));
            }
            Ok((learned.loss, metrics))
        };
        let after = |r: &mut Recorder<'_>| learning.learner.after_update(&turn, r);
        let columns = update.record(job, &turn, &mut r, &learned, &after)?;
        recorded.push(Recorded { turn, tape: t, params: params.clone(), columns });
    }
    Ok(recorded)
}

/// Gives the backbone of every further player what was loaded for the first: all networks start from the same weights.
fn spread(job: &Job<'_>, params: &Params, state: &mut State) -> Result<()> {
    for p in params.list().iter().filter(|p| !p.player.is_empty()) {
        let bare = p.name.strip_prefix(p.player).and_then(|n| n.strip_prefix('.')).unwrap_or_default();
        if bare.starts_with("backbone.") && state.ty(bare) == Some(p.ty) {
            let bytes = state.read(job.gpu, bare)?;
            state.insert(job.gpu, &p.name, p.ty, Some(&bytes))?;
        }
    }
    Ok(())
}

/// Warns where the run ends before its method begins.
fn say_late(job: &Job<'_>, learning: &Learning) {
    let (name, epochs) = (&learning.name, learning.optimization.epochs);
    if let Some((key, first)) = learning.learner.begins_after().filter(|(_, first)| *first >= epochs && epochs > 0) {
        job.progress.note(&format!(
            "warning: training.{name}.{key} is {first}, and the run has {}: until then {name} is cross-entropy alone",
            counted(epochs, "epoch")
        ));
    }
}

fn summarize(
    task: &Labelled<'_>,
    (cell, eye): (&Cell, &Eye),
    (made_by, collapsed): (&str, Option<bool>),
    at: &Cursor,
    (epochs, seconds): (usize, f64),
) -> Result<CellResult> {
    let (job, data, classes) = (task.job, &task.set.data, task.classes());
    let mut memory = Memory::read(at.memory.clone())?;
    let [logits, features] = task.test.both(job)?;
    let test = metrics(&logits, &data.test.labels, classes)?;
    if epochs == 0 {
        (memory.best_val_accuracy, memory.best_val_test_accuracy) = (task.val_accuracy()?, test.accuracy);
    }
    let [train_logits, train_features] = task.train.both(job)?;
    // The true labels vote: what the features are worth, whatever the classifier on top was taught.
    let c = &job.config.evaluation;
    let labels = (&data.train.labels[..], &data.test.labels[..]);
    let neighbours = knn(job, (&train_features, labels.0), (&features, labels.1), eye.backbone.features())?;
    let wrong: Vec<usize> = (0..task.given.len()).filter(|&i| task.is_wrong(i)).collect();
    let predicted = argmax(&train_logits, classes);
    let fooled = wrong.iter().filter(|&&i| predicted[i] == task.given[i]).count();
    Ok(CellResult {
        dataset: cell.dataset.to_string(),
        pretraining: made_by.to_string(),
        noise_kind: cell.noise_kind.map_or("none".to_string(), |k| k.to_string()),
        noise_rate: cell.noise_rate,
        realised_noise_rate: noise::realised_rate(&data.train.labels, &task.given)?,
        method: cell.method.to_string(),
        method_told: job.config.learning_of(&cell.method)?.learner.told().to_string(),
        protocol: cell.protocol,
        seed: cell.seed,
        test_accuracy: test.accuracy,
        balanced_accuracy: test.balanced_accuracy,
        macro_f1: test.macro_f1,
        auroc: test.auroc,
        knn_accuracy: Some(neighbours.accuracy),
        knn_weighted_accuracy: Some(neighbours.weighted_accuracy),
        knn_neighbours: Some(c.knn_neighbours),
        knn_temperature: Some(c.knn_temperature),
        linear_weight_decay: None,
        best_val_accuracy: memory.best_val_accuracy,
        best_val_epoch: memory.best_val_epoch,
        best_val_test_accuracy: Some(memory.best_val_test_accuracy),
        last5_test_accuracy: (epochs > 0).then(|| mean_last(&memory.test_accuracy, LAST)),
        memorised_fraction: (!wrong.is_empty()).then(|| fooled as f64 / wrong.len() as f64),
        pretraining_collapsed: collapsed,
        classes,
        train_images: data.train.len(),
        val_images: data.val.len(),
        test_images: data.test.len(),
        dropped_duplicates: data.dropped_duplicates,
        epochs,
        seconds,
        adapter: job.gpu.adapter().name.clone(),
    })
}

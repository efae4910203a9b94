//! Supervised training on labels that may be wrong, and the evaluation of what came out on clean test images.

mod estimate;
mod planned;
mod summary;

use super::batches::{Batches, batch_of};
use super::config::Learning;
use super::cursor::Cursor;
use super::dataset::{Loaded, TrainImages};
use super::fit::Sizes;
use super::folder::{Done, busy, finished, locked};
use super::grid::Cell;
use super::labels::Labels;
use super::metrics::metrics;
use super::names::{BACKBONE, CONFIG, ENVIRONMENT, EPOCHS, LABELS, PREDICTIONS, PROJECTION, RESULT, STATE, STEPS};
use super::pass::{Eye, Pass};
use super::provenance::Provenance;
use super::results::{CellResult, EpochRecord, LabelRow, Phase, read_result, write_labels, write_result};
use super::sample_loss::{SELECTED, keep, keep_losses, losses_before, losses_of};
use super::session::Job;
use super::settings::training_settings;
use super::stage::{EpochSums, Stage, Task, add_missing, begun, load_cursor};
use super::start::{Start, backbone_metadata};
use super::turns::{self, Plans, Recorded, Update, terms};
use crate::base::text::counted;
use crate::base::{Error, Result, files};
use crate::data::augment::StoreViews;
use crate::data::store::ImageStore;
use crate::nn::recorder::{Progress, Recorder, Turn};
use crate::nn::{Mode, Params, Recipe, checkpoint};
use crate::noise::learn::{Batch, Epoch, EpochPlan, Known, Learner, informed};
use crate::tape::{Schedule, State, Tape, Type};
use estimate::{Estimate, first_stage};
pub(super) use planned::plan;
use planned::tapes;
use serde_json::json;
use std::cell::RefCell;
use std::env::consts::OS;
use std::path::Path;
use std::sync::Arc;

struct Labelled<'a> {
    job: &'a Job<'a>,
    set: &'a Loaded,
    given: Labels,
    learner: Arc<dyn Learner>,
    /// Steps of an epoch.
    steps: usize,
    /// The columns of all rings, in order.
    columns: Vec<String>,
    /// What this epoch does with each image; none of learners that plan no epochs.
    plan: RefCell<Option<EpochPlan>>,
    /// Passes over the training, validation and test images by the first network and, where there is one, the second.
    first: [Pass; 3],
    second: Option<[Pass; 3]>,
}

impl Labelled<'_> {
    fn classes(&self) -> usize {
        self.set.data.classes.len()
    }

    fn is_wrong(&self, i: usize) -> bool {
        self.given.train[i] != self.set.data.train.labels[i]
    }

    /// Accuracy of the first network on validation and on test images.
    fn accuracies(&self) -> Result<[f64; 2]> {
        let (data, [_, val, test]) = (&self.set.data, &self.first);
        let of = |pass: &Pass, labels: &[u32]| Ok(metrics(&pass.logits(self.job)?, labels, self.classes())?.accuracy);
        Ok([of(val, &self.given.val)?, of(test, &data.test.labels)?])
    }

    /// Of the images that an epoch saw, how many of those that it took are right, and how many of the right ones it took.
    fn selection(&self, state: &State, seen: &[usize]) -> Result<[Option<f64>; 2]> {
        if state.ty(SELECTED).is_none() {
            return Ok([None; 2]);
        }
        let table = state.read_f32(self.job.gpu, SELECTED)?;
        let share = |of: f64, all: f64| (all > 0.0).then(|| of / all);
        let (mut taken, mut right, mut both) = (0.0, 0.0, 0.0);
        for &i in seen {
            let (t, r) = (f64::from(table[i]), f64::from(u8::from(!self.is_wrong(i))));
            (taken, right, both) = (taken + t, right + r, both + t * r);
        }
        Ok([share(both, taken), share(both, right)])
    }
}

impl Task for Labelled<'_> {
    fn inputs(&self, at: Progress, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        let plan = self.plan.borrow();
        let mut all = inputs(&self.given.train, &self.set.data.train.labels, (indices, self.classes()), plan.as_ref());
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
        let (given, classes) = (&self.given.train[..], self.classes());
        let epoch = Epoch { at: Progress { step: 0, ..at }, losses, given, classes, order: usual };
        let plan = self.learner.before_epoch(&epoch)?;
        plan.check(given.len(), classes)?;
        let order = plan.order.clone();
        self.plan.replace(Some(plan));
        Ok(order)
    }

    fn epoch(
        &self,
        state: &State,
        sums: &EpochSums<'_>,
        record: &mut EpochRecord,
        _: &mut serde_json::Value,
    ) -> Result<()> {
        let sum = |name: &str| self.columns.iter().position(|c| c == name).map_or(0.0, |i| sums.sums[i]);
        record.train_accuracy = Some(sum(CORRECT) / sums.seen.len() as f64);
        let wrong = sums.seen.iter().filter(|&&i| self.is_wrong(i)).count();
        record.wrong_label_memorised = (wrong > 0).then(|| sum(MEMORISED) / wrong as f64);
        record.terms = terms(&self.columns, sums.sums, self.steps, &[CORRECT, MEMORISED]);
        [record.val_accuracy, record.test_accuracy] = self.accuracies()?.map(Some);
        [record.selection_precision, record.selection_recall] = self.selection(state, sums.seen)?;
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

/// The schedules of the plans that a cell runs: the passes of its evaluation, then the training steps. All images are on the
/// device in them: where they are streamed, the bits are the same.
pub(super) fn schedules(job: &Job<'_>, set: &Loaded, cell: &Cell) -> Result<Vec<Schedule>> {
    let (c, classes, train) = (job.config, set.data.classes.len(), set.train.resident());
    let learning = c.learning_of(&cell.method)?;
    let (resident, mut tapes) = (set.stores().map(ImageStore::resident), Vec::new());
    let stores = resident.each_ref();
    for eye in eyes(job, set, cell, learning.learner.as_ref())? {
        tapes.extend(Pass::tapes(job, &eye, &stores, Some(classes), c.evaluation.batch_size)?);
    }
    for batch in batches(job, &learning, set)?.sizes() {
        tapes.extend(record(job, &train, cell, classes, batch)?.into_iter().flat_map(|r| r.tapes).map(|t| t.0));
    }
    tapes.iter().map(|t| job.schedule(t)).collect()
}

/// The networks of a cell for evaluation: the first, and the second where there are two.
fn eyes(job: &Job<'_>, set: &Loaded, cell: &Cell, learner: &dyn Learner) -> Result<Vec<Eye>> {
    let first = Eye::of(job, set, cell)?;
    let turns = learner.turns();
    let second = turns.iter().flat_map(|turn| turn.trains).find(|player| !player.is_empty());
    let second = second.map(|player| first.of_player(player));
    Ok(std::iter::once(first).chain(second).collect())
}

/// What the bits of a cell depend on.
fn provenance(
    job: &Job<'_>,
    set: &Loaded,
    (cell, given): (&Cell, &Labels),
    start: Option<&Start>,
) -> Result<Provenance> {
    let start = start.map_or("random", |s| &s.address);
    let mut settings = training_settings(job.config, cell)?;
    let mut steps = schedules(job, set, cell)?;
    if let Some((first, _)) = first_stage(job, cell)? {
        settings["first_stage"] = training_settings(job.config, &first)?;
        steps.extend(schedules(job, set, &first)?);
    }
    if let Some(labels) = cell.file_labels(given) {
        settings["given_labels"] = json!(labels);
    }
    Provenance::new(job.gpu, settings, &set.data.fingerprint, start, &steps)
}

/// What a finished folder holds; the projection where there is one.
const FILES: [&str; 10] =
    [CONFIG, ENVIRONMENT, LABELS, EPOCHS, STEPS, STATE, BACKBONE, PREDICTIONS, PROJECTION, RESULT];

/// Trains a cell into `folder` unless that is done, and returns its result.
pub(super) fn run(
    job: &Job<'_>,
    set: &Loaded,
    cell: &Cell,
    start: Option<&Start>,
    folder: &Path,
) -> Result<CellResult> {
    let given = cell.given(&set.data, job.data_root)?;
    let made = provenance(job, set, (cell, &given), start)?;
    let kept = || finished(folder, &made)?.map(|done| read_result(folder, &done)).transpose();
    if let Some(result) = kept()? {
        return Ok(result);
    }
    if busy(folder)? {
        return Err(Error::Busy(folder.to_path_buf())); // before minutes of compiling
    }
    // What can be refused is refused before the folder is touched. A first stage trains in the folder: it has to be held.
    let ready = |estimate| Ready::new(job, set, (cell, given.clone()), start, estimate);
    let early = if first_stage(job, cell)?.is_none() { Some(ready(Estimate::default())?) } else { None };
    locked(folder, || {
        if let Some(result) = kept()? {
            return Ok(result); // of another process, meanwhile
        }
        let ready = match early {
            Some(early) => early,
            None => {
                begun(folder, &made)?; // another run's is refused before a first stage is trained
                ready(Estimate::of(job, set, cell, start, folder)?)?
            }
        };
        let at = load_cursor(folder, job.gpu, &ready.state, &made)?;
        let (data, train) = (&set.data, &set.train);
        let weights = start.map(|s| json!({ "made_by": s.made_by, "file": s.path.file_name().map(|n| n.to_string_lossy()), "sha256": s.sha256 }));
        let about = json!({
            "os": OS, "data": data.name, "classes": data.classes, "mean": train.mean, "std": train.std,
            "weights": weights, "left_out": data.left_out,
        });
        job.describe(folder, &made, about)?;
        write_labels(&folder.join(LABELS), &LabelRow::all(&data.train, &ready.task.given.train))?;
        let result = ready.train(cell, at, folder, &made.address)?;
        write_result(folder, &result)?;
        // Features that are not finite have no picture.
        let drawn = files::exists(&folder.join(PROJECTION))?;
        let names: Vec<&str> = FILES.into_iter().filter(|name| *name != PROJECTION || drawn).collect();
        Done::write(folder, &made.address, &names)?;
        Ok(result)
    })
}

/// A cell whose plans are made, with nothing written yet.
struct Ready<'a> {
    task: Labelled<'a>,
    made_by: String,
    collapsed: Option<bool>,
    learning: Learning,
    estimate: Estimate,
    /// Width of the backbone's features.
    features: usize,
    batches: Batches,
    state: State,
    turns: Vec<(Turn, Vec<String>)>,
    plans: Vec<Plans>,
}

impl<'a> Ready<'a> {
    fn new(
        job: &'a Job<'a>,
        set: &'a Loaded,
        (cell, given): (&Cell, Labels),
        start: Option<&Start>,
        estimate: Estimate,
    ) -> Result<Self> {
        let (data, classes) = (&set.data, set.data.classes.len());
        let mut learning = job.config.learning_of(&cell.method)?;
        let estimated = estimate.matrix.clone();
        let known = Known { estimated, ..Known::of(&data.train.labels, &given.train, classes)? };
        learning.learner = informed(&learning.learner, &known)?;
        let batches = batches(job, &learning, set)?;
        job.say_batches(&learning.optimization, batches);
        job.say_rate(&learning.optimization, batches.whole);
        say_late(job, &learning);
        let mut state = set.resident.clone();
        let recorded = record(job, &set.train, cell, classes, batches.whole)?;
        let record = |b| record(job, &set.train, cell, classes, b);
        let (stores, eyes) = (set.stores(), eyes(job, set, cell, learning.learner.as_ref())?);
        let eval = Pass::batch(job, &stores);
        let passes = |batch| {
            let of = |eye: &Eye| Pass::tapes(job, eye, &stores, Some(classes), batch);
            Ok(eyes.iter().map(of).collect::<Result<Vec<_>>>()?.concat())
        };
        job.fitting(&state, "evaluation.batch_size", eval, Sizes::from(1), &passes)?;
        let both = |whole| tapes(job, set, cell, Batches { whole, ..batches });
        job.fitting(&state, &learning.batch_key, batches.whole, Sizes::from(2), &both)?;
        if let Some(start) = start {
            start.load(job, &data.classes, eyes[0].backbone.as_ref(), &mut state)?;
            if let Some(last) = recorded.last() {
                spread(job, &last.params, &mut state)?;
            }
        }
        if let Some(last) = recorded.last() {
            last.params.fill(job.gpu, &mut state, cell.seed)?;
        }
        recorded.iter().flat_map(|r| &r.tapes).try_for_each(|(t, _)| add_missing(job.gpu, &mut state, t))?;
        for before in learning.learner.turns().iter().filter(|_| learning.learner.plans_epochs()).map(losses_before) {
            state.insert(job.gpu, &before, Type::f32([data.train.len(), 1]), None)?;
        }
        let weights = format!("the weights of {}", cell.name);
        let each = |eye: &Eye| Pass::each(job, eye, stores, (&state, &weights), Some(classes));
        let (first, second) = (each(&eyes[0])?, eyes.get(1).map(each).transpose()?);
        let plans = turns::compile(job, &state, &learning.batch_key, (batches, Sizes::from(2)), &record)?;
        let columns = recorded.iter().flat_map(|r| r.columns.clone()).collect();
        let turns = recorded.into_iter().map(|r| (r.turn, r.columns)).collect();
        let (learner, steps, features) = (learning.learner.clone(), batches.steps(), eyes[0].backbone.features());
        let plan = RefCell::new(None);
        let task = Labelled { job, set, given, learner, steps, columns, plan, first, second };
        let made_by = start.map_or("none".to_string(), |s| s.made_by.clone());
        let collapsed = start.and_then(|s| s.collapsed);
        Ok(Ready { task, made_by, collapsed, learning, estimate, features, batches, state, turns, plans })
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
            images: Some(&self.task.set.train.store),
            turns: self.turns.clone(),
            limit: None,
            task: &self.task,
            optimization: self.learning.optimization.for_batch(self.batches.whole),
        };
        let (records, seconds, _) = stage.run(&self.plans, &self.state, at.unwrap_or_else(|| stage.start()))?;
        let steps = (records.len() * stage.steps()) as i64;
        let by = (&*cell.method, &job.config.model_of(&cell.pretraining)?);
        let made = backbone_metadata(job, &self.task.set.train, by, &data.classes, address);
        let path = folder.join(BACKBONE);
        checkpoint::save_backbone(&path, job.gpu, &self.state, "backbone.", steps, made)?;
        summary::summarize(self, cell, folder, (&records, seconds))
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
    let update = Update { name, optimization: &learning.optimization, model: &model, size_key: &|_| None, held: None };
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
            if let Some(selected) = learned.selected.filter(|_| first) {
                keep(r, SELECTED, selected, images.store.count)?;
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
        recorded.push(Recorded { turn, tapes: vec![(t, 1)], params: params.clone(), columns });
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

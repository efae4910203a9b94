//! Supervised training on labels that may be wrong, and its evaluation on clean test images.

mod estimate;
mod labelled;
mod planned;
mod summary;

use super::batches::{Batches, batch_of};
use super::cell::{about, provenance_of, settings_hash, tell};
use super::config::Learning;
use super::cursor::Cursor;
use super::dataset::{Loaded, TrainImages};
use super::fit::Sizes;
use super::folder::{Done, once};
use super::grid::Cell;
use super::labels::Labels;
use super::names::{BACKBONE, CONFIG, ENVIRONMENT, EPOCHS, LABELS, PREDICTIONS, PROJECTION, RESULT, STATE, STEPS};
use super::owner::still_mine;
use super::pass::{Eye, Pass};
use super::provenance::Provenance;
use super::results::{CellResult, LabelRow, Phase, read_result, stamp, write_labels, write_result};
use super::sample_loss::{SELECTED, keep, keep_losses, losses_before};
use super::session::Job;
use super::settings::training_settings;
use super::stage::{Stage, add_missing, begun, load_cursor};
use super::start::{Start, backbone_metadata};
use super::turns::{self, Plans, Recorded, Update};
use crate::base::text::counted;
use crate::base::{Result, files};
use crate::data::augment::StoreViews;
use crate::data::store::ImageStore;
use crate::nn::recorder::{Recorder, Turn};
use crate::nn::{Mode, Params, Recipe, checkpoint};
use crate::noise::learn::{Batch, Known, Learner, informed};
use crate::tape::{Schedule, State, Tape, Type};
use estimate::{Estimate, first_stage};
pub(super) use labelled::inputs;
use labelled::{CORRECT, Labelled, MEMORISED};
use planned::tapes;
pub(super) use planned::{outlay, plan};
use serde_json::json;
use std::cell::RefCell;
use std::path::Path;

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

/// The networks of a cell for evaluation: the first and, if there are two, the second.
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
    let mut settings = training_settings(job.config, cell)?;
    let mut steps = schedules(job, set, cell)?;
    if let Some((first, _)) = first_stage(job, cell)? {
        settings["first_stage"] = training_settings(job.config, &first)?;
        steps.extend(schedules(job, set, &first)?);
    }
    provenance_of(job, set, (cell, given), start, (settings, &steps))
}

/// The address of a cell, see [`Provenance`].
pub(super) fn address(job: &Job<'_>, set: &Loaded, cell: &Cell, start: Option<&Start>) -> Result<String> {
    let given = cell.given(&set.data, job.data_root)?;
    Ok(provenance(job, set, (cell, &given), start)?.address)
}

/// The files of a finished folder. There is not always a projection.
const FILES: [&str; 10] =
    [CONFIG, ENVIRONMENT, LABELS, EPOCHS, STEPS, STATE, BACKBONE, PREDICTIONS, PROJECTION, RESULT];

/// Trains a cell into `folder`, unless that is done. Returns its result.
pub(super) fn run(
    job: &Job<'_>,
    set: &Loaded,
    cell: &Cell,
    start: Option<&Start>,
    folder: &Path,
) -> Result<CellResult> {
    let given = cell.given(&set.data, job.data_root)?;
    let made = provenance(job, set, (cell, &given), start)?;
    let ready = |estimate| Ready::new(job, set, (cell, given.clone()), start, estimate);
    // A first stage trains in the folder, so the folder must be locked before it.
    let early = || -> Result<_> {
        match first_stage(job, cell)? {
            Some(_) => Ok(None),
            None => ready(Estimate::default()).map(Some),
        }
    };
    let read = |done: Done| read_result(folder, &done);
    once(job, folder, &made, read, early, |early| {
        let ready = match early {
            Some(early) => early,
            None => {
                begun(folder, &made)?; // refuses the folder of another run before a first stage is trained
                ready(Estimate::of(job, set, cell, start, folder)?)?
            }
        };
        let at = load_cursor(folder, job.gpu, &ready.state, &made)?;
        let mut about = about(set);
        let file = |s: &Start| s.path.file_name().map(|n| n.to_string_lossy().into_owned());
        about["weights"] = json!(start.map(|s| json!({ "made_by": s.made_by, "file": file(s), "sha256": s.sha256 })));
        job.describe(folder, &made, about)?;
        still_mine(folder)?;
        write_labels(&folder.join(LABELS), &LabelRow::all(&set.data.train, &ready.task.given.train))?;
        let mut result = ready.train(cell, at, folder, &made.address)?;
        stamp(&made, job.table_hash(), &mut result)?;
        result.settings_hash = settings_hash(&made, start)?;
        write_result(folder, &result)?;
        // There is no projection if features are not finite.
        let drawn = files::exists(&folder.join(PROJECTION))?;
        let names: Vec<&str> = FILES.into_iter().filter(|name| *name != PROJECTION || drawn).collect();
        Done::write(folder, &made.address, &names)?;
        let epochs = counted(result.epochs, "epoch");
        tell(job, cell, &result, &format!("{epochs} in {:.1} s", result.seconds));
        Ok(result)
    })
}

/// A cell whose plans are made. Nothing is written yet.
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
        // Before the plans that only read: what moves takes tensors together only where no plan holds them yet.
        let plans = turns::compile(job, &state, &learning.batch_key, (batches, Sizes::from(2)), &record)?;
        let weights = format!("the weights of {}", cell.name);
        let each = |eye: &Eye| Pass::each(job, eye, stores, (&state, &weights), Some(classes));
        let (first, second) = (each(&eyes[0])?, eyes.get(1).map(each).transpose()?);
        let columns = recorded.iter().flat_map(|r| r.columns.clone()).collect();
        let turns = recorded.into_iter().map(|r| (r.turn, r.columns)).collect();
        let (learner, steps, features) = (learning.learner.clone(), batches.steps(), eyes[0].backbone.features());
        let (plan, last, epochs) = (RefCell::new(None), RefCell::new(None), learning.optimization.epochs);
        let task = Labelled { job, set, given, learner, steps, epochs, columns, plan, first, second, last };
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
        let by = (&*cell.method, &cell.model(job.config)?);
        let made = backbone_metadata(job, &self.task.set.train, by, &data.classes, address);
        let path = folder.join(BACKBONE);
        still_mine(folder)?;
        checkpoint::save_backbone(&path, job.gpu, &self.state, "backbone.", steps, made)?;
        job.shared.evaluating(|| summary::summarize(self, cell, folder, (&records, seconds)))
    }
}

/// The turns of one step: what the learner records of the images and their labels, the update, and the metrics.
pub(super) fn record(
    job: &Job<'_>,
    images: &TrainImages,
    cell: &Cell,
    classes: usize,
    batch: usize,
) -> Result<Vec<Recorded>> {
    let (c, learning) = (&job.config.training, job.config.learning_of(&cell.method)?);
    let (model, crop_ratio) = (cell.model(job.config)?, job.config.augmentation.crop_ratio);
    let (crop_scale, flip_probability) = (c.crop_scale, c.flip_probability);
    let recipe = Recipe { off: false, crop_scale, crop_ratio, flip_probability, ..Recipe::PLAIN };
    let (mean, std, out) = (images.mean, images.std, job.config.data.image_size as u32);
    let views = StoreViews { store: &images.store, seed: cell.seed, out, mean, std };
    let backbone = model.backbone(job.config.data.channels)?;
    let name = &*cell.method;
    let update = Update { name, optimization: &learning.optimization, model: &model, size_key: &|_| None, group: None };
    let mut params = Params::of(learning.optimization.precision);
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
                // Each image counts as one, whatever its weight in the loss.
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

/// Copies the loaded backbone of the first player to every further player, so that all networks start from the same
/// weights.
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

/// Warns if the run ends before its method begins.
fn say_late(job: &Job<'_>, learning: &Learning) {
    let (name, epochs) = (&learning.name, learning.optimization.epochs);
    if let Some((key, first)) = learning.learner.begins_after().filter(|(_, first)| *first >= epochs && epochs > 0) {
        job.progress.note(&format!(
            "warning: training.{name}.{key} is {first}, and the run has {}: until then {name} is only cross-entropy",
            counted(epochs, "epoch")
        ));
    }
}

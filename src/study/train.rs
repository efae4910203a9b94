//! Supervised training on labels that may be wrong, and the evaluation of what came out on clean test images.

use super::batches::Batches;
use super::config::Optimization;
use super::cursor::Cursor;
use super::evaluate::{Pass, argmax, metrics, plain};
use super::folder::{
    BACKBONE, CONFIG, Done, ENVIRONMENT, EPOCHS, LABELS, RESULT, STATE, busy, finished, locked, object,
};
use super::grid::Cell;
use super::job::{Job, Loaded, TrainImages};
use super::neighbours::knn;
use super::pretrain::{batch_of, optimizer};
use super::provenance::Provenance;
use super::results::{CellResult, EpochRecord, LabelRow, Phase, read_result, write_labels, write_result};
use super::settings::training_settings;
use super::stage::{EpochSums, Plans, RING, Stage, Task, add_missing, load_cursor};
use super::start::Start;
use super::statistics::mean_last;
use crate::base::{Error, Result};
use crate::data::augment::Augmentation;
use crate::nn::{Mode, Params, checkpoint};
use crate::noise::{self, NoiseKind};
use crate::tape::{Schedule, State, Tape, Type};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::env::consts::OS;
use std::path::Path;

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
    /// What a cursor holds: nothing at the start; anything that cannot be read is damage, not a new start.
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
    epochs: usize,
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

    /// What is trained on, for people.
    fn rows(&self) -> Vec<LabelRow> {
        let train = &self.set.data.train;
        let row = |i: usize| LabelRow { name: train.names[i].clone(), clean: train.labels[i], given: self.given[i] };
        (0..train.len()).map(row).collect()
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
    fn inputs(&self, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        inputs(&self.given, &self.set.data.train.labels, indices)
    }

    fn epoch(
        &self,
        _: &State,
        sums: &EpochSums<'_>,
        record: &mut EpochRecord,
        memory: &mut serde_json::Value,
    ) -> Result<()> {
        let mut m = Memory::read(memory.take())?;
        record.train_accuracy = Some(sums.sums[1] / sums.seen.len() as f64);
        let wrong = sums.seen.iter().filter(|&&i| self.is_wrong(i)).count();
        record.wrong_label_memorised = (wrong > 0).then(|| sums.sums[2] / wrong as f64);
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

/// What a step reads besides the images at `indices`: their labels, each of weight 1, and which of them are wrong.
pub(super) fn inputs(given: &[u32], clean: &[u32], indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
    let labels: Vec<u32> = indices.iter().map(|&i| given[i as usize]).collect();
    let weights = vec![1.0f32; indices.len()];
    let is_wrong = |&i: &u32| if given[i as usize] == clean[i as usize] { 0.0 } else { 1.0 };
    let wrong: Vec<f32> = indices.iter().map(is_wrong).collect();
    vec![
        ("labels", bytemuck::cast_slice(&labels).to_vec()),
        ("weights", bytemuck::cast_slice(&weights).to_vec()),
        ("wrong", bytemuck::cast_slice(&wrong).to_vec()),
    ]
}

fn batches(job: &Job<'_>, set: &Loaded) -> Result<Batches> {
    let (images, c) = (set.data.train.len(), &job.config.training);
    Ok(Batches { images, whole: batch_of(c.batch_size, images)?, last: c.last_batch })
}

/// The schedules of the plans that a cell runs: the passes of its evaluation, then the training steps.
pub(super) fn schedules(job: &Job<'_>, set: &Loaded, cell: &Cell) -> Result<Vec<Schedule>> {
    let (c, classes, train) = (job.config, set.data.classes.len(), &set.train);
    let (stores, view) = ([&train.store, &set.val, &set.test], plain(train.mean, train.std));
    let mut tapes = Pass::tapes(job, &view, &stores, Some(classes), c.evaluation.batch_size)?;
    for batch in batches(job, set)?.sizes() {
        tapes.push(record(job, train, cell.seed, classes, batch)?.0);
    }
    tapes.iter().map(|t| job.schedule(t)).collect()
}

/// What the bits of a cell depend on.
fn provenance(job: &Job<'_>, set: &Loaded, cell: &Cell, start: Option<&Start>) -> Result<Provenance> {
    let start = start.map_or("random", |s| &s.address);
    let settings = training_settings(job.config, cell);
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
            "weights": weights,
        });
        job.describe(folder, &made, about)?;
        write_labels(&folder.join(LABELS), &ready.task.rows())?;
        let result = ready.train(cell, at, folder, &made.address)?;
        write_result(folder, &result)?;
        Done::write(folder, &made.address, &[CONFIG, ENVIRONMENT, LABELS, EPOCHS, STATE, BACKBONE, RESULT])?;
        Ok(result)
    })
}

/// A cell whose plans are made, with nothing written yet.
struct Ready<'a> {
    task: Labelled<'a>,
    made_by: String,
    optimization: Optimization,
    batches: Batches,
    state: State,
    plans: Plans,
}

impl<'a> Ready<'a> {
    fn new(job: &'a Job<'a>, set: &'a Loaded, cell: &Cell, start: Option<&Start>) -> Result<Self> {
        let (data, classes) = (&set.data, set.data.classes.len());
        let kind = cell.noise_kind.unwrap_or(NoiseKind::Symmetric);
        let given = noise::corrupt(kind, cell.noise_rate, &data.train.labels, classes, cell.noise_seed())?;
        let optimization = job.config.training.optimization();
        let batches = batches(job, set)?;
        job.say_batches(optimization.batch_size, batches);
        let mut state = set.resident.clone();
        let (tape, params) = record(job, &set.train, cell.seed, classes, batches.whole)?;
        let record = |b| record(job, &set.train, cell.seed, classes, b).map(|r| r.0);
        let (stores, view) = ([&set.train.store, &set.val, &set.test], plain(set.train.mean, set.train.std));
        let eval = Pass::batch(job, &stores);
        let passes = |batch| Pass::tapes(job, &view, &stores, Some(classes), batch);
        job.fitting(&state, "evaluation.batch_size", eval, 1, &passes)?;
        let both = |whole| Ok([passes(eval)?, batches.tapes(whole, &record)?].concat());
        job.fitting(&state, "training.batch_size", batches.whole, 2, &both)?;
        if let Some(start) = start {
            start.load(job, &data.classes, &mut state)?;
        }
        params.fill(job.gpu, &mut state, cell.seed)?;
        add_missing(job.gpu, &mut state, &tape)?;
        let weights = format!("the weights of {}", cell.name);
        let [train, val, test] = Pass::each(job, &view, stores, (&state, &weights), Some(classes))?;
        let plans = job.steps(&state, "training.batch_size", batches, &record)?;
        let task = Labelled { job, set, given, epochs: optimization.epochs, train, val, test };
        let made_by = start.map_or("none".to_string(), |s| s.made_by.clone());
        Ok(Ready { task, made_by, optimization, batches, state, plans })
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
            columns: 4,
            task: &self.task,
            optimization: self.optimization,
        };
        let (records, seconds, at) = stage.run(&self.plans, &self.state, at.unwrap_or_else(|| stage.start()))?;
        let steps = (records.len() * stage.steps()) as i64;
        let classes = &data.classes; // who keeps the classifier compares them
        let made =
            json!({ "method": cell.method.to_string(), "data": data.name, "address": address, "classes": classes });
        let path = folder.join(BACKBONE);
        checkpoint::save_backbone(&path, job.gpu, &self.state, "backbone.", steps, object(made))?;
        summarize(&self.task, cell, &self.made_by, &at, (records.len(), seconds))
    }
}

/// One step: a view of each image, logits, the loss on the given labels, the update, the metrics.
pub(super) fn record(
    job: &Job<'_>,
    images: &TrainImages,
    seed: u64,
    classes: usize,
    batch: usize,
) -> Result<(Tape, Params)> {
    let (mut t, mut params) = (Tape::new(), Params::new());
    let indices = t.input("indices", Type::u32([batch]))?;
    let labels = t.input("labels", Type::u32([batch]))?;
    let weights = t.input("weights", Type::f32([batch]))?;
    let wrong = t.input("wrong", Type::f32([batch]))?;
    let c = &job.config.training;
    let augmentation = Augmentation {
        crop_scale: c.crop_scale.map(|x| x as f32),
        crop_ratio: job.config.augmentation.crop_ratio.map(|x| x as f32),
        flip_probability: c.flip_probability as f32,
        ..plain(images.mean, images.std)
    };
    let size = job.config.data.image_size as u32;
    let x = t.layer("view0", |t| augmentation.view(t, &images.store, indices, 0, seed, size))?;
    let model = job.model();
    let features = model.forward(&mut t, &mut params, "backbone.", x, Mode::Train)?;
    let logits = model.classify(&mut t, &mut params, "backbone.", features, classes)?;
    let [loss, _, _] = t.layer("loss", |t| t.cross_entropy(logits, labels, weights))?;
    job.expect_bearable(&params, &c.optimization())?;
    let skipped = optimizer(&c.optimization()).minimize(&mut t, loss, &params.trained())?;
    let correct = t.correct(logits, labels, weights)?;
    let memorised = t.correct(logits, labels, wrong)?;
    let row = t.scalar("ring_row")?;
    t.ring(RING, job.config.run.loss_every, row, &[loss, correct, memorised, skipped])?;
    Ok((t, params))
}

fn summarize(
    task: &Labelled<'_>,
    cell: &Cell,
    made_by: &str,
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
    let neighbours = knn((&train_features, labels.0), (&features, labels.1), job.model().features(), c);
    let wrong: Vec<usize> = (0..task.given.len()).filter(|&i| task.is_wrong(i)).collect();
    let predicted = argmax(&train_logits, classes);
    let fooled = wrong.iter().filter(|&&i| predicted[i] == task.given[i]).count();
    Ok(CellResult {
        dataset: cell.dataset.clone(),
        pretraining: made_by.to_string(),
        noise_kind: cell.noise_kind.map_or("none".to_string(), |k| k.to_string()),
        noise_rate: cell.noise_rate,
        realised_noise_rate: noise::realised_rate(&data.train.labels, &task.given)?,
        method: cell.method.to_string(),
        seed: cell.seed,
        test_accuracy: test.accuracy,
        balanced_accuracy: test.balanced_accuracy,
        macro_f1: test.macro_f1,
        auroc: test.auroc,
        knn_accuracy: Some(neighbours.accuracy),
        knn_weighted_accuracy: Some(neighbours.weighted_accuracy),
        knn_neighbours: Some(c.knn_neighbours),
        knn_temperature: Some(c.knn_temperature),
        best_val_accuracy: memory.best_val_accuracy,
        best_val_epoch: memory.best_val_epoch,
        best_val_test_accuracy: Some(memory.best_val_test_accuracy),
        last5_test_accuracy: (epochs > 0).then(|| mean_last(&memory.test_accuracy, LAST)),
        memorised_fraction: (!wrong.is_empty()).then(|| fooled as f64 / wrong.len() as f64),
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

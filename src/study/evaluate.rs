//! Evaluation: logits and features of plain images, metrics on the host, k nearest neighbours.

use super::config::Config;
use super::folder::{DONE, Done, ENVIRONMENT, REDO, STATE};
use super::job::{Job, TrainImages};
use super::statistics::{ConfusionMatrix, macro_auroc};
use crate::base::{Error, Result, files, seal};
use crate::data::augment::Augmentation;
use crate::data::store::ImageStore;
use crate::data::{Images, Split};
use crate::nn::checkpoint::{self, Checkpoint};
use crate::nn::{Mode, Params};
use crate::tape::{Feed, Plan, State, Tape, Type};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::Ordering;

/// Metrics of a classifier on a split; shares are 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Share of images taken for their class.
    pub accuracy: f64,
    /// Mean over classes of that share.
    pub balanced_accuracy: f64,
    /// Mean over classes of F1.
    pub macro_f1: f64,
    /// Mean over classes of the area under the ROC curve of one against the rest; none where a class is missing.
    pub auroc: Option<f64>,
    /// Share of images taken for the class of most of their nearest training images by the backbone's features; none of
    /// the training images, each of which is its own nearest.
    pub knn_accuracy: Option<f64>,
    /// How many images.
    pub images: usize,
    /// How many classes.
    pub classes: usize,
}

/// A recorded pass over plain images of one split.
pub(super) struct Pass {
    plan: Plan,
    batch: usize,
    count: usize,
}

impl Pass {
    /// What passes over each of `stores` record, `batch` images a step at most: the backbone's features and, of a
    /// classifier of so many `classes`, the logits.
    pub fn tapes(
        job: &Job<'_>,
        train: &TrainImages,
        stores: &[&ImageStore],
        classes: Option<usize>,
        batch: usize,
    ) -> Result<Vec<Tape>> {
        stores.iter().map(|store| record(job, train, store, batch.min(store.count), classes)).collect()
    }

    /// Compiles a pass over each of `stores` with the parameters in `state`; they fit the device together.
    pub fn each<const N: usize>(
        job: &Job<'_>,
        train: &TrainImages,
        stores: [&ImageStore; N],
        state: &State,
        classes: Option<usize>,
    ) -> Result<[Pass; N]> {
        let batch = job.config.evaluation.batch_size.min(stores.iter().map(|s| s.count).max().unwrap_or(1));
        let tapes = |b: usize| Pass::tapes(job, train, &stores, classes, b);
        let mut plans = job.compile(state, "evaluation.batch_size", batch, 1, &tapes)?.into_iter();
        let pass = |store: &ImageStore| {
            let plan = plans.next().ok_or_else(|| Error::Failed("a pass has no plan".into()))?;
            Ok(Pass { plan, batch: batch.min(store.count), count: store.count })
        };
        let passes = stores.into_iter().map(pass).collect::<Result<Vec<_>>>()?;
        passes.try_into().map_err(|_| Error::Failed("a pass is missing".into()))
    }

    /// A row of logits for each image of the split, in order.
    pub fn logits(&self, job: &Job<'_>) -> Result<Vec<f32>> {
        self.read(job, [LOGITS]).map(|[logits]| logits)
    }

    /// A row of features for each image of the split, in order.
    pub fn features(&self, job: &Job<'_>) -> Result<Vec<f32>> {
        self.read(job, [FEATURES]).map(|[features]| features)
    }

    /// The logits and the features.
    pub fn both(&self, job: &Job<'_>) -> Result<[Vec<f32>; 2]> {
        self.read(job, [LOGITS, FEATURES])
    }

    /// The last batch is filled up with the first image and cut.
    fn read<const N: usize>(&self, job: &Job<'_>, outputs: [&str; N]) -> Result<[Vec<f32>; N]> {
        let mut all = [const { Vec::new() }; N];
        for start in (0..self.count).step_by(self.batch) {
            if job.stop.load(Ordering::Relaxed) {
                let what = "stopped while evaluating; the same command goes on from the last checkpoint";
                return Err(Error::TryAgain(what.into()));
            }
            let whole = (start..start + self.batch).map(|i| if i < self.count { i as u32 } else { 0 });
            let indices: Vec<u32> = whole.collect();
            self.plan.run(job.gpu, &Feed::new().input("indices", &indices))?;
            for (rows, name) in all.iter_mut().zip(outputs) {
                let mut new = self.plan.read_f32(job.gpu, name)?;
                let width = new.len() / self.batch;
                new.truncate((self.count - start) * width);
                if let Some(at) = new.iter().position(|v| !v.is_finite()) {
                    let (v, image) = (new[at], start + at / width);
                    let what = format!("evaluation gives {v} for image {image}; the weights are damaged");
                    return Err(Error::Failed(what));
                }
                rows.extend(new);
            }
        }
        Ok(all)
    }
}

/// The outputs of a pass.
const LOGITS: &str = "logits";
const FEATURES: &str = "features";

fn record(
    job: &Job<'_>,
    train: &TrainImages,
    store: &ImageStore,
    batch: usize,
    classes: Option<usize>,
) -> Result<Tape> {
    let (mut t, mut params) = (Tape::new(), Params::new());
    let indices = t.input("indices", Type::u32([batch]))?;
    let x = plain(train).plain(&mut t, store, indices, job.config.data.image_size as u32)?;
    let model = job.model();
    let features = model.forward(&mut t, &mut params, "backbone.", x, Mode::Eval)?;
    t.output(FEATURES, features);
    if let Some(classes) = classes {
        let logits = model.classify(&mut t, &mut params, "backbone.", features, classes)?;
        t.output(LOGITS, logits);
    }
    Ok(t)
}

/// No augmentation, the training split's statistics.
pub(super) fn plain(train: &TrainImages) -> Augmentation {
    Augmentation {
        crop_scale: [1.0, 1.0],
        crop_ratio: [1.0, 1.0],
        flip_probability: 0.0,
        jitter_probability: 0.0,
        jitter: [0.0; 4],
        grayscale_probability: 0.0,
        blur_probability: 0.0,
        blur_sigma: [1.0, 1.0],
        mean: train.mean,
        std: train.std,
    }
}

/// Softmax of rows of `classes` logits, computed in f64.
fn probabilities(logits: &[f32], classes: usize) -> Vec<f32> {
    let mut p = Vec::with_capacity(logits.len());
    for row in logits.chunks_exact(classes) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
        let e: Vec<f64> = row.iter().map(|&v| (v as f64 - top).exp()).collect();
        let sum: f64 = e.iter().sum();
        p.extend(e.iter().map(|v| (v / sum) as f32));
    }
    p
}

/// The class of each row: the first of the largest logits.
pub(super) fn argmax(logits: &[f32], classes: usize) -> Vec<u32> {
    let first_max = |row: &[f32]| (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    logits.chunks_exact(classes).map(|row| first_max(row) as u32).collect()
}

/// Metrics of logits against labels.
pub(super) fn metrics(logits: &[f32], labels: &[u32], classes: usize) -> Result<Evaluation> {
    let matrix = ConfusionMatrix::new(classes, labels, &argmax(logits, classes))?;
    Ok(Evaluation {
        accuracy: matrix.accuracy(),
        balanced_accuracy: matrix.balanced_accuracy(),
        macro_f1: matrix.macro_f1(),
        auroc: macro_auroc(&probabilities(logits, classes), labels, classes)?,
        knn_accuracy: None,
        images: labels.len(),
        classes,
    })
}

/// What a run's `environment.json` says of the data it was trained on.
#[derive(Deserialize)]
struct Trained {
    classes: Vec<String>,
    mean: [f32; 3],
    std: [f32; 3],
}

impl Trained {
    fn read(folder: &Path) -> Result<Trained> {
        let path = folder.join(ENVIRONMENT);
        let object = files::text(&path).and_then(|text| seal::opened(&text));
        let object = object.map_err(|why| Error::damaged(&path, why, REDO))?;
        serde_json::from_value(object.into()).map_err(|e| {
            Error::Data(format!(
                "{} is not of a trained classifier ({e}); give a folder that `train` or a study made",
                path.display()
            ))
        })
    }
}

/// Evaluates the classifier of a run folder on a split of a dataset.
pub fn evaluate_run(job: &Job<'_>, spec: &str, split: Split, folder: &Path) -> Result<Evaluation> {
    let mut set = job.load(spec)?;
    let mut state = set.resident.clone();
    let path = folder.join(STATE);
    if !files::exists(&path)? && !files::exists(&folder.join(DONE))? {
        return Err(Error::Data(format!("{} holds no {STATE}; is it a folder that train wrote?", folder.display())));
    }
    let saved = match Done::read(folder)? {
        Some(done) => {
            done.check(folder)?;
            Checkpoint::of(&path, done.bytes(folder, STATE)?)?
        }
        None => {
            let folder = folder.display();
            job.progress.note(&format!("warning: {folder} is not finished; its last checkpoint is evaluated"));
            Checkpoint::open(&path)?
        }
    };
    let trained = Trained::read(folder)?;
    if trained.classes != set.data.classes {
        let (knew, has) = (trained.classes.join(", "), set.data.classes.join(", "));
        let folder = folder.display();
        return Err(Error::Data(format!("the classifier in {folder} knows the classes {knew}; {spec} has {has}")));
    }
    (set.train.mean, set.train.std) = (trained.mean, trained.std); // it learnt under its own data's statistics
    saved.load(job.gpu, &mut state)?;
    let classes = set.data.classes.len();
    match state.ty("backbone.fc.weight").map(|t| t.shape.dim(0)) {
        Some(k) if k == classes => {}
        Some(k) => {
            return Err(Error::Data(format!(
                "the classifier in {} knows {k} classes and {spec} has {classes}",
                folder.display()
            )));
        }
        None => return Err(Error::Data(format!("{} holds no classifier", path.display()))),
    }
    let (images, store): (&Images, _) = match split {
        Split::Train => (&set.data.train, &set.train.store),
        Split::Val => (&set.data.val, &set.val),
        Split::Test => (&set.data.test, &set.test),
    };
    let [pass, train] = Pass::each(job, &set.train, [store, &set.train.store], &state, Some(classes))?;
    let [logits, features] = pass.both(job)?;
    let mut found = metrics(&logits, &images.labels, classes)?;
    if split != Split::Train {
        let (k, width) = (job.config.evaluation.knn_neighbours, job.model().features());
        let neighbours = train.features(job)?;
        found.knn_accuracy = Some(knn((&neighbours, &set.data.train.labels), (&features, &images.labels), width, k));
    }
    Ok(found)
}

/// Accuracy on the test images of a vote of the `k` nearest training images by cosine of the backbone's features, with
/// the weights in `backbone` or, without, random ones of `seed`.
pub fn knn_accuracy(job: &Job<'_>, spec: &str, backbone: Option<&Path>, seed: u64, k: usize) -> Result<f64> {
    let set = job.load(spec)?;
    let mut state = set.resident.clone();
    if let Some(path) = backbone {
        checkpoint::load_backbone(path, job.gpu, &mut state, "backbone.", &job.backbone_tensors()?)?;
    }
    let (mut t, mut params) = (Tape::new(), Params::new());
    let Config { data, .. } = job.config;
    let x = t.input("x", Type::f32([2, data.channels, data.image_size, data.image_size]))?;
    job.model().forward(&mut t, &mut params, "backbone.", x, Mode::Eval)?;
    params.fill(job.gpu, &mut state, seed)?;
    let [train, test] = Pass::each(job, &set.train, [&set.train.store, &set.test], &state, None)?;
    let (train, test) = (train.features(job)?, test.features(job)?);
    let width = job.model().features();
    Ok(knn((&train, &set.data.train.labels), (&test, &set.data.test.labels), width, k))
}

/// Share of `test` rows whose label wins the vote of their `k` nearest `train` rows by cosine; each is rows of `width` with
/// their labels. Ties go to the class of the nearest.
pub(super) fn knn(train: (&[f32], &[u32]), test: (&[f32], &[u32]), width: usize, k: usize) -> f64 {
    let unit = |rows: &[f32]| -> Vec<f32> {
        let one = |r: &[f32]| {
            let norm = r.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
            r.iter().map(|v| v / norm).collect::<Vec<f32>>()
        };
        rows.chunks_exact(width).flat_map(one).collect()
    };
    let (near_rows, rows) = (unit(train.0), unit(test.0));
    // Nearest first, the earlier of equals: the same on any number of threads.
    let nearer = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let right = rows.par_chunks_exact(width).zip(test.1).filter(|(row, label)| {
        let cosine = |r: &[f32]| r.iter().zip(*row).map(|(a, b)| a * b).sum::<f32>();
        let mut near: Vec<(f32, usize)> = near_rows.chunks_exact(width).map(cosine).zip(0..).collect();
        if k < near.len() {
            near.select_nth_unstable_by(k, nearer);
            near.truncate(k.max(1));
        }
        near.sort_unstable_by(nearer);
        let labels: Vec<u32> = near.iter().map(|n| train.1[n.1]).collect();
        let votes = |l: u32| labels.iter().filter(|other| **other == l).count();
        // The first with the most votes, nearest first.
        let winner = labels.iter().copied().reduce(|best, l| if votes(l) > votes(best) { l } else { best });
        winner == Some(**label)
    });
    right.count() as f64 / test.1.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_vote() {
        let train = ([1.0, 0.0, 0.9, 0.1, 0.0, 1.0], [0, 0, 1]);
        let test = ([1.0, 0.05, 0.05, 1.0], [0, 1]);
        let accuracy = |k| knn((&train.0, &train.1), (&test.0, &test.1), 2, k);
        assert_eq!(accuracy(1), 1.0);
        // A tie of two goes to the nearest; with three neighbours class 0 always has the majority.
        assert_eq!([accuracy(2), accuracy(3), accuracy(20)], [1.0, 0.5, 0.5]);
    }

    #[test]
    fn logits_become_classes_and_metrics() {
        let logits = [1.0, 2.0, 0.0, 3.0, 3.0, -1.0];
        assert_eq!(argmax(&logits, 3), [1, 0]);
        let p = probabilities(&logits, 3);
        assert!((p[..3].iter().sum::<f32>() - 1.0).abs() < 1e-6 && p[1] > p[0]);
        assert_eq!(metrics(&logits, &[1, 0], 3).unwrap().accuracy, 1.0);
    }
}

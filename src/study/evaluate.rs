//! Evaluation: logits and features of plain images, metrics on the host.

use super::config::Config;
use super::folder::{CONFIG, DONE, Done, ENVIRONMENT, REDO, STATE};
use super::job::Job;
use super::neighbours::{Neighbours, knn};
use super::settings::other_setting;
use super::statistics::{ConfusionMatrix, macro_auroc};
use crate::base::{Error, Result, files, seal};
use crate::data::augment::Augmentation;
use crate::data::store::ImageStore;
use crate::data::{Dataset, Need, Split};
use crate::nn::checkpoint::Checkpoint;
use crate::nn::{Backbone, Model, Recipe};
use crate::nn::{Mode, Params, weights};
use crate::tape::{Feed, Plan, State, Tape, Type};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
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
    /// the training images, each of which is its own nearest, and none where the set has no training images.
    pub knn_accuracy: Option<f64>,
    /// The same where a vote weighs exp(cos / τ).
    pub knn_weighted_accuracy: Option<f64>,
    /// How many neighbours vote.
    pub knn_neighbours: usize,
    /// τ of the weighted vote.
    pub knn_temperature: f64,
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
    /// Whose images they are, and whose weights, for people.
    images: String,
    weights: String,
}

impl Pass {
    /// What passes over each of `stores` record, `batch` images a step at most: the backbone's features and, of a
    /// classifier of so many `classes`, the logits.
    pub fn tapes(
        job: &Job<'_>,
        eye: &Eye,
        stores: &[&ImageStore],
        classes: Option<usize>,
        batch: usize,
    ) -> Result<Vec<Tape>> {
        stores.iter().map(|store| record(job, eye, store, batch.min(store.count), classes)).collect()
    }

    /// Images of its steps: the config's, or all of the largest of `stores` where that is fewer.
    pub fn batch(job: &Job<'_>, stores: &[&ImageStore]) -> usize {
        job.config.evaluation.batch_size.min(stores.iter().map(|s| s.count).max().unwrap_or(1))
    }

    /// Compiles a pass over each of `stores` with the parameters in `state`, which `weights` names for people; they fit
    /// the device together.
    pub fn each<const N: usize>(
        job: &Job<'_>,
        eye: &Eye,
        stores: [&ImageStore; N],
        (state, weights): (&State, &str),
        classes: Option<usize>,
    ) -> Result<[Pass; N]> {
        let batch = Pass::batch(job, &stores);
        let tapes = |b: usize| Pass::tapes(job, eye, &stores, classes, b);
        let mut plans = job.compile(state, "evaluation.batch_size", batch, 1, &tapes)?.into_iter();
        let pass = |store: &ImageStore| {
            let plan = plans.next().ok_or_else(|| Error::Failed("a pass has no plan".into()))?;
            let (images, weights) = (store.name.clone(), weights.to_string());
            Ok(Pass { plan, batch: batch.min(store.count), count: store.count, images, weights })
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
                    let (v, i, images, weights) = (new[at], start + at / width, &self.images, &self.weights);
                    return Err(Error::Failed(format!(
                        "evaluation gives {v} for {images} image {i}: {weights} are damaged or training went astray; a smaller \
                         lr, a longer warm-up or other weights to start from may help"
                    )));
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

fn record(job: &Job<'_>, eye: &Eye, store: &ImageStore, batch: usize, classes: Option<usize>) -> Result<Tape> {
    let (mut t, mut params) = (Tape::new(), Params::new());
    let indices = t.input("indices", Type::u32([batch]))?;
    let x = eye.plain.plain(&mut t, store, indices, job.config.data.image_size as u32)?;
    let features = eye.backbone.forward(&mut t, &mut params, "backbone.", x, Mode::Eval)?;
    t.output(FEATURES, features);
    if let Some(classes) = classes {
        let logits = eye.backbone.classify(&mut t, &mut params, "backbone.", features, classes)?;
        t.output(LOGITS, logits);
    }
    Ok(t)
}

/// What looks at images in an evaluation: a backbone, at images as they are under the statistics of the training images.
#[derive(Clone, Debug)]
pub(super) struct Eye {
    plain: Augmentation,
    pub backbone: Arc<dyn Backbone>,
}

impl Eye {
    pub fn new(backbone: Arc<dyn Backbone>, mean: [f32; 3], std: [f32; 3]) -> Eye {
        Eye { plain: Augmentation { recipe: Recipe::PLAIN, mean, std }, backbone }
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

/// Metrics of a classifier's logits.
pub(super) struct Metrics {
    pub accuracy: f64,
    pub balanced_accuracy: f64,
    pub macro_f1: f64,
    pub auroc: Option<f64>,
}

/// Metrics of logits against labels.
pub(super) fn metrics(logits: &[f32], labels: &[u32], classes: usize) -> Result<Metrics> {
    let matrix = ConfusionMatrix::new(classes, labels, &argmax(logits, classes))?;
    Ok(Metrics {
        accuracy: matrix.accuracy(),
        balanced_accuracy: matrix.balanced_accuracy(),
        macro_f1: matrix.macro_f1(),
        auroc: macro_auroc(&probabilities(logits, classes), labels, classes)?,
    })
}

/// What a run's `environment.json` says of the data it was trained on.
#[derive(Deserialize)]
struct Trained {
    address: String,
    settings: Value,
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

    /// Refuses files of an unfinished run that are whole and not of one run: nothing but a `done` names them all.
    fn made(&self, config: &Config, saved: &Checkpoint, folder: &Path) -> Result<()> {
        let way_out = "bring back the run's own, or train it again";
        if saved.metadata.get("address").and_then(Value::as_str) != Some(&self.address) {
            let why = "it is of another run than the environment.json beside it";
            return Err(Error::damaged(&folder.join(STATE), why, way_out));
        }
        match other_setting(config, &self.settings) {
            None => Ok(()),
            Some(key) => {
                let why = format!("its {key} is not what the environment.json beside it says");
                Err(Error::damaged(&folder.join(CONFIG), why, way_out))
            }
        }
    }
}

/// Evaluates the classifier of a run folder on a split of a dataset. Classes are matched by name: the run's order holds,
/// and labels follow it.
pub fn evaluate_run(job: &Job<'_>, spec: &str, split: Split, folder: &Path) -> Result<Evaluation> {
    let path = folder.join(STATE);
    if !files::exists(&path)? && !files::exists(&folder.join(DONE))? {
        return Err(Error::Data(format!("{} holds no {STATE}; is it a folder that train wrote?", folder.display())));
    }
    let done = Done::read(folder)?;
    let finished = done.is_some();
    let saved = match done {
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
    if !finished {
        trained.made(job.config, &saved, folder)?;
    }
    let mut data = job.read(spec, Need::Evaluation(split), &|w| job.progress.note(w))?;
    let missing = match_classes(&mut data, split, &trained.classes)
        .map_err(|why| Error::Data(format!("the classifier in {} {why} {spec}", folder.display())))?;
    if !missing.is_empty() {
        let (split, missing) = (split.name(), missing.join(", "));
        job.progress.note(&format!("{spec} has no {split} images of {missing}, which the classifier knows, too"));
    }
    let mut state = State::new();
    saved.load(job.gpu, &mut state)?;
    let classes = trained.classes.len();
    match state.ty("backbone.fc.weight").map(|t| t.shape.dim(0)) {
        Some(k) if k == classes => {}
        Some(k) => {
            let path = path.display();
            return Err(Error::Data(format!("{path} knows {k} classes and the run's environment.json {classes}")));
        }
        None => return Err(Error::Data(format!("{} holds no classifier", path.display()))),
    }
    let weights = format!("the weights in {}", path.display());
    let model = trained.settings.get("model").cloned().unwrap_or_default();
    let model: Model = serde_json::from_value(model).map_err(|e| {
        let path = folder.join(ENVIRONMENT);
        Error::Data(format!("{} does not say which backbone was trained ({e}); train it again", path.display()))
    })?;
    let backbone = model.backbone(job.config.data.channels)?;
    let eye = Eye::new(backbone, trained.mean, trained.std); // it learnt under its own data's statistics
    let ([logits, features], near) = outputs(job, &data, split, &eye, (&mut state, &weights), classes)?;
    let labels = &data.part(split).labels;
    if near.is_none() && split != Split::Train {
        job.progress.note(&format!("{spec} has no training images: nearest neighbours are not measured"));
    }
    let c = &job.config.evaluation;
    let width = eye.backbone.features();
    let near = near.map(|rows| knn(job, (&rows, &data.train.labels), (&features, labels), width)).transpose()?;
    Ok(evaluation(&metrics(&logits, labels, classes)?, near, c, (labels.len(), classes)))
}

fn evaluation(
    m: &Metrics,
    near: Option<Neighbours>,
    c: &super::config::Evaluation,
    (images, classes): (usize, usize),
) -> Evaluation {
    Evaluation {
        accuracy: m.accuracy,
        balanced_accuracy: m.balanced_accuracy,
        macro_f1: m.macro_f1,
        auroc: m.auroc,
        knn_accuracy: near.map(|n| n.accuracy),
        knn_weighted_accuracy: near.map(|n| n.weighted_accuracy),
        knn_neighbours: c.knn_neighbours,
        knn_temperature: c.knn_temperature,
        images,
        classes,
    }
}

/// Logits and features of a split's images and, where they can vote, features of the training images.
#[allow(clippy::type_complexity, reason = "two outputs of one split, one of the other")]
fn outputs(
    job: &Job<'_>,
    data: &Dataset,
    split: Split,
    eye: &Eye,
    (state, weights): (&mut State, &str),
    classes: usize,
) -> Result<([Vec<f32>; 2], Option<Vec<f32>>)> {
    let store = job.upload(split.name(), data.part(split), state)?;
    if split == Split::Train || data.train.is_empty() {
        let [pass] = Pass::each(job, eye, [&store], (state, weights), Some(classes))?;
        return Ok((pass.both(job)?, None));
    }
    let train = job.upload("train", &data.train, state)?;
    let [pass, train] = Pass::each(job, eye, [&store, &train], (state, weights), Some(classes))?;
    Ok((pass.both(job)?, Some(train.features(job)?)))
}

/// Gives the labels of `data` the order of `classes`, matched by name. Returns the classes that the split has no image of;
/// a class of the data that is not among them is an error, the middle of a sentence.
fn match_classes(data: &mut Dataset, split: Split, classes: &[String]) -> Result<Vec<String>, String> {
    let place = |name: &String| classes.iter().position(|c| c == name).map(|i| i as u32);
    let unknown: Vec<&str> = data.classes.iter().filter(|c| place(c).is_none()).map(String::as_str).collect();
    if !unknown.is_empty() {
        let (knew, unknown) = (classes.join(", "), unknown.join(", "));
        return Err(format!("knows the classes {knew}, not {unknown} of"));
    }
    let own: Vec<u32> = data.classes.iter().filter_map(place).collect();
    for images in [&mut data.train, &mut data.val, &mut data.test] {
        for label in &mut images.labels {
            *label = *own.get(*label as usize).ok_or_else(|| format!("cannot take label {label} of"))?;
        }
    }
    data.classes = classes.to_vec();
    let counts = data.part(split).class_counts(classes.len());
    Ok(classes.iter().zip(counts).filter(|c| c.1 == 0).map(|c| c.0.clone()).collect())
}

/// Accuracy on the test images of a vote of the nearest training images by cosine of the backbone's features, as many as
/// the config says, with the weights in `backbone` or, without, random ones of `seed`.
pub fn knn_accuracy(job: &Job<'_>, spec: &str, backbone: Option<&Path>, seed: u64) -> Result<f64> {
    let set = job.load(spec)?;
    let network = job.config.model.backbone(job.config.data.channels)?;
    let mut state = set.resident.clone();
    if let Some(path) = backbone {
        let bytes = weights::read(path)?;
        weights::load(
            (path, &bytes),
            job.gpu,
            &mut state,
            "backbone.",
            &job.backbone_tensors(network.as_ref())?,
            None,
        )?;
    }
    let (mut t, mut params) = (Tape::new(), Params::new());
    let Config { data, .. } = job.config;
    let x = t.input("x", Type::f32([2, data.channels, data.image_size, data.image_size]))?;
    network.forward(&mut t, &mut params, "backbone.", x, Mode::Eval)?;
    params.fill(job.gpu, &mut state, seed)?;
    let weights = backbone.map_or("random weights".to_string(), |path| format!("the weights in {}", path.display()));
    let eye = Eye::new(network, set.train.mean, set.train.std);
    let [train, test] = Pass::each(job, &eye, [&set.train.store, &set.test], (&state, &weights), None)?;
    let (train, test) = (train.features(job)?, test.features(job)?);
    let (near, images) = ((&train[..], &set.data.train.labels[..]), (&test[..], &set.data.test.labels[..]));
    Ok(knn(job, near, images, eye.backbone.features())?.accuracy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_become_classes_and_metrics() {
        let logits = [1.0, 2.0, 0.0, 3.0, 3.0, -1.0];
        assert_eq!(argmax(&logits, 3), [1, 0]);
        let p = probabilities(&logits, 3);
        assert!((p[..3].iter().sum::<f32>() - 1.0).abs() < 1e-6 && p[1] > p[0]);
        assert_eq!(metrics(&logits, &[1, 0], 3).unwrap().accuracy, 1.0);
    }
}

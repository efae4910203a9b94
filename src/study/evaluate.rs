//! Evaluates a run's classifier, or a backbone alone, on the images of one split.

use super::config::{self, Config, Protocol};
use super::folder::Done;
use super::metrics::{Metrics, metrics};
use super::names::{BACKBONE, CONFIG, DONE, ENVIRONMENT, REDO, STATE};
use super::neighbours::{Neighbours, knn};
use super::pass::{Eye, Pass};
use super::session::Job;
use super::settings::{PRETRAINING, other_setting, stage_of};
use super::start::{ImageForm, model_of};
use crate::base::{Error, Result, files, seal};
use crate::data::{Dataset, Need, Split};
use crate::nn::checkpoint::{self, Checkpoint};
use crate::nn::weights::{self, Classifier};
use crate::nn::{Mode, Model, Params};
use crate::tape::{State, Tape, Type};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// Metrics of a classifier on a split. Shares are from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Share of images that are assigned to their class.
    pub accuracy: f64,
    /// Mean of that share over the classes.
    pub balanced_accuracy: f64,
    /// Mean of F1 over the classes.
    pub macro_f1: f64,
    /// Area under the ROC curve. With more than two classes it is the mean of one class against the rest. `None` if a
    /// class has no image.
    pub auroc: Option<f64>,
    /// Matthews' correlation coefficient, −1 to 1.
    pub mcc: f64,
    /// Expected calibration error with 15 bins of equal width. `None` if there are no images.
    pub ece: Option<f64>,
    /// For each class the share of its images that are right. `None` for a class without images.
    pub recall: Vec<Option<f64>>,
    /// How many images of each class (row) were assigned to each class (column).
    pub confusion: Vec<Vec<u64>>,
    /// Share of images that are assigned to their class by a vote of their nearest training images, by the backbone's
    /// features. `None` for the training split, where each image is its own nearest, and if the set has no training
    /// images.
    pub knn_accuracy: Option<f64>,
    /// The same share, with votes that weigh exp(cos / τ).
    pub knn_weighted_accuracy: Option<f64>,
    /// How many neighbours vote.
    pub knn_neighbours: usize,
    /// τ of the weighted vote.
    pub knn_temperature: f64,
    /// How many images there are.
    pub images: usize,
    /// How many classes there are.
    pub classes: usize,
}

/// What a run's `environment.json` says of the run's training data.
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
        if object.get("settings").is_some_and(|settings| stage_of(settings) == PRETRAINING) {
            return Err(Error::Data(format!(
                "{} is a pretraining, which has no classifier; give a folder that `train` or a study's cell made",
                folder.display()
            )));
        }
        serde_json::from_value(object.into()).map_err(|e| {
            Error::Data(format!(
                "{} is not of a trained classifier ({e}); give a folder that `train` or a study made",
                path.display()
            ))
        })
    }

    /// How the run judged its backbone. Settings of training name no protocol.
    fn protocol(&self, folder: &Path) -> Result<Protocol> {
        let Some(name) = self.settings.get("protocol") else { return Ok(Protocol::Finetune) };
        serde_json::from_value(name.clone()).map_err(|e| {
            let path = folder.join(ENVIRONMENT);
            Error::Data(format!("{} names a protocol that is not known ({e}); make the run again", path.display()))
        })
    }

    /// Refuses files of an unfinished run that come from different runs, though each file is whole. Only `done` names
    /// all files.
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

/// Evaluates the classifier in a run folder on a split of a dataset. Classes are matched by name, in the run's order.
/// The classifier of a linear probe is in the file of its backbone. A vote of neighbours has no classifier, which is an
/// error.
pub fn evaluate_run(job: &Job<'_>, spec: &str, split: Split, folder: &Path) -> Result<Evaluation> {
    let path = folder.join(STATE);
    if !files::exists(&path)? && !files::exists(&folder.join(DONE))? {
        return Err(Error::Data(format!("{} holds no {STATE}; is it a folder that train wrote?", folder.display())));
    }
    let done = Done::read(folder)?;
    let finished = done.is_some();
    let (trained, saved) = match done {
        Some(done) => {
            done.check(folder)?;
            let trained = Trained::read(folder)?;
            match trained.protocol(folder)? {
                Protocol::Finetune => (trained, Checkpoint::of(&path, done.bytes(folder, STATE)?)?),
                Protocol::Linear => return evaluate_file(job, spec, split, &folder.join(BACKBONE)),
                Protocol::Knn => {
                    let folder = folder.display();
                    return Err(Error::Data(format!(
                        "{folder} has no classifier: its protocol is knn, a vote of nearest neighbours, whose numbers are in \
                         {folder}/result.json; give a run of the protocol finetune or linear"
                    )));
                }
            }
        }
        None => {
            let trained = Trained::read(folder)?; // what is no classifier is refused before the warning
            let folder = folder.display();
            job.progress.note(&format!("warning: {folder} is not finished; its last checkpoint is evaluated"));
            (trained, Checkpoint::open(&path)?)
        }
    };
    if !finished {
        trained.made(job.config, &saved, folder)?;
    }
    let mut data = job.read(spec, Need::Evaluation(split), &|w| job.progress.note(w))?;
    matched(job, (spec, &mut data, split), &trained.classes, folder)?;
    let mut state = State::new();
    saved.load(job.gpu, &mut state)?;
    let classes = trained.classes.len();
    let model = trained.settings.get("model").cloned().unwrap_or_default();
    let model: Model = serde_json::from_value(model).map_err(|e| {
        let path = folder.join(ENVIRONMENT);
        Error::Data(format!("{} does not say which backbone was trained ({e}); train it again", path.display()))
    })?;
    let backbone = model.backbone(job.config.data.channels)?;
    match state.ty(&format!("backbone.{}.weight", backbone.classifier())).map(|t| t.shape.dim(0)) {
        Some(k) if k == classes => {}
        Some(k) => {
            let path = path.display();
            return Err(Error::Data(format!("{path} knows {k} classes and the run's environment.json {classes}")));
        }
        None => return Err(Error::Data(format!("{} holds no classifier", path.display()))),
    }
    // The network was trained with the statistics of its own data.
    let eye = Eye::new(backbone, trained.mean, trained.std);
    measured(job, (spec, &data, split), &eye, (&mut state, &path), classes)
}

/// Evaluates the classifier in a file that `train` or a study wrote, on a split of a dataset, without the run's folder.
/// The file names its classes and its backbone, and says how its images were prepared. Everything else comes from the
/// job's config.
pub fn evaluate_file(job: &Job<'_>, spec: &str, split: Split, path: &Path) -> Result<Evaluation> {
    let bytes = weights::read(path)?;
    let metadata = checkpoint::read_metadata(path, &bytes)?;
    let shown = path.display();
    let classes = weights::classes_of(&metadata);
    if classes.is_empty() {
        let has = match weights::has_classifier((path, &bytes))? {
            true => "does not name the classes of its classifier, so nobody can say which answer is right",
            false => "holds a backbone without a classifier",
        };
        return Err(Error::Data(format!(
            "{shown} {has}; `wgslab embed` writes the backbone's features, and `wgslab train --weights {shown}` teaches a \
             classifier that evaluate takes"
        )));
    }
    let (Some(form), Some(model)) = (ImageForm::of(&metadata), model_of(path, &metadata)) else {
        return Err(Error::Data(format!(
            "{shown} does not say how its images were made, as files of earlier versions; give the folder of its run with --run"
        )));
    };
    let ImageForm { image_size, store_size, channels, mean, std } = form;
    let data = config::Data { image_size, store_size, channels, ..job.config.data.clone() };
    let config = Config { data, model: model.clone(), ..job.config.clone() };
    let job = &Job { config: &config, kernels: job.kernels.clone(), ..*job };
    let mut data = job.read(spec, Need::Evaluation(split), &|w| job.progress.note(w))?;
    matched(job, (spec, &mut data, split), &classes, path)?;
    let eye = Eye::new(model.backbone(channels)?, mean, std);
    let (mut state, wanted) = (State::new(), job.backbone_tensors(eye.backbone.as_ref())?);
    let all = Classifier { classes: &classes, features: eye.backbone.features() };
    weights::load((path, &bytes), job.gpu, &mut state, "backbone.", &wanted, Some(all))?;
    measured(job, (spec, &data, split), &eye, (&mut state, path), classes.len())
}

/// Maps the labels of `data` to the order of `classes`, which the classifier in `path` knows, and says which classes
/// have no image.
fn matched(
    job: &Job<'_>,
    (spec, data, split): (&str, &mut Dataset, Split),
    classes: &[String],
    path: &Path,
) -> Result<()> {
    let missing = match_classes(data, split, classes)
        .map_err(|why| Error::Data(format!("the classifier in {} {why} {spec}", path.display())))?;
    if !missing.is_empty() {
        let (split, missing) = (split.name(), missing.join(", "));
        job.progress.note(&format!("{spec} has no {split} images of {missing}, which the classifier knows, too"));
    }
    Ok(())
}

/// The metrics of a classifier with the weights in `state`, which come from the file at `path`.
fn measured(
    job: &Job<'_>,
    (spec, data, split): (&str, &Dataset, Split),
    eye: &Eye,
    (state, path): (&mut State, &Path),
    classes: usize,
) -> Result<Evaluation> {
    let weights = format!("the weights in {}", path.display());
    let ([logits, features], near) = outputs(job, data, split, eye, (state, &weights), classes)?;
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
    c: &config::Evaluation,
    (images, classes): (usize, usize),
) -> Evaluation {
    Evaluation {
        accuracy: m.accuracy,
        balanced_accuracy: m.balanced_accuracy,
        macro_f1: m.macro_f1,
        auroc: m.auroc,
        mcc: m.mcc,
        ece: m.ece,
        recall: m.recall.clone(),
        confusion: m.confusion.clone(),
        knn_accuracy: near.map(|n| n.accuracy),
        knn_weighted_accuracy: near.map(|n| n.weighted_accuracy),
        knn_neighbours: c.knn_neighbours,
        knn_temperature: c.knn_temperature,
        images,
        classes,
    }
}

/// Logits and features of a split's images. If training images can vote, their features, too.
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

/// Maps the labels of `data` to the order of `classes`, matched by name. Returns the classes of which the split has no
/// image. If the data has another class, the error is the middle of a sentence.
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

/// Accuracy on the test images of a vote of the nearest training images, by the cosine of the backbone's features. The
/// config says how many vote. The weights are those in `backbone`, or else random weights of `seed`.
pub fn knn_accuracy(job: &Job<'_>, spec: &str, backbone: Option<&Path>, seed: u64) -> Result<f64> {
    let set = job.load(spec)?;
    let bytes = backbone.map(|path| Ok::<_, Error>((path, weights::read(path)?))).transpose()?;
    let own = match &bytes {
        Some((path, bytes)) => model_of(path, &checkpoint::read_metadata(path, bytes)?),
        None => None,
    };
    let network = own.as_ref().unwrap_or(&job.config.model).backbone(job.config.data.channels)?;
    let mut state = set.resident.clone();
    if let Some((path, bytes)) = &bytes {
        let wanted = job.backbone_tensors(network.as_ref())?;
        weights::load((path, bytes), job.gpu, &mut state, "backbone.", &wanted, None)?;
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

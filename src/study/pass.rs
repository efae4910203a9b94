//! A pass over images without augmentation: a backbone's features of each image, and its classifier's logits.

use super::dataset::Loaded;
use super::fit::Sizes;
use super::grid::Cell;
use super::session::Job;
use crate::base::{Error, Result};
use crate::data::augment::Augmentation;
use crate::data::store::ImageStore;
use crate::nn::{Backbone, Mode, Params, Recipe};
use crate::tape::{Feed, Plan, State, Tape, Type};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A recorded pass over the images of one split.
pub(super) struct Pass {
    plan: Plan,
    batch: usize,
    store: ImageStore,
    /// Which images, in the order of the rows.
    rows: Vec<u32>,
    /// Whose weights, for people.
    weights: String,
}

impl Pass {
    /// What passes over each of `stores` record, with at most `batch` images in a step: the backbone's features and,
    /// with `classes`, the logits of a classifier.
    pub fn tapes(
        job: &Job<'_>,
        eye: &Eye,
        stores: &[&ImageStore],
        classes: Option<usize>,
        batch: usize,
    ) -> Result<Vec<Tape>> {
        stores.iter().map(|store| record(job, eye, store, batch.min(store.count), classes)).collect()
    }

    /// Images in a step: as many as the config says, or all images of the largest of `stores` if these are fewer.
    pub fn batch(job: &Job<'_>, stores: &[&ImageStore]) -> usize {
        job.config.evaluation.batch_size.min(stores.iter().map(|s| s.count).max().unwrap_or(1))
    }

    /// Compiles a pass over each of `stores` with the parameters in `state`. Messages call the parameters `weights`.
    /// The passes must fit the device together.
    pub fn each<const N: usize>(
        job: &Job<'_>,
        eye: &Eye,
        stores: [&ImageStore; N],
        (state, weights): (&State, &str),
        classes: Option<usize>,
    ) -> Result<[Pass; N]> {
        let batch = Pass::batch(job, &stores);
        let tapes = |b: usize| Pass::tapes(job, eye, &stores, classes, b);
        let mut plans = job.compile(state, "evaluation.batch_size", batch, Sizes::from(1), &tapes)?.into_iter();
        let pass = |store: &ImageStore| {
            let plan = plans.next().ok_or_else(|| Error::Failed("a pass has no plan".into()))?;
            Ok(Pass::of(plan, (store, weights), batch.min(store.count), (0..store.count as u32).collect()))
        };
        let passes = stores.into_iter().map(pass).collect::<Result<Vec<_>>>()?;
        passes.try_into().map_err(|_| Error::Failed("a pass is missing".into()))
    }

    /// A pass of `plan`, which takes `batch` images a step, over the images `rows` of `store`. `weights` says whose the
    /// parameters are, for people.
    pub fn of(plan: Plan, (store, weights): (&ImageStore, &str), batch: usize, rows: Vec<u32>) -> Pass {
        Pass { plan, batch, store: store.clone(), rows, weights: weights.to_string() }
    }

    /// The images of the step that begins with row `start`. The last is filled up with copies of the first image.
    fn step(&self, start: usize) -> Vec<u32> {
        let whole = (start..start + self.batch).map(|i| self.rows.get(i).or(self.rows.first()).copied());
        whole.flatten().collect()
    }

    /// A row of logits for each image of the split, in order.
    pub fn logits(&self, job: &Job<'_>) -> Result<Vec<f32>> {
        self.read(job, [LOGITS], &|_| ()).map(|[logits]| logits)
    }

    /// A row of features for each image of the split, in order.
    pub fn features(&self, job: &Job<'_>) -> Result<Vec<f32>> {
        self.features_told(job, &|_| ())
    }

    /// A row of features for each image. `told` gets the number of images that are done.
    pub fn features_told(&self, job: &Job<'_>, told: &dyn Fn(usize)) -> Result<Vec<f32>> {
        self.read(job, [FEATURES], told).map(|[features]| features)
    }

    /// The logits and the features of each image.
    pub fn both(&self, job: &Job<'_>) -> Result<[Vec<f32>; 2]> {
        self.read(job, [LOGITS, FEATURES], &|_| ())
    }

    /// The rows of the copies that fill up the last batch are dropped.
    fn read<const N: usize>(&self, job: &Job<'_>, outputs: [&str; N], told: &dyn Fn(usize)) -> Result<[Vec<f32>; N]> {
        let mut all = [const { Vec::new() }; N];
        let count = self.rows.len();
        let ahead = self.store.steps((0..count).step_by(self.batch).map(|start| self.step(start)))?;
        for start in (0..count).step_by(self.batch) {
            if job.stop.load(Ordering::Relaxed) {
                let what =
                    "stopped while evaluating; the same command goes on from the last checkpoint, if there is one";
                return Err(Error::TryAgain(what.into()));
            }
            let (indices, images) = (self.step(start), ahead.next(&|note| job.progress.note(note))?);
            let mut feed = Feed::new().input("indices", &indices);
            images.iter().for_each(|images| images.feed(&mut feed, 0..self.batch, &|_| true));
            self.plan.run(job.gpu, &feed)?;
            for (rows, name) in all.iter_mut().zip(outputs) {
                let mut new = self.plan.read_f32(job.gpu, name)?;
                let width = new.len() / self.batch;
                new.truncate((count - start) * width);
                if let Some(at) = new.iter().position(|v| !v.is_finite()) {
                    let (v, i, images, weights) =
                        (new[at], self.rows[start + at / width], &self.store.name, &self.weights);
                    return Err(Error::Failed(format!(
                        "evaluation gives {v} for {images} image {i}: {weights} are damaged or training diverged; a smaller \
                         lr, a longer warm-up or other weights to start from may help"
                    )));
                }
                rows.extend(new);
            }
            told(count.min(start + self.batch));
        }
        Ok(all)
    }
}

/// The names of a pass's outputs.
const LOGITS: &str = "logits";
const FEATURES: &str = "features";

/// A pass over `batch` images of `store` at a time as a tape: its output [`FEATURES`] has a row for each.
pub(super) fn plain_pass(job: &Job<'_>, eye: &Eye, store: &ImageStore, batch: usize) -> Result<Tape> {
    record(job, eye, store, batch, None)
}

fn record(job: &Job<'_>, eye: &Eye, store: &ImageStore, batch: usize, classes: Option<usize>) -> Result<Tape> {
    let (mut t, mut params) = (Tape::new(), Params::new());
    let indices = t.input("indices", Type::u32([batch]))?;
    let x = eye.plain.plain(&mut t, store, indices, job.config.data.image_size as u32)?;
    let features = eye.backbone.forward(&mut t, &mut params, &eye.prefix, x, Mode::Eval)?;
    t.output(FEATURES, features);
    if let Some(classes) = classes {
        let logits = eye.backbone.classify(&mut t, &mut params, &eye.prefix, features, classes)?;
        t.output(LOGITS, logits);
    }
    Ok(t)
}

/// A backbone for evaluation, with the mean and deviation of the training images, which normalize its images.
#[derive(Clone, Debug)]
pub(super) struct Eye {
    plain: Augmentation,
    pub backbone: Arc<dyn Backbone>,
    /// The prefix of its parameters' names.
    prefix: String,
}

impl Eye {
    /// The backbone of a cell, for the images of its dataset.
    pub fn of(job: &Job<'_>, set: &Loaded, cell: &Cell) -> Result<Eye> {
        let backbone = cell.model(job.config)?.backbone(job.config.data.channels)?;
        Ok(Eye::new(backbone, set.train.mean, set.train.std))
    }

    pub fn new(backbone: Arc<dyn Backbone>, mean: [f32; 3], std: [f32; 3]) -> Eye {
        Eye { plain: Augmentation { recipe: Recipe::PLAIN, mean, std }, backbone, prefix: "backbone.".to_string() }
    }

    /// The network of another player, for the same images.
    pub fn of_player(&self, player: &str) -> Eye {
        Eye { prefix: format!("{player}.backbone."), ..self.clone() }
    }
}

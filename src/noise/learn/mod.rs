//! How to learn from labels that may be wrong, one learner per file. On a tape, a learner gets images and labels and
//! gives a loss and logits. Between epochs it works with numbers on the host. It never reads files or test images.

mod known;
mod mixing;
pub mod mixture;
mod reverse;
mod small_loss;
#[cfg(test)]
pub(crate) mod testing;
mod transition;

pub use known::Known;
pub use small_loss::ForgetRate;
pub use transition::{Transition, estimate};

use crate::base::{Error, Result};
use crate::nn::listed::{Checked, Entry, find};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::tape::Var;
use std::fmt::Debug;
use std::sync::Arc;

/// A way to train a classifier on given labels.
pub trait Learner: Checked + Debug + Send + Sync {
    /// The turns of a step, in order. The first turn has no name and trains the player "", whose backbone and classifier
    /// are evaluated and kept. Two networks that read each other's values from before the step are trained in one turn.
    /// Backbones of other players start from the same given weights.
    fn turns(&self) -> Vec<Turn> {
        vec![Turn::ONLY]
    }

    /// What the learner is told of the noise and could not know of labels from elsewhere, for people. Empty for most.
    fn told(&self) -> &'static str {
        ""
    }

    /// The percentile of [`estimate`], of a learner whose transition matrix is estimated: a network is trained by
    /// cross-entropy before, and what it says of the training images gives [`Known::estimated`].
    fn estimates(&self) -> Option<f64> {
        None
    }

    /// The learner with the numbers that it takes from the labels, before the first step. None for a learner that takes
    /// nothing from them. Its recordings must not depend on these numbers, since they are made before labels are known.
    fn informed(&self, _known: &Known<'_>) -> Result<Option<Arc<dyn Learner>>> {
        Ok(None)
    }

    /// Records one turn: views of the images, the loss on their labels, the logits. The parameters that a turn names
    /// must be the same in every turn.
    fn record(&self, turn: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned>;

    /// Records what follows the update of a turn.
    fn after_update(&self, _turn: &Turn, _r: &mut Recorder<'_>) -> Result<()> {
        Ok(())
    }

    /// The numbers that change from step to step, by the names of the scalars that the recordings read.
    fn scalars(&self, _at: Progress) -> Vec<(&'static str, f32)> {
        Vec::new()
    }

    /// The learner's own inputs of a step on the images `indices`, by name, as bytes of the recorded types.
    fn inputs(&self, _at: Progress, _indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        Vec::new()
    }

    /// Whether it plans each epoch: [`Learner::before_epoch`] is called, and each image's loss in each turn is kept on the
    /// device for it. A plan need not follow from losses: one that draws images by class does not read them.
    fn plans_epochs(&self) -> bool {
        false
    }

    /// The key whose number of epochs passes before the method is more than cross-entropy, and that number.
    fn begins_after(&self) -> Option<(&'static str, usize)> {
        None
    }

    /// What the next epoch does with each image. It runs on the host, and the same numbers must give the same plan.
    fn before_epoch(&self, epoch: &Epoch<'_>) -> Result<EpochPlan> {
        Ok(EpochPlan::usual(epoch))
    }
}

/// The labels of a step's images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// The given labels, which may be wrong: u32 [B].
    pub labels: Var,
    /// The weight of each image in the loss: f32 [B].
    pub weights: Var,
    /// Soft labels f32 [B, classes], for learners that plan epochs. Where a plan has none, they are the given labels.
    pub targets: Option<Var>,
    /// The number of classes.
    pub classes: usize,
    /// Training images in all: `Recorder::indices` are below it.
    pub images: usize,
}

/// What a learner records.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// The loss that is minimized.
    pub loss: Loss,
    /// The loss of each image, f32 [B]. Learners that plan epochs need it.
    pub losses: Option<Var>,
    /// The classifier's output for the images, f32 [B, classes], from which accuracy is measured.
    pub logits: Var,
    /// Of learners that select: f32 [B], 1 for images whose given label the first network learns from as right, else 0.
    pub selected: Option<Var>,
}

/// What a learner knows before an epoch.
#[derive(Clone, Debug)]
pub struct Epoch<'a> {
    /// The progress of training.
    pub at: Progress,
    /// For each turn, the last known loss of each image. It is 0 before the first.
    pub losses: Vec<Vec<f32>>,
    /// The given label of each image.
    pub given: &'a [u32],
    /// The number of classes.
    pub classes: usize,
    /// The order of images that the epoch would have without a plan.
    pub order: Vec<usize>,
}

/// What an epoch does with each image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EpochPlan {
    /// The order of images, as many places as there are images. An image may be in it several times, or not at all.
    pub order: Vec<usize>,
    /// The weight of each image in the loss.
    pub weights: Vec<f32>,
    /// A soft label for each image, as `classes` numbers. Empty where the given labels are used.
    pub targets: Vec<f32>,
    /// Further numbers of each image by the name of the input, f32 [B], that reads those of a step.
    pub inputs: Vec<(&'static str, Vec<f32>)>,
}

impl EpochPlan {
    /// The default plan: all images count alike, with their given labels.
    pub fn usual(epoch: &Epoch<'_>) -> Self {
        EpochPlan { order: epoch.order.clone(), weights: vec![1.0; epoch.given.len()], ..EpochPlan::default() }
    }

    /// Gives an error if this is not a plan for `images` images of `classes` classes.
    pub fn check(&self, images: usize, classes: usize) -> Result<()> {
        let order = self.order.len() == images && self.order.iter().all(|&i| i < images);
        let numbers = |list: &[f32], n: usize| list.len() == n && list.iter().all(|v| v.is_finite() && *v >= 0.0);
        let targets = self.targets.is_empty() || numbers(&self.targets, images * classes);
        let inputs = self.inputs.iter().all(|(_, list)| numbers(list, images));
        if order && numbers(&self.weights, images) && targets && inputs {
            return Ok(());
        }
        Err(Error::Failed(format!(
            "an epoch's plan must hold as many places as there are images ({images}), a weight of each, {classes} targets of \
             each or none, and each further number of each; it holds {} places, {} weights and {} targets, or an image that \
             is not there, or a number below 0 or not finite",
            self.order.len(),
            self.weights.len(),
            self.targets.len()
        )))
    }
}

/// Declares the file of each line and lists its `ENTRY`.
macro_rules! list {
    ($($learner:ident,)*) => {
        $(pub mod $learner;)*
        const LEARNERS: &[&Entry<dyn Learner>] = &[$(&$learner::ENTRY),*];
    };
}

// The only list of the names of the learners, in the order in which users see them.
list! {
    cross_entropy,
    label_smoothing,
    gce,
    sce,
    nce_rce,
    forward,
    backward,
    mixup,
    elr,
    elr_plus,
    co_teaching,
    jocor,
    dividemix,
}

/// Every learner.
pub fn learners() -> Vec<&'static Entry<dyn Learner>> {
    let all = LEARNERS.to_vec();
    #[cfg(test)]
    let all = [all, testing::LEARNERS.to_vec()].concat();
    all
}

/// The learner called `name`. An error names all learners.
pub fn learner(name: &str) -> Result<&'static Entry<dyn Learner>> {
    find("training method", name, &learners())
}

/// The learner with what it takes of a run's labels.
pub fn informed(learner: &Arc<dyn Learner>, known: &Known<'_>) -> Result<Arc<dyn Learner>> {
    Ok(learner.informed(known)?.unwrap_or_else(|| learner.clone()))
}

/// The other player of learners with two networks.
const SECOND: &str = "second";

/// The logits of images [N, C, H, W] by the current player: f32 [N, classes].
fn classify(r: &mut Recorder<'_>, x: Var, classes: usize) -> Result<Var> {
    let features = r.features(x)?;
    r.logits(features, classes)
}

/// The logits of a view of the images by the current player: f32 [B, classes].
fn logits(r: &mut Recorder<'_>, classes: usize) -> Result<Var> {
    let recipe = r.recipe.clone();
    let x = r.view(0, &recipe)?;
    classify(r, x, classes)
}

/// The logits of one view of the images by the first network and by [`SECOND`]: each f32 [B, classes].
fn logits_of_both(r: &mut Recorder<'_>, classes: usize) -> Result<[Var; 2]> {
    let recipe = r.recipe.clone();
    let x = r.view(0, &recipe)?;
    let first = classify(r, x, classes)?;
    Ok([first, r.player(SECOND, None, |r| classify(r, x, classes))?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The settings of a learner: its defaults, with `changed` in place of the line of its key.
    fn with(name: &str, changed: &str) -> Result<Arc<dyn Learner>> {
        let entry = learner(name).unwrap();
        let overlay: toml::Table = entry.overlay.parse().unwrap();
        let mut table = overlay["training"][name].as_table().unwrap().clone();
        table.extend(changed.parse::<toml::Table>().unwrap());
        entry.make(&table).map(|made| made.0)
    }

    #[test]
    fn defaults_are_in_range_and_a_bad_value_is_named() {
        let bad = BTreeMap::from([
            ("cross_entropy", vec!["sampling = \"balanced\"\nclass_weights = \"balanced\""]),
            ("label_smoothing", vec!["label_smoothing = 1.1", "label_smoothing = -0.1"]),
            ("gce", vec!["q = 0.0", "q = 1.01", "q = nan"]),
            ("sce", vec!["alpha = -1.0", "beta = inf", "log_zero = 0.0", "alpha = 0\nbeta = 0"]),
            ("nce_rce", vec!["alpha = -1.0", "beta = nan", "log_zero = 1.0"]),
            ("forward", vec!["transition = [[0.5, 0.4], [0, 1]]", "estimate_percentile = 0.0"]),
            ("backward", vec!["transition = [[1, 0]]"]),
            ("mixup", vec!["alpha = 0.0", "alpha = inf"]),
            ("elr", vec!["beta = 1.0", "lambda = -1.0"]),
            (
                "elr_plus",
                vec!["beta = 1.0", "lambda = -1.0", "mixup_alpha = 0.0", "ema_alpha = 1.5", "ema_step = 2000000000"],
            ),
            ("co_teaching", vec!["forget_rate = 1.0", "forget_epochs = 0", "forget_exponent = 0.0"]),
            ("jocor", vec!["co_lambda = 1.5", "forget_rate = -0.1"]),
            (
                "dividemix",
                vec!["warm_up = 0", "p_threshold = 1.0", "temperature = 0.0", "alpha = 0.0", "lambda_u = -1.0"],
            ),
        ]);
        for entry in LEARNERS {
            assert_eq!(with(entry.name, "").unwrap().check(), Ok(()), "{}", entry.name);
            for changed in &bad[entry.name] {
                let (key, what) = with(entry.name, changed).unwrap().check().unwrap_err();
                let way_out = ["use ", "give "].iter().any(|word| what.contains(word));
                assert!(changed.starts_with(&key) && way_out, "{key} {what}");
            }
        }
        for (name, changed, said) in [
            ("cross_entropy", "sampling = \"twice\"", "shuffled"),
            ("forward", "transition = \"guessed\"", "\"estimated\" or a matrix"),
            ("co_teaching", "forget_rate = \"asked\"", "\"known\""),
            ("elr", "gamma = 1", "gamma"),
        ] {
            let e = with(name, changed).unwrap_err();
            assert!(e.exit_code() == 2 && e.to_string().contains(said), "{e}");
        }
    }

    #[test]
    fn a_plan_holds_numbers_of_every_image() {
        let plan = || EpochPlan { order: vec![1, 1], weights: vec![1.0, 0.0], ..EpochPlan::default() };
        assert!(plan().check(2, 3).is_ok(), "an image may stand twice, another nowhere");
        let wrong = [
            EpochPlan { order: vec![0, 2], ..plan() },
            EpochPlan { order: vec![0], ..plan() },
            EpochPlan { weights: vec![1.0, -1.0], ..plan() },
            EpochPlan { targets: vec![0.5; 5], ..plan() },
            EpochPlan { inputs: vec![("w", vec![1.0])], ..plan() },
            EpochPlan { inputs: vec![("w", vec![1.0, f32::NAN])], ..plan() },
        ];
        assert!(wrong.iter().all(|plan| plan.check(2, 3).is_err()));
    }
}

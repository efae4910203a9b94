//! How to learn from labels that may be wrong, one learner per file. On a tape, a learner gets images and labels and
//! gives a loss and logits. Between epochs it works with numbers on the host. It never reads files or test images.

#[cfg(test)]
pub(crate) mod testing;

use crate::base::{Error, Result};
use crate::nn::listed::{Checked, Entry, find};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::tape::Var;
use std::fmt::Debug;

/// A way to train a classifier on given labels.
pub trait Learner: Checked + Debug + Send + Sync {
    /// The turns of a step, in order. A learner with two networks has one turn for each. The first turn has no name and
    /// trains the player "", whose backbone and classifier are evaluated and kept. Backbones of other players start
    /// from the same given weights.
    fn turns(&self) -> Vec<Turn> {
        vec![Turn::ONLY]
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

    /// Whether its epochs depend on the losses of the last one. If so, each image's loss in each turn is kept on the
    /// device, and [`Learner::before_epoch`] is called.
    fn plans_epochs(&self) -> bool {
        false
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
    /// The order of images. Each must be in it once; an image to leave out gets weight 0.
    pub order: Vec<usize>,
    /// The weight of each image in the loss.
    pub weights: Vec<f32>,
    /// A soft label for each image, as `classes` numbers. Empty where the given labels are used.
    pub targets: Vec<f32>,
}

impl EpochPlan {
    /// The default plan: all images count alike, with their given labels.
    pub fn usual(epoch: &Epoch<'_>) -> Self {
        EpochPlan { order: epoch.order.clone(), weights: vec![1.0; epoch.given.len()], targets: Vec::new() }
    }

    /// Gives an error if this is not a plan for `images` images of `classes` classes.
    pub fn check(&self, images: usize, classes: usize) -> Result<()> {
        let mut order = self.order.clone();
        order.sort_unstable();
        let once = order.iter().copied().eq(0..images);
        let numbers = |list: &[f32], n: usize| list.len() == n && list.iter().all(|v| v.is_finite() && *v >= 0.0);
        let targets = self.targets.is_empty() || numbers(&self.targets, images * classes);
        if once && numbers(&self.weights, images) && targets {
            return Ok(());
        }
        Err(Error::Failed(format!(
            "an epoch's plan must hold each of {images} images once, a weight of each and {classes} targets of each or none; \
             it holds {} places, {} weights and {} targets, or a number below 0 or not finite",
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

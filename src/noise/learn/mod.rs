//! How to learn from labels that may be wrong, one learner per file. A learner sees values on a tape: images and labels in,
//! a loss and logits out; between epochs it sees numbers on the host. It never sees files or test images.

#[cfg(test)]
pub(crate) mod testing;

use crate::base::{Error, Result};
use crate::nn::listed::{Checked, Entry, find};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::tape::Var;
use std::fmt::Debug;

/// A way to train a classifier on given labels.
pub trait Learner: Checked + Debug + Send + Sync {
    /// The turns of a step, in order: of two networks each has one. The first has no name and trains the player "", whose
    /// backbone and classifier are evaluated and kept. Backbones of other players start from the same given weights.
    fn turns(&self) -> Vec<Turn> {
        vec![Turn::ONLY]
    }

    /// Records one turn: views of the images, the loss on their labels, the logits. What it names in every turn must be the
    /// same parameters.
    fn record(&self, turn: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned>;

    /// Records what follows the update of a turn.
    fn after_update(&self, _turn: &Turn, _r: &mut Recorder<'_>) -> Result<()> {
        Ok(())
    }

    /// The numbers that move from step to step, by the names of the scalars that the recordings read.
    fn scalars(&self, _at: Progress) -> Vec<(&'static str, f32)> {
        Vec::new()
    }

    /// The learner's own inputs of a step on the images `indices`, by name: bytes of the recorded types.
    fn inputs(&self, _at: Progress, _indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        Vec::new()
    }

    /// Whether its epochs follow from the last one's losses: then each image's loss in each turn is kept on the device, and
    /// [`Learner::before_epoch`] is asked.
    fn plans_epochs(&self) -> bool {
        false
    }

    /// What the next epoch does with each image. Host logic alone: the same numbers give the same plan.
    fn before_epoch(&self, epoch: &Epoch<'_>) -> Result<EpochPlan> {
        Ok(EpochPlan::usual(epoch))
    }
}

/// The labels of a step's images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// The given labels, which may be wrong: u32 [B].
    pub labels: Var,
    /// What each image counts in the loss: f32 [B].
    pub weights: Var,
    /// Soft labels f32 [B, classes], of learners that plan epochs: the given labels where a plan has none.
    pub targets: Option<Var>,
    /// Classes.
    pub classes: usize,
}

/// What a learner records.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// What is minimized.
    pub loss: Loss,
    /// The loss of each image, f32 [B]; learners that plan epochs need it.
    pub losses: Option<Var>,
    /// What the classifier says of the images, f32 [B, classes]: accuracy is measured on it.
    pub logits: Var,
}

/// What is known before an epoch.
#[derive(Clone, Debug)]
pub struct Epoch<'a> {
    /// Where training stands.
    pub at: Progress,
    /// Of each turn, each image's loss when it was last seen; 0 before.
    pub losses: Vec<Vec<f32>>,
    /// The given label of each image.
    pub given: &'a [u32],
    /// Classes.
    pub classes: usize,
    /// The order that images would be taken in.
    pub order: Vec<usize>,
}

/// What an epoch does with each image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EpochPlan {
    /// The order they are taken in: each once. What is left out has weight 0 instead.
    pub order: Vec<usize>,
    /// What each counts in the loss.
    pub weights: Vec<f32>,
    /// A soft label of each, `classes` numbers an image; empty where the given labels hold.
    pub targets: Vec<f32>,
}

impl EpochPlan {
    /// All images alike, on their given labels.
    pub fn usual(epoch: &Epoch<'_>) -> Self {
        EpochPlan { order: epoch.order.clone(), weights: vec![1.0; epoch.given.len()], targets: Vec::new() }
    }

    /// An error where it is no plan for `images` of so many `classes`.
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

/// Declares the file of each line, and lists its `ENTRY`.
macro_rules! list {
    ($($learner:ident,)*) => {
        $(pub mod $learner;)*
        const LEARNERS: &[&Entry<dyn Learner>] = &[$(&$learner::ENTRY),*];
    };
}

// The one place that knows the names of the learners, in the order in which people see them.
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

/// The learner called `name`; an error names all.
pub fn learner(name: &str) -> Result<&'static Entry<dyn Learner>> {
    find("training method", name, &learners())
}

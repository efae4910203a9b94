//! How to learn from labels that may be wrong, one learner per file. A learner sees values on a tape: images and labels in,
//! a loss and logits out; between epochs it sees numbers on the host. It never sees files or test images.

pub mod cross_entropy;

use crate::base::Result;
use crate::nn::listed::{Checked, Entry, find};
use crate::nn::recorder::{Loss, Recorder};
use crate::tape::Var;
use std::fmt::Debug;

/// A way to train a classifier on given labels.
pub trait Learner: Checked + Debug + Send + Sync {
    /// Records a step: a view of the images, the loss on their given labels, the logits.
    fn record(&self, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned>;
}

/// The labels of a step's images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// The given labels, which may be wrong: u32 [B].
    pub labels: Var,
    /// What each image counts in the loss: f32 [B].
    pub weights: Var,
    /// Classes.
    pub classes: usize,
}

/// What a learner records.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// What is minimized.
    pub loss: Loss,
    /// What the classifier says of the images, f32 [B, classes]: accuracy is measured on it.
    pub logits: Var,
}

/// Every learner, one line each.
const LEARNERS: &[&Entry<dyn Learner>] = &[&cross_entropy::ENTRY];

/// Every learner.
pub fn learners() -> Vec<&'static Entry<dyn Learner>> {
    LEARNERS.to_vec()
}

/// The learner called `name`; an error names all.
pub fn learner(name: &str) -> Result<&'static Entry<dyn Learner>> {
    find("training method", name, &learners())
}

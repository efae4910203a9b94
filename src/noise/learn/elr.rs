//! Early-learning regularization (Liu et al. 2020, arXiv 2007.00151, eq. 6): cross-entropy + λ log(1 − ⟨p, t⟩), which pulls a
//! prediction p to the image's target t, the moving average of its earlier predictions, t ← β t + (1 − β) p (eq. 9). As in the
//! authors' code, t begins at 0 and is moved before it is used. The paper's ELR+, with two
//! networks and mixup, is `elr_plus.rs`.

use super::{Batch, Learned, Learner, logits};
use crate::base::Result;
use crate::base::range::{Mistake, mistake};
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Recorder, Turn};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "elr",
    about: "ELR: predictions are held to what they were early on (Liu et al. 2020)",
    overlay: include_str!("../../../configs/noise/elr.toml"),
    read: |from| read(from, |learner: Elr| Arc::new(learner)),
};

/// The state that holds the targets of all images, f32 [images, classes].
const TARGETS: &str = "elr_targets";

/// `[training.elr]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elr {
    /// β.
    pub beta: f64,
    /// λ.
    pub lambda: f64,
}

/// Checks β and λ, which ELR+ has, too.
pub(super) fn check(beta: f64, lambda: f64) -> std::result::Result<(), Mistake> {
    if !(0.0..1.0).contains(&beta) {
        return mistake("beta", format!("is {beta}; use a share from 0 to below 1: at 1 targets never move"));
    }
    if !(0.0..=1e6).contains(&lambda) {
        return mistake("lambda", format!("is {lambda}; use a number from 0 to 1000000"));
    }
    Ok(())
}

impl Checked for Elr {
    fn check(&self) -> Result<(), Mistake> {
        check(self.beta, self.lambda)
    }
}

impl Learner for Elr {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let logits = logits(r, batch.classes)?;
        let (table, of) = ((TARGETS, batch.images), [logits, batch.labels, r.indices, batch.weights]);
        let [loss, losses] = r.t.layer("loss", |t| t.elr(table, of, self.beta as f32, self.lambda as f32))?;
        Ok(Learned { loss: loss.into(), losses: Some(losses), logits, selected: None })
    }
}

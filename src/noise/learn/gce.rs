//! Generalized cross-entropy (Zhang & Sabuncu 2018, arXiv 1805.07836, eq. 6): (1 − p^q) / q of the probability p of the given
//! label. q near 0 is cross-entropy, q = 1 the mean absolute error. The paper's truncated form is not built.

use super::{Batch, Learned, Learner, logits};
use crate::base::Result;
use crate::base::range::{Mistake, mistake};
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Recorder, Turn};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "gce",
    about: "GCE: generalized cross-entropy, between cross-entropy and the absolute error (Zhang & Sabuncu 2018)",
    overlay: include_str!("../../../configs/noise/gce.toml"),
    read: |from| read(from, |learner: Gce| Arc::new(learner)),
};

/// `[training.gce]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gce {
    /// q.
    pub q: f64,
}

impl Checked for Gce {
    fn check(&self) -> Result<(), Mistake> {
        // Below it the difference 1 − p^q is nothing but rounding.
        if (0.001..=1.0).contains(&self.q) {
            return Ok(());
        }
        mistake(
            "q",
            format!("is {}; use a number from 0.001, nearly cross-entropy, to 1, the mean absolute error", self.q),
        )
    }
}

impl Learner for Gce {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let logits = logits(r, batch.classes)?;
        let [loss, losses] = r.t.layer("loss", |t| t.gce(logits, batch.labels, batch.weights, self.q as f32))?;
        Ok(Learned { loss: loss.into(), losses: Some(losses), logits, selected: None })
    }
}

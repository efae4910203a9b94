//! Symmetric cross-entropy (Wang et al. 2019, arXiv 1908.06112, eq. 9): α · cross-entropy + β · reverse cross-entropy,
//! in which log 0 is A.

use super::reverse::check;
use super::{Batch, Learned, Learner, logits};
use crate::base::Result;
use crate::base::range::Mistake;
use crate::kernels::sce;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Recorder, Turn};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "sce",
    about: "SCE: cross-entropy and the reverse of it (Wang et al. 2019)",
    overlay: include_str!("../../../configs/noise/sce.toml"),
    read: |from| read(from, |learner: Sce| Arc::new(learner)),
};

/// `[training.sce]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sce {
    /// α, of the cross-entropy.
    pub alpha: f64,
    /// β, of the reverse cross-entropy.
    pub beta: f64,
    /// A.
    pub log_zero: f64,
}

impl Checked for Sce {
    fn check(&self) -> Result<(), Mistake> {
        check(self.alpha, self.beta, self.log_zero)
    }
}

impl Learner for Sce {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let logits = logits(r, batch.classes)?;
        let op = sce::Sce { alpha: self.alpha as f32, beta: self.beta as f32, log_zero: self.log_zero as f32 };
        let [loss, losses] = r.t.layer("loss", |t| t.sce(logits, batch.labels, batch.weights, op))?;
        Ok(Learned { loss: loss.into(), losses: Some(losses), logits, selected: None })
    }
}

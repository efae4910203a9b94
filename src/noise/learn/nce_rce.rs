//! An active and a passive loss together (Ma et al. 2020, arXiv 2006.13554, eq. 10): α · normalized cross-entropy
//! log p_label / Σ_k log p_k (eq. 6) + β · reverse cross-entropy, in which log 0 is A.

use super::reverse::check;
use super::{Batch, Learned, Learner, logits};
use crate::base::Result;
use crate::base::range::Mistake;
use crate::kernels::nce_rce;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Recorder, Turn};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "nce_rce",
    about: "NCE+RCE: normalized and reverse cross-entropy (Ma et al. 2020)",
    overlay: include_str!("../../../configs/noise/nce_rce.toml"),
    read: |from| read(from, |learner: NceRce| Arc::new(learner)),
};

/// `[training.nce_rce]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NceRce {
    /// α, of the normalized cross-entropy.
    pub alpha: f64,
    /// β, of the reverse cross-entropy.
    pub beta: f64,
    /// A.
    pub log_zero: f64,
}

impl Checked for NceRce {
    fn check(&self) -> Result<(), Mistake> {
        check(self.alpha, self.beta, self.log_zero)
    }
}

impl Learner for NceRce {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let logits = logits(r, batch.classes)?;
        let op = nce_rce::NceRce { alpha: self.alpha as f32, beta: self.beta as f32, log_zero: self.log_zero as f32 };
        let [loss, losses] = r.t.layer("loss", |t| t.nce_rce(logits, batch.labels, batch.weights, op))?;
        Ok(Learned { loss: loss.into(), losses: Some(losses), logits, selected: None })
    }
}

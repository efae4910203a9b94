//! Backward loss correction (Patrini et al. 2017, arXiv 1609.03683, theorem 1): the losses −log p_j of all classes, weighted by
//! the given label's row of T⁻¹, Σ_j T⁻¹_label,j · (−log p_j), T the transition matrix. Its mean over noisy labels is the loss
//! over clean ones. Some weights are below 0: as in the authors' code, p is at least 1e-7, so that no sample's
//! loss falls without end, and no gradient passes where it is less.

use super::transition::inverse;
use super::{Batch, Known, Learned, Learner, Transition, logits};
use crate::base::Result;
use crate::base::range::Mistake;
use crate::kernels::reduce::Reduction;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Progress, Recorder, Turn};
use crate::tape::Type;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "backward",
    about: "Backward correction: losses are weighted by the inverse of the noise's transition matrix (Patrini et al. 2017)",
    overlay: include_str!("../../../configs/noise/backward.toml"),
    read: |from| read(from, |learner: Backward| Arc::new(learner)),
};

/// The input that holds T⁻¹, f32 [classes, classes].
const INVERSE: &str = "inverse_transition";
/// The logarithm of the least probability.
const LEAST_LOG: f32 = -16.118_095;

/// `[training.backward]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backward {
    /// T.
    pub transition: Transition,
    /// Of an estimated T, from which percentile on images are outliers.
    pub estimate_percentile: f64,
    /// T⁻¹ of a run, row by row.
    #[serde(skip)]
    inverse: Vec<f32>,
}

impl Checked for Backward {
    fn check(&self) -> Result<(), Mistake> {
        self.transition.check(self.estimate_percentile)
    }
}

impl Learner for Backward {
    fn told(&self) -> &'static str {
        self.transition.told()
    }

    fn estimates(&self) -> Option<f64> {
        (self.transition == Transition::Estimated).then_some(self.estimate_percentile)
    }

    fn informed(&self, known: &Known<'_>) -> Result<Option<Arc<dyn Learner>>> {
        let inverse =
            inverse(&self.transition.of(ENTRY.name, known)?, known.classes)?.into_iter().map(|v| v as f32).collect();
        Ok(Some(Arc::new(Backward { inverse, ..self.clone() })))
    }

    fn record(&self, _: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let inverse = r.input(INVERSE, Type::f32([batch.classes, batch.classes]))?;
        let logits = logits(r, batch.classes)?;
        let (loss, losses) = r.t.layer("loss", |t| {
            let log = t.log_softmax(logits, 1.0)?;
            let log = t.clamp(log, LEAST_LOG, f32::INFINITY)?;
            let of_label = t.gather(inverse, batch.labels)?;
            let weighted = t.mul(of_label, log)?;
            let sums = t.reduce(weighted, Reduction::Sum, &[1], false)?;
            let losses = t.neg(sums)?;
            let counted = t.mul(losses, batch.weights)?;
            let sum = t.reduce(counted, Reduction::Sum, &[0], true)?;
            let all = t.reduce(batch.weights, Reduction::Sum, &[0], true)?;
            Ok((t.div(sum, all)?, losses))
        })?;
        Ok(Learned { loss: loss.into(), losses: Some(losses), logits, selected: None })
    }

    fn inputs(&self, _: Progress, _: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        vec![(INVERSE, bytemuck::cast_slice(&self.inverse).to_vec())]
    }
}

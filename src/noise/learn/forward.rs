//! Forward loss correction (Patrini et al. 2017, arXiv 1609.03683, theorem 2): cross-entropy of the given label under what noise
//! makes of the network's probabilities, −log (Tᵀ p)_label, T the transition matrix. Its minimum is that of clean labels.

use super::{Batch, Known, Learned, Learner, Transition, logits};
use crate::base::Result;
use crate::base::range::Mistake;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Progress, Recorder, Turn};
use crate::tape::Type;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "forward",
    about: "Forward correction: predictions pass the noise's transition matrix (Patrini et al. 2017)",
    overlay: include_str!("../../../configs/noise/forward.toml"),
    read: |from| read(from, |learner: Forward| Arc::new(learner)),
};

/// The input that holds T, f32 [classes, classes].
const TRANSITION: &str = "transition";
/// What a probability is at least, so that its logarithm is finite.
const LEAST: f32 = 1e-30;

/// `[training.forward]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// T.
    pub transition: Transition,
    /// Of an estimated T, from which percentile on images are outliers.
    pub estimate_percentile: f64,
    /// T of a run, row by row.
    #[serde(skip)]
    matrix: Vec<f32>,
}

impl Checked for Forward {
    fn check(&self) -> Result<(), Mistake> {
        self.transition.check(self.estimate_percentile)
    }
}

impl Learner for Forward {
    fn told(&self) -> &'static str {
        self.transition.told()
    }

    fn estimates(&self) -> Option<f64> {
        (self.transition == Transition::Estimated).then_some(self.estimate_percentile)
    }

    fn informed(&self, known: &Known<'_>) -> Result<Option<Arc<dyn Learner>>> {
        let matrix = self.transition.of(ENTRY.name, known)?.into_iter().map(|v| v as f32).collect();
        Ok(Some(Arc::new(Forward { matrix, ..self.clone() })))
    }

    fn record(&self, _: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let matrix = r.input(TRANSITION, Type::f32([batch.classes, batch.classes]))?;
        let logits = logits(r, batch.classes)?;
        let [loss, losses, _] = r.t.layer("loss", |t| {
            let clean = t.softmax(logits, 1.0)?;
            let noisy = t.matmul(clean, matrix, false, false)?;
            let noisy = t.clamp(noisy, LEAST, f32::INFINITY)?;
            // Rows of probabilities: the softmax of their logarithms is themselves.
            let log = t.log(noisy)?;
            t.cross_entropy(log, batch.labels, batch.weights)
        })?;
        Ok(Learned { loss: loss.into(), losses: Some(losses), logits, selected: None })
    }

    fn inputs(&self, _: Progress, _: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        vec![(TRANSITION, bytemuck::cast_slice(&self.matrix).to_vec())]
    }
}

//! Cross-entropy against softened labels (Szegedy et al. 2016, arXiv 1512.00567, section 7): (1 − ε) at the given label and
//! ε / K at each of K classes, PyTorch's `label_smoothing`. Against label noise: Lukasik et al. 2020, arXiv 2003.02819.

use super::{Batch, Learned, Learner, logits};
use crate::base::Result;
use crate::base::range::{Mistake, share};
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Recorder, Turn};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "label_smoothing",
    about: "Label smoothing: a part of each label is spread over all classes (Szegedy et al. 2016)",
    overlay: include_str!("../../../configs/noise/label_smoothing.toml"),
    read: |from| read(from, |learner: LabelSmoothing| Arc::new(learner)),
};

/// `[training.label_smoothing]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSmoothing {
    /// ε.
    pub label_smoothing: f64,
}

impl Checked for LabelSmoothing {
    fn check(&self) -> Result<(), Mistake> {
        share("label_smoothing", self.label_smoothing)
    }
}

impl Learner for LabelSmoothing {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let logits = logits(r, batch.classes)?;
        let (labels, weights, epsilon) = (batch.labels, batch.weights, self.label_smoothing as f32);
        let [loss, losses, _] = r.t.layer("loss", |t| t.cross_entropy_with(logits, labels, weights, None, epsilon))?;
        Ok(Learned { loss: loss.into(), losses: Some(losses), logits, selected: None })
    }
}

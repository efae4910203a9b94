//! Cross-entropy on the given labels, unchanged. Every other learner is compared with it.

use super::{Batch, Learned, Learner};
use crate::base::Result;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Recorder, Turn};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The learner's line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "cross_entropy",
    about: "cross-entropy on the labels as they are",
    overlay: include_str!("../../../configs/noise/cross_entropy.toml"),
    read: |from| read(from, |learner: CrossEntropy| Arc::new(learner)),
};

/// It has no settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossEntropy {}

impl Checked for CrossEntropy {}

impl Learner for CrossEntropy {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let recipe = r.recipe.clone();
        let x = r.view(0, &recipe)?;
        let features = r.features(x)?;
        let logits = r.logits(features, batch.classes)?;
        let [loss, losses, _] = r.t.layer("loss", |t| t.cross_entropy(logits, batch.labels, batch.weights))?;
        Ok(Learned { loss: loss.into(), losses: Some(losses), logits })
    }
}

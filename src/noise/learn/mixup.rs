//! mixup (Zhang et al. 2018, arXiv 1710.09412, section 2): cross-entropy of mixed images against labels mixed alike,
//! x = λ x_i + (1 − λ) x_j, y = λ y_i + (1 − λ) y_j, j a partner of the same step, λ ~ Beta(α, α), one a step as in the authors'
//! code. Training accuracy is measured on the mixed images, against the label of x_i.

use super::{Batch, Learned, Learner, classify, mixing};
use crate::base::Result;
use crate::base::range::Mistake;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Progress, Recorder, Turn};
use crate::tape::Type;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "mixup",
    about: "mixup: mixtures of two images against mixtures of their labels (Zhang et al. 2018)",
    overlay: include_str!("../../../configs/noise/mixup.toml"),
    read: |from| read(from, |learner: Mixup| Arc::new(learner)),
};

/// The random stream of partners and λ ("mixu" in ASCII).
const MIXING: u32 = 0x6d69_7875;
/// The inputs: the partner of each image u32 [B], λ of each f32 [B].
const PAIR: &str = "mixup_pair";
const LAMBDA: &str = "mixup_lambda";

/// `[training.mixup]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixup {
    /// α.
    pub alpha: f64,
}

impl Checked for Mixup {
    fn check(&self) -> Result<(), Mistake> {
        mixing::check(self.alpha)
    }
}

impl Learner for Mixup {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let (size, recipe, classes) = (r.batch, r.recipe.clone(), batch.classes);
        let pair = r.input(PAIR, Type::u32([size]))?;
        let lambda = r.input(LAMBDA, Type::f32([size]))?;
        let x = r.view(0, &recipe)?;
        let x = r.t.layer("mixup", |t| t.mixup(x, pair, lambda))?;
        let logits = classify(r, x, classes)?;
        let [loss, losses, _] = r.t.layer("loss", |t| {
            let targets = t.mix_targets(batch.labels, pair, lambda, classes as u32)?;
            t.cross_entropy_with(logits, targets, batch.weights, None, 0.0)
        })?;
        Ok(Learned { loss: loss.into(), losses: Some(losses), logits, selected: None })
    }

    fn inputs(&self, at: Progress, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        let step = (at.epoch * at.steps + at.step) as u64;
        let (pair, lambda) = mixing::drawn((at.seed, MIXING, step), indices.len(), self.alpha);
        let lambdas = vec![lambda; indices.len()];
        vec![(PAIR, bytemuck::cast_slice(&pair).to_vec()), (LAMBDA, bytemuck::cast_slice(&lambdas).to_vec())]
    }
}

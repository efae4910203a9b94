//! A learner for tests only. It has two networks, and each learns from the images that the other finds easy. It makes
//! its own soft labels and its own order on the host, from the last epoch's losses.

use super::{Batch, Epoch, EpochPlan, Learned, Learner};
use crate::base::{Error, Result};
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Recorder, Turn};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The list of test learners.
pub const LEARNERS: &[&Entry<dyn Learner>] = &[&Entry {
    name: "test_pair",
    about: "two networks that choose images for each other",
    overlay: "[training.test_pair]\nkeep = 0.5\n",
    read: |from| read(from, |learner: Pair| Arc::new(learner)),
}];

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    keep: f32,
}

impl Checked for Pair {}

impl Learner for Pair {
    fn turns(&self) -> Vec<Turn> {
        vec![Turn::ONLY, Turn { name: "second", repeats: 1, trains: &["second"] }]
    }

    fn record(&self, turn: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let recipe = r.recipe.clone();
        let x = r.view(u32::from(!turn.name.is_empty()), &recipe)?;
        let logits = |r: &mut Recorder<'_>| {
            let features = r.features(x)?;
            r.logits(features, batch.classes)
        };
        let logits = if turn.name.is_empty() { logits(r)? } else { r.player("second", None, logits)? };
        let targets = batch.targets.ok_or_else(|| Error::Failed("a planned epoch has targets".into()))?;
        let [loss, losses, _] = r.t.cross_entropy_with(logits, targets, batch.weights, None, 0.0)?;
        Ok(Learned { loss: loss.into(), losses: Some(losses), logits, selected: None })
    }

    fn plans_epochs(&self) -> bool {
        true
    }

    fn before_epoch(&self, epoch: &Epoch<'_>) -> Result<EpochPlan> {
        let n = epoch.given.len();
        let loss = |i: usize| epoch.losses.iter().map(|l| l[i]).sum::<f32>();
        let mut order = epoch.order.clone();
        order.sort_by(|a, b| loss(*a).total_cmp(&loss(*b)).then(a.cmp(b)));
        let mut weights = vec![self.keep; n];
        order[..n / 2].iter().for_each(|&i| weights[i] = 1.0);
        let soft =
            |i: usize, k: usize| if epoch.given[i] as usize == k { 0.9 } else { 0.1 / (epoch.classes - 1) as f32 };
        let targets = (0..n).flat_map(|i| (0..epoch.classes).map(move |k| soft(i, k))).collect();
        Ok(EpochPlan { order, weights, targets, ..EpochPlan::default() })
    }
}

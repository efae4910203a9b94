//! Co-teaching (Han et al. 2018, arXiv 1804.06872, algorithm 1): of each step's images, each of two networks learns from those
//! whose loss under the other is small. How many are kept falls from all to 1 − τ (`small_loss.rs`). Both networks choose before
//! either is updated, so one turn trains both. The loss is the mean over the kept images; the authors' code divides that mean by
//! their number once more, which its Adam does not notice. The first network is evaluated and kept.

use super::small_loss::{Schedule, smallest};
use super::{Batch, ForgetRate, Known, Learned, Learner, SECOND, logits_of_both};
use crate::base::Result;
use crate::base::range::Mistake;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "co_teaching",
    about: "Co-teaching: two networks that choose images of small loss for each other (Han et al. 2018)",
    overlay: include_str!("../../../configs/noise/co_teaching.toml"),
    read: |from| read(from, |learner: CoTeaching| Arc::new(learner)),
};

/// `[training.co_teaching]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoTeaching {
    /// τ.
    pub forget_rate: ForgetRate,
    /// T_k: epochs until so many are left out.
    pub forget_epochs: usize,
    /// c.
    pub forget_exponent: f64,
}

impl CoTeaching {
    fn schedule(&self) -> Schedule {
        Schedule { forget_rate: self.forget_rate, epochs: self.forget_epochs, exponent: self.forget_exponent }
    }
}

impl Checked for CoTeaching {
    fn check(&self) -> Result<(), Mistake> {
        self.schedule().check()
    }
}

impl Learner for CoTeaching {
    fn told(&self) -> &'static str {
        self.schedule().told()
    }

    fn informed(&self, known: &Known<'_>) -> Result<Option<Arc<dyn Learner>>> {
        Ok(Some(Arc::new(CoTeaching { forget_rate: self.schedule().rate(known), ..self.clone() })))
    }

    fn turns(&self) -> Vec<Turn> {
        vec![Turn { trains: &["", SECOND], ..Turn::ONLY }]
    }

    fn record(&self, _: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let (classes, labels, weights) = (batch.classes, batch.labels, batch.weights);
        let [first, second] = logits_of_both(r, classes)?;
        let [a, b] = [first, second].map(|logits| r.t.cross_entropy(logits, labels, weights));
        let ([_, a, _], [_, b, _]) = (a?, b?);
        let [chosen_by_first, chosen_by_second] = smallest(r, [a, b])?;
        let (total, terms) = r.t.layer("loss", |t| {
            let [first, ..] = t.cross_entropy(first, labels, chosen_by_second)?;
            let [second, ..] = t.cross_entropy(second, labels, chosen_by_first)?;
            Ok((t.add(first, second)?, vec![("first", first), ("second", second)]))
        })?;
        Ok(Learned { loss: Loss { total, terms }, losses: Some(a), logits: first, selected: Some(chosen_by_second) })
    }

    fn inputs(&self, at: Progress, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        self.schedule().inputs(at, indices.len())
    }
}

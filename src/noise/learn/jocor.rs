//! JoCoR (Wei et al. 2020, arXiv 2003.02752, section 3): two networks with one loss of each image, (1 − λ) times the sum of both
//! cross-entropies plus λ times KL(p₁ ‖ p₂) + KL(p₂ ‖ p₁); a step learns from the images where it is small. How many are kept
//! falls from all to 1 − τ as in Co-teaching (`small_loss.rs`). The first network is evaluated and kept.

use super::small_loss::{Schedule, smallest};
use super::{Batch, ForgetRate, Known, Learned, Learner, SECOND, logits_of_both};
use crate::base::Result;
use crate::base::range::{Mistake, share};
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "jocor",
    about: "JoCoR: two networks that agree, on images of small joint loss (Wei et al. 2020)",
    overlay: include_str!("../../../configs/noise/jocor.toml"),
    read: |from| read(from, |learner: JoCor| Arc::new(learner)),
};

/// `[training.jocor]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoCor {
    /// λ.
    pub co_lambda: f64,
    /// τ.
    pub forget_rate: ForgetRate,
    /// T_k: epochs until so many are left out.
    pub forget_epochs: usize,
    /// c.
    pub forget_exponent: f64,
}

/// The two parts of a joint loss: both cross-entropies and both divergences.
struct Parts {
    /// Their weighted means, times their shares, f32 [1].
    means: [Var; 2],
    /// Of each image, together, f32 [B].
    losses: Var,
}

impl JoCor {
    fn schedule(&self) -> Schedule {
        Schedule { forget_rate: self.forget_rate, epochs: self.forget_epochs, exponent: self.forget_exponent }
    }

    fn joint(&self, t: &mut Tape, [first, second]: [Var; 2], labels: Var, weights: Var) -> Result<Parts> {
        let co = self.co_lambda as f32;
        let ([a, of_a, _], [b, of_b, _]) =
            (t.cross_entropy(first, labels, weights)?, t.cross_entropy(second, labels, weights)?);
        let ([c, of_c], [d, of_d]) = (t.kl_div(first, second, weights, 1.0)?, t.kl_div(second, first, weights, 1.0)?);
        let mut both = |x: Var, y: Var, share: f32| {
            let sum = t.add(x, y)?;
            t.scale(sum, share)
        };
        let means = [both(a, b, 1.0 - co)?, both(c, d, co)?];
        let (supervised, agreed) = (both(of_a, of_b, 1.0 - co)?, both(of_c, of_d, co)?);
        Ok(Parts { means, losses: t.add(supervised, agreed)? })
    }
}

impl Checked for JoCor {
    fn check(&self) -> Result<(), Mistake> {
        share("co_lambda", self.co_lambda)?;
        self.schedule().check()
    }
}

impl Learner for JoCor {
    fn told(&self) -> &'static str {
        self.schedule().told()
    }

    fn informed(&self, known: &Known<'_>) -> Result<Option<Arc<dyn Learner>>> {
        Ok(Some(Arc::new(JoCor { forget_rate: self.schedule().rate(known), ..self.clone() })))
    }

    fn turns(&self) -> Vec<Turn> {
        vec![Turn { trains: &["", SECOND], ..Turn::ONLY }]
    }

    fn record(&self, _: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let (classes, labels, weights) = (batch.classes, batch.labels, batch.weights);
        let [first, second] = logits_of_both(r, classes)?;
        let all = r.t.layer("joint_loss", |t| self.joint(t, [first, second], labels, weights))?;
        let [chosen] = smallest(r, [all.losses])?;
        let (total, terms) = r.t.layer("loss", |t| {
            let [supervised, agreed] = self.joint(t, [first, second], labels, chosen)?.means;
            Ok((t.add(supervised, agreed)?, vec![("supervised", supervised), ("agreed", agreed)]))
        })?;
        Ok(Learned { loss: Loss { total, terms }, losses: Some(all.losses), logits: first, selected: Some(chosen) })
    }

    fn inputs(&self, at: Progress, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        self.schedule().inputs(at, indices.len())
    }
}

//! ELR+ (Liu et al. 2020, arXiv 2007.00151, section 4.3): early-learning regularization of two networks, each held to what the
//! weight average of the other one says. For one network, with f its logits, p = softmax(f), f̄ the logits of the other's average:
//! - mixup: λ ~ Beta(α, α), λ ← max(λ, 1 − λ), x̃_i = λ x_i + (1 − λ) x_j, ỹ_i = λ y_i + (1 − λ) y_j, j a partner of the same step;
//! - targets (eq. 9), of images that are not mixed: t_i ← β t_i + (1 − β) softmax(f̄(x_i)), mixed alike: q_i = λ t_i + (1 − λ) t_j;
//! - the loss (eq. 6): −Σ_k ỹ_ik log p_k(x̃_i) + r_s λ_elr log(1 − ⟨p(x̃_i), q_i⟩);
//! - the average, after the update: θ̄ ← γ_s θ̄ + (1 − γ_s) θ.
//!
//! γ_s = γ·e^(−5 (1 − min(s/S, 1))²) rises over the S steps of `ema_step`, r_s alike over those of `coef_step`, from s = 2 and s = 1 at
//! the first step, as in the authors' code (shengliu66/ELR, ELR_plus). As there, t begins at 0, p is clamped to [1e-4, 1 − 1e-4] in
//! the regularization, an average keeps running statistics of its own and takes those of the step.
//!
//! What differs from the authors' code: both networks learn in each step, each from views and mixtures of its own, and read
//! the averages from before it; theirs takes an epoch with one network and then with the other. An average begins as a copy
//! of its network; theirs begins with other random weights, which the first steps forget. t moves by the softmax clamped to
//! [1e-4, 1 − 1e-4] and divided by its sum, as in ELR; theirs is not clamped there. Their code for just 100 classes also
//! multiplies labels by the targets; the paper does not, and nor does this. The first network is evaluated and kept; theirs
//! adds both networks' logits, and a study's row also has the mean of both softmaxes.

use super::{Batch, Learned, Learner, SECOND, classify, elr, mixing};
use crate::base::Result;
use crate::base::range::{Mistake, between, share};
use crate::kernels::reduce::Reduction;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::tape::{Type, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "elr_plus",
    about: "ELR+: two networks held to each other's weight averages, with mixup (Liu et al. 2020)",
    overlay: include_str!("../../../configs/noise/elr_plus.toml"),
    read: |from| read(from, |learner: ElrPlus| Arc::new(learner)),
};

/// The weight averages of the first and the second network.
const AVERAGES: [&str; 2] = ["average", "second_average"];
/// The state that holds a network's targets of all images, f32 [images, classes].
const TARGETS: &str = "elr_targets";
/// The scalar γ_s.
const KEEP: &str = "average_keep";
/// The input r_s λ_elr, f32 [1].
const REGULARIZATION: &str = "regularization_weight";
/// The random streams of partners and λ ("elr1", "elr2" in ASCII).
const MIXING: [u32; 2] = [0x656c_7231, 0x656c_7232];
/// The inputs of each network: partners u32 [B], λ f32 [B].
const PAIR: [&str; 2] = ["mixup_pair", "mixup_pair.second"];
const LAMBDA: [&str; 2] = ["mixup_lambda", "mixup_lambda.second"];
/// What a probability is at least, and 1 less it at most, in the regularization.
const LEAST: f32 = 1e-4;

/// `[training.elr_plus]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElrPlus {
    /// β.
    pub beta: f64,
    /// λ_elr.
    pub lambda: f64,
    /// Steps in which it rises to that; 0 for never less.
    pub coef_step: usize,
    /// α of Beta(α, α).
    pub mixup_alpha: f64,
    /// γ.
    pub ema_alpha: f64,
    /// S: steps in which it rises to that; 0 for never less.
    pub ema_step: usize,
}

impl Checked for ElrPlus {
    fn check(&self) -> Result<(), Mistake> {
        elr::check(self.beta, self.lambda)?;
        between("coef_step", self.coef_step, 0, 1_000_000_000)?;
        mixing::check(self.mixup_alpha).map_err(|(_, what)| ("mixup_alpha".to_string(), what))?;
        share("ema_alpha", self.ema_alpha)?;
        between("ema_step", self.ema_step, 0, 1_000_000_000)
    }
}

/// The authors' rise to 1 over `length` steps.
fn rise(step: usize, length: usize) -> f64 {
    let left = if length == 0 { 0.0 } else { 1.0 - (step as f64 / length as f64).min(1.0) };
    (-5.0 * left * left).exp()
}

/// The mixed images of one network: partners [B], λ [B], and its logits [B, classes].
struct Mixed {
    pair: Var,
    lambda: Var,
    logits: Var,
}

/// Images `x` mixed for the current player, the network of `place`, and what it says of them.
fn mixed(place: usize, r: &mut Recorder<'_>, x: Var, classes: usize) -> Result<Mixed> {
    let pair = r.input(PAIR[place], Type::u32([r.batch]))?;
    let lambda = r.input(LAMBDA[place], Type::f32([r.batch]))?;
    let x = r.t.layer("mixup", |t| t.mixup(x, pair, lambda))?;
    Ok(Mixed { pair, lambda, logits: classify(r, x, classes)? })
}

impl ElrPlus {
    /// The loss of the current player on its mixed images, f32 [1], and the cross-entropy of each image, f32 [B]. `said` are the
    /// logits of the other's average for the images that are not mixed, `counts` what the regularization counts.
    fn loss(&self, r: &mut Recorder<'_>, batch: &Batch, of: &Mixed, [said, counts]: [Var; 2]) -> Result<[Var; 2]> {
        let (size, table, indices, weights) = (r.batch, r.named(TARGETS), r.indices, batch.weights);
        let Mixed { pair, lambda, logits } = *of;
        r.t.layer("loss", |t| {
            let moved = t.elr_targets((&table, batch.images), [said, indices, weights], self.beta as f32)?;
            let targets = t.gather(moved, indices)?;
            let targets = t.mixup(targets, pair, lambda)?;
            let labels = t.mix_targets(batch.labels, pair, lambda, batch.classes as u32)?;
            let [supervised, losses, _] = t.cross_entropy_with(logits, labels, weights, None, 0.0)?;
            let p = t.softmax(logits, 1.0)?;
            let p = t.clamp(p, LEAST, 1.0 - LEAST)?;
            let agreed = t.mul(p, targets)?;
            let agreed = t.reduce(agreed, Reduction::Sum, &[1], false)?;
            let ones = t.fill([size], 1.0)?;
            let rest = t.sub(ones, agreed)?;
            let rest = t.log(rest)?;
            // The mean under the weights of the images.
            let rest = t.mul(rest, weights)?;
            let [rest, all] = [rest, weights].map(|x| t.reduce(x, Reduction::Sum, &[0], true));
            let held = t.div(rest?, all?)?;
            let held = t.mul(held, counts)?;
            Ok([t.add(supervised, held)?, losses])
        })
    }
}

impl Learner for ElrPlus {
    fn turns(&self) -> Vec<Turn> {
        vec![Turn { trains: &["", SECOND], ..Turn::ONLY }]
    }

    fn record(&self, _: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let (recipe, classes) = (r.recipe.clone(), batch.classes);
        let x = [r.view(0, &recipe)?, r.view(1, &recipe)?];
        // An average begins as a copy of a network, whose parameters are recorded before it.
        let own = [mixed(0, r, x[0], classes)?, r.player(SECOND, None, |r| mixed(1, r, x[1], classes))?];
        let by_first = r.player(AVERAGES[0], Some(""), |r| classify(r, x[1], classes))?;
        let by_second = r.player(AVERAGES[1], Some(SECOND), |r| classify(r, x[0], classes))?;
        let counts = r.input(REGULARIZATION, Type::f32([1]))?;
        let [first, losses] = self.loss(r, batch, &own[0], [by_second, counts])?;
        let [second, _] = r.player(SECOND, None, |r| self.loss(r, batch, &own[1], [by_first, counts]))?;
        let total = r.t.layer("loss", |t| t.add(first, second))?;
        let loss = Loss { total, terms: vec![("first", first), ("second", second)] };
        Ok(Learned { loss, losses: Some(losses), logits: own[0].logits, selected: None })
    }

    fn after_update(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<()> {
        let keep = r.t.scalar(KEEP)?;
        AVERAGES.into_iter().try_for_each(|player| r.follow(player, keep))
    }

    fn scalars(&self, at: Progress) -> Vec<(&'static str, f32)> {
        let step = at.epoch * at.steps + at.step;
        vec![(KEEP, (self.ema_alpha * rise(step + 2, self.ema_step)) as f32)]
    }

    fn inputs(&self, at: Progress, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        let step = at.epoch * at.steps + at.step;
        let weight = (self.lambda * rise(step + 1, self.coef_step)) as f32;
        let mut all = vec![(REGULARIZATION, weight.to_ne_bytes().to_vec())];
        for place in 0..2 {
            let (pair, lambda) = mixing::drawn((at.seed, MIXING[place], step as u64), indices.len(), self.mixup_alpha);
            let lambdas = vec![lambda.max(1.0 - lambda); indices.len()];
            all.push((PAIR[place], bytemuck::cast_slice(&pair).to_vec()));
            all.push((LAMBDA[place], bytemuck::cast_slice(&lambdas).to_vec()));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::rise;

    /// The authors' sigmoid_rampup: e^(−5 (1 − s/S)²), 1 from S on and where S is 0.
    #[test]
    fn a_weight_rises_to_one() {
        assert!((rise(0, 8) - (-5f64).exp()).abs() < 1e-12);
        assert!((rise(2, 8) - (-5.0 * 0.75f64 * 0.75).exp()).abs() < 1e-12);
        assert_eq!([rise(8, 8), rise(9, 8), rise(0, 0)], [1.0; 3]);
    }
}

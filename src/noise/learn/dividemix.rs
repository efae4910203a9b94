//! DivideMix (Li et al. 2020, arXiv 2002.07394). After a warm-up on all labels, a mixture of two normal distributions over the
//! losses of one network says for each image how likely its label is clean, w, and divides the images for the other network
//! (algorithm 1, co-divide). A network refines the labels of images with w > τ by its own prediction, w y + (1 − w) p,
//! guesses those of the others by the mean of both networks', sharpens both, p^(1/T) / Σ p^(1/T), and learns by MixMatch (section 3.2):
//! mixtures with λ ≥ ½, cross-entropy L_X for the first, squared error L_U for the others, and a penalty that keeps the mean
//! prediction near a uniform one. p is the mean over two views of an image.
//!
//! What differs from the authors' code: a step takes B images as they come, labelled or not, and both networks learn in each
//! step; theirs takes B of each kind, for one network an epoch long and then for the other. A loss is that of an image in its
//! last step, from an augmented view in training; theirs is measured by a pass of its own. The warm-up learns from two views of an
//! image in a step and has no confidence penalty. Where an epoch drops its last, smaller batch, an image may have no loss after
//! the warm-up: the mixture is fitted without it, and its w is 0, since no loss says that its label is clean. The first network
//! is evaluated and kept; theirs adds both networks' logits, and a study's row also has the mean of both softmaxes.

use super::mixture::{Fit, smaller_component};
use super::{Batch, Epoch, EpochPlan, Learned, Learner, SECOND, classify, mixing};
use crate::base::range::{Mistake, between, mistake};
use crate::base::{Error, Result};
use crate::kernels::reduce::Reduction;
use crate::nn::batch_norm::Mode;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::tape::{Tape, Type, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "dividemix",
    about: "DivideMix: two networks that divide the images for each other and mix them (Li et al. 2020)",
    overlay: include_str!("../../../configs/noise/dividemix.toml"),
    read: |from| read(from, |learner: DivideMix| Arc::new(learner)),
};

/// The random streams of partners and λ ("div1", "div2" in ASCII).
const MIXING: [u32; 2] = [0x6469_7631, 0x6469_7632];
/// The inputs of each turn: w f32 [B], partners u32 [2B], λ f32 [2B].
const CLEAN: [&str; 2] = ["clean_probability", "clean_probability.second"];
const PAIR: [&str; 2] = ["mixup_pair", "mixup_pair.second"];
const LAMBDA: [&str; 2] = ["mixup_lambda", "mixup_lambda.second"];
/// What L_U and the penalty count, f32 [1] each: 0 in the warm-up.
const UNLABELLED: &str = "unlabelled_weight";
const PENALTY: &str = "penalty_weight";
/// The authors' mixture, with scikit-learn's names.
const FIT: Fit = Fit { max_iter: 10, tol: 1e-2, reg_covar: 5e-4 };
/// What a mean prediction is at least, so that its logarithm is finite.
const LEAST: f32 = 1e-30;
/// The loss of an image that no step has taken yet; see [`Epoch::losses`]. Losses of steps are [`LEAST`] at least.
const UNSEEN: f32 = 0.0;

/// `[training.dividemix]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DivideMix {
    /// Epochs on all labels before images are divided.
    pub warm_up: usize,
    /// τ.
    pub p_threshold: f64,
    /// T of the sharpening.
    pub temperature: f64,
    /// α of Beta(α, α).
    pub alpha: f64,
    /// λ_u, what L_U counts in the end.
    pub lambda_u: f64,
    /// Epochs after the warm-up in which it rises to that from 0.
    pub rampup_length: usize,
}

impl Checked for DivideMix {
    fn check(&self) -> Result<(), Mistake> {
        between("warm_up", self.warm_up, 1, 1_000_000)?;
        if !(0.0..1.0).contains(&self.p_threshold) {
            let p = self.p_threshold;
            return mistake("p_threshold", format!("is {p}; use a probability from 0 to below 1"));
        }
        if !(0.01..=100.0).contains(&self.temperature) {
            return mistake("temperature", format!("is {}; use a number from 0.01 to 100", self.temperature));
        }
        mixing::check(self.alpha)?;
        if !(0.0..=1e6).contains(&self.lambda_u) {
            return mistake("lambda_u", format!("is {}; use a number from 0 to 1000000", self.lambda_u));
        }
        between("rampup_length", self.rampup_length, 1, 1_000_000)
    }
}

/// For each loss, how likely its label is clean: the mixture over the losses of seen images, from 0 to 1. It is 0 for the
/// others.
fn clean(losses: &[f32]) -> Vec<f32> {
    let seen = || losses.iter().copied().filter(|l| *l != UNSEEN);
    let (least, most) = seen().fold((f32::MAX, f32::MIN), |(a, b), l| (a.min(l), b.max(l)));
    let span = f64::from(most) - f64::from(least);
    let unit = |l: f32| if span > 0.0 { (f64::from(l) - f64::from(least)) / span } else { 0.0 };
    let values: Vec<f64> = seen().map(unit).collect();
    let mut found = smaller_component(&values, FIT).into_iter();
    let of = |l: &f32| if *l == UNSEEN { 0.0 } else { found.next().unwrap_or(0.0) as f32 };
    losses.iter().map(of).collect()
}

/// The cross-entropy of each image, f32 [B]: never [`UNSEEN`], which it may be rounded to.
fn sample_losses(t: &mut Tape, logits: Var, labels: Var, weights: Var) -> Result<Var> {
    let [_, losses, _] = t.cross_entropy(logits, labels, weights)?;
    t.clamp(losses, LEAST, f32::INFINITY)
}

/// The mean over two views of the softmax of logits [2B, K], those of one view after those of the other: [B, K].
fn mean_of_views(r: &mut Recorder<'_>, logits: Var) -> Result<Var> {
    let logits = r.t.detach(logits)?;
    let p = r.t.softmax(logits, 1.0)?;
    let (a, b) = (r.of_view(p, 0)?, r.of_view(p, 1)?);
    let sum = r.t.add(a, b)?;
    r.t.scale(sum, 0.5)
}

/// x [B] as [B, K], each number K times.
fn along(t: &mut Tape, x: Var, [b, k]: [usize; 2]) -> Result<Var> {
    let x = t.reshape(x, [b, 1])?;
    t.broadcast(x, [b, k])
}

impl DivideMix {
    /// Refined labels where `w` says that the label is clean, guessed ones elsewhere, sharpened: [B, K].
    fn targets(&self, t: &mut Tape, labelled: Var, [w, y]: [Var; 2], [own, other]: [Var; 2]) -> Result<Var> {
        let size = t.shape(y).matrix("dividemix", "targets")?;
        let w = along(t, w, size)?;
        let off = t.sub(y, own)?;
        let moved = t.mul(w, off)?;
        let refined = t.add(own, moved)?;
        let sum = t.add(own, other)?;
        let guessed = t.scale(sum, 0.5)?;
        let labelled = along(t, labelled, size)?;
        let p = t.select(labelled, refined, guessed)?;
        let sharp = t.pow(p, (1.0 / self.temperature) as f32)?;
        let sums = t.reduce(sharp, Reduction::Sum, &[1], true)?;
        let sums = t.broadcast(sums, size)?;
        t.div(sharp, sums)
    }

    /// L_X + λ_u L_U + the penalty of logits [2B, K].
    fn loss(t: &mut Tape, logits: Var, targets: Var, labelled: Var, factors: [Var; 2]) -> Result<Loss> {
        let [rows, classes] = t.shape(logits).matrix("dividemix", "logits")?;
        let ones = t.fill([rows], 1.0)?;
        let rest = t.sub(ones, labelled)?;
        let [of_labelled, ..] = t.cross_entropy_with(logits, targets, labelled, None, 0.0)?;
        let p = t.softmax(logits, 1.0)?;
        let [of_rest, _] = t.mse(p, targets, rest)?;
        let of_rest = t.mul(of_rest, factors[0])?;
        let mean = t.reduce(p, Reduction::Mean, &[0], false)?;
        let mean = t.clamp(mean, LEAST, f32::INFINITY)?;
        let log = t.log(mean)?;
        let log = t.reduce(log, Reduction::Mean, &[0], true)?;
        let uniform = t.fill([1], -(classes as f32).ln())?;
        let penalty = t.sub(uniform, log)?;
        let penalty = t.mul(penalty, factors[1])?;
        let sum = t.add(of_labelled, of_rest)?;
        let terms = vec![("labelled", of_labelled), ("unlabelled", of_rest)];
        Ok(Loss { total: t.add(sum, penalty)?, terms })
    }

    /// One network's turn, by the player who learns; the other one only says what it thinks.
    fn learn(&self, turn: usize, r: &mut Recorder<'_>, batch: &Batch, other: Var, x: Var) -> Result<Learned> {
        let (size, classes) = (r.batch, batch.classes);
        let y = batch.targets.ok_or_else(|| Error::Failed("a planned epoch has targets".into()))?;
        let w = r.input(CLEAN[turn], Type::f32([size]))?;
        let pair = r.input(PAIR[turn], Type::u32([2 * size]))?;
        let lambda = r.input(LAMBDA[turn], Type::f32([2 * size]))?;
        let factors = [r.input(UNLABELLED, Type::f32([1]))?, r.input(PENALTY, Type::f32([1]))?];
        let own = r.together(x, |r, x| classify(r, x, classes))?;
        let own = r.t.detach(own)?;
        let logits = r.of_view(own, 0)?;
        let losses = r.t.layer("sample_loss", |t| sample_losses(t, logits, batch.labels, batch.weights))?;
        let own = mean_of_views(r, own)?;
        let threshold = self.p_threshold as f32;
        let (mixed, targets, labelled, selected) = r.t.layer("mixmatch", |t| {
            let threshold = t.fill([size], threshold)?;
            let labelled = t.gt(w, threshold)?;
            let targets = self.targets(t, labelled, [w, y], [own, other])?;
            let targets = t.concat(&[targets, targets], 0)?;
            let mixed = t.mixup(x, pair, lambda)?;
            let targets = t.mixup(targets, pair, lambda)?;
            Ok((mixed, t.detach(targets)?, t.concat(&[labelled, labelled], 0)?, labelled))
        })?;
        let of_mixed = classify(r, mixed, classes)?;
        let loss = r.t.layer("loss", |t| DivideMix::loss(t, of_mixed, targets, labelled, factors))?;
        Ok(Learned { loss, losses: Some(losses), logits, selected: Some(selected) })
    }
}

/// What a network that is not trained says of two views, with the statistics it has gathered: [B, K].
fn opinion(r: &mut Recorder<'_>, x: Var, classes: usize) -> Result<Var> {
    let before = std::mem::replace(&mut r.mode, Mode::Eval);
    let logits = classify(r, x, classes);
    r.mode = before;
    mean_of_views(r, logits?)
}

impl Learner for DivideMix {
    fn turns(&self) -> Vec<Turn> {
        vec![Turn::ONLY, Turn { name: SECOND, repeats: 1, trains: &[SECOND] }]
    }

    fn record(&self, turn: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let (recipe, classes) = (r.recipe.clone(), batch.classes);
        let place = usize::from(!turn.name.is_empty());
        let from = 2 * place as u32;
        let x = r.both_views(from, [&recipe, &recipe])?;
        if place == 0 {
            let other = r.player(SECOND, None, |r| opinion(r, x, classes))?;
            return self.learn(place, r, batch, other, x);
        }
        let other = opinion(r, x, classes)?;
        r.player(SECOND, None, |r| self.learn(place, r, batch, other, x))
    }

    fn inputs(&self, at: Progress, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        let (step, rows) = ((at.epoch * at.steps + at.step) as u64, 2 * indices.len());
        let warm = at.epoch < self.warm_up;
        let since = at.epoch as f64 + at.step as f64 / at.steps.max(1) as f64 - self.warm_up as f64;
        let rise = (since / self.rampup_length as f64).clamp(0.0, 1.0);
        let mut all = vec![
            (UNLABELLED, ((self.lambda_u * rise) as f32).to_ne_bytes().to_vec()),
            (PENALTY, f32::from(u8::from(!warm)).to_ne_bytes().to_vec()),
        ];
        for turn in 0..2 {
            let (pair, lambda) = mixing::drawn((at.seed, MIXING[turn], step), rows, self.alpha);
            // Nothing is mixed while labels are taken as they are.
            let lambdas = vec![if warm { 1.0 } else { lambda.max(1.0 - lambda) }; rows];
            all.push((PAIR[turn], bytemuck::cast_slice(&pair).to_vec()));
            all.push((LAMBDA[turn], bytemuck::cast_slice(&lambdas).to_vec()));
        }
        all
    }

    fn plans_epochs(&self) -> bool {
        true
    }

    fn begins_after(&self) -> Option<(&'static str, usize)> {
        Some(("warm_up", self.warm_up))
    }

    /// Each network is given what the other's losses say. In the warm-up every label counts as clean.
    fn before_epoch(&self, epoch: &Epoch<'_>) -> Result<EpochPlan> {
        let warm = epoch.at.epoch < self.warm_up;
        let of = |turn: usize| match epoch.losses.get(turn) {
            Some(losses) if !warm => clean(losses),
            _ => vec![1.0; epoch.given.len()],
        };
        let inputs = vec![(CLEAN[0], of(1)), (CLEAN[1], of(0))];
        Ok(EpochPlan { inputs, ..EpochPlan::usual(epoch) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::gpu::for_test;
    use crate::tape::{Feed, Options, Plan, Schedule, State};

    /// As where the last batch is dropped: 8 of 30 images have no loss yet, 18 have small ones and 4 large ones.
    #[test]
    fn images_that_no_step_has_taken_are_neither_fitted_nor_called_clean() {
        let loss = |i: usize| match i {
            _ if i % 4 == 1 => UNSEEN,
            3 | 8 | 14 | 20 => 3.0,
            _ => 2.0 + 0.01 * i as f32,
        };
        let losses: Vec<f32> = (0..30).map(loss).collect();
        let seen: Vec<f32> = losses.iter().copied().filter(|l| *l > 0.0).collect();
        assert_eq!(seen.len(), 22);
        let w = clean(&losses);
        let of_seen: Vec<f32> = (0..30).filter(|i| i % 4 != 1).map(|i| w[i]).collect();
        assert_eq!(of_seen, clean(&seen), "as if the others were not there");
        for (i, w) in w.iter().enumerate() {
            match losses[i] {
                UNSEEN => assert_eq!(*w, 0.0),
                3.0 => assert!(*w < 0.01, "{i}: {w}"),
                _ => assert!(*w > 0.99, "{i}: {w}"),
            }
        }
        assert_eq!(clean(&[UNSEEN; 3]), [0.0; 3]);
    }

    /// A network that is sure gives a loss of 0 in f32; its image was seen all the same.
    #[test]
    fn the_loss_of_a_seen_image_is_above_0() {
        let Some(gpu) = for_test() else { return };
        let mut t = Tape::new();
        let logits = t.input("logits", Type::f32([2, 2])).unwrap();
        let (labels, weights) = (t.input("labels", Type::u32([2])).unwrap(), t.fill([2], 1.0).unwrap());
        let losses = sample_losses(&mut t, logits, labels, weights).unwrap();
        t.output("losses", losses);
        let schedule = Schedule::new(&t, &Options::new(gpu.caps())).unwrap();
        let plan = Plan::new(&gpu, schedule, &State::new()).unwrap();
        let feed = Feed::new().input("logits", &[200f32, 0.0, 0.0, 0.0]).input("labels", &[0u32, 1]);
        plan.run(&gpu, &feed).unwrap();
        let losses = plan.read_f32(&gpu, "losses").unwrap();
        assert!(losses[0] == LEAST && (losses[1] - 2f32.ln()).abs() < 1e-6, "{losses:?}");
    }

    #[test]
    fn each_network_gets_what_the_other_s_losses_say() {
        let learner =
            DivideMix { warm_up: 2, p_threshold: 0.5, temperature: 0.5, alpha: 4.0, lambda_u: 25.0, rampup_length: 16 };
        let losses = |high: usize| (0..20).map(|i| if i == high { 3.0 } else { 0.1 + 0.01 * i as f32 }).collect();
        let plan = |epoch| {
            let at = Progress { seed: 4, epoch, epochs: 9, step: 0, steps: 5, repeat: 0, before: 0 };
            let losses = vec![losses(3), losses(7)];
            let plan =
                learner.before_epoch(&Epoch { at, losses, given: &[0; 20], classes: 2, order: (0..20).collect() });
            plan.unwrap().inputs
        };
        assert!(plan(1).iter().all(|(_, w)| w.iter().all(|w| *w == 1.0)), "all are clean in the warm-up");
        let low = |w: &[f32]| w.iter().enumerate().filter(|w| *w.1 < 0.5).map(|w| w.0).collect::<Vec<_>>();
        let plan = plan(2);
        assert_eq!((plan[0].0, low(&plan[0].1), low(&plan[1].1)), ("clean_probability", vec![7], vec![3]));
        let weight = |epoch, step| {
            let at = Progress { seed: 4, epoch, epochs: 9, step, steps: 4, repeat: 0, before: 0 };
            let inputs = learner.inputs(at, &[0, 1]);
            [0, 1].map(|i| f32::from_ne_bytes(inputs[i].1[..].try_into().unwrap()))
        };
        assert_eq!([weight(1, 3), weight(2, 0), weight(6, 0)], [[0.0, 0.0], [0.0, 1.0], [6.25, 1.0]]);
        assert_eq!([weight(2, 2), weight(99, 0)], [[0.78125, 1.0], [25.0, 1.0]]);
    }
}

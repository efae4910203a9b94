//! How a stage updates weights: the keys that `[pretraining]` and `[training]` have in common.

use super::optimizer::{Limits, Optimizer, Vectors};
use super::precision::Precision;
use super::schedule::{Decay, learning_rate, step_rate};
use crate::base::range::{Mistake, between, mistake, positive};
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};

/// The most images in a step.
pub const MOST_IMAGES: usize = 65_536;

/// How a stage updates weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimization {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images in a step.
    pub batch_size: usize,
    /// Images that the network sees at a time, in pretraining only; 0 if it sees the whole batch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub micro_batch_size: usize,
    /// Epochs in which the learning rate rises from zero.
    pub warmup_epochs: usize,
    /// How the learning rate changes after the warm-up.
    pub schedule: Decay,
    /// Where a cosine ends, as a share of the learning rate.
    pub lr_floor: f64,
    /// With `schedule = "step"`: the epochs, from 0, at whose beginning the learning rate is multiplied by `gamma`.
    pub milestones: Vec<usize>,
    /// The factor of each milestone.
    pub gamma: f64,
    /// How the number of images in a step scales the learning rate.
    pub lr_scaling: Scaling,
    /// The elements of activations.
    #[serde(default)]
    pub precision: Precision,
    /// The optimizer.
    pub optimizer: Settings,
}

/// A key that only one stage has is written only if it is set.
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// How the number of images in a step scales the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// Not at all.
    None,
    /// lr × images / 256 (Goyal et al. 2017, arXiv 1706.02677).
    Linear,
}

/// `[pretraining.optimizer]`, `[training.optimizer]`: an optimizer with its constants. A config may set only the keys
/// that its optimizer reads ([`Settings::reads`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// One of the names in [`OPTIMIZERS`].
    pub name: String,
    /// Learning rate after the warm-up.
    pub lr: f64,
    /// This times the weight is added to the gradient. adamw shrinks the weight instead.
    pub weight_decay: f64,
    /// Momentum: the share of the velocity that is kept at each step.
    pub momentum: f64,
    /// Whether the momentum has Nesterov's form.
    pub nesterov: bool,
    /// The shares of the mean of gradients, and of the mean of their squares, that are kept at each step.
    pub betas: [f64; 2],
    /// Added to the root of the mean square, so that nothing is divided by 0.
    pub eps: f64,
    /// The trust coefficient of LARS.
    pub eta: f64,
    /// Whether LARS's local rate is kept at lr or below.
    pub clip_lr: bool,
    /// Whether biases and the parameters of norms have no weight decay and no LARS adaptation.
    pub exclude_bias_and_norm: bool,
    /// The learning rate of excluded parameters as a multiple of lr.
    pub bias_lr_factor: f64,
}

/// Makes an optimizer of these settings.
type Make = fn(&Settings) -> Optimizer;

/// An optimizer of a config: its name, the keys that it reads besides [`COMMON`], and how it is made.
pub type Listed = (&'static str, &'static [&'static str], Make);

/// The keys that every optimizer reads.
const COMMON: &[&str] = &["name", "lr", "weight_decay", "exclude_bias_and_norm", "bias_lr_factor"];

/// Every optimizer of a config.
pub const OPTIMIZERS: &[Listed] = &[
    ("sgd", &["momentum", "nesterov"], |s| Optimizer::Sgd {
        momentum: s.momentum as f32,
        nesterov: s.nesterov,
        weight_decay: s.weight_decay as f32,
    }),
    ("adam", &["betas", "eps"], |s| adam(s, false)),
    ("adamw", &["betas", "eps"], |s| adam(s, true)),
    ("lars", &["momentum", "eta", "clip_lr"], |s| Optimizer::Lars {
        momentum: s.momentum as f32,
        weight_decay: s.weight_decay as f32,
        eta: s.eta as f32,
        clip: s.clip_lr,
    }),
];

fn adam(s: &Settings, decoupled: bool) -> Optimizer {
    let [beta1, beta2] = s.betas.map(|b| b as f32);
    Optimizer::Adam { beta1, beta2, eps: s.eps as f32, weight_decay: s.weight_decay as f32, decoupled }
}

/// Whether the optimizer `name` reads `key`. An unknown optimizer counts as reading every key.
pub fn reads(name: &str, key: &str) -> bool {
    COMMON.contains(&key) || OPTIMIZERS.iter().find(|o| o.0 == name).is_none_or(|o| o.1.contains(&key))
}

impl Optimization {
    /// The optimizer that these settings name. It is an error if [`OPTIMIZERS`] lacks the name.
    pub fn optimizer(&self) -> Result<Optimizer> {
        match OPTIMIZERS.iter().find(|o| o.0 == self.optimizer.name) {
            Some((_, _, make)) => Ok(make(&self.optimizer)),
            None => Err(Error::Usage(format!("there is no optimizer {:?}", self.optimizer.name))),
        }
    }

    /// How biases and the parameters of norms are treated, and how the loss is scaled in f16. There is no clipping.
    pub fn limits(&self) -> Limits {
        let vectors = match (self.optimizer.exclude_bias_and_norm, self.optimizer.bias_lr_factor) {
            (false, _) => Vectors::Included,
            (true, 1.0) => Vectors::Excluded,
            (true, _) => Vectors::ExcludedAtOwnRate,
        };
        Limits { vectors, loss_scale: self.precision.loss_scale(), ..Limits::default() }
    }

    /// The same settings for steps of `images` images: the learning rate is scaled, and `lr_scaling` is `None`.
    pub fn for_batch(&self, images: usize) -> Self {
        let mut scaled = self.clone();
        if self.lr_scaling == Scaling::Linear {
            scaled.optimizer.lr *= images as f64 / 256.0;
        }
        Optimization { lr_scaling: Scaling::None, ..scaled }
    }

    /// The learning rate of steps of `images` images in words, and how it was computed.
    pub fn rate_in_words(&self, images: usize) -> String {
        let (lr, scaled) = (self.optimizer.lr, self.for_batch(images).optimizer.lr);
        match self.lr_scaling {
            Scaling::None => format!("learning rate {lr}"),
            Scaling::Linear => format!("learning rate {scaled}: {lr} × {images} images / 256"),
        }
    }

    /// The learning rate of a step (from 0) in an epoch (from 0) of `steps` steps.
    pub fn rate(&self, epoch: usize, step: usize, steps: usize) -> f64 {
        let (lr, warmup) = (self.optimizer.lr, self.warmup_epochs * steps);
        let at = epoch * steps + step;
        match self.schedule {
            Decay::Step if at >= warmup => step_rate(lr, epoch, &self.milestones, self.gamma),
            decay => learning_rate(lr, at, self.epochs * steps, warmup, decay, self.lr_floor),
        }
    }

    /// An error with the first value that is out of its range, and its key.
    pub fn check(&self) -> Result<(), Mistake> {
        between("epochs", self.epochs, 0, 1_000_000)?;
        between("batch_size", self.batch_size, 2, MOST_IMAGES)?;
        self.optimizer.check()?;
        // With no epochs there is no warm-up, so a config of initial weights needs to change no other key.
        if self.epochs > 0 && self.warmup_epochs > self.epochs {
            let what = format!("is {}; use at most epochs, which is {}", self.warmup_epochs, self.epochs);
            return mistake("warmup_epochs", what);
        }
        if !(0.0..1.0).contains(&self.lr_floor) {
            return mistake("lr_floor", format!("is {}; use 0 to below 1", self.lr_floor));
        }
        if self.lr_floor > 0.0 && self.schedule != Decay::Cosine {
            return mistake("lr_floor", "is read only with schedule = \"cosine\"; leave it out");
        }
        if self.milestones.is_empty() == (self.schedule == Decay::Step) {
            let what = "and schedule = \"step\" belong together; give both or neither";
            return mistake("milestones", what);
        }
        if self.milestones.windows(2).any(|pair| pair[0] >= pair[1]) {
            return mistake("milestones", format!("is {:?}; use epochs that rise", self.milestones));
        }
        positive("gamma", self.gamma)
    }
}

impl Settings {
    /// Whether its optimizer reads this key.
    pub fn reads(&self, key: &str) -> bool {
        reads(&self.name, key)
    }

    fn check(&self) -> Result<(), Mistake> {
        if !OPTIMIZERS.iter().any(|known| known.0 == self.name) {
            let known: Vec<&str> = OPTIMIZERS.iter().map(|o| o.0).collect();
            return mistake("optimizer.name", format!("is {:?}; known: {}", self.name, known.join(", ")));
        }
        positive("optimizer.lr", self.lr)?;
        positive("optimizer.eps", self.eps)?;
        positive("optimizer.eta", self.eta)?;
        positive("optimizer.bias_lr_factor", self.bias_lr_factor)?;
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return mistake("optimizer.weight_decay", format!("is {}; use 0 or a positive number", self.weight_decay));
        }
        for (key, share) in [("momentum", self.momentum), ("betas", self.betas[0]), ("betas", self.betas[1])] {
            if !(0.0..1.0).contains(&share) {
                return mistake(&format!("optimizer.{key}"), format!("is {share}; use 0 to below 1"));
            }
        }
        if self.reads("nesterov") && self.nesterov && self.momentum == 0.0 {
            return mistake(
                "optimizer.nesterov",
                "is true while optimizer.momentum is 0; give a momentum or use false",
            );
        }
        if self.bias_lr_factor != 1.0 && !self.exclude_bias_and_norm {
            return mistake("optimizer.bias_lr_factor", "needs optimizer.exclude_bias_and_norm = true; set it, too");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(change: impl FnOnce(&mut Optimization)) -> Optimization {
        let optimizer = Settings {
            name: "lars".into(),
            lr: 0.2,
            weight_decay: 0.0,
            momentum: 0.9,
            nesterov: false,
            betas: [0.9, 0.999],
            eps: 1e-8,
            eta: 0.001,
            clip_lr: false,
            exclude_bias_and_norm: true,
            bias_lr_factor: 0.024,
        };
        let mut made = Optimization {
            epochs: 4,
            batch_size: 512,
            micro_batch_size: 0,
            warmup_epochs: 1,
            schedule: Decay::Cosine,
            lr_floor: 0.001,
            milestones: Vec::new(),
            gamma: 0.1,
            lr_scaling: Scaling::Linear,
            precision: Precision::F32,
            optimizer,
        };
        change(&mut made);
        made
    }

    #[test]
    fn the_rate_follows_the_batch_and_falls_to_its_floor() {
        let o = made(|_| ());
        assert!(o.check().is_ok());
        let of = o.for_batch(512);
        assert_eq!((of.optimizer.lr, of.lr_scaling), (0.4, Scaling::None));
        assert_eq!(o.rate_in_words(512), "learning rate 0.4: 0.2 × 512 images / 256");
        assert_eq!(made(|o| o.lr_scaling = Scaling::None).for_batch(512).optimizer.lr, 0.2);
        // Barlow Twins' adjust_learning_rate: base·q + 0.001·base·(1 − q). The last step is one before the end of the
        // cosine.
        let q = 0.5 * (1.0 + (std::f64::consts::PI * 29.0 / 30.0).cos());
        assert!((of.rate(3, 9, 10) - (0.4 * q + 0.0004 * (1.0 - q))).abs() < 1e-15);
        assert_eq!(of.rate(0, 9, 10), 0.4);
        assert_eq!(o.limits().vectors, Vectors::ExcludedAtOwnRate);
    }

    #[test]
    fn a_rate_falls_by_steps() {
        let o = made(|o| {
            (o.schedule, o.lr_floor, o.milestones, o.gamma) = (Decay::Step, 0.0, vec![2, 3], 0.2);
        });
        assert!(o.check().is_ok());
        let near = |epoch, due: f64| (o.rate(epoch, 0, 10) - due).abs() < 1e-15;
        assert!(near(0, 0.02) && near(1, 0.2) && near(2, 0.04) && near(3, 0.008));
    }

    #[test]
    fn keys_that_do_not_go_together_are_told() {
        let said = |change: fn(&mut Optimization)| made(change).check().unwrap_err().0;
        assert_eq!(said(|o| o.milestones = vec![1]), "milestones");
        assert_eq!(said(|o| (o.schedule, o.lr_floor) = (Decay::Step, 0.0)), "milestones");
        assert_eq!(said(|o| o.schedule = Decay::Constant), "lr_floor");
        assert_eq!(said(|o| o.optimizer.exclude_bias_and_norm = false), "optimizer.bias_lr_factor");
        assert_eq!(said(|o| o.optimizer.betas = [0.9, 1.0]), "optimizer.betas");
    }
}

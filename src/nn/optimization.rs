//! How a stage updates weights: the keys that `[pretraining]` and `[training]` share.

use super::optimizer::Optimizer;
use super::schedule::{Decay, learning_rate};
use crate::base::range::{Mistake, between, mistake, positive};
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a stage updates weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimization {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Epochs in which the rate rises from zero.
    pub warmup_epochs: usize,
    /// What follows the warm-up.
    pub schedule: Decay,
    /// What updates the weights.
    pub optimizer: Settings,
}

/// `[pretraining.optimizer]`, `[training.optimizer]`: an optimizer with its constants. One that does not read a key takes
/// no notice of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A name of [`OPTIMIZERS`].
    pub name: String,
    /// Learning rate after the warm-up.
    pub lr: f64,
    /// Added to the gradient, times the weight.
    pub weight_decay: f64,
    /// Of SGD.
    pub momentum: f64,
    /// Nesterov's form of it.
    pub nesterov: bool,
}

/// Makes an optimizer of these settings.
type Make = fn(&Settings) -> Optimizer;

/// Every optimizer of a config, by its name.
pub const OPTIMIZERS: &[(&str, Make)] = &[
    ("adam", |s| Optimizer::adam(s.weight_decay as f32)),
    ("sgd", |s| {
        let (momentum, weight_decay) = (s.momentum as f32, s.weight_decay as f32);
        Optimizer::Sgd { momentum, nesterov: s.nesterov, weight_decay }
    }),
];

impl Settings {
    /// Whether the optimizer reads this key.
    pub fn reads(&self, key: &str) -> bool {
        self.name == "sgd" || !matches!(key, "momentum" | "nesterov")
    }
}

impl Optimization {
    /// The optimizer that these settings name; an error for a name that is not in [`OPTIMIZERS`].
    pub fn optimizer(&self) -> Result<Optimizer> {
        match OPTIMIZERS.iter().find(|o| o.0 == self.optimizer.name) {
            Some((_, make)) => Ok(make(&self.optimizer)),
            None => Err(Error::Usage(format!("there is no optimizer {:?}", self.optimizer.name))),
        }
    }

    /// The learning rate of a step (from 0) of an epoch (from 0) that has `steps`.
    pub fn rate(&self, epoch: usize, step: usize, steps: usize) -> f64 {
        let warmup = self.warmup_epochs * steps;
        learning_rate(self.optimizer.lr, epoch * steps + step, self.epochs * steps, warmup, self.schedule)
    }

    /// The first value that is out of its range, by its key.
    pub fn check(&self) -> Result<(), Mistake> {
        let o = &self.optimizer;
        between("epochs", self.epochs, 0, 1_000_000)?;
        between("batch_size", self.batch_size, 2, 65_536)?;
        if !OPTIMIZERS.iter().any(|known| known.0 == o.name) {
            let known: Vec<&str> = OPTIMIZERS.iter().map(|o| o.0).collect();
            return mistake("optimizer.name", format!("is {:?}; known: {}", o.name, known.join(", ")));
        }
        positive("optimizer.lr", o.lr)?;
        if !(o.weight_decay >= 0.0 && o.weight_decay.is_finite()) {
            return mistake("optimizer.weight_decay", format!("is {}; use 0 or a positive number", o.weight_decay));
        }
        if !(0.0..1.0).contains(&o.momentum) {
            return mistake("optimizer.momentum", format!("is {}; use 0 to below 1", o.momentum));
        }
        if o.nesterov && o.momentum == 0.0 {
            return mistake(
                "optimizer.nesterov",
                "is true while optimizer.momentum is 0; give a momentum or use false",
            );
        }
        // Of no epochs, none warms up: initial weights need no other key.
        if self.epochs > 0 && self.warmup_epochs > self.epochs {
            let what = format!("is {}; use at most epochs, which is {}", self.warmup_epochs, self.epochs);
            return mistake("warmup_epochs", what);
        }
        Ok(())
    }
}

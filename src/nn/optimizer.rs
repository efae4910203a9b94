//! Optimizers over a model's parameters: one recording of the update of all of them, guarded against a non-finite
//! gradient.

use crate::base::{Error, Result};
use crate::kernels::adam::Adam;
use crate::kernels::sgd::Sgd;
use crate::tape::{Scalar, Tape, Var};

/// An optimizer with its constants; the learning rate is the step's scalar `lr`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// torch.optim.SGD.
    Sgd {
        /// Of the velocity.
        momentum: f32,
        /// Nesterov's form.
        nesterov: bool,
        /// Added to the gradient, times the weight.
        weight_decay: f32,
    },
    /// torch.optim.Adam, decay as L2.
    Adam {
        /// Of the mean of gradients.
        beta1: f32,
        /// Of the mean of their squares.
        beta2: f32,
        /// Added to the root.
        eps: f32,
        /// Added to the gradient, times the weight.
        weight_decay: f32,
    },
}

impl Optimizer {
    /// Adam with PyTorch's betas and eps.
    pub fn adam(weight_decay: f32) -> Self {
        Optimizer::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay }
    }

    /// Records the backward pass of `loss` and the update of every parameter in `trained`; a non-finite gradient of any
    /// of them raises the step's guard, and then nothing is updated. Returns the guard's flag.
    pub fn minimize(&self, t: &mut Tape, loss: Var, trained: &[String]) -> Result<Var> {
        let vars = trained.iter().map(|n| current(t, n)).collect::<Result<Vec<_>>>()?;
        let grads = t.gradient(loss, &vars)?;
        let mut pairs = Vec::new();
        for (name, g) in trained.iter().zip(grads) {
            match g {
                Some(g) => pairs.push((name.clone(), g)),
                None => {
                    return Err(Error::Failed(format!(
                        "the loss does not depend on {name}; leave it out of the trained set"
                    )));
                }
            }
        }
        let flag = t.found_inf(&pairs.iter().map(|p| p.1).collect::<Vec<_>>())?;
        t.set_guard(flag)?;
        let lr = t.scalar("lr")?;
        t.layer("optimizer", |t| self.update(t, &pairs, lr))?;
        Ok(flag)
    }

    /// Records the update of each parameter by its gradient.
    pub fn update(&self, t: &mut Tape, pairs: &[(String, Var)], lr: Scalar) -> Result<()> {
        match *self {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                let op = Sgd { momentum, nesterov, weight_decay, lr: lr.slot };
                pairs.iter().try_for_each(|(name, g)| t.layer(name, |t| t.sgd(name, *g, lr.var, op.clone())))
            }
            Optimizer::Adam { beta1, beta2, eps, weight_decay } => {
                let step = t.increment("optim.step")?;
                let op = Adam { beta1, beta2, eps, weight_decay, lr: lr.slot };
                pairs.iter().try_for_each(|(name, g)| t.layer(name, |t| t.adam(name, *g, step, lr.var, op.clone())))
            }
        }
    }
}

/// The value of a named parameter that the tape already reads.
fn current(t: &mut Tape, name: &str) -> Result<Var> {
    match t.state_types().into_iter().find(|s| s.0 == name) {
        Some((_, ty)) => t.state(name, ty),
        None => Err(Error::Failed(format!("parameter {name} is not on the tape"))),
    }
}

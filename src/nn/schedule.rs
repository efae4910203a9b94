//! Learning rates over a run: a linear warm-up, then a cosine (Loshchilov and Hutter 2017, arXiv 1608.03983), a
//! constant, or steps. These are pure functions of the step.

use serde::{Deserialize, Serialize};

/// How the learning rate changes after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Falls as half a cosine, to zero or to a floor.
    Cosine,
    /// Stays the same to the end.
    Constant,
    /// Is multiplied by a factor at some epochs: torch.optim.lr_scheduler.MultiStepLR.
    Step,
}

/// The learning rate of `step` (from 0) of `steps` steps. It rises linearly in the first `warmup` steps, and the last
/// of them has `lr`. A cosine then falls to `floor` times `lr`. `Decay::Step` stays at `lr` here; see [`step_rate`].
pub fn learning_rate(lr: f64, step: usize, steps: usize, warmup: usize, decay: Decay, floor: f64) -> f64 {
    if step < warmup {
        return lr * (step + 1) as f64 / warmup as f64;
    }
    match decay {
        Decay::Constant | Decay::Step => lr,
        Decay::Cosine => {
            let t = (step - warmup) as f64 / (steps.saturating_sub(warmup)).max(1) as f64;
            let share = 0.5 * (1.0 + (std::f64::consts::PI * t.min(1.0)).cos());
            lr * (floor + (1.0 - floor) * share)
        }
    }
}

/// The learning rate of `epoch` (from 0): `lr` times `gamma` for each of `milestones` that is at most `epoch`.
pub fn step_rate(lr: f64, epoch: usize, milestones: &[usize], gamma: f64) -> f64 {
    lr * gamma.powi(milestones.iter().filter(|&&m| m <= epoch).count() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_then_fall() {
        let at = |s| learning_rate(2.0, s, 110, 10, Decay::Cosine, 0.0);
        assert_eq!((at(0), at(9), at(10)), (0.2, 2.0, 2.0));
        assert!((at(60) - 1.0).abs() < 1e-12 && at(109) < 0.001);
        assert_eq!(learning_rate(2.0, 109, 110, 10, Decay::Constant, 0.0), 2.0);
    }
}

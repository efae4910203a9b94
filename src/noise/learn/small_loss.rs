//! Keeping the samples of a step whose loss is small, as Co-teaching (Han et al. 2018) and JoCoR (Wei et al. 2020) do: a share
//! R(T) = 1 − τ · min(T^c / T_k, 1) of a step's samples, T the epochs done (algorithm 1 of Co-teaching, where c is 1).
//! The authors' code rises to τ^c in T_k − 1 epochs; with its c, 1, that is τ as well.

use super::Known;
use crate::base::Result;
use crate::base::range::{Mistake, between, mistake, positive};
use crate::nn::recorder::{Progress, Recorder};
use crate::tape::{Type, Var};
use serde::{Deserialize, Serialize};
use toml::Value;

/// τ: the share of a step's samples that is left out in the end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum ForgetRate {
    /// The share of labels that are wrong, which the run knows because it made them so: `"known"`.
    Known,
    /// A number.
    Rate(f64),
}

impl TryFrom<Value> for ForgetRate {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(word) if word == "known" => Ok(ForgetRate::Known),
            Value::Float(rate) => Ok(ForgetRate::Rate(rate)),
            Value::Integer(rate) => Ok(ForgetRate::Rate(rate as f64)),
            _ => Err("forget_rate is \"known\", for the share of wrong labels, or a number, as in 0.2".to_string()),
        }
    }
}

impl From<ForgetRate> for Value {
    fn from(of: ForgetRate) -> Value {
        match of {
            ForgetRate::Known => Value::String("known".to_string()),
            ForgetRate::Rate(rate) => Value::Float(rate),
        }
    }
}

/// When how many samples are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Schedule {
    pub forget_rate: ForgetRate,
    /// T_k.
    pub epochs: usize,
    /// c.
    pub exponent: f64,
}

/// The input f32 [B] that is 1 at as many first places as samples are kept.
const KEPT: &str = "kept";

impl Schedule {
    /// The ranges of the keys `forget_rate`, `forget_epochs` and `forget_exponent`.
    pub fn check(&self) -> Result<(), Mistake> {
        let rate = self.number();
        if !(0.0..1.0).contains(&rate) {
            return mistake("forget_rate", format!("is {rate}; use \"known\" or a share from 0 to below 1"));
        }
        between("forget_epochs", self.epochs, 1, 1_000_000)?;
        positive("forget_exponent", self.exponent)
    }

    /// What a method that keeps samples by it is told.
    pub fn told(&self) -> &'static str {
        if self.forget_rate == ForgetRate::Known { "noise rate" } else { "" }
    }

    /// τ as a number.
    pub fn rate(&self, known: &Known<'_>) -> ForgetRate {
        match self.forget_rate {
            ForgetRate::Known => ForgetRate::Rate(known.noise_rate),
            given => given,
        }
    }

    /// What a step's recording reads to keep samples: as many ones as it keeps of `images`, one at least. A rate that is
    /// still to be known counts as 0.
    pub fn inputs(&self, at: Progress, images: usize) -> Vec<(&'static str, Vec<u8>)> {
        let kept = self.kept(at.epoch, images);
        let ones: Vec<f32> = (0..images).map(|i| f32::from(u8::from(i < kept))).collect();
        vec![(KEPT, bytemuck::cast_slice(&ones).to_vec())]
    }

    /// τ; 0 while it is still to be known.
    fn number(&self) -> f64 {
        if let ForgetRate::Rate(rate) = self.forget_rate { rate } else { 0.0 }
    }

    fn kept(&self, epoch: usize, images: usize) -> usize {
        let forgotten = self.number() * ((epoch as f64).powf(self.exponent) / self.epochs as f64).min(1.0);
        // A share such as 1 − 0.2 must not lose a sample to rounding.
        (((1.0 - forgotten) * images as f64 + 1e-9) as usize).clamp(1, images.max(1))
    }
}

/// For each of `losses` [B], what each sample counts, f32 [B]: 1 for the kept ones of the smallest, else 0. Equal losses go by
/// place. It may be recorded once in a step.
pub(super) fn smallest<const N: usize>(r: &mut Recorder<'_>, losses: [Var; N]) -> Result<[Var; N]> {
    let batch = r.batch;
    let kept = r.input(KEPT, Type::f32([batch]))?;
    r.t.layer("smallest", |t| {
        let kept = t.reshape(kept, [batch, 1])?;
        let mut chosen = losses;
        for one in &mut chosen {
            let losses = t.detach(*one)?;
            let order = t.rank(losses)?;
            let counted = t.scatter_add(kept, order, batch)?;
            *one = t.reshape(counted, [batch])?;
        }
        Ok(chosen)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_samples_are_kept_from_epoch_to_epoch() {
        let of = |forget_rate, exponent| Schedule { forget_rate, epochs: 4, exponent };
        let kept = |s: Schedule| (0..6).map(|epoch| s.kept(epoch, 10)).collect::<Vec<_>>();
        assert_eq!(kept(of(ForgetRate::Rate(0.4), 1.0)), [10, 9, 8, 7, 6, 6]);
        assert_eq!(kept(of(ForgetRate::Rate(0.4), 2.0)), [10, 9, 6, 6, 6, 6]);
        assert_eq!(kept(of(ForgetRate::Rate(0.99), 1.0))[5], 1, "one at least");
        let known = Known::of(&[0, 0, 1, 1, 1], &[0, 1, 1, 1, 0], 2).unwrap();
        assert_eq!(of(ForgetRate::Known, 1.0).rate(&known), ForgetRate::Rate(0.4));
    }

    #[test]
    fn a_rate_is_a_word_or_a_number() {
        let read = |v: &str| ForgetRate::try_from(format!("a = {v}").parse::<toml::Table>().unwrap()["a"].clone());
        assert_eq!([read("\"known\""), read("0.25"), read("0")].map(Result::unwrap), {
            [ForgetRate::Known, ForgetRate::Rate(0.25), ForgetRate::Rate(0.0)]
        });
        assert!(read("\"asked\"").unwrap_err().contains("\"known\""));
        let at = |rate| Schedule { forget_rate: ForgetRate::Rate(rate), epochs: 1, exponent: 1.0 }.check();
        assert!(at(0.0).is_ok() && at(1.0).is_err() && at(f64::NAN).is_err() && at(-0.1).is_err());
    }
}

//! Cross-entropy on the given labels, unchanged. Every other learner is compared with it. Where classes differ in size, a
//! class can weigh more in the loss (PyTorch's `weight`, scikit-learn's "balanced": images / (classes · images of the class))
//! or be drawn more often (PyTorch's `WeightedRandomSampler` with weights 1 / images of the class, with replacement). Both
//! together would count rare classes twice, and are refused.

use super::{Batch, Epoch, EpochPlan, Known, Learned, Learner, logits};
use crate::base::Result;
use crate::base::range::{Mistake, mistake};
use crate::base::rng::Rng;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Progress, Recorder, Turn};
use crate::tape::Type;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The learner's line in the list.
pub const ENTRY: Entry<dyn Learner> = Entry {
    name: "cross_entropy",
    about: "Cross-entropy: on the labels as they are",
    overlay: include_str!("../../../configs/noise/cross_entropy.toml"),
    read: |from| read(from, |learner: CrossEntropy| Arc::new(learner)),
};

/// The random stream of balanced sampling ("bala" in ASCII).
const SAMPLING: u32 = 0x6261_6c61;
/// The input that holds the class weights, f32 [classes].
const CLASS_WEIGHTS: &str = "class_weights";

/// `[training.cross_entropy]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossEntropy {
    /// What classes weigh in the loss.
    pub class_weights: ClassWeights,
    /// How often images are taken.
    pub sampling: Sampling,
    /// The weight of each class, once labels are known.
    #[serde(skip)]
    weights: Vec<f32>,
}

/// What classes weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// The same.
    None,
    /// All images of a class together as much as those of any other.
    Balanced,
}

/// Which images an epoch takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Each once.
    Shuffled,
    /// As many draws as there are images, with replacement: of each class as often.
    Balanced,
}

impl Checked for CrossEntropy {
    fn check(&self) -> Result<(), Mistake> {
        if self.class_weights == ClassWeights::Balanced && self.sampling == Sampling::Balanced {
            let what =
                "and class_weights are both \"balanced\", so that rare classes would count twice; use one of the two";
            return mistake("sampling", what);
        }
        Ok(())
    }
}

/// The weights of classes with so many images each; 0 where there is none.
fn balanced(counts: &[usize]) -> Vec<f32> {
    let (images, classes) = (counts.iter().sum::<usize>() as f64, counts.iter().filter(|&&n| n > 0).count() as f64);
    counts.iter().map(|&n| if n == 0 { 0.0 } else { (images / (classes * n as f64)) as f32 }).collect()
}

impl Learner for CrossEntropy {
    fn informed(&self, known: &Known<'_>) -> Result<Option<Arc<dyn Learner>>> {
        let wanted = self.class_weights == ClassWeights::Balanced;
        Ok(wanted.then(|| Arc::new(CrossEntropy { weights: balanced(&known.counts()), ..self.clone() }) as _))
    }

    fn record(&self, _: &Turn, r: &mut Recorder<'_>, batch: &Batch) -> Result<Learned> {
        let class_weights = match self.class_weights {
            ClassWeights::None => None,
            ClassWeights::Balanced => Some(r.input(CLASS_WEIGHTS, Type::f32([batch.classes]))?),
        };
        let logits = logits(r, batch.classes)?;
        let (labels, weights) = (batch.labels, batch.weights);
        let [loss, losses, _] =
            r.t.layer("loss", |t| t.cross_entropy_with(logits, labels, weights, class_weights, 0.0))?;
        Ok(Learned { loss: loss.into(), losses: Some(losses), logits, selected: None })
    }

    fn inputs(&self, _: Progress, _: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        match self.class_weights {
            ClassWeights::None => Vec::new(),
            ClassWeights::Balanced => vec![(CLASS_WEIGHTS, bytemuck::cast_slice(&self.weights).to_vec())],
        }
    }

    fn plans_epochs(&self) -> bool {
        self.sampling == Sampling::Balanced
    }

    fn before_epoch(&self, epoch: &Epoch<'_>) -> Result<EpochPlan> {
        let mut of_class = vec![Vec::new(); epoch.classes];
        epoch.given.iter().enumerate().for_each(|(i, &g)| of_class[g as usize].push(i));
        of_class.retain(|images| !images.is_empty());
        let mut rng = Rng::new(epoch.at.seed, SAMPLING, epoch.at.epoch as u64);
        let draw = |_| {
            let class: &Vec<usize> = &of_class[rng.below(of_class.len())];
            class[rng.below(class.len())]
        };
        Ok(EpochPlan { order: (0..epoch.given.len()).map(draw).collect(), ..EpochPlan::usual(epoch) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scikit-learn: compute_class_weight("balanced", classes=[0, 1, 3], y=[0] * 6 + [1] * 3 + [3]).
    #[test]
    fn balanced_weights_are_scikit_learn_s() {
        assert_eq!(balanced(&[6, 3, 0, 1]), [10.0 / 18.0, 10.0 / 9.0, 0.0, 10.0 / 3.0].map(|w: f64| w as f32));
    }

    #[test]
    fn balanced_sampling_takes_each_class_as_often() {
        let given: Vec<u32> = (0..3000).map(|i| if i % 10 == 0 { 2 } else { 0 }).collect();
        let learner =
            CrossEntropy { class_weights: ClassWeights::None, sampling: Sampling::Balanced, weights: Vec::new() };
        let plan = |epoch| {
            let at = Progress { seed: 4, epoch, epochs: 2, step: 0, steps: 1, repeat: 0, before: 0 };
            let epoch = Epoch { at, losses: Vec::new(), given: &given, classes: 3, order: (0..3000).collect() };
            let plan = learner.before_epoch(&epoch).unwrap();
            plan.check(3000, 3).unwrap();
            plan
        };
        let rare = plan(0).order.iter().filter(|&&i| given[i] == 2).count() as f64;
        assert!((rare - 1500.0).abs() < 4.0 * 750f64.sqrt(), "{rare}");
        assert_eq!(plan(0), plan(0));
        assert_ne!(plan(0), plan(1));
    }
}

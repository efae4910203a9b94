//! A plain supervised training step and a step of its evaluation, recorded whole: what benches time and the tuner tunes.

use super::{Mode, Optimizer, Params, ResNet};
use crate::base::Result;
use crate::tape::{Tape, Type};

/// SGD with momentum on the cross-entropy of a ResNet over a batch of square images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingStep {
    /// The network.
    pub model: ResNet,
    /// Images of a step.
    pub batch: usize,
    /// Their side in pixels.
    pub size: usize,
    /// Classes.
    pub classes: usize,
}

impl TrainingStep {
    /// The step over the inputs `images` f32 [batch, C, size, size], `labels` u32 [batch] and `weights` f32 [batch] and
    /// the scalar `lr`; its output is `loss` f32 [1].
    pub fn record(&self) -> Result<(Tape, Params)> {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let images = Type::f32([self.batch, self.model.in_channels, self.size, self.size]);
        let x = t.input("images", images)?;
        let labels = t.input("labels", Type::u32([self.batch]))?;
        let weights = t.input("weights", Type::f32([self.batch]))?;
        let features = self.model.forward(&mut t, &mut params, "", x, Mode::Train)?;
        let logits = self.model.classify(&mut t, &mut params, "", features, self.classes)?;
        let [loss, _, _] = t.cross_entropy(logits, labels, weights)?;
        let sgd = Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 5e-4 };
        sgd.minimize(&mut t, loss, &params.trained())?;
        t.output("loss", loss);
        Ok((t, params))
    }

    /// A step of the evaluation over the input `images`; its output is `logits` f32 [batch, classes].
    pub fn record_evaluation(&self) -> Result<(Tape, Params)> {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let x = t.input("images", Type::f32([self.batch, self.model.in_channels, self.size, self.size]))?;
        let features = self.model.forward(&mut t, &mut params, "", x, Mode::Eval)?;
        let logits = self.model.classify(&mut t, &mut params, "", features, self.classes)?;
        t.output("logits", logits);
        Ok((t, params))
    }
}

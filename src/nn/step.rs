//! A plain supervised training step and a step of its evaluation, recorded whole: what benches time and the tuner tunes.

use super::{Mode, Optimizer, Params, ResNet};
use crate::base::Result;
use crate::base::rng::Rng;
use crate::tape::{State, Tape, Type};

/// A step that can be recorded again and again, with what it reads: what is measured.
pub struct Subject<'a> {
    /// What it is, for people.
    pub name: String,
    /// Images of a step.
    pub images: usize,
    /// Records it.
    pub record: Box<dyn Fn() -> Result<(Tape, Params)> + 'a>,
    /// State that must be there besides the parameters and what may begin as zeros, such as the images it picks from.
    pub state: State,
    /// Its inputs.
    pub inputs: Vec<(&'static str, Vec<u8>)>,
    /// Its scalars.
    pub scalars: Vec<(&'static str, f32)>,
}

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
    /// The step on random images and labels.
    pub fn subject(self) -> Subject<'static> {
        let mut rng = Rng::new(0, 0, 0);
        let pixels = self.batch * self.model.in_channels * self.size * self.size;
        let images: Vec<f32> = (0..pixels).map(|_| rng.normal()).collect();
        let labels: Vec<u32> = (0..self.batch).map(|_| rng.below(self.classes) as u32).collect();
        let bytes = |data: &[f32]| bytemuck::cast_slice(data).to_vec();
        let (size, channels) = (self.size, self.model.in_channels);
        Subject {
            name: format!("a supervised step of resnet18 × {} on {size} × {size} × {channels}", self.model.width),
            images: self.batch,
            record: Box::new(move || self.record()),
            state: State::new(),
            inputs: vec![
                ("images", bytes(&images)),
                ("labels", bytemuck::cast_slice(&labels).to_vec()),
                ("weights", bytes(&vec![1.0; self.batch])),
            ],
            scalars: vec![("lr", 0.05)],
        }
    }

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
        let [loss, _, _] = t.layer("loss", |t| t.cross_entropy(logits, labels, weights))?;
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

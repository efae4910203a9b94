//! A plain supervised training step and a step of its evaluation, recorded whole: what benches time and the tuner tunes.

use super::{Mode, Optimizer, Params, ResNet, Vit};
use crate::base::rng::Rng;
use crate::base::{Error, Result};
use crate::device::Gpu;
use crate::tape::{State, Tape, Type, Var};
use std::fmt;

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

/// A network that classifies images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    /// Trained with SGD and momentum.
    ResNet(ResNet),
    /// Trained with AdamW.
    Vit(Vit),
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::ResNet(n) => write!(f, "resnet18 × {}", n.width),
            Network::Vit(n) => write!(f, "vit of {} blocks of {}, patches of {}", n.depth, n.width, n.patch),
        }
    }
}

impl Network {
    fn in_channels(&self) -> usize {
        match self {
            Network::ResNet(n) => n.in_channels,
            Network::Vit(n) => n.in_channels,
        }
    }

    /// Images [N, C, H, W] give logits [N, classes].
    fn logits(&self, t: &mut Tape, params: &mut Params, x: Var, mode: Mode, classes: usize) -> Result<Var> {
        match self {
            Network::ResNet(n) => {
                let features = n.forward(t, params, "", x, mode)?;
                n.classify(t, params, "", features, classes)
            }
            Network::Vit(n) => {
                let features = n.forward(t, params, "", x)?;
                n.classify(t, params, "", features, classes)
            }
        }
    }

    /// How such a network is usually trained.
    fn optimizer(&self) -> Optimizer {
        match self {
            Network::ResNet(_) => Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 5e-4 },
            Network::Vit(_) => Optimizer::adamw(0.05),
        }
    }
}

/// A step on the cross-entropy of a network over a batch of square images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingStep {
    /// The network, which says the optimizer too.
    pub model: Network,
    /// Images of a step.
    pub batch: usize,
    /// Their side in pixels.
    pub size: usize,
    /// Classes.
    pub classes: usize,
}

impl TrainingStep {
    /// Refuses images that no buffer of `gpu` holds, before any is drawn.
    pub fn expect_bindable(&self, gpu: &Gpu) -> Result<()> {
        let dims = [self.batch, self.model.in_channels(), self.size, self.size].map(|d| d as u128);
        let (bytes, limit) = (dims.iter().fold(4u128, |n, d| n.saturating_mul(*d)), gpu.caps().binding_bytes);
        if bytes <= u128::from(limit) {
            return Ok(());
        }
        let [batch, channels, size, _] = dims;
        Err(Error::Usage(format!(
            "{batch} images of {size} × {size} × {channels} take {bytes} bytes in one buffer, and the adapter binds at most \
             {limit}; use a smaller --batch or --size"
        )))
    }

    /// The step on random images and labels.
    pub fn subject(self) -> Subject<'static> {
        let mut rng = Rng::new(0, 0, 0);
        let pixels = self.batch * self.model.in_channels() * self.size * self.size;
        let images: Vec<f32> = (0..pixels).map(|_| rng.normal()).collect();
        let labels: Vec<u32> = (0..self.batch).map(|_| rng.below(self.classes) as u32).collect();
        let bytes = |data: &[f32]| bytemuck::cast_slice(data).to_vec();
        let (size, channels) = (self.size, self.model.in_channels());
        Subject {
            name: format!("a supervised step of {} on {size} × {size} × {channels}", self.model),
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

    fn images(&self) -> Type {
        Type::f32([self.batch, self.model.in_channels(), self.size, self.size])
    }

    /// The step over the inputs `images` f32 [batch, C, size, size], `labels` u32 [batch] and `weights` f32 [batch] and
    /// the scalar `lr`; its output is `loss` f32 [1].
    pub fn record(&self) -> Result<(Tape, Params)> {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let x = t.input("images", self.images())?;
        let labels = t.input("labels", Type::u32([self.batch]))?;
        let weights = t.input("weights", Type::f32([self.batch]))?;
        let logits = self.model.logits(&mut t, &mut params, x, Mode::Train, self.classes)?;
        let [loss, _, _] = t.layer("loss", |t| t.cross_entropy(logits, labels, weights))?;
        self.model.optimizer().minimize(&mut t, loss, &params.trained())?;
        t.output("loss", loss);
        Ok((t, params))
    }

    /// A step of the evaluation over the input `images`; its output is `logits` f32 [batch, classes].
    pub fn record_evaluation(&self) -> Result<(Tape, Params)> {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let x = t.input("images", self.images())?;
        let logits = self.model.logits(&mut t, &mut params, x, Mode::Eval, self.classes)?;
        t.output("logits", logits);
        Ok((t, params))
    }
}

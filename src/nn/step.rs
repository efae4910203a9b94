//! A plain supervised training step, and a step of its evaluation, recorded whole. Benches time them, and the tuner
//! tunes for them.

use super::optimizer::Limits;
use super::{Backbone, Mode, Params, Precision};
use crate::base::rng::Rng;
use crate::base::{Error, Result};
use crate::device::Gpu;
use crate::tape::{State, Tape, Type, Var};
use std::sync::Arc;

/// A step to be measured: it can be recorded many times, and it holds all that it reads.
pub struct MeasuredStep<'a> {
    /// What it is, in words.
    pub name: String,
    /// Images in a step.
    pub images: usize,
    /// Records it.
    pub record: Box<dyn Fn() -> Result<(Tape, Params)> + 'a>,
    /// States that it needs besides the parameters and the states that may begin as zeros, for instance the images that
    /// it picks from.
    pub state: State,
    /// Names and bytes of its inputs.
    pub inputs: Vec<(&'static str, Vec<u8>)>,
    /// Names and values of its scalars.
    pub scalars: Vec<(String, f32)>,
    /// Whether its backward pass computes values again instead of keeping them.
    pub recompute: bool,
}

/// A training step of a network with cross-entropy on a batch of square images.
#[derive(Clone, Debug)]
pub struct TrainingStep {
    /// The network. It also decides the optimizer.
    pub model: Arc<dyn Backbone>,
    /// Images in a step.
    pub batch: usize,
    /// Side of the images in pixels.
    pub size: usize,
    /// Number of classes.
    pub classes: usize,
    /// The elements of activations while it trains.
    pub precision: Precision,
}

impl TrainingStep {
    /// It is an error if no buffer of `gpu` can hold the images. Call it before any image is drawn.
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

    /// The step with random images and labels.
    pub fn measured(self) -> MeasuredStep<'static> {
        let mut rng = Rng::new(0, 0, 0);
        let pixels = self.batch * self.model.in_channels() * self.size * self.size;
        let images: Vec<f32> = (0..pixels).map(|_| rng.normal()).collect();
        let labels: Vec<u32> = (0..self.batch).map(|_| rng.below(self.classes) as u32).collect();
        let bytes = |data: &[f32]| bytemuck::cast_slice(data).to_vec();
        let (size, channels) = (self.size, self.model.in_channels());
        let (batch, mut name) = (self.batch, self.model.to_string());
        if self.precision != Precision::F32 {
            name += &format!(" in {}", self.precision);
        }
        MeasuredStep {
            name: format!("a supervised step of {name} on {size} × {size} × {channels}"),
            images: batch,
            record: Box::new(move || self.record()),
            state: State::new(),
            inputs: vec![
                ("images", bytes(&images)),
                ("labels", bytemuck::cast_slice(&labels).to_vec()),
                ("weights", bytes(&vec![1.0; batch])),
            ],
            scalars: vec![("lr".to_string(), 0.05)],
            recompute: false,
        }
    }

    /// Images f32 [N, C, H, W] give logits [N, classes].
    fn logits(&self, t: &mut Tape, params: &mut Params, x: Var, mode: Mode) -> Result<Var> {
        self.precision.expect_taken(self.model.as_ref())?;
        let x = t.layer("images", |t| t.cast(x, params.precision.dtype()))?;
        let features = self.model.forward(t, params, "", x, mode)?;
        self.model.classify(t, params, "", features, self.classes)
    }

    fn images(&self) -> Type {
        Type::f32([self.batch, self.model.in_channels(), self.size, self.size])
    }

    /// Records the step. Its inputs are `images` f32 [batch, C, size, size], `labels` u32 [batch] and `weights` f32
    /// [batch]. Its scalar is `lr`. Its output is `loss` f32 [1].
    pub fn record(&self) -> Result<(Tape, Params)> {
        let (mut t, mut params) = (Tape::new(), Params::of(self.precision));
        let x = t.input("images", self.images())?;
        let labels = t.input("labels", Type::u32([self.batch]))?;
        let weights = t.input("weights", Type::f32([self.batch]))?;
        let logits = self.logits(&mut t, &mut params, x, Mode::Train)?;
        let [loss, _, _] = t.layer("loss", |t| t.cross_entropy(logits, labels, weights))?;
        let limits = Limits { loss_scale: self.precision.loss_scale(), ..Limits::default() };
        self.model.usual_optimizer().minimize_within(&mut t, loss, &params.trained(), limits)?;
        t.output("loss", loss);
        Ok((t, params))
    }

    /// Records a step of the evaluation. Its input is `images` f32 [batch, C, size, size]. Its output is `logits` f32
    /// [batch, classes].
    pub fn record_evaluation(&self) -> Result<(Tape, Params)> {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let x = t.input("images", self.images())?;
        let logits = self.logits(&mut t, &mut params, x, Mode::Eval)?;
        t.output("logits", logits);
        Ok((t, params))
    }
}

//! A study's config: what each key holds, and the resolved config as text and as an address. Keys equal field names;
//! `configs/base.toml` says what every key means. `load` reads and merges files, `check` knows the allowed ranges.

mod check;
mod load;
mod settings;

use crate::base::hash::Hasher;
use crate::base::{Error, Result};
use crate::noise::NoiseKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `configs/base.toml` as built into the program: the bottom layer of every config.
pub const BASE: &str = include_str!("../../../configs/base.toml");

/// A whole study, resolved: every key has its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the report is titled.
    pub name: String,
    /// One repeat of the whole grid for each.
    pub seeds: Vec<u64>,
    /// Datasets and image sizes.
    pub data: Data,
    /// The backbone.
    pub model: Model,
    /// Self-supervised pretraining.
    pub pretraining: Pretraining,
    /// The two views of pretraining.
    pub augmentation: Augmentation,
    /// Label noise.
    pub noise: Noise,
    /// Supervised training on noisy labels.
    pub training: Training,
    /// Evaluation.
    pub evaluation: Evaluation,
    /// How a run behaves; nothing here changes its results.
    pub run: Run,
}

/// `[data]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The datasets, each a data SPEC.
    pub specs: Vec<String>,
    /// Side in pixels of the square kept on the device.
    pub store_size: usize,
    /// Side in pixels of the square the network sees.
    pub image_size: usize,
    /// 1 gray or 3 RGB.
    pub channels: usize,
    /// Share of training images held out where a dataset has no validation split.
    pub val_fraction: f64,
    /// The most pixels of one picture file.
    pub max_pixels: u64,
    /// The bits that 16-bit picture files use.
    pub bit_depth: u32,
}

/// `[model]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The backbone.
    pub arch: Arch,
    /// Its first convolution.
    pub stem: Stem,
    /// Times the usual number of channels.
    pub width: f64,
}

/// A backbone's architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arch {
    /// ResNet-18.
    Resnet18,
}

/// A backbone's first convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stem {
    /// 3×3 at stride 1, no pooling: small images.
    #[serde(rename = "3x3")]
    Small,
    /// 7×7 at stride 2, then max pooling.
    #[serde(rename = "7x7")]
    Large,
}

/// Where a backbone's weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PretrainingMethod {
    /// Random weights.
    None,
    /// SimCLR on the training images.
    Simclr,
}

/// How to learn from noisy labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingMethod {
    /// Plain cross entropy.
    CrossEntropy,
}

/// What updates the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Adam.
    Adam,
    /// SGD with momentum.
    Sgd,
}

/// How the learning rate moves after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Half a cosine, down to zero.
    Cosine,
    /// It stays.
    Constant,
}

/// What becomes of the images that do not fill the last batch of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastBatch {
    /// They are left out of this epoch.
    Drop,
    /// They are a smaller step of their own, batch statistics over them alone.
    Keep,
}

/// The keys that `[pretraining]` and `[training]` share: how weights are updated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimization {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// What updates the weights.
    pub optimizer: Optimizer,
    /// Learning rate after the warm-up.
    pub lr: f64,
    /// Added to the gradient, times the weight.
    pub weight_decay: f64,
    /// Of SGD.
    pub momentum: f64,
    /// Nesterov's form of it.
    pub nesterov: bool,
    /// Epochs in which the rate rises from zero.
    pub warmup_epochs: usize,
    /// What follows the warm-up.
    pub schedule: Schedule,
}

/// Gives a table that holds the keys of [`Optimization`] the method that gathers them: serde's own way to share
/// them, `flatten`, loses the line of a mistake.
macro_rules! optimization {
    ($table:ty) => {
        impl $table {
            /// How weights are updated.
            pub fn optimization(&self) -> Optimization {
                let Self { epochs, batch_size, optimizer, lr, weight_decay, momentum, .. } = *self;
                let Self { nesterov, warmup_epochs, schedule, .. } = *self;
                Optimization {
                    epochs,
                    batch_size,
                    optimizer,
                    lr,
                    weight_decay,
                    momentum,
                    nesterov,
                    warmup_epochs,
                    schedule,
                }
            }
        }
    };
}
optimization!(Pretraining);
optimization!(Training);

/// `[pretraining]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the shared keys are documented in `Optimization`
pub struct Pretraining {
    /// Where the weights come from: one column of the grid each.
    pub methods: Vec<PretrainingMethod>,
    pub epochs: usize,
    pub batch_size: usize,
    pub optimizer: Optimizer,
    pub lr: f64,
    pub weight_decay: f64,
    pub momentum: f64,
    pub nesterov: bool,
    pub warmup_epochs: usize,
    pub schedule: Schedule,
    /// Of SimCLR's softmax over similarities.
    pub temperature: f64,
    /// SimCLR's head: hidden width, output width.
    pub projection_dims: [usize; 2],
}

/// `[augmentation]`: how pretraining makes its views.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Area of the crop as a share of the image: smallest, largest.
    pub crop_scale: [f64; 2],
    /// Width over height of the crop: smallest, largest.
    pub crop_ratio: [f64; 2],
    /// Of a mirror image.
    pub flip_probability: f64,
    /// Of changing the colours.
    pub jitter_probability: f64,
    /// Strength for brightness, contrast, saturation, hue.
    pub jitter: [f64; 4],
    /// Of losing the colours.
    pub grayscale_probability: f64,
    /// Of a Gaussian blur.
    pub blur_probability: f64,
    /// Standard deviation in pixels: smallest, largest.
    pub blur_sigma: [f64; 2],
}

/// `[noise]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// How labels go wrong.
    pub kinds: Vec<NoiseKind>,
    /// Share of labels that flip.
    pub rates: Vec<f64>,
    /// `[noise.KIND]`: every setting of each kind that has some and is listed or set here, by the kind's name.
    #[serde(skip_deserializing, flatten)]
    pub settings: BTreeMap<String, toml::Table>,
}

impl Noise {
    /// The settings of `kind`; its defaults where the config says nothing of it.
    pub fn settings_of(&self, kind: NoiseKind) -> Result<toml::Table> {
        self.settings.get(kind.name()).map_or_else(|| kind.defaults(), |s| Ok(s.clone()))
    }
}

/// `[training]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the shared keys are documented in `Optimization`
pub struct Training {
    /// How to learn from noisy labels.
    pub methods: Vec<TrainingMethod>,
    pub epochs: usize,
    pub batch_size: usize,
    /// What becomes of images that do not fill the last batch.
    pub last_batch: LastBatch,
    pub optimizer: Optimizer,
    pub lr: f64,
    pub weight_decay: f64,
    pub momentum: f64,
    pub nesterov: bool,
    pub warmup_epochs: usize,
    pub schedule: Schedule,
    /// Area of the crop as a share of the image: smallest, largest.
    pub crop_scale: [f64; 2],
    /// Of a mirror image.
    pub flip_probability: f64,
}

/// `[evaluation]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Images a step.
    pub batch_size: usize,
    /// Neighbours that vote.
    pub knn_neighbours: usize,
    /// τ of the weighted vote.
    pub knn_temperature: f64,
}

/// `[run]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
    /// Steps between two looks at the loss.
    pub loss_every: usize,
}

/// Names as the config spells them.
macro_rules! spelled {
    ($($type:ty { $($variant:ident = $name:literal),+ })+) => {$(
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(<$type>::$variant => $name),+ })
            }
        }
    )+};
}
spelled! {
    Arch { Resnet18 = "resnet18" }
    Stem { Small = "3x3", Large = "7x7" }
    PretrainingMethod { None = "none", Simclr = "simclr" }
    TrainingMethod { CrossEntropy = "cross_entropy" }
    Optimizer { Adam = "adam", Sgd = "sgd" }
    Schedule { Cosine = "cosine", Constant = "constant" }
    LastBatch { Drop = "drop", Keep = "keep" }
}

impl Config {
    /// The resolved config as TOML, in the order of the fields: the same config, the same text.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Failed(format!("cannot write the config as TOML: {e}")))
    }

    /// The address of the resolved config: 16 hex digits.
    pub fn hash(&self) -> Result<String> {
        Ok(Hasher::new().part(self.to_toml()?).short())
    }
}

//! A study's config: what each key holds, and the resolved config as text and as an address. Keys equal field names.
//! `configs/base.toml` says what every key means. `load` reads and merges files, `check` knows the allowed ranges.

mod check;
mod difference;
mod draft;
mod load;
mod models;
mod tables;
mod unread;
mod written;

pub use draft::Draft;
pub use tables::{Learning, Pretrained};

use crate::base::hash::Hasher;
use crate::base::{Error, Result};
use crate::nn::{Model, Optimization, Precision, Recipe};
use crate::noise::NoiseKind;
use crate::ssl;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// `configs/base.toml`, which is built into the program. Every config is based on it.
pub const BASE: &str = include_str!("../../../configs/base.toml");

/// The value of `pretraining.init` for random weights.
pub const RANDOM: &str = "random";

/// A whole study, resolved: every key has a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The title of the report.
    pub name: String,
    /// The seeds. The whole grid is repeated once for each.
    pub seeds: Vec<u64>,
    /// The backbones of the grid, by their names in `nn::backbone::ARCHS`. If it is empty, `model.arch` is the only one.
    pub backbones: Vec<String>,
    /// Datasets and image sizes.
    pub data: Data,
    /// The backbone. Of a grid of several it holds what any of them reads.
    pub model: Model,
    /// Self-supervised pretraining.
    pub pretraining: Pretraining,
    /// The two views of pretraining.
    pub augmentation: Recipe,
    /// Label noise.
    pub noise: Noise,
    /// Supervised training on noisy labels.
    pub training: Training,
    /// Evaluation.
    pub evaluation: Evaluation,
    /// How a run behaves. Nothing in it changes results.
    pub run: Run,
}

/// `[data]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The datasets, each a SPEC as `wgslab data` explains it.
    pub specs: Vec<String>,
    /// Side in pixels of the square images that are kept on the device.
    pub store_size: usize,
    /// Side in pixels of the square images that the network sees.
    pub image_size: usize,
    /// 1 (gray) or 3 (RGB).
    pub channels: usize,
    /// Share of the training images that is held out if a dataset has no validation split.
    pub val_fraction: f64,
    /// The most pixels of one picture.
    pub max_pixels: u64,
    /// Decoded images of more bytes stream from pages on disk.
    pub resident_bytes: u64,
    /// The most bytes of all decoded images of a dataset.
    pub max_bytes: u64,
    /// How many bits 16-bit picture files use.
    pub bit_depth: u32,
    /// Whether a file that cannot be decoded is an error, even if there are few.
    pub strict: bool,
}

/// What happens to the images that do not fill the last batch of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastBatch {
    /// They are left out of the epoch.
    Drop,
    /// They make a smaller step. Its batch statistics are over them only.
    Keep,
}

/// `[pretraining]`. In TOML the keys of `optimization` and `tables` stand directly in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretraining {
    /// Where the weights come from: `none`, or names of `ssl::methods`. Each is a column of the grid.
    pub methods: Vec<String>,
    /// [`RANDOM`], or a file with a backbone that every pretraining starts from.
    pub init: String,
    /// For a backbone, by its name: files with its weights. Each is a column of the grid.
    pub weights: BTreeMap<String, Vec<String>>,
    /// How weights are updated.
    pub optimization: Optimization,
    /// `[pretraining.METHOD]`: the settings of each listed method, and what the method overrides for itself.
    pub tables: BTreeMap<String, Table>,
}

impl Pretraining {
    /// The first method that pretrains, or the default method if the config lists none.
    pub fn first(&self) -> &str {
        self.methods.iter().find(|m| *m != ssl::NONE).map_or(ssl::DEFAULT, String::as_str)
    }
}

/// `[noise]`. In TOML the tables of `tables` stand directly in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// The kinds of label noise.
    pub kinds: Vec<NoiseKind>,
    /// The shares of labels that become wrong.
    pub rates: Vec<f64>,
    /// The seed of the noise.
    pub seed: NoiseSeed,
    /// Which labels the validation images have.
    pub validation: ValidationLabels,
    /// `[noise.KIND]`: every setting of each kind.
    pub tables: BTreeMap<String, Table>,
}

impl Noise {
    /// The settings of a kind. A config that was read has those of every kind.
    pub fn of(&self, kind: NoiseKind) -> Table {
        self.tables.get(kind.name()).cloned().unwrap_or_default()
    }
}

/// The seed of the random choices of label noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum NoiseSeed {
    /// The seed of the repeat, so that each repeat has other wrong labels: `"run"`.
    Run,
    /// This number, the same in each repeat.
    Fixed(u64),
}

impl TryFrom<Value> for NoiseSeed {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(word) if word == "run" => Ok(NoiseSeed::Run),
            Value::Integer(seed) if seed >= 0 => Ok(NoiseSeed::Fixed(seed as u64)),
            _ => Err("seed is \"run\", for the seed of each repeat, or a whole number from 0, as in 0".to_string()),
        }
    }
}

impl From<NoiseSeed> for Value {
    fn from(of: NoiseSeed) -> Value {
        match of {
            NoiseSeed::Run => Value::String("run".to_string()),
            NoiseSeed::Fixed(seed) => Value::Integer(seed as i64), // an i64 when it was read
        }
    }
}

/// Which labels the validation images have. Epochs and weight decays are chosen by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidationLabels {
    /// The true labels.
    #[default]
    Clean,
    /// Labels with the same noise as the training labels.
    Noisy,
}

/// `[training]`. In TOML the keys of `optimization` and `tables` stand directly in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// How to learn from noisy labels: names of `noise::learn::learners`.
    pub methods: Vec<String>,
    /// How weights are updated.
    pub optimization: Optimization,
    /// What happens to the images that do not fill the last batch of an epoch.
    pub last_batch: LastBatch,
    /// Area of the crop as a share of the image: smallest, largest.
    pub crop_scale: [f64; 2],
    /// Probability of mirroring left and right.
    pub flip_probability: f64,
    /// `[training.METHOD]`: the settings of each listed method, and what the method overrides for itself.
    pub tables: BTreeMap<String, Table>,
}

/// `[evaluation]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Images in a step.
    pub batch_size: usize,
    /// How many neighbours vote.
    pub knn_neighbours: usize,
    /// τ of the weighted vote.
    pub knn_temperature: f64,
    /// How backbones are judged. Each is a row of the grid.
    pub protocols: Vec<Protocol>,
    /// The weight decays of the linear classifier. The one that is best on the validation images is chosen.
    pub linear_weight_decays: Vec<f64>,
}

/// How a backbone is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// The whole network is trained on the given labels.
    #[default]
    Finetune,
    /// A linear classifier on frozen features.
    Linear,
    /// A weighted vote of the training images with the nearest frozen features.
    Knn,
}

impl Protocol {
    /// Its name in configs and results.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Finetune => "finetune",
            Protocol::Linear => "linear",
            Protocol::Knn => "knn",
        }
    }
}

/// `[run]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
    /// Steps between two readings of the loss.
    pub loss_every: usize,
    /// Steps between two states that are kept besides the last state; 0 keeps none.
    pub save_every_steps: usize,
    /// Whether the backward pass of a step computes values again instead of keeping them.
    pub recompute: bool,
}

impl std::fmt::Display for LastBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            LastBatch::Drop => "drop",
            LastBatch::Keep => "keep",
        })
    }
}

fn unwritable(e: toml::ser::Error) -> Error {
    Error::Failed(format!("cannot write the config as TOML: {e}"))
}

/// Gives a stage and all its methods these elements of activations.
fn in_precision(precision: Precision, stage: &mut Optimization, tables: &mut BTreeMap<String, Table>) {
    stage.precision = precision;
    tables.values_mut().for_each(|own| drop(own.remove("precision")));
}

impl Config {
    /// The same config with activations of this precision in every pretraining, whatever the methods' tables say.
    ///
    /// # Errors
    /// [`Error::Usage`] where the config is no longer one that can be run.
    pub fn pretrained_in(mut self, precision: Precision) -> Result<Config> {
        in_precision(precision, &mut self.pretraining.optimization, &mut self.pretraining.tables);
        self.checked()
    }

    /// As [`Config::pretrained_in`], of the training on labels.
    pub fn trained_in(mut self, precision: Precision) -> Result<Config> {
        in_precision(precision, &mut self.training.optimization, &mut self.training.tables);
        self.checked()
    }

    /// The config, if it can be run.
    fn checked(self) -> Result<Config> {
        tables::check(&self).map_err(|(key, what)| Error::Usage(format!("{key} {what}")))?;
        Ok(self)
    }

    /// The resolved config as TOML, in the order of the fields. Equal configs give equal text.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(&self.as_written().map_err(unwritable)?).map_err(unwritable)
    }

    /// The config with its keys where TOML has them.
    fn as_written(&self) -> Result<Table, toml::ser::Error> {
        let mut table = Table::try_from(self)?;
        written::scatter(&mut table);
        Ok(table)
    }

    /// The address of the resolved config: 16 hex digits.
    pub fn hash(&self) -> Result<String> {
        Ok(Hasher::new().part(self.to_toml()?).short())
    }
}

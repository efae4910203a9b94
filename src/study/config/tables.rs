//! The named tables of a config, `[pretraining.METHOD]`, `[training.METHOD]` and `[noise.KIND]`. They hold the settings
//! of a method or kind, which only its own file knows, and the keys that a method overrides for itself.

use super::Config;
use crate::base::range::{Mistake, mistake};
use crate::base::{Error, Result};
use crate::nn::init::Param;
use crate::nn::listed::Entry;
use crate::nn::{Backbone, Model, Optimization, Progress, Recipe};
use crate::noise::NoiseKind;
use crate::noise::learn::{self, Learner};
use crate::ssl::{self, Method};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use toml::{Table, Value};

/// The keys of [`Optimization`]. They stand in `[pretraining]` and `[training]`, and in the table of a method that
/// overrides them.
pub(super) const OPTIMIZATION: [&str; 11] = [
    "epochs",
    "batch_size",
    "micro_batch_size",
    "warmup_epochs",
    "schedule",
    "lr_floor",
    "milestones",
    "gamma",
    "lr_scaling",
    "precision",
    "optimizer",
];

/// The tables of the config that `[pretraining.METHOD]` may override.
pub(super) const TABLES: [&str; 2] = ["model", "augmentation"];

/// A pretraining method with its settings from a config.
#[derive(Clone, Debug)]
pub struct Pretrained {
    /// Its name.
    pub name: String,
    /// The method.
    pub method: Arc<dyn Method>,
    /// Its settings, with every key.
    pub settings: Value,
    /// How weights are updated.
    pub optimization: Optimization,
    /// The key that sets the images in a step: the method's own or its stage's.
    pub batch_key: String,
    /// The key that sets how many of them the network sees at a time.
    pub micro_batch_key: String,
    /// The backbone's settings.
    pub model: Model,
    /// The backbone.
    pub backbone: Arc<dyn Backbone>,
    /// How views are made.
    pub augmentation: Recipe,
    /// The keys of the config that the method's table overrides with another value: `augmentation.jitter`.
    pub overridden: Vec<String>,
}

/// A training method with its settings from a config.
#[derive(Clone, Debug)]
pub struct Learning {
    /// Its name.
    pub name: String,
    /// The method.
    pub learner: Arc<dyn Learner>,
    /// Its settings, with every key.
    pub settings: Value,
    /// How weights are updated.
    pub optimization: Optimization,
    /// The key that sets the images in a step: the method's own or its stage's.
    pub batch_key: String,
}

impl Pretrained {
    /// The method's key that decides how large a parameter is, with its value: `pretraining.simclr.projection_dims =
    /// [8]`.
    pub fn size_key(&self, parameter: &Param) -> Option<String> {
        let (key, value) = self.method.size_key(&parameter.name, parameter.ty)?;
        Some(format!("pretraining.{}.{key} = {value}", self.name))
    }

    /// The method's own inputs of a step on the images `indices`. The views have `size` pixels on a side.
    pub fn inputs(&self, at: Progress, indices: &[u32], size: usize) -> Vec<(&'static str, Vec<u8>)> {
        self.method.inputs(at, indices, self.backbone.as_ref(), [size; 2])
    }
}

impl Config {
    /// The pretraining method `name`, whether or not the grid lists it, on the first backbone of the grid that it takes.
    /// It is an error if a setting is out of its range.
    pub fn pretraining_of(&self, name: &str) -> Result<Pretrained> {
        let backbones = self.grid_backbones();
        self.pretraining_on(name, backbones.iter().find(|b| self.fits(name, b)).unwrap_or(&backbones[0]))
    }

    /// The pretraining method `name` on a backbone of the grid.
    pub fn pretraining_on(&self, name: &str, backbone: &str) -> Result<Pretrained> {
        let one = self.pretraining_read(name, backbone)?;
        check_pretrained(&one, self.data.image_size)
            .and_then(|()| check_pair(&one, self))
            .map_err(|(key, what)| Error::Usage(format!("{key} {what}")))?;
        Ok(one)
    }

    /// The backbones of the grid.
    pub fn grid_backbones(&self) -> Vec<&str> {
        match &self.backbones[..] {
            [] => vec![&self.model.arch],
            listed => listed.iter().map(String::as_str).collect(),
        }
    }

    /// Whether the grid has cells of a method on this backbone. If there are several backbones, each method is run on
    /// those that it takes.
    pub fn fits(&self, method: &str, backbone: &str) -> bool {
        let takes = || self.pretraining_read(method, backbone).is_ok_and(|one| check_pair(&one, self).is_ok());
        self.backbones.len() < 2 || method == ssl::NONE || takes()
    }

    /// `[model]` of a backbone of the grid.
    fn base_model(&self, backbone: &str) -> Model {
        Model { arch: backbone.to_string(), ..self.model.clone() }.settled()
    }

    /// The pretraining method `name` on a backbone, whether or not its settings are in their ranges and it takes it.
    pub(in crate::study) fn pretraining_read(&self, name: &str, backbone: &str) -> Result<Pretrained> {
        let table = self.pretraining.tables.get(name);
        let (method, settings) = read(ssl::method(name)?, table)?;
        let base = self.base_model(backbone);
        let model = model(&base, table)?;
        let optimization = optimization(&self.pretraining.optimization, table)?;
        let augmentation = overridden("augmentation", &self.augmentation, table)?;
        let mut changed = Vec::new();
        changes("", &self.pretraining.optimization, &optimization, &mut changed)?;
        changes("model.", &base, &model, &mut changed)?;
        changes("augmentation.", &self.augmentation, &augmentation, &mut changed)?;
        Ok(Pretrained {
            name: name.to_string(),
            method,
            settings,
            optimization,
            batch_key: key_of("batch_size", "pretraining", name, table),
            micro_batch_key: key_of("micro_batch_size", "pretraining", name, table),
            backbone: model.backbone(self.data.channels)?,
            model,
            augmentation,
            overridden: changed,
        })
    }

    /// The training method `name`, whether or not the grid lists it. It is an error if a setting is out of its range.
    pub fn learning_of(&self, name: &str) -> Result<Learning> {
        let one = self.learning_read(name)?;
        check_learning(&one).map_err(|(key, what)| Error::Usage(format!("{key} {what}")))?;
        Ok(one)
    }

    fn learning_read(&self, name: &str) -> Result<Learning> {
        let table = self.training.tables.get(name);
        let (learner, settings) = read(learn::learner(name)?, table)?;
        let optimization = optimization(&self.training.optimization, table)?;
        let batch_key = key_of("batch_size", "training", name, table);
        Ok(Learning { name: name.to_string(), learner, settings, optimization, batch_key })
    }

    /// The backbone's settings in a cell with this backbone and pretraining.
    pub fn model_of(&self, backbone: &str, pretraining: &str) -> Result<Model> {
        model(&self.base_model(backbone), self.pretraining.tables.get(pretraining))
    }
}

/// Adds to `changed` the keys whose values differ between two settings of one type, each after `prefix`.
fn changes<T: serde::Serialize>(prefix: &str, base: &T, over: &T, changed: &mut Vec<String>) -> Result<()> {
    let table = |settings: &T| Table::try_from(settings).map_err(|e| wrong(prefix, e));
    let base = table(base)?;
    for (key, over) in table(over)? {
        match (base.get(&key), &over) {
            (Some(Value::Table(base)), Value::Table(over)) => changes(&format!("{prefix}{key}."), base, over, changed)?,
            (base, over) if base != Some(over) => changed.push(format!("{prefix}{key}")),
            _ => {}
        }
    }
    Ok(())
}

/// A method, made from its own settings in `table`, without the keys that override the config. A config that was read
/// has all settings.
fn read<T: ?Sized>(entry: &Entry<T>, table: Option<&Table>) -> Result<(Arc<T>, Value)> {
    let mut own = table.cloned().unwrap_or_default();
    own.retain(|key, _| !overrides(key));
    entry.make(&own)
}

/// Whether a key of a method's table overrides a key of the config.
pub(super) fn overrides(key: &str) -> bool {
    OPTIMIZATION.contains(&key) || TABLES.contains(&key)
}

fn wrong(method: &str, what: impl std::fmt::Display) -> Error {
    Error::Usage(format!("the settings of {method}: {what}"))
}

fn optimization(base: &Optimization, table: Option<&Table>) -> Result<Optimization> {
    let mut over = table.cloned().unwrap_or_default();
    over.retain(|key, _| OPTIMIZATION.contains(&key));
    let own = |key: &str| over.contains_key(key);
    let (floor, milestones) = (own("lr_floor"), own("milestones"));
    let mut made: Optimization = laid("optimization", base, over)?;
    // If the method has another schedule, the stage's keys for its schedule do not apply to the method.
    if made.schedule != base.schedule {
        made.lr_floor = if floor { made.lr_floor } else { 0.0 };
        if !milestones {
            made.milestones.clear();
        }
    }
    Ok(made)
}

fn overridden<T: serde::Serialize + DeserializeOwned>(key: &str, base: &T, table: Option<&Table>) -> Result<T> {
    let over = table.and_then(|t| t.get(key)).and_then(Value::as_table).cloned().unwrap_or_default();
    laid(key, base, over)
}

/// The backbone's settings of a method. Keys that the method's backbone does not read are left out.
fn model(base: &Model, table: Option<&Table>) -> Result<Model> {
    Ok(overridden::<Model>("model", base, table)?.settled())
}

/// `base` with the keys of `over` in it, table by table.
fn laid<T: serde::Serialize + DeserializeOwned>(key: &str, base: &T, over: Table) -> Result<T> {
    fn lay(under: &mut Table, over: Table) {
        for (key, value) in over {
            match (under.get_mut(&key), value) {
                (Some(Value::Table(under)), Value::Table(over)) => lay(under, over),
                (_, value) => drop(under.insert(key, value)),
            }
        }
    }
    let mut table = Table::try_from(base).map_err(|e| wrong(key, e))?;
    lay(&mut table, over);
    table.try_into().map_err(|e: toml::de::Error| wrong(key, e.message()))
}

/// The path of a method's key: in its own table if it is there, else in its stage's.
fn key_of(key: &str, stage: &str, name: &str, table: Option<&Table>) -> String {
    match table.is_some_and(|t| t.contains_key(key)) {
        true => format!("{stage}.{name}.{key}"),
        false => format!("{stage}.{key}"),
    }
}

/// An error with the first value out of its range among the methods with a table of their own, and its key:
/// `pretraining.simclr.temperature`.
pub(super) fn check(config: &Config) -> Result<(), Mistake> {
    let said = |key: &str| {
        let key = key.to_string();
        move |e: Error| (key, format!("is wrong: {e}"))
    };
    for (name, table) in &config.pretraining.tables {
        if let (true, Some(arch)) = (config.backbones.len() > 1, own_arch(table)) {
            let key = format!("pretraining.{name}.model.arch");
            return mistake(&key, format!("is {arch}, and backbones lists several; leave it out"));
        }
        let mut pairs = Vec::new();
        for backbone in config.grid_backbones() {
            let one = config.pretraining_read(name, backbone).map_err(said("pretraining.methods"))?;
            check_pretrained(&one, config.data.image_size)?;
            check_views(&one, Some(table))?;
            pairs.push(check_pair(&one, config));
        }
        // A method that the grid does not list need not fit the batch and backbone of the others. One that it lists is
        // run on the backbones that it takes.
        if config.pretraining.methods.contains(name) && pairs.iter().all(|pair| pair.is_err()) {
            pairs.into_iter().next().unwrap_or(Ok(()))?;
        }
    }
    for name in config.training.tables.keys() {
        let one = config.learning_read(name).map_err(said("training.methods"))?;
        check_learning(&one)?;
    }
    for kind in NoiseKind::all() {
        let (made, _) = read(kind.entry(), config.noise.tables.get(kind.name())).map_err(said("noise.kinds"))?;
        made.check().map_err(|(key, what)| (format!("noise.{kind}.{key}"), what))?;
    }
    Ok(())
}

fn check_pretrained(one: &Pretrained, image_size: usize) -> Result<(), Mistake> {
    let below = |table: &str| {
        let prefix = format!("pretraining.{}.{table}", one.name);
        move |(key, what): Mistake| (prefix + &key, what)
    };
    one.method.check().map_err(below(""))?;
    one.optimization.check().map_err(below(""))?;
    one.augmentation.check().map_err(below("augmentation."))?;
    super::check::model(&one.model, image_size).map_err(below("model."))
}

/// Refuses a key in the method's augmentation for which each of its views has its own value, because the key would have
/// no effect.
fn check_views(one: &Pretrained, table: Option<&Table>) -> Result<(), Mistake> {
    let written = table.and_then(|t| t.get("augmentation")).and_then(Value::as_table);
    let own = one.settings.get("views").and_then(Value::as_table);
    let (Some(written), Some(own)) = (written, own) else { return Ok(()) };
    let name = &one.name;
    match written.keys().find(|key| own.contains_key(*key)) {
        Some(key) => mistake(
            &format!("pretraining.{name}.augmentation.{key}"),
            format!("has no effect: each view has its own value; set it in [pretraining.{name}.views]"),
        ),
        None => Ok(()),
    }
}

/// Whether the method can work with its batch and its backbone.
fn check_pair(one: &Pretrained, config: &Config) -> Result<(), Mistake> {
    let below = |(key, what): Mistake| (format!("pretraining.{}.{key}", one.name), what);
    let Optimization { batch_size: batch, micro_batch_size: micro, .. } = one.optimization;
    one.method.takes_batch(batch).map_err(below)?;
    if micro > 0 {
        if !one.method.takes_micro_batches() {
            return mistake(
                &one.micro_batch_key,
                format!("is {micro}, and {} takes no micro-batches; use 0", one.name),
            );
        }
        let least = 2 * one.method.batch_multiple();
        if micro < least || !batch.is_multiple_of(micro) {
            let why = match one.method.batch_multiple() {
                1 => String::new(),
                parts => format!(": two images for each of the {parts} that {} divides it by", one.name),
            };
            let what = format!(
                "is {micro}; use 0, or a divisor of {}, which is {batch}, of {least} or more{why}",
                one.batch_key
            );
            return mistake(&one.micro_batch_key, what);
        }
        one.method.takes_batch(micro).map_err(below)?;
    }
    let size = config.data.image_size;
    one.method.takes_backbone(one.backbone.as_ref(), [size, size]).map_err(|(key, what)| {
        let own = config.pretraining.tables.get(&one.name).and_then(own_arch);
        match key.as_str() {
            "model.arch" => {
                let place = if own.is_some() { format!("pretraining.{}.{key}", one.name) } else { key };
                (place, format!("is {:?}, and {} {what}", one.model.arch, one.name))
            }
            _ => below((key, what)),
        }
    })
}

/// The backbone that a method's own table names.
fn own_arch(table: &Table) -> Option<&Value> {
    table.get("model")?.get("arch")
}

fn check_learning(one: &Learning) -> Result<(), Mistake> {
    let below = |(key, what): Mistake| (format!("training.{}.{key}", one.name), what);
    one.learner.check().map_err(below)?;
    one.optimization.check().map_err(below)
}

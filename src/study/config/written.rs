//! The named tables of a config as TOML holds them: reading them where the places of their values are known, and moving
//! their keys to the fields that hold them and back.

use super::load::{inner, merge};
use super::tables::{OPTIMIZATION, TABLES, overrides};
use super::unread::forget;
use crate::nn::{Model, Optimization, Recipe};
use crate::noise::NoiseKind;
use crate::noise::learn;
use crate::ssl;
use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// For everything that is listed: the stage, the name and the overlay. The overlay's table of that name holds the
/// defaults.
pub(super) fn listed() -> Vec<(&'static str, &'static str, &'static str)> {
    let ssl = ssl::methods().into_iter().map(|m| ("pretraining", m.name, m.overlay));
    let learners = learn::learners().into_iter().map(|l| ("training", l.name, l.overlay));
    ssl.chain(learners).chain(NoiseKind::all().map(|k| ("noise", k.name(), k.entry().overlay))).collect()
}

/// Reads every named table while the offsets of its values are known. The error is the offset of the first mistake and
/// a sentence.
pub(super) fn readable(config: &DeTable<'_>, faithful: Faithful<'_>) -> Result<(), (usize, String)> {
    for entry in ssl::methods() {
        one(config, ("pretraining", entry.name), &|from| Ok((entry.read)(from)?.1), faithful)?;
    }
    for entry in learn::learners() {
        one(config, ("training", entry.name), &|from| Ok((entry.read)(from)?.1), faithful)?;
    }
    for kind in NoiseKind::all() {
        one(config, ("noise", kind.name()), &|from| Ok((kind.entry().read)(from)?.1), faithful)?;
    }
    Ok(())
}

/// Compares what was written with what was read, see `load`.
type Faithful<'f> = &'f dyn Fn(&DeTable<'_>, &Value) -> Result<(), (usize, String)>;

/// Reads one table for [`readable`]. Keys that override the config are read together with the table that they override.
fn one<'a>(
    config: &DeTable<'a>,
    (stage, name): (&str, &str),
    read: &dyn Fn(toml::Deserializer<'_>) -> Result<Value, toml::de::Error>,
    faithful: Faithful<'_>,
) -> Result<(), (usize, String)> {
    let Some(stage) = inner(config, stage) else { return Ok(()) };
    let Some(table) = inner(stage, name) else { return Ok(()) };
    let picked = |from: &DeTable<'a>, keep: &dyn Fn(&str) -> bool| -> DeTable<'a> {
        from.iter().filter(|(key, _)| keep(key.get_ref())).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let from = |table: DeTable<'a>| toml::Deserializer::from(Spanned::new(0..0, table));
    let told = |e: toml::de::Error| (e.span().map_or(0, |s| s.start), e.message().to_string());
    let own = picked(table, &|key| !overrides(key));
    faithful(&own, &read(from(own.clone())).map_err(told)?)?;
    if !stage.contains_key("optimizer") {
        return Ok(()); // label noise has no optimizer
    }
    let common = |key: &str| OPTIMIZATION.contains(&key);
    let mut all = picked(stage, &common);
    merge(&mut all, picked(table, &common));
    let kept = Value::try_from(Optimization::deserialize(from(all.clone())).map_err(told)?);
    faithful(&all, &kept.map_err(|e| (0, e.to_string()))?)?;
    for key in TABLES {
        let (Some(base), Some(over)) = (inner(config, key), inner(table, key)) else { continue };
        let mut all = base.clone();
        merge(&mut all, over.clone());
        if key == "model" {
            Model::deserialize(from(all)).map_err(told)?;
        } else {
            let kept = Value::try_from(Recipe::deserialize(from(all.clone())).map_err(told)?);
            faithful(&all, &kept.map_err(|e| (0, e.to_string()))?)?;
        }
    }
    Ok(())
}

/// The tables that hold named tables, with their own keys.
const STAGES: [(&str, &[&str]); 3] = [
    ("pretraining", &["methods", "init", "weights"]),
    ("training", &["methods", "last_batch", "crop_scale", "flip_probability"]),
    ("noise", &["kinds", "rates", "seed", "validation"]),
];

/// Moves the keys of [`Optimization`] and the named tables from a stage's table to the fields that hold them, so that
/// serde can read them while the offset of a mistake is known.
pub(super) fn gather(config: &mut DeTable<'_>) {
    for (stage, own) in STAGES {
        let Some(DeValue::Table(table)) = config.get_mut(stage).map(|v| v.get_mut()) else { continue };
        let keys: Vec<_> = table.keys().cloned().collect();
        let (mut optimization, mut tables) = (DeTable::new(), DeTable::new());
        for key in keys {
            let name = key.get_ref().to_string();
            let to = match &name {
                n if own.contains(&n.as_str()) => continue,
                n if OPTIMIZATION.contains(&n.as_str()) => &mut optimization,
                _ => &mut tables,
            };
            if let Some(value) = table.remove(&key) {
                to.insert(key, value);
            }
        }
        for (name, held) in [("optimization", optimization), ("tables", tables)] {
            if name == "optimization" && held.is_empty() {
                continue;
            }
            let key = Spanned::new(0..0, std::borrow::Cow::Borrowed(name));
            table.insert(key, Spanned::new(0..0, DeValue::Table(held)));
        }
    }
}

/// Undoes [`gather`] for a config that is written.
pub(super) fn scatter(config: &mut Table) {
    for (stage, _) in STAGES {
        let Some(Value::Table(table)) = config.get_mut(stage) else { continue };
        for name in ["optimization", "tables"] {
            if let Some(Value::Table(held)) = table.remove(name) {
                table.extend(held);
            }
        }
    }
    forget(config);
}

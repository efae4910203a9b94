//! The values that each key may have. A mistake is a key and the end of a sentence. `load` adds the file and the line.

use super::{Config, Protocol, tables};
use crate::base::nearest;
use crate::base::range::{Mistake, between, mistake, positive, range, share};
use crate::nn::backbone::{self, Model};
use crate::noise::learn;
use crate::ssl;
use std::collections::HashSet;

/// The first mistake in `config`: the key, as `table.key`, and what is wrong with it.
pub(super) fn check(config: &Config) -> Result<(), Mistake> {
    grid(config)?;
    let (d, p, t, r) = (&config.data, &config.pretraining, &config.training, &config.run);
    between("data.store_size", d.store_size, 8, 1024)?;
    between("data.image_size", d.image_size, 8, d.store_size)?;
    if d.channels != 1 && d.channels != 3 {
        return mistake("data.channels", format!("is {}; use 1 (gray) or 3 (RGB)", d.channels));
    }
    if !(d.val_fraction > 0.0 && d.val_fraction < 1.0) {
        return mistake("data.val_fraction", format!("is {}; use a share above 0 and below 1", d.val_fraction));
    }
    if !(1..=1 << 40).contains(&d.max_pixels) {
        return mistake("data.max_pixels", format!("is {}; use a whole number from 1 to {}", d.max_pixels, 1u64 << 40));
    }
    if !(0..=1 << 50).contains(&d.resident_bytes) {
        let (bytes, most) = (d.resident_bytes, 1u64 << 50);
        return mistake(
            "data.resident_bytes",
            format!("is {bytes}; use a whole number from 0, all sets stream, to {most}"),
        );
    }
    if !(1..=1 << 50).contains(&d.max_bytes) {
        return mistake("data.max_bytes", format!("is {}; use a whole number from 1 to {}", d.max_bytes, 1u64 << 50));
    }
    if !(9..=16).contains(&d.bit_depth) {
        return mistake("data.bit_depth", format!("is {}; use a whole number from 9 to 16", d.bit_depth));
    }
    model(&config.model, d.image_size).map_err(below("model"))?;
    if p.init.trim().is_empty() {
        return mistake("pretraining.init", "is empty; use \"random\" or a file with a backbone".to_string());
    }
    p.optimization.check().map_err(below("pretraining"))?;
    config.augmentation.check().map_err(below("augmentation"))?;
    t.optimization.check().map_err(below("training"))?;
    tables::check(config)?;
    range("training.crop_scale", t.crop_scale, 1.0)?;
    share("training.flip_probability", t.flip_probability)?;
    between("evaluation.batch_size", config.evaluation.batch_size, 1, 65_536)?;
    between("evaluation.knn_neighbours", config.evaluation.knn_neighbours, 1, 65_536)?;
    positive("evaluation.knn_temperature", config.evaluation.knn_temperature)?;
    distinct("evaluation.protocols", &config.evaluation.protocols)?;
    let decays = &config.evaluation.linear_weight_decays;
    distinct("evaluation.linear_weight_decays", decays)?;
    decays.iter().try_for_each(|&d| positive("evaluation.linear_weight_decays", d))?;
    between("evaluation.linear_weight_decays", decays.len(), 1, 100).map_err(|_| {
        ("evaluation.linear_weight_decays".to_string(), format!("holds {} values; use at most 100", decays.len()))
    })?;
    positive("run.checkpoint_seconds", r.checkpoint_seconds)?;
    between("run.loss_every", r.loss_every, 1, 1_000_000)?;
    between("run.save_every_steps", r.save_every_steps, 0, 1_000_000_000)
}

/// The most cells of a grid, and the most bytes of the SPECs in all its cells.
const MAX_CELLS: u128 = 1_000_000;
const MAX_NAMES: u128 = 256 << 20;

/// Checks the lists that make the grid: no list is empty, no list names a thing twice, and the grid fits in memory.
fn grid(config: &Config) -> Result<(), Mistake> {
    if config.name.trim().is_empty() {
        return mistake("name", "is empty; say what the report is titled");
    }
    distinct("seeds", &config.seeds)?;
    if let Some(seed) = config.seeds.iter().find(|&&s| s > i64::MAX as u64) {
        return mistake("seeds", format!("holds {seed}; use whole numbers from 0 to {}", i64::MAX));
    }
    distinct("data.specs", &config.data.specs)?;
    if config.data.specs.iter().any(|s| s.trim().is_empty()) {
        return mistake("data.specs", "holds an empty name; use data SPECs such as \"phantom:covid\" or \"set.npz\"");
    }
    let known = std::iter::once(ssl::NONE).chain(ssl::methods().iter().map(|m| m.name)).collect();
    listed("pretraining.methods", &config.pretraining.methods, known)?;
    backbones(config)?;
    distinct("noise.kinds", &config.noise.kinds)?;
    rates(config)?;
    let known = learn::learners().iter().map(|l| l.name).collect();
    listed("training.methods", &config.training.methods, known)?;
    size(config)
}

/// Checks the backbones of the grid, and that each of them that has files of weights is one of the grid.
fn backbones(config: &Config) -> Result<(), Mistake> {
    if !config.backbones.is_empty() {
        listed("backbones", &config.backbones, backbone::names())?;
    }
    for (name, files) in config.pretraining.weights.iter().filter(|(_, files)| !files.is_empty()) {
        let key = format!("pretraining.weights.{name}");
        distinct(&key, files)?;
        if files.iter().any(|file| file.trim().is_empty()) {
            return mistake(&key, "holds an empty name; name files below --data-root");
        }
        let grid = config.grid_backbones();
        if !grid.contains(&name.as_str()) {
            let what = format!("lists weights, and the grid has only {}", grid.join(", "));
            return mistake(&key, format!("{what}; name {name} in backbones, or leave them out"));
        }
    }
    Ok(())
}

/// Checks that rates are shares, and that there are rates if a kind takes one. A kind whose labels come from a file
/// takes none.
fn rates(config: &Config) -> Result<(), Mistake> {
    let (key, rates) = ("noise.rates", &config.noise.rates);
    let without: Vec<&str> = config.noise.kinds.iter().filter(|k| !k.has_rate()).map(|k| k.name()).collect();
    if !rates.is_empty() || without.len() < config.noise.kinds.len() {
        distinct(key, rates)?;
    }
    rates.iter().try_for_each(|&rate| share(key, rate))?;
    match rates.iter().find(|r| **r > 0.0) {
        Some(rate) if without.len() == config.noise.kinds.len() => {
            let kinds = without.join(", ");
            let what = format!("holds {rate}, and {kinds} takes no rate: its labels come from a file");
            mistake(key, format!("{what}; use [0.0] for clean labels beside them, or []"))
        }
        _ => Ok(()),
    }
}

/// Checks the size of the grid before anything of that size is allocated.
fn size(config: &Config) -> Result<(), Mistake> {
    let (c, n) = (config, &config.noise);
    let trained = if c.evaluation.protocols.contains(&Protocol::Finetune) { c.training.methods.len() } else { 0 };
    let probes = c.evaluation.protocols.iter().filter(|p| **p != Protocol::Finetune).count();
    let starts = c.pretraining.methods.len() + c.pretraining.weights.values().map(Vec::len).sum::<usize>();
    let lists = [c.seeds.len(), c.data.specs.len(), starts, trained + probes, c.backbones.len().max(1)];
    let noises = [n.kinds.len(), n.rates.len().max(1)];
    // Seven lists from a text of bounded length cannot overflow.
    let cells: u128 = lists.iter().chain(&noises).map(|&n| n as u128).product();
    if cells > MAX_CELLS {
        let longest = [("seeds", lists[0]), ("data.specs", lists[1]), ("noise.rates", noises[1])];
        let (key, values) = longest.into_iter().max_by_key(|l| l.1).unwrap_or(("seeds", 0));
        let what = format!("has {values} values and makes a grid of {cells} cells; use at most {MAX_CELLS} in a study");
        return mistake(key, what);
    }
    let longest = c.data.specs.iter().map(String::len).max().unwrap_or(0);
    if cells * longest as u128 > MAX_NAMES {
        return mistake("data.specs", format!("holds a name of {longest} bytes for {cells} cells; use shorter names"));
    }
    Ok(())
}

/// Checks the ranges of `[model]`. The network sees images of `image_size` pixels on a side.
pub(super) fn model(m: &Model, image_size: usize) -> Result<(), Mistake> {
    if !backbone::names().contains(&m.arch.as_str()) {
        return mistake("arch", format!("is {:?}; known: {}", m.arch, backbone::names().join(", ")));
    }
    // A sixty-fourth leaves the first stage one channel.
    if let Some(width) = m.width.filter(|width| !(1.0 / 64.0..=8.0).contains(width)) {
        return mistake(
            "width",
            format!("is {width}; use a number from 1/64 = 0.015625, one channel in the first stage, to 8"),
        );
    }
    let Some(patch) = m.patch_size else { return Ok(()) };
    between("patch_size", patch, 1, 1024)?;
    if !image_size.is_multiple_of(patch) {
        let what = format!("is {patch}, and patches of {patch} pixels do not divide images of {image_size}");
        return mistake("patch_size", format!("{what}; use a divisor of data.image_size"));
    }
    Ok(())
}

/// Checks a list of names: each name is known, and none is there twice.
fn listed(key: &str, names: &[String], known: Vec<&str>) -> Result<(), Mistake> {
    distinct(key, names)?;
    match names.iter().find(|n| !known.contains(&n.as_str())) {
        None => Ok(()),
        Some(n) => {
            let meant = nearest(n, &known).map_or(String::new(), |near| format!("; did you mean {near:?}?"));
            mistake(key, format!("holds {n:?}; known: {}{meant}", known.join(", ")))
        }
    }
}

/// Puts `table.` before the key of a mistake.
fn below(table: &str) -> impl Fn(Mistake) -> Mistake + '_ {
    move |(key, what)| (format!("{table}.{key}"), what)
}

fn distinct<T: std::fmt::Debug>(key: &str, list: &[T]) -> Result<(), Mistake> {
    if list.is_empty() {
        return mistake(key, "is empty; name at least one");
    }
    // Values are compared as text, since floats have no hash.
    let mut seen = HashSet::with_capacity(list.len());
    match list.iter().map(|x| format!("{x:?}")).find(|x| !seen.insert(x.clone())) {
        Some(twice) => mistake(key, format!("names {twice} twice; name each once")),
        None => Ok(()),
    }
}

//! The values each key allows. A mistake is a key and a sentence; `load` adds the file and the line.

use super::{Config, Optimization};
use std::collections::HashSet;

/// The key at fault, as `table.key`, and what is wrong with it.
pub(super) type Mistake = (String, String);

/// The first mistake in `config`.
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
    if !(9..=16).contains(&d.bit_depth) {
        return mistake("data.bit_depth", format!("is {}; use a whole number from 9 to 16", d.bit_depth));
    }
    if !(config.model.width > 0.0 && config.model.width <= 8.0) {
        return mistake("model.width", format!("is {}; use a number above 0, at most 8", config.model.width));
    }
    optimization("pretraining", &p.optimization())?;
    positive("pretraining.temperature", p.temperature)?;
    between("pretraining.projection_dims", p.projection_dims[0], 1, 65_536)?;
    between("pretraining.projection_dims", p.projection_dims[1], 1, 65_536)?;
    augmentation(config)?;
    optimization("training", &t.optimization())?;
    range("training.crop_scale", t.crop_scale, 1.0)?;
    share("training.flip_probability", t.flip_probability)?;
    between("evaluation.batch_size", config.evaluation.batch_size, 1, 65_536)?;
    between("evaluation.knn_neighbours", config.evaluation.knn_neighbours, 1, 65_536)?;
    positive("evaluation.knn_temperature", config.evaluation.knn_temperature)?;
    positive("run.checkpoint_seconds", r.checkpoint_seconds)?;
    between("run.loss_every", r.loss_every, 1, 1_000_000)
}

/// The most cells of a grid, and the most bytes of the names in it: each cell holds its dataset's SPEC.
const MAX_CELLS: u128 = 1_000_000;
const MAX_NAMES: u128 = 256 << 20;

/// The lists that span the grid: none is empty, none names a thing twice, and the grid is one that a list can hold.
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
    distinct("pretraining.methods", &config.pretraining.methods)?;
    distinct("noise.kinds", &config.noise.kinds)?;
    distinct("noise.rates", &config.noise.rates)?;
    for &rate in &config.noise.rates {
        share("noise.rates", rate)?;
    }
    distinct("training.methods", &config.training.methods)?;
    size(config)
}

/// The product of the lists, before anything of its size is made.
fn size(config: &Config) -> Result<(), Mistake> {
    let (c, n) = (config, &config.noise);
    let lists = [c.seeds.len(), c.data.specs.len(), c.pretraining.methods.len(), c.training.methods.len()];
    let noises = [n.kinds.len(), n.rates.len()];
    let cells: u128 = lists.iter().chain(&noises).map(|&n| n as u128).product(); // six lists of a bounded text
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

fn augmentation(config: &Config) -> Result<(), Mistake> {
    let a = &config.augmentation;
    range("augmentation.crop_scale", a.crop_scale, 1.0)?;
    range("augmentation.crop_ratio", a.crop_ratio, 100.0)?;
    share("augmentation.flip_probability", a.flip_probability)?;
    share("augmentation.jitter_probability", a.jitter_probability)?;
    for (strength, largest) in a.jitter.into_iter().zip([1.0, 1.0, 1.0, 0.5]) {
        if !(0.0..=largest).contains(&strength) {
            return mistake(
                "augmentation.jitter",
                format!("holds {strength}; use 0 to 1 for brightness, contrast and saturation, 0 to 0.5 for hue"),
            );
        }
    }
    share("augmentation.grayscale_probability", a.grayscale_probability)?;
    share("augmentation.blur_probability", a.blur_probability)?;
    range("augmentation.blur_sigma", a.blur_sigma, 100.0)
}

fn optimization(table: &str, o: &Optimization) -> Result<(), Mistake> {
    let key = |name: &str| format!("{table}.{name}");
    between(&key("epochs"), o.epochs, 0, 1_000_000)?;
    between(&key("batch_size"), o.batch_size, 2, 65_536)?;
    positive(&key("lr"), o.lr)?;
    if !(o.weight_decay >= 0.0 && o.weight_decay.is_finite()) {
        return mistake(&key("weight_decay"), format!("is {}; use 0 or a positive number", o.weight_decay));
    }
    if !(0.0..1.0).contains(&o.momentum) {
        return mistake(&key("momentum"), format!("is {}; use 0 to below 1", o.momentum));
    }
    if o.nesterov && o.momentum == 0.0 {
        return mistake(&key("nesterov"), format!("is true while {table}.momentum is 0; give a momentum or use false"));
    }
    // Of no epochs, none warms up: initial weights need no other key.
    if o.epochs > 0 && o.warmup_epochs > o.epochs {
        let say = format!("is {}; use at most {table}.epochs, which is {}", o.warmup_epochs, o.epochs);
        return mistake(&key("warmup_epochs"), say);
    }
    Ok(())
}

fn mistake(key: &str, what: impl Into<String>) -> Result<(), Mistake> {
    Err((key.to_string(), what.into()))
}

fn distinct<T: std::fmt::Debug>(key: &str, list: &[T]) -> Result<(), Mistake> {
    if list.is_empty() {
        return mistake(key, "is empty; name at least one");
    }
    // As text: a number with a point has no hash of its own.
    let mut seen = HashSet::with_capacity(list.len());
    match list.iter().map(|x| format!("{x:?}")).find(|x| !seen.insert(x.clone())) {
        Some(twice) => mistake(key, format!("names {twice} twice; name each once")),
        None => Ok(()),
    }
}

fn between(key: &str, value: usize, least: usize, most: usize) -> Result<(), Mistake> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    mistake(key, format!("is {value}; use a whole number from {least} to {most}"))
}

fn positive(key: &str, value: f64) -> Result<(), Mistake> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    mistake(key, format!("is {value}; use a number above 0"))
}

fn share(key: &str, value: f64) -> Result<(), Mistake> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    mistake(key, format!("is {value}; use a share from 0 to 1"))
}

/// Two numbers, smallest and largest, above 0 and at most `most`.
fn range(key: &str, [low, high]: [f64; 2], most: f64) -> Result<(), Mistake> {
    if low > 0.0 && low <= high && high <= most {
        return Ok(());
    }
    mistake(key, format!("is [{low}, {high}]; use [smallest, largest], both above 0 and at most {most}"))
}

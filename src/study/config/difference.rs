//! The settings in which two studies differ. A grid may grow in one folder, but results of other settings do not belong
//! into the same table.

use super::{Config, unwritable};
use crate::base::Result;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Keys that list what a grid holds, name it or do not change results: a study may go on with others.
const OF_THE_GRID: [&str; 11] = [
    "name",
    "seeds",
    "backbones",
    "data.specs",
    "data.resident_bytes",
    "data.max_bytes",
    "pretraining.methods",
    "noise.kinds",
    "noise.rates",
    "training.methods",
    "evaluation.protocols",
];

fn of_the_grid(key: &str) -> bool {
    OF_THE_GRID.contains(&key) || key.starts_with("pretraining.weights.")
}

impl Config {
    /// The settings that both configs have and that differ, each as `key: old, now new`.
    pub fn differences(&self, old: &Config) -> Result<Vec<String>> {
        let (new, old) = (self.leaves()?, old.leaves()?);
        let both = old.iter().filter_map(|(key, old)| Some((key, old, new.get(key)?)));
        let differs = both.filter(|(key, old, new)| old != new && !of_the_grid(key));
        Ok(differs.map(|(key, old, new)| format!("{key}: {old}, now {new}")).collect())
    }

    /// Every key with its value. `[run]` is left out, since nothing in it changes results.
    fn leaves(&self) -> Result<BTreeMap<String, Value>> {
        let mut all = BTreeMap::new();
        let mut written = self.as_written().map_err(unwritable)?;
        written.remove("run");
        flatten("", written, &mut all);
        Ok(all)
    }
}

fn flatten(prefix: &str, table: Table, all: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => flatten(&format!("{key}."), inner, all),
            other => drop(all.insert(key, other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse("t.toml", text).unwrap()
    }

    #[test]
    fn a_grid_may_grow_and_other_settings_differ() {
        let one = config("");
        let more = "name = \"b\"\nseeds = [0, 1]\nbackbones = [\"resnet18\"]\n[pretraining.weights]\nresnet18 = [\"a.pth\"]\n[noise]\nrates = [0.2]\n[pretraining]\nmethods = [\"moco\"]\n\
                    [run]\nloss_every = 3";
        assert_eq!(config(more).differences(&one).unwrap(), Vec::<String>::new());
        let other = "[training.optimizer]\nlr = 0.5\n[data]\nimage_size = 28";
        let told = config(other).differences(&one).unwrap();
        assert_eq!(told, ["data.image_size: 32, now 28", "training.optimizer.lr: 0.01, now 0.5"]);
    }
}

//! What is refused before the first cell is trained: datasets that cannot be used, label noise that is impossible for a
//! dataset, and methods that cannot learn from the labels.

use crate::base::{Error, Result};
use crate::data::{self, Need};
use crate::noise::learn::{Known, informed};
use crate::ssl;
use crate::study::batches::batch_of;
use crate::study::config::{Config, Protocol};
use crate::study::dataset::load_options;
use crate::study::grid::Cell;
use crate::study::session::Job;
use crate::study::start::{Beginning, Begun};
use std::path::Path;

impl Job<'_> {
    /// Refuses datasets whose images the cells cannot use, noise that is impossible for their labels, and methods that
    /// cannot learn from these labels, before the first cell is trained. Each dataset is decoded into the cache, where
    /// its cells find it. A single dataset with one noise and one method is not decoded here if its first cell has no
    /// pretraining, since that cell decodes it next.
    pub(super) fn check_sets(&self, chosen: &[Cell]) -> Result<()> {
        let noises = noises(chosen);
        let one = sets(chosen).len() == 1 && noises.iter().map(|(_, methods)| methods.len().max(1)).sum::<usize>() == 1;
        if one && chosen.first().is_some_and(|c| *c.pretraining == *ssl::NONE) {
            return Ok(());
        }
        self.check_all_sets(chosen)
    }

    /// The same of every dataset, decoded or not.
    pub(in crate::study) fn check_all_sets(&self, chosen: &[Cell]) -> Result<()> {
        let noises = noises(chosen);
        for spec in &sets(chosen) {
            let named = |e: Error| match e {
                Error::Usage(what) => Error::Usage(format!("{spec}: {what}")),
                e => Error::Data(format!("{spec}: {e}")),
            };
            // Notes are shown when the dataset is loaded. Warnings must be shown now, because a damaged cache is
            // repaired by then.
            let warn = |w: &str| {
                if w.starts_with("warning") {
                    self.progress.note(w)
                }
            };
            let data = self.read(spec, Need::Training, &warn)?;
            batch_of(self.config.training.optimization.batch_size, data.train.len()).map_err(named)?;
            for (cell, methods) in noises.iter().filter(|n| *n.0.spec == **spec) {
                let given = cell.given(&data, self.data_root).map_err(named)?;
                let known = Known::of(&data.train.labels, &given.train, data.classes.len())?;
                for method in methods {
                    let learner = self.config.learning_of(method)?.learner;
                    if learner.estimates().is_some() {
                        continue; // it is told an estimate, which is known only after a first stage
                    }
                    informed(&learner, &known).map_err(|e| match e {
                        Error::Usage(what) => Error::Usage(format!("{spec}: {what}")),
                        other => other,
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// The SPECs of some cells, each once.
pub(super) fn sets(chosen: &[Cell]) -> Vec<&str> {
    let mut sets: Vec<&str> = Vec::new();
    for cell in chosen {
        if !sets.contains(&&*cell.spec) {
            sets.push(&cell.spec);
        }
    }
    sets
}

/// Refuses what a run could not train, without a device and before an image is decoded: datasets that are missing or
/// that training cannot use and, if something is `pretrained`, an initial backbone file that is not one.
pub fn expect_usable(config: &Config, data_root: &Path, specs: &[&str], pretrained: bool) -> Result<()> {
    let options = load_options(&config.data, data_root, None);
    specs.iter().try_for_each(|spec| data::check(spec, &options, Need::Training))?;
    if pretrained {
        Begun::read(config, data_root, Beginning::Config)?;
    }
    Ok(())
}

/// For each dataset, kind and rate of noise: one cell, and every method that trains on its labels. Further cells would
/// fail in the same way.
fn noises(chosen: &[Cell]) -> Vec<(&Cell, Vec<&str>)> {
    let mut all: Vec<(&Cell, Vec<&str>)> = Vec::new();
    for cell in chosen {
        let of = |c: &Cell| (c.spec.clone(), c.noise_kind, c.noise_rate.to_bits());
        let at = all.iter().position(|(first, _)| of(first) == of(cell)).unwrap_or(all.len());
        if at == all.len() {
            all.push((cell, Vec::new()));
        }
        let methods = &mut all[at].1;
        if cell.protocol == Protocol::Finetune && !methods.contains(&&*cell.method) {
            methods.push(&cell.method);
        }
    }
    all
}

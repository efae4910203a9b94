//! Cells whose backbone has the weights of a file that the config lists.

use crate::base::{Error, Result};
use crate::study::config::Config;
use crate::study::grid::Cell;
use crate::study::start::{Brought, Start};
use std::collections::BTreeSet;
use std::path::Path;

/// What a cell with such a file starts from.
pub(super) fn start_of(config: &Config, data_root: &Path, cell: &Cell, file: &str) -> Result<Start> {
    let path = data_root.join(file);
    let mut start = Start::given(Brought { path: &path, keep_classifier: false })?;
    let model = cell.model(config)?;
    if let Some(own) = start.model.as_ref().filter(|own| **own != model) {
        let (path, key) = (path.display(), format!("pretraining.weights.{}", cell.backbone));
        return Err(Error::Data(format!(
            "{path} holds a backbone {own}, and {key} is of {model}; list the file for its own backbone, or give [model] its \
             settings"
        )));
    }
    // Two files may hold the same method in their metadata; the grid tells them apart by their names.
    start.made_by = cell.pretraining.to_string();
    Ok(start)
}

/// Refuses files of weights that the cells could not start from, before the first cell is trained.
pub fn expect_weights(config: &Config, data_root: &Path, cells: &[Cell]) -> Result<()> {
    let mut seen = BTreeSet::new();
    let files = cells.iter().filter_map(|cell| Some((cell, cell.weights.as_deref()?)));
    let mut once = files.filter(|(cell, file)| seen.insert((cell.backbone.clone(), *file)));
    once.try_for_each(|(cell, file)| start_of(config, data_root, cell, file).map(drop))
}

//! What the backbones of cells start from: files of weights that the config lists, and pretrainings.

use crate::base::{Error, Result};
use crate::study::config::Config;
use crate::study::failure::Failure;
use crate::study::folder::Done;
use crate::study::grid::Cell;
use crate::study::names::BACKBONE;
use crate::study::pretrain::{begun_folders, folder_of};
use crate::study::provenance::Provenance;
use crate::study::results::run_folder;
use crate::study::start::{Brought, Start};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

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

/// Refuses a cell that started from another pretraining of the study, before its own, which `made` would make, is made for
/// nothing.
pub(super) fn expect_own_pretraining(out: &Path, cell: &Cell, made: &Provenance) -> Result<()> {
    let folder = run_folder(out, &cell.name);
    if Failure::read(&folder).is_some_and(|kept| kept.is_of_numbers()) {
        return Ok(()); // the cell may begin anew
    }
    // What is damaged is told where it is needed.
    let Ok(before) = Provenance::of(&folder) else { return Ok(()) };
    let started_it = |other: &PathBuf| {
        let done = Done::read(other).ok().flatten();
        let start = done.and_then(|done| Start::pretrained(other.join(BACKBONE), &cell.pretraining, &done).ok());
        start.is_some_and(|start| start.address == before.start)
    };
    let own = folder_of(out, cell, made);
    if started_it(&own) {
        return Ok(());
    }
    match begun_folders(out, cell).filter(|other| *other != own).find(started_it) {
        Some(other) => Err(made.another_start(&folder, &other)),
        None => Ok(()),
    }
}

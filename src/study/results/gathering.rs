//! Gathers what a study's folder holds: its finished cells, each compared with what was written, and a sentence for
//! each damaged cell.

use super::stamp::stamp_from;
use super::{CellResult, read_result};
use crate::base::{Error, Result, files};
use crate::study::folder::{Done, kept_config, settled};
use crate::study::grid::{Cell, cells};
use crate::study::names::{AWAY, CONFIG, ENVIRONMENT, REDO, RESULT};
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// What a study's folder holds.
#[derive(Debug)]
pub struct Gathered {
    /// Its finished cells as (folder name, result). Cells that the folder's `config.toml` lists come first, in the
    /// grid's order. The others follow by name.
    pub cells: Vec<(String, CellResult)>,
    /// A sentence for each cell whose files are not as they were written, or do not say that it is done. Its numbers
    /// are not in `cells`.
    pub left_out: Vec<String>,
    /// The names of these cells.
    pub damaged: BTreeSet<String>,
    /// Whether a report averages cells that different programs, adapters, drivers, tables of kernels or edited shaders
    /// ran. Without it a report is of those that the same ran as most, and tells the others.
    pub together: bool,
}

/// Gathers the finished cells of the study in `dir`.
pub fn gather(dir: &Path) -> Result<Gathered> {
    let runs = dir.join("runs");
    if !files::exists(&runs)? {
        let what = "is not the folder of a study, or no cell of the study was begun: it has no folder runs; give the --out of `wgslab study run`";
        return Err(Error::Data(format!("{} {what}", dir.display())));
    }
    let config = if files::exists(&dir.join(CONFIG))? { Some(kept_config(dir)?) } else { None };
    let grid = config.as_ref().map(cells).unwrap_or_default();
    let places: HashMap<&str, &Cell> = grid.iter().map(|c| (c.name.as_str(), c)).collect();
    let listed = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.map_err(|e| Error::io(&runs, "list", e))?;
        Ok((entry.path(), entry.file_name().to_string_lossy().into_owned()))
    };
    let entries = std::fs::read_dir(&runs).map_err(|e| Error::io(&runs, "list", e))?;
    let entries = entries.map(listed).collect::<Result<Vec<_>>>()?;
    // Cells are compared with their checksums on every core, and there may be a hundred thousand.
    let read = |(folder, name): (PathBuf, String)| {
        let cell = places.get(name.as_str()).copied();
        let found = settled(&folder, || finished_cell(&folder, cell, Done::check));
        (name, cell, found)
    };
    let read: Vec<_> = entries.into_par_iter().map(read).collect();
    let mut gathered = Gathered { cells: Vec::new(), left_out: Vec::new(), damaged: BTreeSet::new(), together: false };
    for (name, cell, found) in read {
        match found {
            Ok(Some(mut result)) => {
                // An older version did not name the backbone.
                if let (Some(config), Some(cell), true) = (&config, cell, result.backbone.is_empty()) {
                    result.backbone = cell.model(config)?.to_string();
                }
                gathered.cells.push((name, result));
            }
            Ok(None) => {}
            Err(e @ (Error::Damaged { .. } | Error::Foreign(_))) => {
                gathered.left_out.push(e.to_string());
                gathered.damaged.insert(name);
            }
            Err(e) => return Err(e),
        }
    }
    if gathered.cells.is_empty() {
        let damage = gathered.left_out.first().map(|d| format!("; of one: {d}")).unwrap_or_default();
        return Err(Error::Data(format!("{} holds no finished cell; run the study first{damage}", dir.display())));
    }
    let place = |name: &str| places.get(name).map_or(usize::MAX, |c| c.index);
    gathered.cells.sort_by_cached_key(|(name, _)| (place(name), name.clone()));
    gathered.left_out.sort();
    Ok(gathered)
}

/// The result in a run's folder, whose files `check` compares. `None` if the run is not finished. A result of another
/// cell than the folder's name says is damage.
pub(in crate::study) fn finished_cell(
    folder: &Path,
    cell: Option<&Cell>,
    check: fn(&Done, &Path) -> Result<()>,
) -> Result<Option<CellResult>> {
    match folder.metadata() {
        Ok(found) if found.is_dir() => {}
        // A file manager may have left files beside the cells.
        Ok(_) if cell.is_none() => return Ok(None),
        Ok(_) => return Err(Error::damaged(folder, "it is a file and no folder", AWAY)),
        Err(e) => return Err(Error::damaged(folder, format!("it cannot be looked at ({e})"), AWAY)),
    }
    let Some(done) = Done::read(folder)? else {
        let path = folder.join(RESULT);
        if !files::exists(&path)? {
            return Ok(None);
        }
        // Nobody can know which of the two it was, and in both cases the result does not count as finished.
        let what = format!(
            "{} holds a result and no file `done`: either it was stopped just before its end, or `done` was lost",
            folder.display()
        );
        return Err(Error::Damaged { path, what, way_out: "`wgslab study run` finishes it".to_string() });
    };
    check(&done, folder)?;
    let mut result = read_result(folder, &done)?;
    if result.wgslab.is_empty() && done.files.contains_key(ENVIRONMENT) {
        stamp_from(&done.text(folder, ENVIRONMENT)?, &mut result)?; // a row that is older than these columns
    }
    let Some(cell) = cell else { return Ok(Some(result)) };
    let kind = cell.kind_name();
    let r = &result;
    // For a kind without a rate, the row holds the share of wrong labels.
    let rate = if cell.noise_kind.is_none_or(|k| k.has_rate()) { cell.noise_rate } else { r.noise_rate };
    let due = (&*cell.dataset, &*cell.pretraining, kind.as_str(), rate, &*cell.method);
    let got = (r.dataset.as_str(), r.pretraining.as_str(), r.noise_kind.as_str(), r.noise_rate, r.method.as_str());
    if due != got || cell.seed != result.seed {
        let why = "it is the result of another cell than its folder's name says";
        return Err(Error::damaged(&folder.join(RESULT), why, REDO));
    }
    Ok(Some(result))
}

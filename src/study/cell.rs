//! What training and probing a cell have in common: what the cell's bits depend on, and its folder, which is filled once.

use super::dataset::Loaded;
use super::folder::{busy, finished, locked};
use super::grid::Cell;
use super::labels::Labels;
use super::provenance::Provenance;
use super::results::{CellResult, read_result};
use super::session::Job;
use super::start::Start;
use crate::base::{Error, Result};
use crate::tape::Schedule;
use serde_json::{Value, json};
use std::env::consts::OS;
use std::path::Path;

/// What the bits of a cell depend on. `settings` is what the cell reads of the config. `schedules` are those of the plans
/// that it runs.
pub(super) fn provenance_of(
    job: &Job<'_>,
    set: &Loaded,
    (cell, given): (&Cell, &Labels),
    start: Option<&Start>,
    (mut settings, schedules): (Value, &[Schedule]),
) -> Result<Provenance> {
    if let Some(labels) = cell.file_labels(given) {
        settings["given_labels"] = json!(labels);
    }
    let start = start.map_or("random", |s| &s.address);
    Provenance::new(job.gpu, settings, &set.data.fingerprint, start, schedules)
}

/// The result of a cell: read if `folder` holds it, else made. `prepare` runs before the folder is touched, so what can be
/// refused is refused there. `make` runs while the folder is locked. It is [`Error::Busy`] if another process works in the
/// folder.
pub(super) fn once<T>(
    folder: &Path,
    made: &Provenance,
    prepare: impl FnOnce() -> Result<T>,
    make: impl FnOnce(T) -> Result<CellResult>,
) -> Result<CellResult> {
    let kept = || finished(folder, made)?.map(|done| read_result(folder, &done)).transpose();
    if let Some(result) = kept()? {
        return Ok(result);
    }
    // This comes before `prepare`, which may compile for minutes.
    if busy(folder)? {
        return Err(Error::Busy(folder.to_path_buf()));
    }
    let prepared = prepare()?;
    locked(folder, || match kept()? {
        Some(result) => Ok(result), // another process has made it meanwhile
        None => make(prepared),
    })
}

/// What `environment.json` tells people about the data of a cell.
pub(super) fn about(set: &Loaded) -> Value {
    let (data, train) = (&set.data, &set.train);
    json!({
        "os": OS, "data": data.name, "classes": data.classes, "mean": train.mean, "std": train.std,
        "left_out": data.left_out,
    })
}

//! What training and probing a cell have in common: what the cell's bits depend on, and what its folder says of its
//! data.

use super::dataset::Loaded;
use super::grid::Cell;
use super::labels::Labels;
use super::provenance::Provenance;
use super::results::CellResult;
use super::session::Job;
use super::start::Start;
use crate::base::Result;
use crate::base::hash::Hasher;
use crate::tape::Schedule;
use serde_json::{Value, json};
use std::env::consts::OS;

/// What the bits of a cell depend on. `settings` is what the cell reads of the config. `schedules` are those of the
/// plans that it runs.
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

/// The hash of the settings that the cell and what it starts from were made from, without seeds.
pub(super) fn settings_hash(made: &Provenance, start: Option<&Start>) -> Result<String> {
    let start = start.map_or("random", |s| &s.settings);
    Ok(Hasher::new().part(made.settings_hash()?).part(start).short())
}

/// The line of a cell that is done: its result, and `how` it came to it.
pub(super) fn tell(job: &Job<'_>, cell: &Cell, result: &CellResult, how: &str) {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let best = result.best_val_test_accuracy.map(|a| format!(" ({} in the epoch of the best validation)", percent(a)));
    let (name, accuracy) = (&cell.name, percent(result.test_accuracy));
    job.progress.done(&format!("{name}: test accuracy {accuracy}{}, {how}", best.unwrap_or_default()));
}

/// What `environment.json` tells people about the data of a cell.
pub(super) fn about(set: &Loaded) -> Value {
    let (data, train) = (&set.data, &set.train);
    json!({
        "os": OS, "data": data.name, "classes": data.classes, "mean": train.mean, "std": train.std,
        "left_out": data.left_out,
    })
}

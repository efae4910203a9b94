//! Where a stage stands. A checkpoint holds this besides the state.

use super::results::EpochRecord;
use crate::base::hash::Hasher;
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// Where a stage stands: everything that the host must remember besides the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// The address of what made this state. Only a run with the same address may go on from it.
    pub address: String,
    /// Epochs that are done.
    pub epoch: usize,
    /// Steps of the next epoch that are done.
    pub step: usize,
    /// Sums over those steps, one for each column.
    pub sums: Vec<f64>,
    /// What the stage keeps between epochs.
    pub memory: Value,
    /// The hash of the records of the epochs that are done, without times. A run may not go on with the records of
    /// another run.
    pub history: String,
    /// The hash of the records of the steps. Each record is hashed together with the hash before it.
    pub steps: String,
}

/// The bounds of a run's cursors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Epochs of the run.
    pub epochs: usize,
    /// Steps in an epoch.
    pub steps: usize,
    /// How many sums there are.
    pub columns: usize,
    /// Which of the sums count skipped steps.
    pub flags: Vec<usize>,
}

/// The way out if no run can go on from a checkpoint.
const ANEW: &str = "delete it to start anew";

impl Cursor {
    /// The cursor in the `metadata` of the checkpoint at `path`.
    pub fn read(path: &Path, metadata: &Map<String, Value>) -> Result<Cursor> {
        serde_json::from_value(metadata.clone().into())
            .map_err(|e| Error::damaged(path, format!("it holds no place to go on from ({e})"), ANEW))
    }

    /// It is an error if the cursor is outside the bounds of `run`: then no such run wrote it to `path`.
    pub fn expect_within(&self, path: &Path, run: &Extent) -> Result<()> {
        let Extent { epochs, steps, columns, flags } = run;
        let place = self.epoch < *epochs && self.step <= *steps || self.epoch == *epochs && self.step == 0;
        let sums = self.sums.len() == *columns && self.sums.iter().all(|s| s.is_finite());
        // Repeats add shares of one, which sum to whole numbers except for rounding.
        let so_far = 0.0..=self.step as f64 + 1e-6;
        if place && sums && flags.iter().all(|&flag| self.sums.get(flag).is_some_and(|s| so_far.contains(s))) {
            return Ok(());
        }
        let why = format!(
            "it stands at epoch {}, step {} with the sums {:?}, and this run has {epochs} epochs of {steps} steps and \
             {columns} sums",
            self.epoch, self.step, self.sums
        );
        Err(Error::damaged(path, why, ANEW))
    }
}

/// See [`Cursor::history`]. It is empty before the first epoch is done.
pub(super) fn history(records: &[EpochRecord]) -> Result<String> {
    if records.is_empty() {
        return Ok(String::new());
    }
    let mut hash = Hasher::new();
    for record in records {
        let timeless = EpochRecord { seconds: 0.0, images_per_s: 0.0, ..record.clone() };
        hash.update(serde_json::to_vec(&timeless).map_err(|e| Error::Failed(format!("cannot hash an epoch: {e}")))?);
    }
    Ok(hash.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_without_the_steps_before_it_is_none() {
        let whole = serde_json::json!({
            "address": "a", "epoch": 1, "step": 0, "sums": [], "memory": null, "history": "h", "steps": "s",
        });
        let (path, mut metadata) = (Path::new("s.st"), whole.as_object().unwrap().clone());
        assert_eq!(Cursor::read(path, &metadata).unwrap().steps, "s");
        metadata.remove("steps");
        let e = Cursor::read(path, &metadata).unwrap_err().to_string();
        assert!(
            e.contains("s.st") && e.contains("no place to go on from (missing field `steps`") && e.contains(ANEW),
            "{e}"
        );
    }
}

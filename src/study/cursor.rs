//! Where a stage stands: what a checkpoint holds besides the state.

use super::results::EpochRecord;
use crate::base::hash::Hasher;
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};

/// Where a stage stands: everything the host must remember besides the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// What made this state; another one must not go on from it.
    pub address: String,
    /// Whole epochs done.
    pub epoch: usize,
    /// Steps done of the next one.
    pub step: usize,
    /// Sums over those steps, a column each.
    pub sums: Vec<f64>,
    /// What the stage keeps between epochs.
    pub memory: serde_json::Value,
    /// The hash of the records of the whole epochs, times aside: another run's records must not be gone on with.
    pub history: String,
}

/// See [`Cursor::history`]; empty before the first epoch is done.
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

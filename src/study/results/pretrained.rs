//! The result of a pretraining, `result.json`.

use super::{Done, json};
use crate::base::{Error, Result, files};
use crate::nn::Precision;
use crate::study::names::{REDO, RESULT};
use crate::study::owner::still_mine;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The result of a pretraining.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrainResult {
    /// The dataset's name.
    pub dataset: String,
    /// The method.
    pub method: String,
    /// The seed.
    pub seed: u64,
    /// Epochs that are done.
    pub epochs: usize,
    /// Steps in all.
    pub steps: usize,
    /// The elements of activations; "f32" in results that are older than this field.
    #[serde(default)]
    pub precision: Precision,
    /// Images of the training split.
    pub train_images: usize,
    /// Mean loss of the last whole epoch. `None` if no epoch was whole.
    pub loss: Option<f64>,
    /// See [`EpochRecord::feature_std`](super::EpochRecord::feature_std). This and the next two are measured on the
    /// backbone as it is written.
    pub feature_std: f64,
    /// Effective rank of its features.
    pub effective_rank: f64,
    /// Whether it gives nearly the same features for every image.
    pub collapsed: bool,
    /// Seconds that it took.
    pub seconds: f64,
    /// The device it ran on.
    pub adapter: String,
}

/// Writes `folder/result.json` of a pretraining.
pub(in crate::study) fn write_pretrained(folder: &Path, result: &PretrainResult) -> Result<()> {
    let path = folder.join(RESULT);
    let text = json(&path, serde_json::to_string_pretty(result))? + "\n";
    still_mine(folder)?;
    files::write_atomic(&path, text.as_bytes())
}

/// Whether a finished pretraining had collapsed. `None` if an earlier version made it, which did not measure that.
pub(in crate::study) fn read_collapsed(folder: &Path, done: &Done) -> Result<Option<bool>> {
    if !done.files.contains_key(RESULT) {
        return Ok(None);
    }
    let bad = |e: serde_json::Error| Error::damaged(&folder.join(RESULT), e.to_string(), REDO);
    let result: PretrainResult = serde_json::from_str(&done.text(folder, RESULT)?).map_err(bad)?;
    Ok(Some(result.collapsed))
}

//! `steps.jsonl`: what each step of a stage measured. Each step adds a line. A run that goes on drops the lines of
//! steps after its checkpoint.

use super::{Phase, seconds};
use crate::base::hash::Hasher;
use crate::base::text::counted;
use crate::base::{Error, Result, files, seal};
use crate::study::names::{REDO, STEPS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// One step: a line of `steps.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The stage.
    pub phase: Phase,
    /// The epoch, from 1.
    pub epoch: usize,
    /// The step, from 1, counted over all epochs.
    pub step: usize,
    /// The loss before the update.
    pub loss: f64,
    /// Its other numbers by name, as in [`terms`](super::EpochRecord::terms).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub terms: BTreeMap<String, f64>,
    /// Learning rate.
    pub lr: f64,
    /// Whether it changed nothing, because a gradient was not finite.
    pub skipped: bool,
    /// Seconds of the run until the step's loss was read. Time between two processes does not count.
    pub elapsed_s: f64,
    /// Training images seen per second, over the steps whose losses were read together.
    pub images_per_s: f64,
}

impl StepRecord {
    /// The hash of all steps up to this one, without times. `before` is the hash up to the step before.
    pub(in crate::study) fn history(&self, before: &str) -> Result<String> {
        let timeless = StepRecord { elapsed_s: 0.0, images_per_s: 0.0, ..self.clone() };
        let bytes = serde_json::to_vec(&timeless).map_err(|e| Error::Failed(format!("cannot hash a step: {e}")))?;
        Ok(Hasher::new().part(before).part(bytes).short())
    }

    /// The step's line, with a checksum.
    pub(in crate::study) fn line(&self) -> Result<String> {
        let object = seal::sealed(self).map_err(|e| Error::Failed(format!("cannot write a step: {e}")))?;
        Ok(serde_json::Value::Object(object).to_string() + "\n")
    }
}

/// The first `count` steps of `folder/steps.jsonl`, and their text. It is an error if one of them is missing or
/// damaged. Lines after them are of steps after the checkpoint, or were cut off.
pub fn read_steps(folder: &Path, count: usize) -> Result<(Vec<StepRecord>, String)> {
    let path = folder.join(STEPS);
    let bad = |why: String| Error::damaged(&path, why, REDO);
    let bytes = files::bytes(&path).map_err(bad)?;
    let (mut records, mut text) = (Vec::new(), String::new());
    for (i, line) in bytes.split_inclusive(|&b| b == b'\n').take(count).enumerate() {
        let bad = |why: String| bad(format!("line {}: {why}", i + 1));
        let line = std::str::from_utf8(line).map_err(|_| bad("it is no text".to_string()))?;
        let record: StepRecord = seal::parse(line).map_err(bad)?;
        seconds(record.elapsed_s).map_err(bad)?;
        if record.step != i + 1 {
            return Err(bad(format!("it is of step {}", record.step)));
        }
        records.push(record);
        text.push_str(line);
    }
    if records.len() < count || !(text.is_empty() || text.ends_with('\n')) {
        return Err(bad(format!("it holds {}, and {count} are done", counted(records.len(), "step"))));
    }
    Ok((records, text))
}

/// The numbers of a record by name, for a plot. Those of `terms` have their own names. The epoch and the step are left
/// out.
pub(in crate::study) fn numbers(prefix: &str, record: &impl Serialize) -> Result<Vec<(String, f64)>> {
    let unwritable = |e| Error::Failed(format!("cannot list the numbers of a record: {e}"));
    let value = serde_json::to_value(record).map_err(unwritable)?;
    let mut all = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            serde_json::Value::Object(terms) => {
                all.extend(terms.iter().filter_map(|(name, v)| Some((format!("{prefix}/{name}"), v.as_f64()?))));
            }
            _ if name == "epoch" || name == "step" => {}
            _ => {
                let number = value.as_f64().or_else(|| value.as_bool().map(|b| f64::from(u8::from(b))));
                all.extend(number.map(|v| (format!("{prefix}/{name}"), v)));
            }
        }
    }
    Ok(all)
}

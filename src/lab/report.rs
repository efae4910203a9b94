//! The one schema of measurements. `wgslab bench --json`, the page of `wgslab export bench` and the programs in
//! benches/peers/ write it; `--compare`, `--against` and `--gallery` read it. It holds the raw samples, so every figure of a table can be computed again.
//!
//! `git_commit` of the environment is HEAD of the source tree at the time of the run, not of the build.
//!
//! ```text
//! { "schema": "wgslab-bench/1", "environment": {…}, "reference": {row}, "rows": [{row}, …], "skipped": [{…}, …],
//!   "comparison": {…} }
//! ```

use super::compare::Comparison;
use super::sampling_rule::MOST_TURNS;
use super::{Environment, Figures, Spread, Timer};
use crate::base::{Error, Result, files};
use crate::tape::Cost;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What `schema` says in a file of the current form.
pub const SCHEMA: &str = "wgslab-bench/1";

/// The times in ms that are plausible on any machine.
const MEASURABLE_MS: std::ops::RangeInclusive<f64> = 1e-9..=1e12;

/// The most samples of a row that are read: more than the fastest kernel gives in a day.
const MOST_SAMPLES: usize = 1_000_000;

/// A file of measurements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Where and how.
    pub environment: Environment,
    /// A kernel that no build changes, timed among the rows. If its time differs between two files, the machine
    /// changed.
    pub reference: Option<Row>,
    /// What was measured.
    pub rows: Vec<Row>,
    /// What was asked for and could not run, each with the reason.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
    /// The verdicts of `--compare` or `--ab`, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

/// A case that could not run where the others did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// The op.
    pub op: String,
    /// The name of the case.
    pub case: String,
    /// Why, in a sentence.
    pub why: String,
}

/// A kernel (or a step) at one shape in one variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The op, as files and folders spell it: conv2d.
    pub op: String,
    /// `<op>.<entry>`: conv2d.grad_weight.
    pub entry: String,
    /// Forward, or which gradient: forward, grad_input, grad_weight, grad.
    pub direction: String,
    /// The name of the case, unique in its set and op.
    pub case: String,
    /// The shapes of the inputs for people: x [16, 64, 56, 56] f32, weight [64, 64, 3, 3] f32.
    pub shape: String,
    /// The variant, such as tiled_64. Another framework writes its own name here.
    pub variant: String,
    /// Floating-point operations of the formula.
    pub flops: u64,
    /// Bytes of every operand, counted once.
    pub bytes: u64,
    /// Hot: operands may lie in a cache. Cold: before each sample a buffer larger than the caches was written.
    pub cache: Cache,
    /// The clock of `samples_ms`.
    pub timer: Timer,
    /// How many times a sample ran the kernel. The samples are already divided by it.
    pub repeats: u32,
    /// Each sample, ms per run.
    pub samples_ms: Vec<f64>,
    /// The host's clock beside each sample, ms per run.
    pub wall_ms: Vec<f64>,
    /// The reference kernel's time beside each sample, ms per run (the mean of one run before and one after). It shows
    /// how fast the machine was at that moment. Empty if no reference was timed.
    #[serde(default)]
    pub reference_ms: Vec<f64>,
    /// How many samples each turn over the set has, in order. Empty if all were taken in one go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<usize>,
    /// Whether time was up before the samples settled: their relative IQR was still above the limit.
    pub noisy: bool,
    /// The share of what the roofline allows (by flops or bytes, whichever is the limit), if a roof was measured.
    pub roof_share: Option<f64>,
    /// What the driver's compiler says of each kernel that a run launches, without the checks that edited text runs with.
    /// `None` if the driver tells nothing.
    #[serde(default)]
    pub compiled: Option<Vec<Figures>>,
}

/// Forward, or which gradient.
pub(super) fn direction(entry: &str) -> &str {
    entry.split_once('.').map_or("forward", |e| e.1)
}

impl Row {
    /// A row that has no samples: hot caches, the host's clock, one run a sample. Op and direction are what `entry`
    /// says. `cost` is of the node's formula.
    pub(super) fn unmeasured(entry: &str, variant: &str, [case, shape]: [&str; 2], cost: Cost) -> Row {
        Row {
            op: entry.split('.').next().unwrap_or_default().into(),
            entry: entry.into(),
            direction: direction(entry).into(),
            case: case.into(),
            shape: shape.into(),
            variant: variant.into(),
            flops: cost.flops,
            bytes: cost.bytes,
            cache: Cache::Hot,
            timer: Timer::Wall,
            repeats: 1,
            samples_ms: Vec::new(),
            wall_ms: Vec::new(),
            reference_ms: Vec::new(),
            turns: Vec::new(),
            noisy: false,
            roof_share: None,
            compiled: None,
        }
    }
}

/// What lies in the caches when a sample begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cache {
    /// Operands of the run before.
    Hot,
    /// Something else.
    Cold,
}

impl Cache {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Cache::Hot => "hot",
            Cache::Cold => "cold",
        }
    }
}

/// Each sample divided by the reference beside it, or the samples themselves if there is no reference.
pub(super) fn over(samples_ms: &[f64], reference_ms: &[f64]) -> Vec<f64> {
    match reference_ms.is_empty() {
        true => samples_ms.to_vec(),
        false => samples_ms.iter().zip(reference_ms).map(|(ms, reference)| ms / reference).collect(),
    }
}

impl Row {
    /// Each sample divided by the reference kernel's time beside it, which cancels the machine's speed; the samples
    /// themselves if no reference was timed.
    pub fn steady(&self) -> Vec<f64> {
        over(&self.samples_ms, &self.reference_ms)
    }

    /// Order statistics of the samples, ms.
    pub fn ms(&self) -> Spread {
        Spread::of(&self.samples_ms)
    }

    /// GFLOP/s at the median.
    pub fn gflop_per_s(&self) -> f64 {
        self.flops as f64 / self.ms().median * 1e-6
    }

    /// GB/s at the median.
    pub fn gb_per_s(&self) -> f64 {
        self.bytes as f64 / self.ms().median * 1e-6
    }

    /// What identifies a row in another file of the same framework.
    pub fn key(&self) -> (&str, &str, &str, &str, Cache) {
        (&self.entry, &self.case, &self.shape, &self.variant, self.cache)
    }

    /// Its name for people.
    pub fn name(&self) -> String {
        format!("{} {}", self.entry, self.case)
    }
}

impl Report {
    /// Reads a file. An error says what in it does not fit the schema, and where.
    pub fn load(path: &Path) -> Result<Report> {
        let shown = path.display();
        let bad = |why: String| Error::Data(format!("{shown} is no report of `wgslab bench --json`: {why}"));
        let text = files::read_text(path)?;
        // The schema comes first: the error for a file of another version must name the version, not an unknown field.
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        match value.get("schema").and_then(|s| s.as_str()) {
            Some(SCHEMA) => {}
            Some(other) => return Err(bad(format!("its schema is {other} and this program reads {SCHEMA}"))),
            None => return Err(bad(format!("it has no \"schema\": \"{SCHEMA}\""))),
        }
        let report: Report = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        for row in report.rows.iter().chain(&report.reference) {
            let wrong = |ms: &f64| !MEASURABLE_MS.contains(ms);
            if !(1..=MOST_SAMPLES).contains(&row.samples_ms.len()) || row.samples_ms.iter().any(wrong) {
                return Err(bad(format!(
                    "the samples of {} must be one to {MOST_SAMPLES}, each above 0 and a time that can be measured",
                    row.name()
                )));
            }
            let beside = |list: &[f64]| list.is_empty() || list.len() == row.samples_ms.len();
            if !beside(&row.reference_ms) || row.reference_ms.iter().any(wrong) {
                return Err(bad(format!("reference_ms of {} must be empty, or one above 0 a sample", row.name())));
            }
            let in_turns = row.turns.iter().try_fold(0usize, |sum, &n| sum.checked_add(n));
            let turns = row.turns.is_empty() || in_turns == Some(row.samples_ms.len()) && !row.turns.contains(&0);
            if !turns || row.turns.len() > MOST_TURNS {
                return Err(bad(format!(
                    "turns of {} must be empty, or at most {MOST_TURNS}, each above 0, that add up to its samples",
                    row.name()
                )));
            }
        }
        Ok(report)
    }

    /// Writes the file, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::Failed(format!("{}: {e}", path.display())))?;
        files::write_atomic(path, format!("{text}\n").as_bytes())
    }
}

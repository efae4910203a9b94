//! The data of a page that measures, and the page.

use super::super::browser::json;
use super::super::{assembled, packed};
use super::expected::Expected;
use crate::base::Result;
use crate::base::plot::escape;
use crate::kernels::Fill;
use crate::lab::bench::Asked;
use crate::lab::sampling_rule::{ERROR, MOST_TURNS, PATIENCE, TURNS};
use crate::lab::{Environment, Row, Skipped};
use crate::tape::Type;
use serde::Serialize;
use serde_json::Value;

const SCRIPT: &str = concat!(
    include_str!("../web/replay.js"),
    include_str!("../web/rng.js"),
    include_str!("../web/values.js"),
    include_str!("../web/measure.js"),
    include_str!("../web/bench.js")
);

/// What `schema` says in the data of a page of the current form.
pub(super) const SCHEMA: &str = "wgslab-bench-page/1";

/// A sample repeats its kernel until it takes about this many milliseconds, by the device's timestamps or by the wall
/// clock. Browsers round timestamps, some to 65.5 µs, so samples are longer than those of the program.
const SAMPLE_MS: [f64; 2] = [10.0, 20.0];
/// The most repeats of a sample.
const REPEATS: u32 = 10_000;
/// Seconds that a browser may take to compile the kernels of a case before it is left out.
const COMPILE_S: u32 = 60;

/// The data of a page.
#[derive(Serialize)]
pub struct BenchPage {
    pub(super) schema: &'static str,
    /// The program's version, which the page has too.
    pub(super) version: &'static str,
    pub(super) set: String,
    pub(super) about: String,
    /// Where it was exported, without the command line and the folder of shaders, which are nobody's business elsewhere.
    /// The page fills in what it runs on.
    pub(super) environment: Environment,
    /// The pieces of shaders that differ from the committed ones.
    pub(super) edited: Vec<&'static str>,
    /// The seed of inputs: its low word, then its high one.
    pub(super) seed: [u32; 2],
    pub(super) rule: Rule,
    pub(super) reference: Reference,
    /// The texts of all recordings, each once.
    pub(super) kernels: Value,
    /// The limits that some of the recordings need.
    pub(super) limits: Value,
    pub(super) cases: Vec<CasePage>,
    /// What could not be exported.
    pub(super) skipped: Vec<Skipped>,
}

/// When a row has been sampled enough, and how: as in `lab/sampling_rule.rs` and `lab/samples.rs`.
#[derive(Serialize)]
pub(super) struct Rule {
    pub(super) samples: usize,
    pub(super) seconds: f64,
    pub(super) spread: f64,
    pub(super) limit: f64,
    pub(super) patience: f64,
    pub(super) turns: usize,
    pub(super) most_turns: usize,
    pub(super) error: f64,
    pub(super) sample_ms: [f64; 2],
    pub(super) repeats: u32,
    pub(super) compile_s: u32,
}

/// The reference kernel.
#[derive(Serialize)]
pub(super) struct Reference {
    pub(super) recording: Value,
    pub(super) row: Row,
}

/// A case.
#[derive(Serialize)]
pub(super) struct CasePage {
    pub(super) op: String,
    pub(super) case: String,
    pub(super) inputs: Vec<InputPage>,
    pub(super) plans: Vec<PlanPage>,
    pub(super) values: Vec<Expected>,
}

/// An input: how it is filled.
#[derive(Serialize)]
pub(super) struct InputPage {
    pub(super) name: String,
    pub(super) ty: Type,
    pub(super) stream: u32,
    pub(super) fill: FillPage,
}

/// A recording of a case with what is timed of it.
#[derive(Serialize)]
pub(super) struct PlanPage {
    /// Its kernels are indices into [`BenchPage::kernels`].
    pub(super) recording: Value,
    /// The size that the adapter's subgroups must have, if a kernel counts on one.
    pub(super) lanes: Option<u32>,
    pub(super) rows: Vec<RowPage>,
}

/// What is timed.
#[derive(Serialize)]
pub(super) struct RowPage {
    pub(super) row: Row,
    /// From which launch up to which.
    pub(super) launches: [usize; 2],
    /// Which of the case's values it writes; each is an output of the recording called v and this number.
    pub(super) values: Vec<usize>,
}

impl Rule {
    pub fn of(asked: &Asked) -> Rule {
        let rule = asked.rule;
        Rule {
            samples: rule.samples,
            seconds: rule.seconds,
            spread: rule.spread,
            limit: rule.limit,
            patience: PATIENCE,
            turns: TURNS,
            most_turns: MOST_TURNS,
            error: ERROR,
            sample_ms: SAMPLE_MS,
            repeats: REPEATS,
            compile_s: COMPILE_S,
        }
    }
}

/// A [`Fill`] with its floats as bits, since JSON has no infinity.
#[derive(Serialize)]
pub(super) struct FillPage {
    kind: &'static str,
    words: Vec<u32>,
}

impl FillPage {
    pub fn of(fill: &Fill) -> FillPage {
        let (kind, words): (_, Vec<u32>) = match fill {
            Fill::Normal => ("normal", Vec::new()),
            Fill::Halves => ("halves", Vec::new()),
            Fill::AwayFromZero => ("away_from_zero", Vec::new()),
            Fill::Distinct => ("distinct", Vec::new()),
            Fill::Uniform(low, high) => ("uniform", vec![low.to_bits(), high.to_bits()]),
            Fill::Below(bound) => ("below", vec![*bound]),
            Fill::Weights => ("weights", Vec::new()),
            Fill::Values(v) => ("values", v.iter().map(|v| v.to_bits()).collect()),
            Fill::Words(w) => ("words", w.clone()),
            Fill::Bytes => ("bytes", Vec::new()),
        };
        FillPage { kind, words }
    }
}

impl BenchPage {
    /// How many rows it measures.
    pub fn rows(&self) -> usize {
        self.cases.iter().flat_map(|c| &c.plans).map(|p| p.rows.len()).sum()
    }

    /// The page: one HTML file that needs no other and asks nothing of a network.
    pub fn html(&self) -> Result<String> {
        let data = json(self)?.to_string();
        let mut about = if self.about.is_empty() { String::new() } else { format!("{}.", sentence(&self.about)) };
        if let Some(hash) = &self.environment.shaders {
            about += &format!(" <b>With edited shaders</b> ({hash}): {}.", escape(&self.edited.join(", ")));
        }
        let parts = [
            ("/*title*/", &*escape(&self.set)),
            ("/*style*/", concat!(include_str!("../../../study/report/style.css"), include_str!("../web/bench.css"))),
            ("/*about*/", &*about),
            ("/*version*/", self.version),
            ("/*set*/", &*escape(&self.set)),
            ("/*data*/", &*packed(data.as_bytes())?),
            ("/*script*/", SCRIPT),
        ];
        assembled(include_str!("../web/bench.html"), &parts)
    }
}

/// A text for a page, with a capital at its beginning.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    escape(&(first + letters.as_str()))
}

//! `wgslab export bench`: the kernels of a set as a page that checks and times them in a browser, and gives the same
//! report as `wgslab bench --json`.
//!
//! A case travels as recordings, one for each variant, with the launches that are timed, what its inputs are filled with,
//! and what its outputs must be. The inputs themselves are made on the page, by the same generator (`web/values.js`). The
//! expected values are those of the naive variant on this machine's adapter. Every recording that travels is run here
//! first and held against them.

mod expected;

use super::{assembled, packed};
use crate::base::plot::escape;
use crate::base::{Error, Progress, Result};
use crate::device::{Caps, Gpu, Shader, Tree};
use crate::kernels::listing::entry_name;
use crate::kernels::{Fill, Recorded};
use crate::lab::bench::Asked;
use crate::lab::check::SEED;
use crate::lab::fixed_kernel;
use crate::lab::rows::{self, Known, Planned, Selection};
use crate::lab::sampling_rule::{ERROR, MOST_TURNS, PATIENCE, TURNS};
use crate::lab::sets::{BenchCase, Set};
use crate::lab::{Cache, Environment, Row, Skipped, Timer};
use crate::tape::recording::Named;
use crate::tape::schedule::{Place, Schedule};
use crate::tape::{Op, Options, Plan, Recording, State, Type};
use expected::Expected;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

const SCRIPT: &str = concat!(
    include_str!("../web/replay.js"),
    include_str!("../web/values.js"),
    include_str!("../web/measure.js"),
    include_str!("../web/bench.js")
);

/// What `schema` says in the data of a page of the current form.
const SCHEMA: &str = "wgslab-bench-page/1";

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
    schema: &'static str,
    /// The program's version, which the page has too.
    version: &'static str,
    set: String,
    about: String,
    /// Where it was exported; the page fills in what it runs on.
    environment: Environment,
    seed: u64,
    rule: Rule,
    reference: Reference,
    /// The texts of all recordings, each once.
    kernels: Vec<Arc<Shader>>,
    cases: Vec<CasePage>,
    /// What could not be exported.
    skipped: Vec<Skipped>,
}

/// When a row has been sampled enough, and how: as in `lab/sampling_rule.rs` and `lab/samples.rs`.
#[derive(Serialize)]
struct Rule {
    samples: usize,
    seconds: f64,
    spread: f64,
    limit: f64,
    patience: f64,
    turns: usize,
    most_turns: usize,
    error: f64,
    sample_ms: [f64; 2],
    repeats: u32,
    compile_s: u32,
}

/// The reference kernel.
#[derive(Serialize)]
struct Reference {
    recording: serde_json::Value,
    row: Row,
}

/// A case.
#[derive(Serialize)]
struct CasePage {
    op: String,
    case: String,
    inputs: Vec<InputPage>,
    plans: Vec<PlanPage>,
    values: Vec<Expected>,
}

/// An input: how it is filled.
#[derive(Serialize)]
struct InputPage {
    name: String,
    ty: Type,
    stream: u32,
    fill: FillPage,
}

/// A [`Fill`] with its floats as bits, since JSON has no infinity.
#[derive(Serialize)]
struct FillPage {
    kind: &'static str,
    words: Vec<u32>,
}

/// A recording of a case with what is timed of it.
#[derive(Serialize)]
struct PlanPage {
    /// Its kernels are indices into [`BenchPage::kernels`].
    recording: serde_json::Value,
    /// The size that the adapter's subgroups must have, if a kernel counts on one.
    lanes: Option<u32>,
    rows: Vec<RowPage>,
}

/// What is timed.
#[derive(Serialize)]
struct RowPage {
    row: Row,
    /// From which launch up to which.
    launches: [usize; 2],
    /// Which of the case's values it writes; each is an output of the recording called v and this number.
    values: Vec<usize>,
}

/// What adapters can do in a browser, the least first: WebGPU's default limits; with f16; with subgroups of 8.
fn levels() -> [Caps; 3] {
    let plain = Caps::portable();
    [plain.clone(), Caps { f16: true, ..plain.clone() }, Caps { subgroup: Some((8, 8)), ..plain }]
}

/// The page of a set. Expected values are computed on `gpu`. A case that has none is listed as skipped, with the reason.
/// It is an error if no case is left, or if a kernel that would travel gives wrong values here.
pub fn page(gpu: &Gpu, set: &Set, asked: &Asked, progress: &dyn Progress) -> Result<BenchPage> {
    if asked.cache == Cache::Cold {
        return Err(Error::Usage("a page measures with hot caches only".into()));
    }
    let mut building = Building { gpu, asked, selection: Selection::new(set, asked), kernels: Vec::new() };
    let (mut cases, mut skipped) = (Vec::new(), Vec::new());
    progress.stage(&format!("export {}", set.name), set.cases.len() as u64, 0, "cases");
    for (i, subject) in set.cases.iter().enumerate() {
        progress.step(i as u64, &format!("{} {}", subject.op, subject.name));
        match building.case(subject) {
            Ok(case) => cases.extend(case),
            Err(e @ Error::TryAgain(_)) => return Err(e), // a lost device says nothing of the case
            Err(e) => {
                gpu.check()?;
                let (op, case, why) = (subject.op.clone(), subject.name.clone(), e.to_string());
                progress.note(&format!("warning: {op} {case} is skipped: {why}"));
                skipped.push(Skipped { op, case, why });
            }
        }
    }
    progress.done(&format!("{} of {} cases exported", cases.len(), set.cases.len()));
    if cases.is_empty() {
        return Err(building.selection.nothing(set, &skipped));
    }
    let reference = building.reference()?;
    let rule = asked.rule;
    Ok(BenchPage {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        set: set.name.clone(),
        about: set.about.clone(),
        environment: Environment::of(gpu),
        seed: SEED,
        rule: Rule {
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
        },
        reference,
        kernels: building.kernels,
        cases,
        skipped,
    })
}

struct Building<'a> {
    gpu: &'a Gpu,
    asked: &'a Asked,
    selection: Selection<'a>,
    kernels: Vec<Arc<Shader>>,
}

/// An output of a node: the node's entry and the output's number.
type Output = (String, usize);

impl Building<'_> {
    /// A case with every plan that was asked for; none if nothing of it was.
    fn case(&mut self, subject: &BenchCase) -> Result<Option<CasePage>> {
        let (mut known, mut plans) = (Known::new(), Vec::new());
        for caps in levels() {
            for planned in self.selection.plans(&caps, subject, &mut known)? {
                plans.push((caps.clone(), planned));
            }
        }
        let Some(longest) = plans.iter().map(|p| &p.1.recorded).max_by_key(|r| r.inputs.len()) else {
            return Ok(None);
        };
        let (mut values, mut at) = (Vec::new(), BTreeMap::new());
        for (output, ty, bytes) in self.naive(longest, plans.iter().map(|p| &p.1))? {
            let name = format!("output {} of {}", output.1, output.0);
            at.insert(output, values.len());
            values.push(Expected::of(name, ty, &bytes));
        }
        let inputs = longest.inputs.iter();
        let inputs = inputs
            .map(|given| InputPage {
                name: given.name.clone(),
                ty: given.ty,
                stream: given.stream,
                fill: fill(&given.fill),
            })
            .collect();
        let mut pages = Vec::new();
        for (caps, planned) in plans {
            pages.push(self.plan(subject, &caps, planned, &values, &at)?);
        }
        let (op, case) = (subject.op.clone(), subject.name.clone());
        Ok(Some(CasePage { op, case, inputs, plans: pages, values }))
    }

    /// The outputs of every wanted node, computed here by the naive variant of each op that has one.
    fn naive<'p>(
        &self,
        recorded: &Recorded,
        plans: impl Iterator<Item = &'p Planned>,
    ) -> Result<Vec<(Output, Type, Vec<u8>)>> {
        let choose = |_: &dyn Op, _: &[Type], offered: &[&'static str]| offered.iter().copied().find(|v| *v == "naive");
        let options = Options { choose: &choose, reuse: false, ..Options::new(self.gpu.caps()) };
        let plan = Plan::new(self.gpu, Schedule::new(&recorded.tape, &options)?, &State::new())?;
        plan.run(self.gpu, &recorded.feed(&recorded.words(SEED)))?;
        let mut entries: Vec<String> = plans.flat_map(|p| p.wanted.iter().map(|w| w.entry.clone())).collect();
        entries.sort();
        entries.dedup();
        let mut found = Vec::new();
        for entry in entries {
            let steps = &plan.schedule().steps;
            let step = steps.iter().position(|s| entry_name(s.op.as_ref()) == entry && !s.launches.is_empty());
            let Some(step) = step else { return Err(Error::Failed(format!("{entry} does not run by itself"))) };
            for (i, (ty, place)) in outputs(plan.schedule(), step).into_iter().enumerate() {
                found.push(((entry.clone(), i), ty, plan.read_place(self.gpu, &place, ty)?));
            }
        }
        Ok(found)
    }

    /// A plan as data, after a run of it here if this adapter can do what it needs.
    fn plan(
        &mut self,
        subject: &BenchCase,
        caps: &Caps,
        planned: Planned,
        values: &[Expected],
        at: &BTreeMap<Output, usize>,
    ) -> Result<PlanPage> {
        let tree = self.gpu.tree();
        let (mut recording, mut rows) = (Recording::of(&planned.schedule, tree)?, Vec::new());
        recording.outputs.clear();
        let mut written: Vec<(usize, Type, Place)> = Vec::new();
        for wanted in &planned.wanted {
            let mut own = Vec::new();
            for (i, (ty, place)) in outputs(&planned.schedule, wanted.step).into_iter().enumerate() {
                let Some(&value) = at.get(&(wanted.entry.clone(), i)) else { continue };
                let Some(buffer) = recording.index_of(&place) else { continue };
                own.push(value);
                recording.keep(buffer);
                recording.outputs.push(Named { name: format!("v{value}"), ty, buffer });
                written.push((value, ty, place));
            }
            let (variant, cost) = planned.about(wanted);
            let row = rows::row(subject, &wanted.entry, variant, cost, self.asked);
            rows.push(RowPage { row, launches: [wanted.launches.start, wanted.launches.end], values: own });
        }
        self.expect_right(planned, values, &written)?;
        Ok(PlanPage { recording: self.shared(recording)?, lanes: caps.subgroup.map(|s| s.0), rows })
    }

    /// An error if the plan's values are wrong here. What this adapter cannot run is not checked.
    fn expect_right(&self, planned: Planned, values: &[Expected], written: &[(usize, Type, Place)]) -> Result<()> {
        let words = planned.recorded.words(SEED);
        let Ok(plan) = Plan::new(self.gpu, planned.schedule, &State::new()) else { return self.gpu.check() };
        plan.run(self.gpu, &planned.recorded.feed(&words))?;
        for (value, ty, place) in written {
            let bytes = plan.read_place(self.gpu, place, *ty)?;
            values[*value]
                .check(*ty, &bytes)
                .map_err(|e| Error::Failed(format!("wrong values on this adapter: {e}")))?;
        }
        Ok(())
    }

    /// A recording whose kernels are numbers of the page's texts.
    fn shared(&mut self, recording: Recording) -> Result<serde_json::Value> {
        let mut numbers = Vec::new();
        for kernel in &recording.kernels {
            let known = self.kernels.iter().position(|k| k == kernel);
            numbers.push(known.unwrap_or(self.kernels.len()));
            if known.is_none() {
                self.kernels.push(kernel.clone());
            }
        }
        let unwritable = |e: serde_json::Error| Error::Failed(format!("cannot write a recording: {e}"));
        let mut value = serde_json::to_value(Recording { kernels: Vec::new(), ..recording }).map_err(unwritable)?;
        value["kernels"] = numbers.into();
        Ok(value)
    }

    fn reference(&mut self) -> Result<Reference> {
        let recording = fixed_kernel::reference_recording(&Tree::committed())?;
        Ok(Reference { recording: self.shared(recording)?, row: fixed_kernel::reference_row(Timer::Wall, 1) })
    }
}

/// Type and place of each output of a step.
fn outputs(schedule: &Schedule, step: usize) -> Vec<(Type, Place)> {
    let step = &schedule.steps[step];
    let place = |&s: &usize| {
        let storage = &schedule.storage[s];
        storage.fixed.clone().unwrap_or(Place::Slab(storage.slab))
    };
    step.y.iter().copied().zip(step.outputs.iter().map(place)).collect()
}

fn fill(fill: &Fill) -> FillPage {
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

impl BenchPage {
    /// How many rows it measures.
    pub fn rows(&self) -> usize {
        self.cases.iter().flat_map(|c| &c.plans).map(|p| p.rows.len()).sum()
    }

    /// The page: one HTML file that needs no other and asks nothing of a network.
    pub fn html(&self) -> Result<String> {
        let data = serde_json::to_vec(self).map_err(|e| Error::Failed(format!("cannot write the page: {e}")))?;
        let about = if self.about.is_empty() { String::new() } else { format!("{}.", sentence(&self.about)) };
        let parts = [
            ("/*title*/", &*escape(&self.set)),
            ("/*style*/", concat!(include_str!("../../../study/report/style.css"), include_str!("../web/bench.css"))),
            ("/*about*/", &*about),
            ("/*version*/", self.version),
            ("/*set*/", &*escape(&self.set)),
            ("/*data*/", &*packed(&data)?),
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

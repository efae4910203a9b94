//! `wgslab export bench`: the kernels of a set as a page that checks and times them in a browser, and gives the same
//! report as `wgslab bench --json`.
//!
//! A case travels as recordings, one for each variant, with the launches that are timed, what its inputs are filled with,
//! and what its outputs must be. The inputs themselves are made on the page, by the same generator (`web/values.js`). The
//! expected values are those of the naive variant on this machine's adapter, or of the first variant of an op that has no
//! naive one, always from the committed shaders: an edited text is not held against itself. Every recording that travels
//! is run here first and held against them, if this adapter can run it.

mod data;
mod expected;

use super::browser::{Texts, counts_on_lanes, json};
use crate::base::{Error, Progress, Result};
use crate::device::{Caps, Gpu, GpuOptions, Tree};
use crate::kernels::Recorded;
use crate::kernels::listing::entry_name;
use crate::lab::bench::Asked;
use crate::lab::check::SEED;
use crate::lab::fixed_kernel;
use crate::lab::rows::{self, Known, Planned, Selection};
use crate::lab::sets::{BenchCase, Set};
use crate::lab::{Cache, Environment, Skipped, Timer};
use crate::tape::recording::Named;
use crate::tape::schedule::{Place, Schedule};
use crate::tape::{Op, Options, Plan, Recording, State, Type};
pub use data::BenchPage;
use data::{CasePage, FillPage, InputPage, PlanPage, Reference, RowPage, Rule, SCHEMA};
use expected::Expected;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What adapters can do in a browser, the least first: WebGPU's default limits; with f16; with subgroups of 8.
fn levels() -> [Caps; 3] {
    let plain = Caps::portable();
    [plain.clone(), Caps { f16: true, ..plain.clone() }, Caps { subgroup: Some((8, 8)), ..plain }]
}

/// The page of a set. Expected values are computed by the committed shaders on the adapter of `gpu`. A case that cannot be
/// exported is listed as skipped, with the reason. It is an error if no case is left, or if a kernel that would travel
/// gives wrong values here.
pub fn page(gpu: &Gpu, set: &Set, asked: &Asked, progress: &dyn Progress) -> Result<BenchPage> {
    if asked.cache == Cache::Cold {
        return Err(Error::Usage("a page measures with hot caches only".into()));
    }
    let edited = gpu.tree().edited();
    let committed = match edited.is_empty() {
        true => None,
        false => Some(Gpu::open(&GpuOptions { shaders: Arc::default(), ..gpu.options().clone() })?),
    };
    let (committed, selection) = (committed.as_ref().unwrap_or(gpu), Selection::new(set, asked));
    let mut building =
        Building { gpu, committed, asked, selection, texts: Texts::default(), wrong: Vec::new(), unchecked: 0 };
    let (mut cases, mut skipped) = (Vec::new(), Vec::new());
    progress.stage(&format!("export {}", set.name), set.cases.len() as u64, 0, "cases");
    for (i, subject) in set.cases.iter().enumerate() {
        progress.step(i as u64, &format!("{} {}", subject.op, subject.name));
        match building.case(subject) {
            Ok(case) => cases.extend(case),
            Err(e @ Error::TryAgain(_)) => return Err(e), // a lost device says nothing of the case
            Err(e) => {
                gpu.check()?;
                committed.check()?;
                let (op, case, why) = (subject.op.clone(), subject.name.clone(), e.to_string());
                progress.note(&format!("warning: {op} {case} is skipped: {why}"));
                skipped.push(Skipped { op, case, why: without_folder(&why, gpu.tree()) });
            }
        }
    }
    building.expect_none_wrong()?;
    progress.done(&format!("{} of {} cases exported", cases.len(), set.cases.len()));
    if cases.is_empty() {
        return Err(building.selection.nothing(set, &skipped));
    }
    if building.unchecked > 0 {
        progress.note(&format!(
            "warning: {} recordings were not checked, since {} lacks the f16 or the subgroups that they need",
            building.unchecked,
            gpu.adapter().name
        ));
    }
    let reference = building.reference()?;
    Ok(BenchPage {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        // A set from a file is called by its path, and folders stay here.
        set: Path::new(&set.name).file_name().map_or(set.name.clone(), |n| n.to_string_lossy().into_owned()),
        about: set.about.clone(),
        environment: Environment { arguments: Vec::new(), shader_folder: None, ..Environment::of(gpu) },
        edited,
        seed: [SEED as u32, (SEED >> 32) as u32],
        rule: Rule::of(asked),
        reference,
        kernels: building.texts.kernels()?,
        limits: json(&building.texts.needs.limits)?,
        cases,
        skipped,
    })
}

/// A text that names edited pieces by their path below `shaders/`, not by where they lie on this machine.
fn without_folder(text: &str, tree: &Tree) -> String {
    let Some(folder) = tree.folder() else { return text.into() };
    let pieces = tree.edited().into_iter();
    pieces.fold(text.into(), |text, piece| text.replace(&format!("{folder}/{piece}"), &format!("edited {piece}")))
}

struct Building<'a> {
    /// Where recordings are checked, with the shaders that travel.
    gpu: &'a Gpu,
    /// Where expected values are computed: the same adapter with the committed shaders.
    committed: &'a Gpu,
    asked: &'a Asked,
    selection: Selection<'a>,
    texts: Texts,
    /// Kernels that give wrong values here, each with the reason.
    wrong: Vec<String>,
    /// How many recordings need what this adapter lacks.
    unchecked: usize,
}

/// An output of a node: the node's entry and the output's number.
type Output = (String, usize);

/// An output of a plan: which of the case's values it is, where it lies, and the variant that writes it.
struct Written {
    value: usize,
    ty: Type,
    place: Place,
    variant: &'static str,
}

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
        for (output, ty, bytes) in self.simplest(longest, plans.iter().map(|p| &p.1))? {
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
                fill: FillPage::of(&given.fill),
            })
            .collect();
        let mut pages = Vec::new();
        for (caps, planned) in plans {
            pages.push(self.plan(subject, &caps, planned, &values, &at)?);
        }
        let (op, case) = (subject.op.clone(), subject.name.clone());
        Ok(Some(CasePage { op, case, inputs, plans: pages, values }))
    }

    /// The outputs of every wanted node, computed here by the naive variant of each op, or by its first one if it has no
    /// naive one, from the committed shaders.
    fn simplest<'p>(
        &self,
        recorded: &Recorded,
        plans: impl Iterator<Item = &'p Planned>,
    ) -> Result<Vec<(Output, Type, Vec<u8>)>> {
        let choose = |_: &dyn Op, _: &[Type], offered: &[&'static str]| offered.iter().copied().find(|v| *v == "naive");
        let gpu = self.committed;
        let options = Options { choose: &choose, reuse: false, ..Options::new(gpu.caps()) };
        let plan = Plan::new(gpu, Schedule::new(&recorded.tape, &options)?, &State::new())?;
        plan.run(gpu, &recorded.feed(&recorded.words(SEED)))?;
        let mut entries: Vec<String> = plans.flat_map(|p| p.wanted.iter().map(|w| w.entry.clone())).collect();
        entries.sort();
        entries.dedup();
        let mut found = Vec::new();
        for entry in entries {
            let steps = &plan.schedule().steps;
            let step = steps.iter().position(|s| entry_name(s.op.as_ref()) == entry && !s.launches.is_empty());
            let Some(step) = step else { return Err(Error::Failed(format!("{entry} does not run by itself"))) };
            for (i, (ty, place)) in outputs(plan.schedule(), step).into_iter().enumerate() {
                found.push(((entry.clone(), i), ty, plan.read_place(gpu, &place, ty)?));
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
        let mut written: Vec<Written> = Vec::new();
        for wanted in &planned.wanted {
            let (mut own, (variant, cost)) = (Vec::new(), planned.about(wanted));
            for (i, (ty, place)) in outputs(&planned.schedule, wanted.step).into_iter().enumerate() {
                let Some(&value) = at.get(&(wanted.entry.clone(), i)) else { continue };
                let Some(buffer) = recording.index_of(&place) else { continue };
                own.push(value);
                recording.keep(buffer);
                recording.outputs.push(Named { name: format!("v{value}"), ty, buffer });
                written.push(Written { value, ty, place, variant });
            }
            let row = rows::row(subject, &wanted.entry, variant, cost, self.asked);
            rows.push(RowPage { row, launches: [wanted.launches.start, wanted.launches.end], values: own });
        }
        let here = self.gpu.caps();
        if caps.f16 && !here.f16 || caps.subgroup.is_some() && caps.subgroup != here.subgroup {
            self.unchecked += 1;
        } else {
            self.check(subject, planned, values, &written)?;
        }
        let lanes = caps.subgroup.filter(|_| counts_on_lanes(&recording)).map(|s| s.0);
        Ok(PlanPage { recording: self.texts.shared(&recording)?, lanes, rows })
    }

    /// Runs a plan here and notes its wrong values.
    fn check(&mut self, subject: &BenchCase, planned: Planned, values: &[Expected], written: &[Written]) -> Result<()> {
        let words = planned.recorded.words(SEED);
        let plan = Plan::new(self.gpu, planned.schedule, &State::new())?;
        plan.run(self.gpu, &planned.recorded.feed(&words))?;
        for Written { value, ty, place, variant } in written {
            let bytes = plan.read_place(self.gpu, place, *ty)?;
            if let Err(e) = values[*value].check(*ty, &bytes) {
                self.wrong.push(format!("{} {} [{variant}]: {e}", subject.op, subject.name));
            }
        }
        Ok(())
    }

    /// An error if a kernel gave wrong values.
    fn expect_none_wrong(&self) -> Result<()> {
        let Some(first) = self.wrong.first() else { return Ok(()) };
        let more = match self.wrong.len() {
            1 => String::new(),
            n => format!("; {} more outputs are wrong, too", n - 1),
        };
        let way_out = match self.gpu.tree().edited().as_slice() {
            [] => "leave the case or the variant out, and report it with what `wgslab devices` prints".to_string(),
            edited => format!("correct the edited shaders ({})", edited.join(", ")),
        };
        let adapter = &self.gpu.adapter().name;
        Err(Error::Failed(format!("no page is written: wrong values on {adapter}: {first}{more}; {way_out}")))
    }

    fn reference(&mut self) -> Result<Reference> {
        let recording = fixed_kernel::reference_recording(&Tree::committed())?;
        Ok(Reference { recording: self.texts.shared(&recording)?, row: fixed_kernel::reference_row(Timer::Wall, 1) })
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

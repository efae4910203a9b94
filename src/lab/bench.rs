//! Times kernels: what an op or its gradient runs, packing of operands included, at the shapes of a set.
//!
//! Each case first runs once as a whole, so that every kernel reads real values. The rows of a case (its directions and
//! variants, in both trees of shaders if two are compared) are warmed up. Then samples are taken round and round over
//! the rows, every other round backwards, because a shared machine is faster in one minute than in the next. For the
//! same reason a row is sampled in turns ([`TURNS`]): as many cases as fit into memory together take turns, and later
//! only those whose turns do not agree yet. The reference kernel is timed before and after each sample. A short kernel
//! is repeated within one submission (`samples.rs`). Times are the device's timestamps, with the wall clock beside
//! them, or the wall clock alone if the adapter has no timestamps.

use super::check::SEED;
use super::fixed_kernel::FixedKernel;
use super::rows::{self, Known, Selection};
use super::samples::{Reference, Samples, warm};
use super::sampling_rule::{MOST_TURNS, SamplingRule, TURNS};
use super::sets::{BenchCase, Set};
use super::{Cache, Environment, Report, Row, Skipped};
use crate::base::{Error, Progress, Result};
use crate::device::Gpu;
use crate::device::tune::Table;
use crate::tape::{Cost, Plan, State};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

/// Cases are kept on the device together until their values take this much.
const TOGETHER_BYTES: u64 = 1 << 30;

/// How many times each row is warmed up. More than once: a disturbed second must not decide how long a row takes.
const WARM_UPS: usize = 3;

/// What is measured of a set, and how.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which variants: names, [`super::sets::FIRST`], or `all`. Empty means those of the set.
    pub variants: Vec<String>,
    /// forward, grad_input, …; `grad` is every gradient. None is all.
    pub direction: Option<String>,
    /// Only rows whose name holds this text.
    pub filter: String,
    /// What lies in the caches when a sample begins.
    pub cache: Cache,
    /// When a row has been sampled enough.
    pub rule: SamplingRule,
    /// The tuned table: what runs if no variant is asked for by name.
    pub table: Table,
}

impl Default for Asked {
    fn default() -> Self {
        let (variants, direction, filter) = (Vec::new(), None, String::new());
        Asked { variants, direction, filter, cache: Cache::Hot, rule: SamplingRule::default(), table: Table::default() }
    }
}

/// Measures a set on each of `gpus` (one adapter, opened once or once for each tree of shaders) and returns a report
/// for each. Rows of the same case are interleaved over all of them. A case that cannot run is listed as skipped. It is
/// an error if nothing could run.
pub fn bench(gpus: &[&Gpu], set: &Set, asked: &Asked, progress: &dyn Progress) -> Result<Vec<Report>> {
    let Some(first) = gpus.first() else { return Err(Error::Failed("a bench needs a device".into())) };
    let selection = Selection::new(set, asked);
    let mut bench = Bench { gpus, selection, asked, reference: Reference::new(first)?, flush: Vec::new() };
    if asked.cache == Cache::Cold {
        bench.flush = gpus.iter().map(|gpu| FixedKernel::flush(gpu)).collect::<Result<_>>()?;
    }
    let mut reports: Vec<Report> = gpus.iter().map(|gpu| Report::empty(gpu)).collect();
    progress.stage(&format!("bench {} on {}", set.name, first.adapter().name), set.cases.len() as u64, 0, "cases");
    let mut held = Held::default();
    for subject in &set.cases {
        let mut found = bench.prepared(subject);
        if found.iter().any(Result::is_err) && !held.cases.is_empty() {
            bench.sampled(&mut held, &mut reports, progress)?; // there may have been no room beside the others
            found = bench.prepared(subject);
        }
        held.cases.push((subject, bench.group(subject, found, &mut reports, progress)?));
        if held.bytes() > TOGETHER_BYTES {
            bench.sampled(&mut held, &mut reports, progress)?;
        }
    }
    bench.sampled(&mut held, &mut reports, progress)?;
    let rows: usize = reports.iter().map(|r| r.rows.len()).sum();
    progress.done(&format!("{rows} rows of {} cases measured", set.cases.len()));
    if rows == 0 {
        return Err(bench.selection.nothing(set, reports.iter().flat_map(|r| &r.skipped)));
    }
    let reference = bench.reference.row(&asked.rule);
    for report in &mut reports {
        report.reference = Some(reference.clone());
    }
    Ok(reports)
}

/// Cases on the device, not yet sampled.
#[derive(Default)]
struct Held<'a, 's> {
    /// How many cases were finished before.
    finished: usize,
    cases: Vec<(&'s BenchCase, Vec<Running<'a>>)>,
}

impl Held<'_, '_> {
    /// Bytes of the values of all plans. Some rows share a plan.
    fn bytes(&self) -> u64 {
        let rows = self.cases.iter().flat_map(|c| &c.1);
        let plans: BTreeMap<_, _> = rows.map(|r| (Rc::as_ptr(&r.plan), r.plan.schedule().values_bytes)).collect();
        plans.values().sum()
    }
}

struct Bench<'a> {
    gpus: &'a [&'a Gpu],
    selection: Selection<'a>,
    asked: &'a Asked,
    reference: Reference<'a>,
    /// The flush of each device, for cold samples.
    flush: Vec<FixedKernel>,
}

/// A node of a case in one variant on one device, with its samples.
struct Running<'a> {
    gpu: &'a Gpu,
    /// Which device, and which row of the case. The same row of two trees has the same place.
    device: usize,
    place: usize,
    entry: String,
    variant: &'static str,
    plan: Rc<Plan>,
    launches: Range<usize>,
    cost: Cost,
    repeats: usize,
    samples: Samples,
}

impl Report {
    /// An empty report of `gpu`.
    fn empty(gpu: &Gpu) -> Report {
        let (schema, environment) = (super::report::SCHEMA.to_string(), Environment::of(gpu));
        Report { schema, environment, reference: None, rows: Vec::new(), skipped: Vec::new(), comparison: None }
    }
}

impl<'a> Bench<'a> {
    /// The rows of a case on every device.
    fn prepared(&mut self, subject: &BenchCase) -> Vec<Result<Vec<Running<'a>>>> {
        (0..self.gpus.len()).map(|device| self.rows(device, subject)).collect()
    }

    /// The rows that can run, the same row of all devices side by side. The others are listed as skipped in their
    /// reports.
    fn group(
        &self,
        subject: &BenchCase,
        found: Vec<Result<Vec<Running<'a>>>>,
        reports: &mut [Report],
        progress: &dyn Progress,
    ) -> Result<Vec<Running<'a>>> {
        let mut group = Vec::new();
        for (device, list) in found.into_iter().enumerate() {
            match list {
                Ok(list) => group.extend(list),
                Err(e @ Error::TryAgain(_)) => return Err(e), // a lost device says nothing of the case
                Err(e) => {
                    self.gpus[device].check()?;
                    let (op, case, why) = (subject.op.clone(), subject.name.clone(), e.to_string());
                    progress.note(&format!("warning: {op} {case} is skipped: {why}"));
                    reports[device].skipped.push(Skipped { op, case, why });
                }
            }
        }
        group.sort_by_key(|r| (r.place, r.device));
        Ok(group)
    }

    /// Samples the cases on the device in turns, writes their rows into the reports, and frees them.
    fn sampled(&mut self, held: &mut Held<'a, '_>, reports: &mut [Report], progress: &dyn Progress) -> Result<()> {
        let count = held.cases.len();
        for _ in 0..WARM_UPS {
            for (subject, group) in &mut held.cases {
                progress.step(held.finished as u64, &format!("warming up: {} {}", subject.op, subject.name));
                for r in group.iter_mut() {
                    let list = &r.plan.dispatches()[r.launches.clone()];
                    r.repeats = r.repeats.max(warm(r.gpu, list, self.asked.cache == Cache::Cold)?);
                }
            }
        }
        for turn in 1..=MOST_TURNS {
            let mut wide = 0;
            for (i, (subject, group)) in held.cases.iter_mut().enumerate() {
                self.measure(group, turn)?;
                wide += self.wide(group).len();
                let done = held.finished + ((turn - 1) * count + i + 1).min(TURNS * count) / TURNS;
                let of = if turn <= TURNS { format!(" of {TURNS}") } else { " where they lie apart".into() };
                progress.step(done as u64, &format!("turn {turn}{of}: {} {}", subject.op, subject.name));
            }
            if turn >= TURNS && wide == 0 {
                break;
            }
        }
        for (subject, group) in held.cases.drain(..) {
            for r in &group {
                reports[r.device].rows.push(self.row(r, subject));
            }
        }
        held.finished += count;
        Ok(())
    }

    /// The places of the rows that a further turn could help.
    fn wide(&self, group: &[Running<'a>]) -> BTreeSet<usize> {
        group.iter().filter(|r| r.samples.is_wide(&self.asked.rule)).map(|r| r.place).collect()
    }

    /// The rows of a case on one device. Their plans run once, so that a node can be run again later.
    fn rows(&mut self, device: usize, subject: &BenchCase) -> Result<Vec<Running<'a>>> {
        let gpu = self.gpus[device];
        let mut rows: Vec<Running<'a>> = Vec::new();
        for planned in self.selection.plans(gpu.caps(), subject, &mut Known::new())? {
            let about: Vec<_> = planned.wanted.iter().map(|w| planned.about(w)).collect();
            let plan = Rc::new(Plan::new(gpu, planned.schedule, &State::new())?);
            plan.run(gpu, &planned.recorded.feed(&planned.recorded.words(SEED)))?;
            gpu.wait()?;
            for (wanted, (variant, cost)) in planned.wanted.into_iter().zip(about) {
                let (entry, launches, plan) = (wanted.entry, wanted.launches, plan.clone());
                let (place, samples) = (0, Samples::default());
                rows.push(Running { gpu, device, place, entry, variant, plan, launches, cost, repeats: 1, samples });
            }
        }
        // The variants of an entry side by side.
        let entries: Vec<String> = rows.iter().map(|r| r.entry.clone()).collect();
        rows.sort_by_key(|r| entries.iter().position(|e| *e == r.entry));
        rows.iter_mut().enumerate().for_each(|(place, r)| r.place = place);
        Ok(rows)
    }

    /// Takes a turn's samples of a group, round and round.
    fn measure(&mut self, group: &mut [Running<'a>], turn: usize) -> Result<()> {
        let rule = self.asked.rule;
        // After the first turns, a row of two trees goes on in both if it is wide in one: both trees must be measured
        // at the same time.
        let wide = self.wide(group);
        let asked: Vec<bool> = group.iter().map(|r| turn <= TURNS || wide.contains(&r.place)).collect();
        for r in group.iter_mut() {
            r.samples.now = turn;
        }
        let going = |group: &[Running<'a>]| -> Vec<usize> {
            (0..group.len()).filter(|&i| asked[i] && !group[i].samples.is_over(&rule)).collect()
        };
        let mut now = going(group);
        for &i in &now {
            let r = &group[i];
            if r.samples.are_short() {
                // Another case ran in between.
                r.gpu.time_repeated(&r.plan.dispatches()[r.launches.clone()], r.repeats)?;
            }
        }
        let (mut before, mut forwards) = (None, true);
        while !now.is_empty() {
            if !forwards {
                now.reverse();
            }
            for i in now {
                before = Some(self.sample(&mut group[i], before)?);
            }
            (now, forwards) = (going(group), !forwards);
        }
        Ok(())
    }

    /// Takes a sample of a row between two samples of the reference. `before` is the first of them, if it was taken
    /// already. Returns the second.
    fn sample(&mut self, r: &mut Running<'a>, before: Option<f64>) -> Result<f64> {
        let before = before.map_or_else(|| self.reference.sample(), Ok)?;
        if let Some(flush) = self.flush.get(r.device) {
            r.gpu.time_repeated(&flush.dispatches, 1)?;
        }
        let t = r.gpu.time_repeated(&r.plan.dispatches()[r.launches.clone()], r.repeats)?;
        let after = self.reference.sample()?;
        r.samples.add(t, r.repeats, Some((before + after) / 2.0));
        Ok(after)
    }

    fn row(&self, r: &Running<'_>, subject: &BenchCase) -> Row {
        let times = r.samples.times();
        Row {
            timer: times.timer,
            repeats: r.repeats as u32,
            noisy: !self.asked.rule.settled(&times.samples_ms, r.samples.spent_s),
            samples_ms: times.samples_ms,
            wall_ms: times.wall_ms,
            reference_ms: times.reference_ms,
            turns: times.turns,
            ..rows::row(subject, &r.entry, r.variant, r.cost, self.asked)
        }
    }
}

//! Times kernels: what an op or its gradient runs, packing of operands included, at the shapes of a set.
//!
//! Each case runs once as a whole, so that every kernel reads real values; the rows of a case (directions and variants,
//! and the trees where two are compared) are warmed up, and then samples are taken round and round over them, every other
//! round backwards, because a shared machine is faster in one minute than in the next. For the same reason a row is sampled
//! in turns ([`TURNS`]): as many cases as have room side by side are gone over again and again, at last only those whose turns
//! do not agree yet. A sample of the reference kernel stands before and behind each of a row's. What is short is repeated
//! within one submission (`samples.rs`). Times are the device's timestamps where it has them, with the wall clock as a witness.

use super::check::SEED;
use super::own::Own;
use super::rule::{MOST_TURNS, Rule, TURNS};
use super::samples::{Reference, Samples, warm};
use super::sets::{FIRST, Set, Subject};
use super::{Cache, Environment, Report, Row, Skipped};
use crate::base::{Error, Progress, Result, nearest};
use crate::device::Gpu;
use crate::device::tune::Table;
use crate::kernels::listing::entry_name;
use crate::kernels::{Recorded, tune};
use crate::tape::{Cost, Op, Options, Plan, Schedule, State, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

/// Cases are held side by side until their values take this much.
const TOGETHER_BYTES: u64 = 1 << 30;

/// How often the rows are gone over to be warmed up: one disturbed second does not say how long a row takes.
const WARM_UPS: usize = 3;

/// What is measured of a set, and how.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which variants: names, [`FIRST`], or `all`; empty for those the set says.
    pub variants: Vec<String>,
    /// forward, grad_input, …; `grad` is every gradient. None is all.
    pub direction: Option<String>,
    /// Only rows whose name holds this text.
    pub filter: String,
    /// What lies in the caches when a sample begins.
    pub cache: Cache,
    /// When a row has been sampled enough.
    pub rule: Rule,
    /// What a tuned adapter runs where no variant is asked for by name.
    pub table: Table,
}

impl Default for Asked {
    fn default() -> Self {
        let (variants, direction, filter) = (Vec::new(), None, String::new());
        Asked { variants, direction, filter, cache: Cache::Hot, rule: Rule::default(), table: Table::default() }
    }
}

/// Measures a set on each of `gpus`, which are one adapter opened with different shaders or one alone, and gives a report
/// for each. Rows of the same case are interleaved over all of them. A case that cannot run is skipped and said to be;
/// where nothing at all ran it is an error.
pub fn bench(gpus: &[&Gpu], set: &Set, asked: &Asked, progress: &dyn Progress) -> Result<Vec<Report>> {
    let Some(first) = gpus.first() else { return Err(Error::Failed("a bench needs a device".into())) };
    let variants = if asked.variants.is_empty() { &set.variants } else { &asked.variants };
    let mut bench =
        Bench { gpus, variants, asked, reference: Reference::new(first)?, flush: Vec::new(), seen: Seen::default() };
    if asked.cache == Cache::Cold {
        bench.flush = gpus.iter().map(|gpu| Own::flush(gpu)).collect::<Result<_>>()?;
    }
    let mut reports: Vec<Report> = gpus.iter().map(|gpu| Report::empty(gpu)).collect();
    progress.stage(&format!("bench {} on {}", set.name, first.adapter().name), set.subjects.len() as u64, 0, "cases");
    let mut held = Held::default();
    for subject in &set.subjects {
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
    progress.done(&format!("{rows} rows of {} cases measured", set.subjects.len()));
    if rows == 0 {
        return Err(bench.nothing(set, &reports));
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
    cases: Vec<(&'s Subject, Vec<Running<'a>>)>,
}

impl Held<'_, '_> {
    /// Of the values of all plans; some rows share one.
    fn bytes(&self) -> u64 {
        let rows = self.cases.iter().flat_map(|c| &c.1);
        let plans: BTreeMap<_, _> = rows.map(|r| (Rc::as_ptr(&r.plan), r.plan.schedule().values_bytes)).collect();
        plans.values().sum()
    }
}

struct Bench<'a> {
    gpus: &'a [&'a Gpu],
    variants: &'a [String],
    asked: &'a Asked,
    reference: Reference<'a>,
    /// The flush of each device, for cold samples.
    flush: Vec<Own>,
    seen: Seen,
}

/// What there was to choose from, for an error that says it.
#[derive(Default)]
struct Seen {
    variants: BTreeSet<&'static str>,
    directions: BTreeSet<String>,
}

/// A node of a case under a variant on a device, with its samples.
struct Running<'a> {
    gpu: &'a Gpu,
    /// Which device, and which row of the case: the same row of two trees has the same place.
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
    /// Of nothing yet, on `gpu`.
    fn empty(gpu: &Gpu) -> Report {
        let (schema, environment) = (super::report::SCHEMA.to_string(), Environment::of(gpu));
        Report { schema, environment, reference: None, rows: Vec::new(), skipped: Vec::new(), comparison: None }
    }
}

impl<'a> Bench<'a> {
    /// The rows of a case on every device.
    fn prepared(&mut self, subject: &Subject) -> Vec<Result<Vec<Running<'a>>>> {
        (0..self.gpus.len()).map(|device| self.rows(device, subject)).collect()
    }

    /// Those that can run, the same row of all devices side by side; the others are skipped in their reports.
    fn group(
        &self,
        subject: &Subject,
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

    /// Samples the cases on the device in turns, into the reports, and lets them go.
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

    /// The places of a group at which a further turn could tell more.
    fn wide(&self, group: &[Running<'a>]) -> BTreeSet<usize> {
        group.iter().filter(|r| r.samples.is_wide(&self.asked.rule)).map(|r| r.place).collect()
    }

    /// The rows of a case on a device, its plans run once. Each value has a buffer of its own, so that a node can be run
    /// again later.
    fn rows(&mut self, device: usize, subject: &Subject) -> Result<Vec<Running<'a>>> {
        let gpu = self.gpus[device];
        let forward = subject.case.forward()?;
        let whole = subject.case.gradients()?.into_iter().next().unwrap_or_else(|| forward.clone());
        let mut rows: Vec<Running<'a>> = Vec::new();
        let tuned = tune::chooser(&self.asked.table);
        for choice in self.choices(gpu, &whole)? {
            let choose = |op: &dyn Op, x: &[Type], offered: &[&'static str]| {
                choice.filter(|v| offered.contains(v)).or_else(|| tuned(op, x, offered))
            };
            let options = Options { choose: &choose, reuse: false, ..Options::new(gpu.caps()) };
            let (short, long) = (Schedule::new(&forward.tape, &options)?, Schedule::new(&whole.tape, &options)?);
            let (of_short, mut found) = (self.wanted(subject, choice, &short), self.wanted(subject, choice, &long));
            let enough = of_short.len() == found.len();
            let (schedule, recorded) = if enough { (short, &forward) } else { (long, &whole) };
            if enough {
                found = of_short;
            }
            // A variant asked for by name may be the first, too.
            found.retain(|f| rows.iter().all(|r| (&r.entry, r.variant) != (&f.0, schedule.steps[f.1].variant)));
            if found.is_empty() {
                continue;
            }
            let plan = Rc::new(Plan::new(gpu, schedule, &State::new())?);
            plan.run(gpu, &recorded.feed(&recorded.words(SEED)))?;
            gpu.wait()?;
            for (entry, i, launches) in found {
                let step = &plan.schedule().steps[i];
                let (variant, cost, plan) = (step.variant, step.cost(), plan.clone());
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

    /// The variants to run of a case: `None` is each op's first, or the table's.
    fn choices(&mut self, gpu: &Gpu, recorded: &Recorded) -> Result<Vec<Option<&'static str>>> {
        let schedule = Schedule::new(&recorded.tape, &Options::new(gpu.caps()))?;
        let offered: BTreeSet<_> = schedule.steps.iter().flat_map(|s| s.op.variants(&s.x, gpu.caps())).collect();
        self.seen.variants.extend(&offered);
        let mut choices = Vec::new();
        for wanted in self.variants {
            match wanted.as_str() {
                FIRST => choices.push(None),
                "all" => choices.extend(offered.iter().map(|v| Some(*v))),
                name => choices.extend(offered.get(name).map(|v| Some(*v))),
            }
        }
        Ok(choices)
    }

    /// The entries of a case in a schedule that were asked for: name, place among the steps and launches.
    fn wanted(&mut self, subject: &Subject, choice: Option<&str>, s: &Schedule) -> Vec<(String, usize, Range<usize>)> {
        let (mut found, mut at): (Vec<(String, usize, Range<usize>)>, usize) = (Vec::new(), 0);
        let (op, first) = (subject.case.op.name(), entry_name(subject.case.op.as_ref()));
        for (i, step) in s.steps.iter().enumerate() {
            let launches = at..at + step.launches.len();
            at = launches.end;
            let entry = entry_name(step.op.as_ref());
            let own = entry == first || entry.split('.').next() == Some(op);
            let chosen = choice.is_none_or(|v| v == step.variant);
            let named = format!("{entry} {}", subject.name).contains(&self.asked.filter);
            let direction = direction(&entry);
            let facing = self
                .asked
                .direction
                .as_ref()
                .is_none_or(|d| d == direction || d == "grad" && direction.starts_with("grad"));
            if own && !launches.is_empty() {
                self.seen.directions.insert(direction.to_string());
            }
            // An op whose gradient is itself (matmul) is timed forward.
            if own && chosen && named && facing && !launches.is_empty() && found.iter().all(|f| f.0 != entry) {
                found.push((entry, i, launches));
            }
        }
        found
    }

    /// Takes a turn's samples of a group, round and round.
    fn measure(&mut self, group: &mut [Running<'a>], turn: usize) -> Result<()> {
        let rule = self.asked.rule;
        // After the first turns the same row of two trees goes on where either is wide: neither has turns of another hour.
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
                // Another case was here in between.
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

    /// Takes a sample of a row, between one of the reference, which may have been taken already, and the next, which it
    /// returns.
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

    fn row(&self, r: &Running<'_>, subject: &Subject) -> Row {
        let times = r.samples.times();
        Row {
            op: subject.op.clone(),
            direction: direction(&r.entry).to_string(),
            entry: r.entry.clone(),
            case: subject.name.clone(),
            shape: subject.shape.clone(),
            variant: r.variant.to_string(),
            flops: r.cost.flops,
            bytes: r.cost.bytes,
            cache: self.asked.cache,
            timer: times.timer,
            repeats: r.repeats as u32,
            noisy: !self.asked.rule.settled(&times.samples_ms, r.samples.spent_s),
            samples_ms: times.samples_ms,
            wall_ms: times.wall_ms,
            reference_ms: times.reference_ms,
            turns: times.turns,
            roof_share: None,
        }
    }

    /// Why there is no row.
    fn nothing(&self, set: &Set, reports: &[Report]) -> Error {
        if let Some(s) = reports.iter().flat_map(|r| &r.skipped).next() {
            return Error::Usage(format!("nothing could be measured; {} {}: {}", s.op, s.case, s.why));
        }
        let told = |known: Vec<&str>, wrong: &str| {
            let near = nearest(wrong, &known).map(|n| format!("did you mean {n}? "));
            format!("{}there are {}", near.unwrap_or_default(), known.join(", "))
        };
        let variants: Vec<&str> = self.seen.variants.iter().copied().collect();
        let unknown = self.variants.iter().find(|v| *v != FIRST && *v != "all" && !variants.contains(&v.as_str()));
        if let Some(v) = unknown {
            return Error::Usage(format!("no kernel of {} has the variant {v}; {}", set.name, told(variants, v)));
        }
        let directions: Vec<&str> = self.seen.directions.iter().map(String::as_str).collect();
        match &self.asked.direction {
            Some(d) if !directions.contains(&d.as_str()) && !directions.is_empty() => {
                Error::Usage(format!("no kernel of {} has the direction {d}; {}", set.name, told(directions, d)))
            }
            _ => {
                let filter = &self.asked.filter;
                Error::Usage(format!(
                    "no row of {} has '{filter}' in its name, the variant and the direction",
                    set.name
                ))
            }
        }
    }
}

/// Forward, or which gradient.
fn direction(entry: &str) -> &str {
    entry.split_once('.').map_or("forward", |e| e.1)
}

//! Which rows of a set are measured: the nodes of a case that are of its op, in the variants that were asked for. The
//! bench and the page that measures in a browser choose them in the same way.

use super::bench::Asked;
use super::report::direction;
use super::sets::{BenchCase, FIRST, Set};
use super::{Row, Skipped};
use crate::base::{Error, Result, nearest};
use crate::device::{Caps, Kernel};
use crate::kernels::listing::entry_name;
use crate::kernels::{Recorded, tune};
use crate::tape::{Cost, Op, Options, Schedule, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A node that is measured.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// `<op>.<entry>`.
    pub entry: String,
    /// Which of the schedule's steps it is.
    pub step: usize,
    /// Its launches.
    pub launches: Range<usize>,
}

/// A schedule of a case with the nodes of it that are measured. Each value has a buffer of its own, so that a node can
/// be run again later.
#[derive(Debug)]
pub(super) struct Planned {
    /// What runs.
    pub schedule: Schedule,
    /// What it was made from.
    pub recorded: Recorded,
    /// What of it is measured, never empty.
    pub wanted: Vec<Wanted>,
}

impl Planned {
    /// The variant and the cost of a node.
    pub fn about(&self, wanted: &Wanted) -> (&'static str, Cost) {
        let step = &self.schedule.steps[wanted.step];
        (step.variant, step.cost())
    }
}

/// The rows of a case that have been chosen: entry and variant.
pub(super) type Known = BTreeSet<(String, &'static str)>;

/// What is measured of a set.
pub(super) struct Selection<'a> {
    variants: &'a [String],
    asked: &'a Asked,
    seen: Seen,
}

/// The variants and directions that exist, for an error that lists them.
#[derive(Default)]
struct Seen {
    variants: BTreeSet<&'static str>,
    directions: BTreeSet<String>,
}

impl<'a> Selection<'a> {
    pub fn new(set: &'a Set, asked: &'a Asked) -> Self {
        let variants = if asked.variants.is_empty() { &set.variants } else { &asked.variants };
        Selection { variants, asked, seen: Seen::default() }
    }

    /// The schedules of a case on `caps` with the rows that are wanted of each. A row that is `known` is left out: a
    /// variant that was asked for by name may also be the first one.
    pub fn plans(&mut self, caps: &Caps, subject: &BenchCase, known: &mut Known) -> Result<Vec<Planned>> {
        let forward = subject.case.forward()?;
        let whole = subject.case.gradients()?.into_iter().next().unwrap_or_else(|| forward.clone());
        let tuned = tune::chooser(&self.asked.table);
        let mut plans = Vec::new();
        for choice in self.choices(caps, &whole)? {
            let choose = |op: &dyn Op, x: &[Type], offered: &[&'static str]| {
                choice.filter(|v| offered.contains(v)).or_else(|| tuned(op, x, offered))
            };
            let options = Options { choose: &choose, reuse: false, ..Options::new(caps) };
            let (short, long) = (Schedule::new(&forward.tape, &options)?, Schedule::new(&whole.tape, &options)?);
            let (of_short, of_long) = (self.wanted(subject, choice, &short), self.wanted(subject, choice, &long));
            let enough = of_short.len() == of_long.len();
            let (schedule, recorded) = if enough { (short, &forward) } else { (long, &whole) };
            let mut wanted = if enough { of_short } else { of_long };
            wanted.retain(|w| known.insert((w.entry.clone(), schedule.steps[w.step].variant)));
            if !wanted.is_empty() {
                plans.push(Planned { schedule, recorded: recorded.clone(), wanted });
            }
        }
        Ok(plans)
    }

    /// The variants to run of a case. `None` means each op's first variant, or the table's.
    fn choices(&mut self, caps: &Caps, recorded: &Recorded) -> Result<Vec<Option<&'static str>>> {
        let schedule = Schedule::new(&recorded.tape, &Options::new(caps))?;
        let offered: BTreeSet<_> = schedule.steps.iter().flat_map(|s| s.op.variants(&s.x, caps)).collect();
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

    /// The entries of a case that were asked for.
    fn wanted(&mut self, subject: &BenchCase, choice: Option<&str>, s: &Schedule) -> Vec<Wanted> {
        let (mut found, mut at): (Vec<Wanted>, usize) = (Vec::new(), 0);
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
            // An op whose gradient is the op itself (matmul) is timed forward.
            if own && chosen && named && facing && !launches.is_empty() && found.iter().all(|f| f.entry != entry) {
                found.push(Wanted { entry, step: i, launches });
            }
        }
        found
    }

    /// The error that says why there is no row.
    pub fn nothing<'s>(&self, set: &Set, skipped: impl IntoIterator<Item = &'s Skipped>) -> Error {
        if let Some(s) = skipped.into_iter().next() {
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

/// The kernels that each row of a set launches on `caps`, each kernel once, by the row's case, entry and variant. Cases
/// that cannot run there have none.
pub fn kernels(caps: &Caps, set: &Set, asked: &Asked) -> BTreeMap<RowName, Vec<Kernel>> {
    let (mut selection, mut all) = (Selection::new(set, asked), BTreeMap::new());
    for subject in &set.cases {
        for planned in selection.plans(caps, subject, &mut Known::new()).unwrap_or_default() {
            for wanted in &planned.wanted {
                let step = &planned.schedule.steps[wanted.step];
                let name = (subject.op.clone(), subject.name.clone(), wanted.entry.clone(), step.variant.to_string());
                let kernels: &mut Vec<Kernel> = all.entry(name).or_default();
                for (launch, _) in &step.launches {
                    if !kernels.contains(&launch.kernel) {
                        kernels.push(launch.kernel.clone());
                    }
                }
            }
        }
    }
    all
}

/// Op, case, entry and variant of a row.
pub type RowName = (String, String, String, String);

/// A row of a case before it has samples. `cost` is of the node's formula.
pub(super) fn row(subject: &BenchCase, entry: &str, variant: &str, cost: Cost, asked: &Asked) -> Row {
    let row = Row::unmeasured(entry, variant, [&subject.name, &subject.shape], cost);
    Row { op: subject.op.clone(), cache: asked.cache, ..row }
}

//! An entry that a person named, or all of them, in the cases and on the kinds of adapter that have them.

use super::{Asked, entries_without_limits, entry_name, kinds, launches, nodes};
use crate::base::nearest::nearest;
use crate::base::{Error, Result};
use crate::device::tune::Table;
use crate::device::{Caps, Kernel, Tree};
use crate::kernels::{Case, ops};
use crate::tape::constants::exact;
use crate::tape::schedule::Step;
use std::collections::{BTreeMap, HashSet};

/// Which kernels to show.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// `<op>.<entry>`.
    pub entry: &'a str,
    /// A variant; `None` is the one the adapter would run first.
    pub variant: Option<&'a str>,
    /// A case by name; `None` is the largest that has the variant.
    pub case: Option<&'a str>,
}

/// An entry in a case.
#[derive(Clone, Debug)]
pub struct Found {
    /// The case whose recording, or whose gradient's, runs it.
    pub case: Case,
    /// The node.
    pub step: Step,
    /// Its variant.
    pub variant: &'static str,
    /// The adapter asked about, or where that has no such variant, the first kind of adapter that has it.
    pub caps: Caps,
}

impl Found {
    /// The different kernels that it launches.
    pub fn kernels(&self) -> Result<Vec<Kernel>> {
        let mut different: Vec<Kernel> = Vec::new();
        for launch in launches(&self.step, self.variant, &self.caps)? {
            if !different.contains(&launch.kernel) {
                different.push(launch.kernel);
            }
        }
        Ok(different)
    }
}

/// Finds an entry: in the case named or, where none is, the largest that has it in the variant.
pub fn find(wanted: &Wanted<'_>, asked: &Asked<'_>) -> Result<Found> {
    // Where no case is named the largest speaks for all: a kernel of one element is neither right nor fast.
    find_all(wanted, asked)?.into_iter().next().ok_or_else(|| Error::Failed("an entry was found in no case".into()))
}

/// Finds an entry in every case that has it in the variant, the largest first; an error where there is none.
pub fn find_all(wanted: &Wanted<'_>, asked: &Asked<'_>) -> Result<Vec<Found>> {
    let mut steps = Vec::new();
    for case in ops().into_iter().flat_map(|o| o.1) {
        if wanted.case.is_none_or(|c| c == case.name) {
            let named = |s: &Step| entry_name(s.op.as_ref()) == wanted.entry;
            steps.extend(nodes(&case)?.into_iter().filter(named).map(|s| (case.clone(), s)));
        }
    }
    steps.sort_by_key(|(_, s)| std::cmp::Reverse(s.cost().bytes));
    // A case's gradient runs its forward node again.
    let mut seen = HashSet::new();
    steps.retain(|(case, s)| seen.insert((case.name, s.op.name(), s.op.constants(exact), s.x.clone())));
    let kinds = kinds();
    for (kind, on) in std::iter::once(asked.caps).chain(kinds.iter().map(|k| &k.1)).enumerate() {
        let mut found: Vec<Found> = Vec::new();
        for (case, step) in &steps {
            let first = if kind == 0 { asked.first(step) } else { None };
            let offered = first.into_iter().chain(step.op.variants(&step.x, on));
            let variant = found.first().map(|f| f.variant).or(wanted.variant);
            let wanted = offered.into_iter().find(|v| variant.is_none_or(|w| w == *v));
            found.extend(wanted.map(|variant| Found {
                case: case.clone(),
                step: step.clone(),
                variant,
                caps: on.clone(),
            }));
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(not_found(wanted, asked.caps)?)
}

/// Every entry in every variant that adapters of these kinds are offered, each in its largest case; of nodes of one size
/// the first, because the gradient of a product is two more products, which lie otherwise; where several kinds are
/// offered a variant at that node, the last kind speaks. `wanted` is asked for entry, variant and case.
pub fn largest(kinds: &[Caps], wanted: impl Fn(&str, &str, &str) -> bool) -> Result<Vec<Found>> {
    let mut found: BTreeMap<(String, &'static str), (u64, usize, Found)> = BTreeMap::new();
    let mut node = 0;
    for case in ops().into_iter().flat_map(|o| o.1) {
        for step in nodes(&case)? {
            let (entry, bytes) = (entry_name(step.op.as_ref()), step.cost().bytes);
            node += 1;
            for caps in kinds {
                for variant in step.op.variants(&step.x, caps) {
                    let key = (entry.clone(), variant);
                    let takes = |f: &(u64, usize, Found)| bytes > f.0 || node == f.1;
                    if wanted(&entry, variant, case.name) && found.get(&key).is_none_or(takes) {
                        let (case, step, caps) = (case.clone(), step.clone(), caps.clone());
                        found.insert(key, (bytes, node, Found { case, step, variant, caps }));
                    }
                }
            }
        }
    }
    Ok(found.into_values().map(|f| f.2).collect())
}

/// The sentence that says which part of `wanted` does not exist.
fn not_found(wanted: &Wanted<'_>, caps: &Caps) -> Result<Error> {
    let entries = entries_without_limits(&Asked { caps, tree: &Tree::default(), table: &Table::default() })?;
    let Some(entry) = entries.iter().find(|e| e.name == wanted.entry) else {
        let op = wanted.entry.split('.').next().unwrap_or_default();
        let ops: Vec<&str> = entries.iter().map(|e| e.op).collect();
        let meant = nearest(op, &ops).or_else(|| ops.iter().copied().find(|o| !op.is_empty() && o.starts_with(op)));
        let near: Vec<&str> = entries.iter().filter(|e| Some(e.op) == meant).map(|e| e.name.as_str()).collect();
        let known = meant.map_or(String::new(), |meant| format!("; {meant} has {}", near.join(", ")));
        let text = format!("there is no kernel {}{known}; `wgslab kernels list` has them all", wanted.entry);
        return Ok(Error::Usage(text));
    };
    let variants: Vec<&str> = entry.variants.iter().map(|v| v.name).collect();
    let what = match (wanted.variant, wanted.case) {
        (Some(v), _) if !variants.contains(&v) => format!("variant {v}; its variants are {}", variants.join(", ")),
        (_, Some(c)) if !entry.cases.contains(&c) => format!("case {c}; its cases are {}", entry.cases.join("; ")),
        _ => "such variant in that case; leave --case out".to_string(),
    };
    Ok(Error::Usage(format!("{} has no {what}", entry.name)))
}

//! Device memory over a step, computed from the schedule: what is allocated and for how long, what lives in the shared
//! buffers at each node, and the largest values at the peak.

use super::super::step::Ready;
use crate::tape::Schedule;
use crate::tape::demand::padded;
use crate::tape::lifetime::Storage;
use serde::Serialize;
use std::collections::BTreeSet;

/// Memory of a step.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    /// What lives as long as the plan: trained parameters, other state (velocities, statistics), data such as images,
    /// inputs, parameter blocks, and slabs (buffers that values share over time).
    pub allocated: Vec<(&'static str, u64)>,
    /// What the values would take without sharing.
    pub values_bytes: u64,
    /// For each node: bytes alive in slabs by [`KINDS`].
    pub alive: Vec<[u64; KINDS.len()]>,
    /// The node with the most bytes alive.
    pub peak_node: usize,
    /// Its layer and op.
    pub peak_label: String,
    /// The values alive there, the largest first.
    pub at_peak: Vec<Alive>,
}

/// The kinds of values in slabs. Values made before the backward pass stay alive for their gradients.
pub const KINDS: [&str; 5] = ["augmentation", "forward", "backward", "optimizer", "workspace"];

/// A value alive at the peak.
#[derive(Clone, Debug, Serialize)]
pub struct Alive {
    /// Layer and op that made it.
    pub label: String,
    /// Its type.
    pub ty: String,
    /// One of [`KINDS`].
    pub kind: &'static str,
    /// Its size.
    pub bytes: u64,
    /// The node that made it or, of values that lie in one buffer for one launch, the first of them.
    pub born: usize,
    /// The last node that reads it, or the last of them.
    pub dies: usize,
}

impl Memory {
    /// The memory of a compiled step.
    pub fn of(ready: &Ready<'_>) -> Memory {
        let schedule = ready.plan.schedule();
        let values = values(schedule);
        let mut alive = vec![[0; KINDS.len()]; schedule.steps.len()];
        for v in &values {
            let kind = KINDS.iter().position(|k| *k == v.kind).unwrap_or(0);
            alive[v.born..=v.dies].iter_mut().for_each(|a| a[kind] += v.bytes);
        }
        let total = |a: &[u64; KINDS.len()]| a.iter().sum::<u64>();
        let most = alive.iter().map(total).max().unwrap_or(0);
        let peak_node = alive.iter().position(|a| total(a) == most).unwrap_or(0);
        let mut at_peak: Vec<Alive> = values.into_iter().filter(|v| (v.born..=v.dies).contains(&peak_node)).collect();
        at_peak.sort_by_key(|v| (std::cmp::Reverse(v.bytes), v.born));
        Memory {
            allocated: allocated(ready),
            values_bytes: schedule.values_bytes,
            peak_label: schedule.steps.get(peak_node).map(|s| s.label()).unwrap_or_default(),
            alive,
            peak_node,
            at_peak,
        }
    }

    /// Everything allocated for the step.
    pub fn allocated_bytes(&self) -> u64 {
        self.allocated.iter().map(|a| a.1).sum()
    }

    /// The most bytes alive in slabs.
    pub fn peak_bytes(&self) -> u64 {
        self.alive.get(self.peak_node).map_or(0, |a| a.iter().sum())
    }
}

fn allocated(ready: &Ready<'_>) -> Vec<(&'static str, u64)> {
    let schedule = ready.plan.schedule();
    let trained = ready.params.trained();
    let (mut parameters, mut other, mut data) = (0, 0, 0);
    let kept: Vec<&str> = ready.state.names().collect();
    for (name, ty) in &schedule.states {
        let of = match (trained.contains(name), kept.contains(&name.as_str())) {
            (true, _) => &mut parameters,
            (false, true) => &mut other,
            (false, false) => &mut data,
        };
        *of += padded(ty.bytes());
    }
    let inputs = schedule.inputs.iter().map(|i| padded(i.1.bytes())).sum();
    let slabs = schedule.slabs.iter().copied().map(padded).sum();
    vec![
        ("trained parameters", parameters),
        ("other state", other),
        ("data", data),
        ("inputs", inputs),
        ("parameter blocks", schedule.plan_bytes() - inputs - slabs),
        ("slabs", slabs),
    ]
}

/// Everything that lives in slabs, at any time. An arena is no value: its members are, and their memory is held as long as
/// it lives.
fn values(schedule: &Schedule) -> Vec<Alive> {
    let last = schedule.steps.len().saturating_sub(1);
    let mut values = Vec::new();
    let arenas: BTreeSet<usize> = schedule.storage.iter().filter_map(|s| Some(s.within?.0)).collect();
    let held = |s: &Storage| s.fixed.is_none() && s.birth <= s.death;
    for (i, s) in schedule.storage.iter().enumerate().filter(|(i, s)| held(s) && !arenas.contains(i)) {
        let Some(step) = schedule.steps.get(s.birth) else { continue };
        let (kind, ty) = match step.outputs.iter().position(|&o| o == i) {
            Some(o) => (step.part.name(), step.y[o].to_string()),
            None => ("workspace", String::new()),
        };
        let lives = s.within.map_or(s, |(arena, _)| &schedule.storage[arena]);
        let (label, bytes, born, dies) = (step.label(), s.bytes, lives.birth, lives.death.min(last));
        values.push(Alive { label, ty, kind, bytes, born, dies });
    }
    values
}

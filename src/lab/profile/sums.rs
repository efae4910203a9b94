//! The times of a step's dispatches, summed by kernel, by layer and by part of the step. Work is counted once for each
//! node, from its op's formula: a kernel that packs operands adds time but no work.

use crate::device::Clocked;
use crate::kernels::listing::entry_name;
use crate::lab::Spread;
use crate::lab::roofline::Roof;
use crate::tape::schedule::Step;
use crate::tape::{Schedule, StepPart};
use serde::Serialize;
use std::collections::BTreeMap;

/// A sum over nodes that have something in common.
#[derive(Clone, Debug, Serialize)]
pub struct Sum {
    /// What they have in common.
    pub name: String,
    /// How many nodes.
    pub calls: usize,
    /// How many dispatches.
    pub dispatches: usize,
    /// Their time a step, ms.
    pub ms: Spread,
    /// Their share of the time of all nodes.
    pub share: f64,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that must move.
    pub bytes: u64,
    /// GFLOP/s at the median.
    pub gflop_per_s: f64,
    /// GB/s at the median.
    pub gb_per_s: f64,
    /// The least time that the roofs allow for these nodes, over the time they took; `None` if no roofs were measured.
    pub roof_share: Option<f64>,
    /// The median time in each part of the step, ms.
    pub phases_ms: BTreeMap<&'static str, f64>,
}

/// The nodes of a step with their times.
pub(super) struct Sums<'a> {
    steps: &'a [Step],
    roof: Option<&'a Roof>,
    /// For each node: its dispatches.
    dispatches: Vec<usize>,
    /// For each node and run: its time in ms.
    ms: Vec<Vec<f64>>,
}

/// `<op>.<entry> [variant]` of a node: the name of its sum among [`super::Profile::kernels`].
pub fn kernel_of(step: &Step) -> String {
    format!("{} [{}]", entry_name(step.op.as_ref()), step.variant)
}

/// `what` over `ms`. 0 if the clock was too coarse to see any time.
fn rate(what: f64, ms: f64) -> f64 {
    if ms > 0.0 { what / ms } else { 0.0 }
}

impl<'a> Sums<'a> {
    /// The sums of a schedule whose dispatches were run one by one, several times.
    pub fn new(schedule: &'a Schedule, runs: &[Clocked], roof: Option<&'a Roof>) -> Self {
        let (mut ms, mut dispatches, mut at) = (Vec::new(), Vec::new(), 0);
        for step in &schedule.steps {
            let own = at..at + step.launches.len();
            at = own.end;
            dispatches.push(own.len());
            ms.push(runs.iter().map(|r| r.passes[own.clone()].iter().map(|p| p[1] - p[0]).sum()).collect());
        }
        Sums { steps: &schedule.steps, roof, dispatches, ms }
    }

    fn of(&self, name: String, nodes: &[usize]) -> Sum {
        let over = |nodes: &[usize]| {
            let runs = self.ms.first().map_or(0, Vec::len);
            Spread::of(&(0..runs).map(|r| nodes.iter().map(|&n| self.ms[n][r]).sum()).collect::<Vec<f64>>())
        };
        let all: Vec<usize> = (0..self.steps.len()).collect();
        let ms = over(nodes);
        let (flops, bytes) = nodes.iter().fold((0, 0), |(flops, bytes), &n| {
            let cost = self.steps[n].cost();
            (flops + cost.flops, bytes + cost.bytes)
        });
        let mut phases_ms = BTreeMap::new();
        for part in StepPart::ALL {
            let own: Vec<usize> = nodes.iter().copied().filter(|&n| self.steps[n].part == part).collect();
            if !own.is_empty() {
                phases_ms.insert(part.name(), over(&own).median);
            }
        }
        let least_ms = |n: &usize| {
            let cost = self.steps[*n].cost();
            self.roof?.least_ms(cost.flops, cost.bytes)
        };
        Sum {
            name,
            calls: nodes.len(),
            dispatches: nodes.iter().map(|&n| self.dispatches[n]).sum(),
            ms,
            share: rate(ms.median, over(&all).median),
            flops,
            bytes,
            gflop_per_s: rate(flops as f64 * 1e-6, ms.median),
            gb_per_s: rate(bytes as f64 * 1e-6, ms.median),
            roof_share: nodes
                .iter()
                .map(least_ms)
                .sum::<Option<f64>>()
                .filter(|_| ms.median > 0.0)
                .map(|least| least / ms.median),
            phases_ms,
        }
    }

    /// Groups nodes by `name`, in the order of the first node of each group.
    fn by(&self, name: impl Fn(&Step) -> String) -> Vec<Sum> {
        let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
        for (n, step) in self.steps.iter().enumerate() {
            let name = name(step);
            match groups.iter_mut().find(|g| g.0 == name) {
                Some(group) => group.1.push(n),
                None => groups.push((name, vec![n])),
            }
        }
        groups.into_iter().map(|(name, nodes)| self.of(name, &nodes)).collect()
    }

    /// A part of the step, if the step has it.
    pub fn part(&self, part: StepPart) -> Option<Sum> {
        self.by(|s| s.part.name().to_string()).into_iter().find(|s| s.name == part.name())
    }

    /// `<op>.<entry> [variant]`, the longest first.
    pub fn kernels(&self) -> Vec<Sum> {
        let mut sums = self.by(kernel_of);
        sums.sort_by(|a, b| b.ms.median.total_cmp(&a.ms.median));
        sums
    }

    /// Layers, each with its gradient; the optimizer is one.
    pub fn layers(&self) -> Vec<Sum> {
        self.by(|s| match (s.part, s.layer.trim_end_matches('\'')) {
            (StepPart::Optimizer, _) => "optimizer".to_string(),
            (_, "") => format!("({})", entry_name(s.op.as_ref()).split('.').next().unwrap_or_default()),
            (_, layer) => layer.to_string(),
        })
    }
}

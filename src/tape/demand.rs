//! What plans would need of a device, computed before anything is allocated: kernels, bytes, bindings, workgroups.

use super::op::{Launch, Type};
use super::recording::{Recording, Role};
use super::schedule::{Place, Schedule, Step};
use super::state::State;
use crate::device::dispatch::ParamBlocks;
use crate::device::{Caps, Gpu, Kernel};
use std::collections::BTreeMap;
use std::fmt;

/// Why something does not fit a device, in a sentence. Whoever offers a way out looks at the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// More than the adapter can do. Only a smaller size helps.
    Limit(String),
    /// More than the memory budget. A larger budget helps, too.
    Budget(String),
}

impl Misfit {
    /// What helps besides a smaller size, as the end of a sentence.
    pub fn or_budget(&self) -> &'static str {
        match self {
            Misfit::Limit(_) => "",
            Misfit::Budget(_) => ", or a larger budget",
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Misfit::Limit(why) | Misfit::Budget(why)) = self;
        f.write_str(why)
    }
}

impl Schedule {
    /// The kernels it launches, in order, each as often as it is launched.
    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.steps.iter().flat_map(|s| &s.launches).map(|(launch, _)| &launch.kernel)
    }

    /// Bytes of inputs, slabs and parameters. A plan needs them in addition to its state.
    pub fn plan_bytes(&self) -> u64 {
        let buffers = self.slabs.iter().copied().chain(self.inputs.iter().map(|i| i.1.bytes()));
        let params = self.steps.iter().flat_map(|s| &s.launches).map(|(l, _)| ParamBlocks::block_bytes(&l.params));
        buffers.map(padded).sum::<u64>() + params.sum::<u64>()
    }

    /// Each launch with its step and the most bytes that it binds in one buffer.
    fn bound(&self) -> impl Iterator<Item = (&Step, &Launch, u64)> {
        let sizes = |list: &[(String, Type)]| list.iter().map(|(n, ty)| (n.clone(), ty.bytes())).collect();
        let (inputs, states): (BTreeMap<String, u64>, BTreeMap<String, u64>) =
            (sizes(&self.inputs), sizes(&self.states));
        let bytes = move |place: &Place| match place {
            Place::Input(name) => inputs.get(name).copied().unwrap_or(0),
            Place::State(name) => states.get(name).copied().unwrap_or(0),
            Place::Slab(i) => self.slabs[*i],
            Place::Part { bytes, .. } => *bytes,
            Place::Arena(i) => self.arenas[*i].bytes,
        };
        let launches = self.steps.iter().flat_map(|s| s.launches.iter().map(move |l| (s, l)));
        launches.map(move |(step, (launch, places))| {
            (step, launch, places.iter().map(|p| padded(bytes(p))).max().unwrap_or(0))
        })
    }

    /// The first launch that binds more bytes in one buffer, or more workgroups in one dimension, than `caps` allows,
    /// in a sentence; `None` if all fit.
    pub fn past_limits(&self, caps: &Caps) -> Option<String> {
        self.bound().find_map(|(step, launch, largest)| past(&step.label(), largest, launch.grid, caps))
    }

    /// The most bytes that a launch binds in one buffer, and the label of the first step that does; `None` if nothing
    /// is launched.
    pub fn largest_binding(&self) -> Option<(u64, String)> {
        let all = self.bound().map(|(step, _, bytes)| (bytes, step));
        all.reduce(|a, b| if b.0 > a.0 { b } else { a }).map(|(bytes, step)| (bytes, step.label()))
    }
}

impl Recording {
    /// Bytes that a replay needs in addition to its state.
    pub(super) fn own_bytes(&self) -> u64 {
        self.buffers.iter().filter(|b| b.role != Role::State && b.part_of.is_none()).map(|b| b.bytes).sum()
    }

    /// The first buffer or launch that is larger than `caps` allows, in a sentence; `None` if all fit.
    pub(super) fn past_limits(&self, caps: &Caps) -> Option<String> {
        let bound = self.buffers.iter().filter(|b| b.role != Role::Params);
        let buffer = bound.into_iter().find_map(|b| past(&b.name, b.bytes, [1; 3], caps));
        buffer.or_else(|| self.launches.iter().find_map(|call| past(&call.label, 0, call.grid, caps)))
    }
}

/// Whether something binds more bytes in one buffer, or runs more workgroups, than `caps` allows, in a sentence.
fn past(label: &str, largest: u64, grid: [u32; 3], caps: &Caps) -> Option<String> {
    let limit = caps.binding_bytes;
    if largest > limit {
        let (largest, limit) = (size(largest), size(limit));
        return Some(format!("{label} needs {largest} in one buffer, and the adapter binds at most {limit}"));
    }
    let limit = caps.groups;
    let past = grid.iter().any(|&g| g > limit);
    past.then(|| format!("{label} needs {grid:?} workgroups, and the adapter runs at most {limit} a dimension"))
}

/// Why plans of all `schedules` together do not fit the device, beside all that is allocated already. `None` if they
/// fit. They do not fit if a launch binds more bytes or runs more workgroups than the adapter can, or if the plans and
/// the tensors that they name and `state` lacks are over the memory budget. Nothing is allocated to find out, because a
/// software driver takes more memory than the machine has, until the system kills the program.
pub fn misfit(gpu: &Gpu, schedules: &[Schedule], state: &State) -> Option<Misfit> {
    misfit_beside(gpu, schedules, state, 0)
}

/// As [`misfit`], where `beside` more bytes are held at some moment while the plans are there.
pub fn misfit_beside(gpu: &Gpu, schedules: &[Schedule], state: &State, beside: u64) -> Option<Misfit> {
    schedules.iter().find_map(|s| s.past_limits(gpu.caps())).map(Misfit::Limit).or_else(|| {
        let need = schedules.iter().map(Schedule::plan_bytes).sum::<u64>() + lacking_bytes(schedules, state) + beside;
        past_budget(gpu, need).map(Misfit::Budget)
    })
}

/// Bytes of the tensors that `schedules` name and `state` lacks, with what lies between them in arenas.
pub fn lacking_bytes(schedules: &[Schedule], state: &State) -> u64 {
    let named = schedules.iter().flat_map(|s| &s.states).filter(|(name, _)| state.ty(name).is_none());
    let lacking: BTreeMap<&str, u64> = named.map(|(name, ty)| (name.as_str(), padded(ty.bytes()))).collect();
    let own = |schedule: &Schedule, name: &str| {
        schedule.states.iter().find(|s| s.0 == name).map_or(0, |(_, ty)| padded(ty.bytes()))
    };
    let arenas = schedules.iter().flat_map(|s| s.arenas.iter().map(move |a| (s, a)));
    let gaps = arenas
        .filter(|(_, a)| a.states().any(|(name, _)| lacking.contains_key(name)))
        .map(|(s, a)| (a, a.bytes.saturating_sub(a.states().map(|(name, _)| own(s, name)).sum())));
    lacking.values().sum::<u64>() + gaps.collect::<BTreeMap<_, _>>().values().sum::<u64>()
}

/// Why `need` more bytes are over the memory budget. `None` if they are not.
pub(super) fn past_budget(gpu: &Gpu, need: u64) -> Option<String> {
    let live = gpu.meter().live_bytes();
    let budget = gpu.options().memory_budget_bytes.filter(|budget| live + need > *budget)?;
    Some(format!(
        "{} of device memory are needed besides the {} in use, and the budget is {} (--memory-budget sets it)",
        size(need),
        size(live),
        size(budget)
    ))
}

/// Bytes of the buffer that holds `bytes`: a multiple of 16, at least 16.
pub fn padded(bytes: u64) -> u64 {
    bytes.max(16).next_multiple_of(16)
}

/// A number of bytes as people read it, in bytes or MiB.
pub fn size(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} bytes"),
        _ => format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::assign::Copy;
    use crate::tape::{Options, Tape, Type};

    #[test]
    fn limits_are_of_one_binding_and_one_dimension() {
        let mut t = Tape::new();
        let x = t.input("x", Type::f32([1000])).unwrap();
        let y = t.apply1(Copy, &[x]).unwrap();
        t.output("y", y);
        let caps = Caps::portable();
        let schedule = Schedule::new(&t, &Options::new(&caps)).unwrap();
        assert_eq!(schedule.past_limits(&Caps { binding_bytes: 4000, ..caps.clone() }), None);
        let why = schedule.past_limits(&Caps { binding_bytes: 3999, ..caps.clone() }).unwrap();
        assert!(why.contains("copy needs 4000 bytes in one buffer") && why.contains("3999"), "{why}");
        let why = schedule.past_limits(&Caps { groups: 0, ..caps }).unwrap();
        assert!(why.contains("copy needs [") && why.contains("workgroups"), "{why}");
        assert_eq!(schedule.largest_binding(), Some((4000, "/copy".to_string())));
        assert_eq!(schedule.kernels().map(|k| k.name).collect::<Vec<_>>(), ["assign.copy"]);
    }
}

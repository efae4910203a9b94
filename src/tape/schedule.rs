//! The schedule decides which nodes run, in which order, with which variants, and which buffer holds each value. It is
//! pure: the same tape, capabilities and choices give the same schedule. A schedule can be printed, so a snapshot test
//! shows what an edit did to memory.
//!
//! Nodes keep the order in which they were recorded. Nodes that nothing needs are dropped. Values share whole buffers
//! ("slabs") if their lifetimes do not overlap. They do not share parts of one buffer, except in arenas
//! ([`super::arena`]): wgpu tracks usage per buffer, so two parts of one buffer cannot be read and written in the same
//! dispatch. All assigns are committed at the end of the step, because a step is a transaction over the state. Each
//! assign obeys the guard of the scope in which it was recorded. An in-place op that computes a state's newest value
//! (an optimizer) writes the state's buffer directly if nothing later needs the old value and the op takes that guard.
//! An op that was recorded before its guard was known waits for the guard ([`super::deferred`]).

mod builder;

use super::arena::Arena;
use super::lifetime::Storage;
use super::op::{Cost, Emit, Home, Launch, Op, Slot, Type};
use super::record::{StepPart, Tape, Var};
use super::rewrite::Rule;
use crate::base::Result;
use crate::device::Caps;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Picks one of the variants that an op offers for inputs of these types. `None` takes the first.
pub type Choose<'a> = &'a dyn Fn(&dyn Op, &[Type], &[&'static str]) -> Option<&'static str>;

/// What a schedule depends on besides the tape.
pub struct Options<'a> {
    /// What the adapter can do.
    pub caps: &'a Caps,
    /// Picks the variant of each op.
    pub choose: Choose<'a>,
    /// The table of fusions. Without it each recorded op runs by itself.
    pub fuse: Option<Rule>,
    /// Whether the backward pass reads values that are computed again, where that lowers the peak of memory. It changes
    /// no bit.
    pub recompute: bool,
    /// Whether values share buffers. If not, each value has its own buffer (the trace needs that).
    pub reuse: bool,
    /// Whether nodes whose op says so run as one ([`super::join`]). It changes no bit.
    pub join: bool,
    /// Bytes behind each value in which a test puts sentinels, a multiple of 16; else 0.
    pub fence_bytes: u64,
}

impl<'a> Options<'a> {
    /// The first variant of each op, nothing fused, buffers shared.
    pub fn new(caps: &'a Caps) -> Self {
        Options { caps, choose: &|_, _, _| None, fuse: None, recompute: false, reuse: true, join: true, fence_bytes: 0 }
    }

    /// The variant of `op` that runs over inputs of these types: the chosen one, or else the first that the op offers.
    pub fn variant(&self, op: &dyn Op, x: &[Type]) -> &'static str {
        let offered = op.variants(x, self.caps);
        let first = offered.first().copied().unwrap_or("portable");
        (self.choose)(op, x, &offered).unwrap_or(first)
    }
}

/// Which buffer a value lives in.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Place {
    /// An input that the host writes.
    Input(String),
    /// A tensor of the state store.
    State(String),
    /// A buffer of the plan, shared over time.
    Slab(usize),
    /// A part of such a buffer.
    Part {
        /// Which buffer.
        slab: usize,
        /// Its first byte there.
        offset: u64,
        /// Its size.
        bytes: u64,
    },
    /// The whole buffer of one of [`Schedule::arenas`].
    Arena(usize),
}

impl Place {
    /// The place of a storage.
    pub(super) fn of(all: &[Storage], s: usize) -> Place {
        let Storage { fixed, bytes, within, slab, .. } = &all[s];
        match (fixed, within) {
            (Some(place), _) => place.clone(),
            (None, Some((whole, offset))) => Place::Part { slab: all[*whole].slab, offset: *offset, bytes: *bytes },
            (None, None) => Place::Slab(*slab),
        }
    }
}

/// A node that runs.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its op.
    pub op: Arc<dyn Op>,
    /// Its variant.
    pub variant: &'static str,
    /// Names of the layers around it, joined by dots.
    pub layer: String,
    /// The part of the training step, as recorded.
    pub part: StepPart,
    /// Types of inputs.
    pub x: Vec<Type>,
    /// Types of outputs.
    pub y: Vec<Type>,
    /// For each input: which of [`Schedule::storage`] holds it.
    pub inputs: Vec<usize>,
    /// For each output: which of [`Schedule::storage`] holds it.
    pub outputs: Vec<usize>,
    /// For each workspace: which of [`Schedule::storage`] holds it.
    pub work: Vec<usize>,
    /// Its launches with their buffers.
    pub launches: Vec<(Launch, Vec<Place>)>,
}

impl Step {
    /// `<layer>/<op>`: how people find it.
    pub fn label(&self) -> String {
        format!("{}/{}", self.layer, self.op.name())
    }

    /// Floating-point operations and bytes of the node.
    pub fn cost(&self) -> Cost {
        self.op.cost(&self.x, &self.y)
    }
}

/// What runs, and where every value lies.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// What runs, in order.
    pub steps: Vec<Step>,
    /// Bytes of each slab.
    pub slabs: Vec<u64>,
    /// Inputs and states that lie in one buffer.
    pub arenas: Vec<Arena>,
    /// Names and types of the inputs.
    pub inputs: Vec<(String, Type)>,
    /// Names of the scalars, by slot.
    pub scalars: Vec<String>,
    /// Names and types of the states that it reads or writes.
    pub states: Vec<(String, Type)>,
    /// Name, type and place of each value that is kept until the next run.
    pub outputs: Vec<(String, Type, Place)>,
    /// Sum of the bytes of all values that are neither input nor state, as if none shared memory.
    pub values_bytes: u64,
    /// The memory of every value, with its lifetime.
    pub storage: Vec<Storage>,
    /// For each recorded value: its type and place, for the trace.
    pub places: BTreeMap<Var, (Type, Place)>,
}

impl Schedule {
    /// Schedules a tape. It is an error if two outputs have one name, if a state is assigned under different guards, or
    /// if a fusion gives another type.
    pub fn new(tape: &Tape, options: &Options<'_>) -> Result<Schedule> {
        tape.expect_sound()?;
        let fused = options.fuse.map(|rule| tape.rewritten(rule, options)).transpose()?;
        let tape = fused.as_ref().unwrap_or(tape);
        // This comes after fusion, because the nodes that run again must be the nodes that ran.
        let recomputed = options.recompute.then(|| tape.recomputed());
        let tape = recomputed.as_ref().unwrap_or(tape);
        // This comes next: an op that waits for its guard is never computed again.
        let deferred = tape.deferred();
        let tape = deferred.as_ref().unwrap_or(tape);
        // This comes last: nodes that wait for one guard stand one after the other and run as one.
        let joined = options.join.then(|| tape.joined()).transpose()?;
        builder::build(joined.as_ref().unwrap_or(tape), options)
    }

    /// The schedule in which none of the states `held` lies in an arena, because a store has them elsewhere. Ops that
    /// would have taken them together with others launch for each of them.
    pub(super) fn apart(mut self, held: &BTreeSet<String>, caps: &Caps) -> Result<Schedule> {
        let is_held = |place: &Place| matches!(place, Place::State(name) if held.contains(name));
        let held_storage = self.storage.iter_mut().filter(|s| s.fixed.as_ref().is_some_and(is_held));
        held_storage.for_each(|s| s.within = None);
        self.arenas.iter_mut().for_each(|a| a.members.retain(|(place, _)| !is_held(place)));
        emit(&mut self.steps, &self.storage, caps)?;
        Ok(self)
    }

    /// Bytes of all slabs together.
    pub fn slab_bytes(&self) -> u64 {
        self.slabs.iter().sum()
    }
}

/// Makes the launches of each step, with their buffers.
fn emit(steps: &mut [Step], storage: &[Storage], caps: &Caps) -> Result<()> {
    let home = |&s: &usize| match storage[s].within {
        Some((buffer, offset)) => Home { buffer, offset },
        None => Home { buffer: s, offset: 0 },
    };
    let around = |s: usize| Place::of(storage, storage[s].within.map_or(s, |whole| whole.0));
    for step in steps {
        let homes = step.inputs.iter().chain(&step.outputs).map(home).collect();
        let (x, y, variant) = (&step.x, &step.y, step.variant);
        let mut e = Emit { x, y, variant, caps, homes, launches: Vec::new() };
        step.op.emit(&mut e)?;
        let of = |slot: &Slot| match *slot {
            Slot::In(i) => Place::of(storage, step.inputs[i]),
            Slot::Out(i) => Place::of(storage, step.outputs[i]),
            Slot::Work(i) => Place::of(storage, step.work[i]),
            Slot::AroundIn(i) => around(step.inputs[i]),
            Slot::AroundOut(i) => around(step.outputs[i]),
        };
        let placed = |launch: Launch| (launch.buffers.iter().map(of).collect(), launch);
        step.launches = e.launches.into_iter().map(placed).map(|(places, launch)| (launch, places)).collect();
    }
    Ok(())
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let launches: usize = self.steps.iter().map(|s| s.launches.len()).sum();
        writeln!(f, "{} nodes, {launches} launches, {} slabs", self.steps.len(), self.slabs.len())?;
        writeln!(f, "{} bytes of values in {} bytes of slabs", self.values_bytes, self.slab_bytes())?;
        let show = |p: &Place| match p {
            Place::Input(n) => format!("input:{n}"),
            Place::State(n) => format!("state:{n}"),
            Place::Slab(i) => format!("slab{i}"),
            Place::Part { slab, offset, .. } => format!("slab{slab}+{offset}"),
            Place::Arena(i) => format!("arena{i}"),
        };
        for s in &self.steps {
            writeln!(f, "{} [{}]", s.label(), s.variant)?;
            for (l, places) in &s.launches {
                let buffers = places.iter().map(show).collect::<Vec<_>>().join(" ");
                writeln!(f, "    {} {:?} {buffers}", l.kernel.name, l.grid)?;
            }
        }
        Ok(())
    }
}

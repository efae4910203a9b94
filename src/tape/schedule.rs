//! The schedule decides which nodes run, in which order, with which variants, and which buffer holds each value. It is
//! pure: the same tape, capabilities and choices give the same schedule. It can be printed, so a snapshot test shows
//! what an edit did to memory.
//!
//! Nodes keep the order they were recorded in, and those that nothing needs are dropped. Values share whole buffers
//! ("slabs") if their lifetimes do not overlap. They do not share parts of one buffer: wgpu tracks usage per buffer, so
//! two parts could not be read and written in the same dispatch. All assigns are committed at the end of the step: a
//! step is a transaction over the state, and each assign obeys the guard of the scope that it was recorded in. An
//! in-place op that computes a state's newest value (an optimizer) writes the state's buffer directly if nothing later
//! needs the old value and the op itself takes that guard.

use super::assign::{Assign, Copy};
use super::lifetime::{Storage, assign_slabs};
use super::op::{Cost, Emit, Launch, Op, Slot, Type};
use super::record::{Role, SCALARS_INPUT, StepPart, Tape, Var};
use super::rewrite::Rule;
use crate::base::{Error, Result};
use crate::device::Caps;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Picks one of the variants that an op offers. `None` takes the first.
pub type Choose<'a> = &'a dyn Fn(&dyn Op, &[Type], &[&'static str]) -> Option<&'static str>;

/// What a schedule depends on besides the tape.
pub struct Options<'a> {
    /// What the adapter can do.
    pub caps: &'a Caps,
    /// Which variants run.
    pub choose: Choose<'a>,
    /// The table of fusions. Without it each recorded op runs by itself.
    pub fuse: Option<Rule>,
    /// Whether the backward pass reads values that are computed again, where that takes less memory than to keep them. It
    /// changes no bit.
    pub recompute: bool,
    /// Whether values share buffers. If not, each has its own (as in the trace).
    pub reuse: bool,
    /// Bytes behind each value in which a test puts sentinels; 0 otherwise.
    pub fence_bytes: u64,
}

impl<'a> Options<'a> {
    /// The first variant of each op, nothing fused, buffers shared.
    pub fn new(caps: &'a Caps) -> Self {
        Options { caps, choose: &|_, _, _| None, fuse: None, recompute: false, reuse: true, fence_bytes: 0 }
    }

    /// The variant of `op` that runs over inputs of these types: the chosen one, else the first that it offers.
    pub fn variant(&self, op: &dyn Op, x: &[Type]) -> &'static str {
        let offered = op.variants(x, self.caps);
        let first = offered.first().copied().unwrap_or("portable");
        (self.choose)(op, x, &offered).unwrap_or(first)
    }
}

/// Which buffer a value lives in.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Place {
    /// An input the host writes.
    Input(String),
    /// A tensor of the state store.
    State(String),
    /// A buffer of the plan, shared over time.
    Slab(usize),
}

/// A node that runs.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its op.
    pub op: Arc<dyn Op>,
    /// Its variant.
    pub variant: &'static str,
    /// Path of layers, as recorded.
    pub layer: String,
    /// The part of the training step, as recorded.
    pub part: StepPart,
    /// Types of inputs.
    pub x: Vec<Type>,
    /// Types of outputs.
    pub y: Vec<Type>,
    /// For each input: which of [`Schedule::storage`] holds it.
    pub inputs: Vec<usize>,
    /// Of each output.
    pub outputs: Vec<usize>,
    /// Of each workspace.
    pub work: Vec<usize>,
    /// Its launches with their buffers.
    pub launches: Vec<(Launch, Vec<Place>)>,
}

impl Step {
    /// `<layer>/<op>`: how people find it.
    pub fn label(&self) -> String {
        format!("{}/{}", self.layer, self.op.name())
    }

    /// Work of the node.
    pub fn cost(&self) -> Cost {
        self.op.cost(&self.x, &self.y)
    }
}

/// The result.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// What runs, in order.
    pub steps: Vec<Step>,
    /// Bytes of each slab.
    pub slabs: Vec<u64>,
    /// Names and types of the inputs.
    pub inputs: Vec<(String, Type)>,
    /// Names of the scalars, by slot.
    pub scalars: Vec<String>,
    /// Names and types of the states it touches.
    pub states: Vec<(String, Type)>,
    /// Named values kept until the next run.
    pub outputs: Vec<(String, Type, Place)>,
    /// Sum of the bytes of all values that are neither input nor state, as if none shared memory.
    pub values_bytes: u64,
    /// The memory of every value, with its lifetime.
    pub storage: Vec<Storage>,
    /// For each recorded value: its type and place, for the trace.
    pub places: BTreeMap<Var, (Type, Place)>,
}

impl Schedule {
    /// Schedules a tape. It is an error if the tape has two outputs of one name, or a state that is assigned under
    /// different guards.
    pub fn new(tape: &Tape, options: &Options<'_>) -> Result<Schedule> {
        tape.expect_sound()?;
        let fused = options.fuse.map(|rule| tape.rewritten(rule, options)).transpose()?;
        let tape = fused.as_ref().unwrap_or(tape);
        // After fusion: what is computed again must be the same nodes.
        let recomputed = options.recompute.then(|| tape.recomputed());
        let mut b = Builder::new(recomputed.as_ref().unwrap_or(tape), options);
        b.steps()?;
        b.commit()?;
        b.finish()
    }

    /// Bytes of all slabs together.
    pub fn slab_bytes(&self) -> u64 {
        self.slabs.iter().sum()
    }
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

struct Builder<'a> {
    tape: &'a Tape,
    options: &'a Options<'a>,
    live: Vec<bool>,
    /// For each node: its position among the steps. Positions grow in recording order.
    storage: Vec<Storage>,
    /// For each value: which storage holds it.
    home: BTreeMap<Var, usize>,
    /// For each value: the position of its last reader in the recording (`usize::MAX`: kept).
    last_use: BTreeMap<Var, usize>,
    committed: Vec<String>,
    steps: Vec<Step>,
}

impl<'a> Builder<'a> {
    fn new(tape: &'a Tape, options: &'a Options<'a>) -> Self {
        let mut b = Builder {
            tape,
            options,
            live: tape.live(),
            storage: Vec::new(),
            home: BTreeMap::new(),
            last_use: BTreeMap::new(),
            committed: Vec::new(),
            steps: Vec::new(),
        };
        b.find_last_uses();
        b
    }

    /// The value whose memory `v` is, seen through views.
    fn root(&self, mut v: Var, producers: &BTreeMap<Var, usize>) -> Var {
        while let Some(n) = producers.get(&v).map(|&i| &self.tape.nodes[i]).filter(|n| n.op.is_view()) {
            v = n.inputs[0];
        }
        v
    }

    fn producers(&self) -> BTreeMap<Var, usize> {
        let nodes = self.tape.nodes.iter().enumerate();
        nodes.flat_map(|(i, n)| n.outputs.iter().map(move |&v| (v, i))).collect()
    }

    /// The last readers by root. What is kept or committed is read at the very end.
    fn find_last_uses(&mut self) {
        let producers = self.producers();
        let mut last: BTreeMap<Var, usize> = BTreeMap::new();
        for (i, n) in self.tape.nodes.iter().enumerate().filter(|(i, _)| self.live[*i]) {
            for &v in &n.inputs {
                last.insert(self.root(v, &producers), i);
            }
        }
        for v in self.tape.kept() {
            last.insert(self.root(v, &producers), usize::MAX);
        }
        self.last_use = last;
    }

    fn fixed_home(&mut self, v: Var) -> Option<usize> {
        let place = match &self.tape.values[v.index()].role {
            Role::Input(n) => Place::Input(n.clone()),
            Role::State(n) => Place::State(n.clone()),
            Role::Temp => return None,
        };
        let bytes = self.tape.ty(v).bytes();
        self.storage.push(Storage { bytes, birth: 0, death: usize::MAX, fixed: Some(place), slab: 0 });
        self.home.insert(v, self.storage.len() - 1);
        Some(self.storage.len() - 1)
    }

    fn home_of(&mut self, v: Var) -> Result<usize> {
        match self.home.get(&v).copied().or_else(|| self.fixed_home(v)) {
            Some(s) => Ok(s),
            None => Err(Error::Failed("a value is read before it is computed; the tape is damaged".into())),
        }
    }

    fn fresh(&mut self, bytes: u64) -> usize {
        let now = self.steps.len();
        let bytes = bytes.next_multiple_of(16) + self.options.fence_bytes; // whole vec4, as buffers are
        self.storage.push(Storage { bytes, birth: now, death: now, fixed: None, slab: usize::MAX });
        self.storage.len() - 1
    }

    /// Places every live node. The output of an in-place op takes over its input's memory if nothing else needs it.
    fn steps(&mut self) -> Result<()> {
        let producers = self.producers();
        for i in 0..self.tape.nodes.len() {
            if !self.live[i] {
                continue;
            }
            let tape = self.tape;
            let node = &tape.nodes[i];
            let inputs = node.inputs.iter().map(|&v| self.home_of(v)).collect::<Result<Vec<_>>>()?;
            if node.op.is_view() {
                self.home.insert(node.outputs[0], inputs[0]);
                continue;
            }
            let mut outputs: Vec<Option<usize>> = vec![None; node.outputs.len()];
            for (x, y) in node.op.in_place() {
                let root = self.root(node.inputs[x], &producers);
                if self.may_take_over(i, &inputs, x, root, node.outputs[y], &producers) {
                    outputs[y] = Some(inputs[x]);
                    // The memory now lives as long as the output does.
                    let until = self.last_use.get(&node.outputs[y]).copied().unwrap_or(i);
                    self.last_use.insert(root, until);
                } else {
                    let copy = self.fresh(tape.ty(node.inputs[x]).bytes());
                    let ty = tape.ty(node.inputs[x]);
                    self.push(
                        Arc::new(Copy),
                        (&node.layer, node.part),
                        (vec![ty], vec![inputs[x]]),
                        (vec![ty], vec![copy]),
                    )?;
                    outputs[y] = Some(copy);
                }
            }
            let mut homes = Vec::new();
            for (o, &v) in outputs.into_iter().zip(&node.outputs) {
                let home = o.unwrap_or_else(|| self.fresh(tape.ty(v).bytes()));
                self.home.insert(v, home);
                homes.push(home);
            }
            let x = node.inputs.iter().map(|&v| tape.ty(v)).collect();
            let y = node.outputs.iter().map(|&v| tape.ty(v)).collect();
            self.push(node.op.clone(), (&node.layer, node.part), (x, inputs), (y, homes))?;
        }
        Ok(())
    }

    fn may_take_over(
        &mut self,
        node: usize,
        inputs: &[usize],
        x: usize,
        root: Var,
        y: Var,
        producers: &BTreeMap<Var, usize>,
    ) -> bool {
        let n = &self.tape.nodes[node];
        let alone = inputs.iter().enumerate().all(|(i, &s)| i == x || s != inputs[x]);
        // By storage, not by root: a chain of in-place ops shares one storage.
        let dies = self.last_use.get(&root).is_none_or(|&l| l <= node);
        if !alone || !dies {
            return false;
        }
        match &self.storage[inputs[x]].fixed {
            None => true,
            Some(Place::State(name)) => {
                let guard = self.tape.guard_of(name);
                let guard_ok = guard.is_none() || n.inputs.last().copied() == guard || n.op.defies_guard();
                let versions = self.tape.states.get(name);
                let is_newest = versions.is_some_and(|v| v.first == root && self.root(v.newest, producers) == y);
                if is_newest && guard_ok {
                    self.committed.push(name.clone());
                }
                is_newest && guard_ok
            }
            Some(_) => false,
        }
    }

    /// Appends a step and extends the lifetimes of what it uses.
    fn push(
        &mut self,
        op: Arc<dyn Op>,
        (layer, part): (&str, StepPart),
        (x, inputs): (Vec<Type>, Vec<usize>),
        (y, outputs): (Vec<Type>, Vec<usize>),
    ) -> Result<()> {
        let variant = self.options.variant(op.as_ref(), &x);
        let work: Vec<usize> = op
            .workspace(&x, &y, variant, self.options.caps)
            .iter()
            .map(|t| t.bytes())
            .collect::<Vec<_>>()
            .into_iter()
            .map(|b| self.fresh(b))
            .collect();
        let mut e = Emit { x: &x, y: &y, variant, caps: self.options.caps, launches: Vec::new() };
        op.emit(&mut e)?;
        let launches = e.launches.into_iter().map(|l| (l, Vec::new())).collect();
        let now = self.steps.len();
        for &s in inputs.iter().chain(&outputs).chain(&work) {
            let storage = &mut self.storage[s];
            storage.birth = storage.birth.min(now);
            storage.death = storage.death.max(now);
        }
        let layer = layer.to_string();
        self.steps.push(Step { op, variant, layer, part, x, y, inputs, outputs, work, launches });
        Ok(())
    }

    /// Writes what was assigned into the state, at the end of the step.
    fn commit(&mut self) -> Result<()> {
        let assigned: Vec<(String, Var, Var)> = self
            .tape
            .states
            .iter()
            .filter(|(n, v)| v.newest != v.first && !self.committed.contains(n))
            .map(|(n, v)| (n.clone(), v.first, v.newest))
            .collect();
        // A source that is another state's old value is copied before any state is overwritten.
        let mut sources = Vec::new();
        for (_, _, newest) in &assigned {
            let home = self.home_of(*newest)?;
            let ty = self.tape.ty(*newest);
            if matches!(self.storage[home].fixed, Some(Place::State(_))) {
                sources.push(self.set_aside(ty, home)?);
            } else {
                sources.push(home);
            }
        }
        let producers = self.producers();
        let targets = assigned.iter().map(|a| self.home_of(a.1)).collect::<Result<Vec<_>>>()?;
        self.keep_old_values(&assigned)?;
        for (((name, _, newest), source), target) in assigned.iter().zip(sources).zip(targets) {
            let ty = self.tape.ty(*newest);
            let (mut x, mut inputs) = (vec![ty], vec![source]);
            if let Some(guard) = self.tape.guard_of(name).filter(|_| !self.defies_guard(*newest, &producers)) {
                x.push(self.tape.ty(guard));
                inputs.push(self.home_of(guard)?);
            }
            let layer = format!("commit.{name}");
            self.push(Arc::new(Assign), (&layer, StepPart::Optimizer), (x, inputs), (vec![ty], vec![target]))?;
        }
        let end = self.steps.len();
        for (_, v) in self.tape.outputs.clone() {
            let home = self.home_of(v)?;
            self.storage[home].death = end;
        }
        Ok(())
    }

    /// Whether the op that made a state's newest value moves it regardless of the guard.
    fn defies_guard(&self, newest: Var, producers: &BTreeMap<Var, usize>) -> bool {
        producers.get(&self.root(newest, producers)).is_some_and(|&i| self.tape.nodes[i].op.defies_guard())
    }

    /// Copies a value before its memory is written, and says where the copy lies.
    fn set_aside(&mut self, ty: Type, home: usize) -> Result<usize> {
        let copy = self.fresh(ty.bytes());
        self.push(Arc::new(Copy), ("commit", StepPart::Optimizer), (vec![ty], vec![home]), (vec![ty], vec![copy]))?;
        Ok(copy)
    }

    /// Copies the old value of a state that is about to be overwritten, if it is a named output or a guard.
    fn keep_old_values(&mut self, assigned: &[(String, Var, Var)]) -> Result<()> {
        let tape = self.tape;
        for v in tape.outputs.iter().map(|o| o.1).chain(tape.guards.values().copied()) {
            let home = self.home_of(v)?;
            if let Some(Place::State(name)) = &self.storage[home].fixed
                && assigned.iter().any(|a| a.0 == *name)
            {
                let copy = self.set_aside(tape.ty(v), home)?;
                self.home.insert(v, copy);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Schedule> {
        let slabs = assign_slabs(&mut self.storage, self.options.reuse);
        let place = |s: usize| match &self.storage[s].fixed {
            Some(p) => p.clone(),
            None => Place::Slab(self.storage[s].slab),
        };
        for step in &mut self.steps {
            for (launch, places) in &mut step.launches {
                *places = launch
                    .buffers
                    .iter()
                    .map(|slot| match *slot {
                        Slot::In(i) => place(step.inputs[i]),
                        Slot::Out(i) => place(step.outputs[i]),
                        Slot::Work(i) => place(step.work[i]),
                    })
                    .collect();
            }
        }
        let values_bytes = self
            .tape
            .nodes
            .iter()
            .zip(&self.live)
            .filter(|(n, live)| **live && !n.op.is_view())
            .flat_map(|(n, _)| n.outputs.iter().map(|&v| self.tape.ty(v).bytes()))
            .sum();
        let outputs =
            self.tape.outputs.iter().map(|(n, v)| (n.clone(), self.tape.ty(*v), place(self.home[v]))).collect();
        let places = self.home.iter().map(|(&v, &s)| (v, (self.tape.ty(v), place(s)))).collect();
        let mut inputs: Vec<(String, Type)> =
            self.tape.inputs.iter().map(|(n, v)| (n.clone(), self.tape.ty(*v))).collect();
        if let Some(v) = self.tape.scalars_var {
            inputs.push((SCALARS_INPUT.into(), self.tape.ty(v)));
        }
        let scalars = self.tape.scalars.clone();
        Ok(Schedule {
            slabs,
            inputs,
            scalars,
            states: self.tape.state_types(),
            outputs,
            values_bytes,
            storage: self.storage,
            places,
            steps: self.steps,
        })
    }
}

//! Builds a schedule in four parts: go over the nodes that run, give each value its memory, write the assigns at the
//! end, and put values whose lifetimes do not overlap into shared slabs.

use super::{Options, Place, Schedule, Step, emit};
use crate::base::{Error, Result};
use crate::tape::arena::{lay_out, wishes};
use crate::tape::assign::{Assign, Copy};
use crate::tape::lifetime::{Storage, assign_slabs};
use crate::tape::op::{Op, Type};
use crate::tape::record::{Node, Role, SCALARS_INPUT, StepPart, Tape, Var};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The schedule of a recording as it is: nothing is fused, computed again or deferred here.
pub(super) fn build(tape: &Tape, options: &Options<'_>) -> Result<Schedule> {
    let mut b = Builder::new(tape, options);
    b.steps()?;
    b.commit()?;
    b.finish()
}

struct Builder<'a> {
    tape: &'a Tape,
    options: &'a Options<'a>,
    live: Vec<bool>,
    storage: Vec<Storage>,
    /// For each value: the value whose memory it shares through views, or itself.
    root: Vec<Var>,
    /// For each value: the value whose memory it shares through views and through ops that write in place, or itself.
    memory: Vec<Var>,
    /// For each value: the node that makes it.
    maker: Vec<Option<usize>>,
    /// For each value: which storage holds it.
    home: Vec<Option<usize>>,
    /// For each value: the position of its last reader in the recording; `usize::MAX` if it is kept.
    last_use: Vec<Option<usize>>,
    /// For each value: the arena that it should lie in.
    wish: Vec<Option<usize>>,
    /// For each arena: its storage.
    arenas: Vec<Vec<usize>>,
    /// The states that an op writes directly.
    committed: BTreeSet<&'a str>,
    steps: Vec<Step>,
}

/// Types of some values, and for each the storage that holds it.
type Held = (Vec<Type>, Vec<usize>);

impl<'a> Builder<'a> {
    fn new(tape: &'a Tape, options: &'a Options<'a>) -> Self {
        let (live, root, count) = (tape.live(), tape.roots(false), tape.values.len());
        let (mut maker, mut last_use) = (vec![None; count], vec![None; count]);
        for (i, n) in tape.nodes.iter().enumerate() {
            n.outputs.iter().for_each(|v| maker[v.index()] = Some(i));
            if live[i] {
                n.inputs.iter().for_each(|v| last_use[root[v.index()].index()] = Some(i));
            }
        }
        // What is kept or committed is read at the end of the step.
        tape.kept().for_each(|v| last_use[root[v.index()].index()] = Some(usize::MAX));
        let (storage, home, committed, steps) = (Vec::new(), vec![None; count], BTreeSet::new(), Vec::new());
        let wish = wishes(tape, &live);
        let arenas = vec![Vec::new(); wish.iter().flatten().max().map_or(0, |last| last + 1)];
        let memory = tape.roots(true);
        Builder { tape, options, live, storage, root, memory, maker, home, last_use, wish, arenas, committed, steps }
    }

    fn fixed_home(&mut self, v: Var) -> Option<usize> {
        let place = match &self.tape.values[v.index()].role {
            Role::Input(n) => Place::Input(n.clone()),
            Role::State(n) => Place::State(n.clone()),
            Role::Temp => return None,
        };
        let bytes = self.tape.ty(v).bytes();
        let (birth, death, fixed) = (0, usize::MAX, Some(place));
        self.storage.push(Storage { bytes, birth, death, fixed, slab: 0, within: None });
        self.home[v.index()] = Some(self.storage.len() - 1);
        self.wish_for(v, self.storage.len() - 1);
        self.home[v.index()]
    }

    fn home_of(&mut self, v: Var) -> Result<usize> {
        match self.home[v.index()].or_else(|| self.fixed_home(v)) {
            Some(s) => Ok(s),
            None => Err(Error::Failed("a value is read before it is computed; the tape is damaged".into())),
        }
    }

    fn fresh(&mut self, bytes: u64) -> usize {
        let now = self.steps.len();
        let bytes = bytes.next_multiple_of(16) + self.options.fence_bytes; // whole vec4, as buffers are
        self.storage.push(Storage { bytes, birth: now, death: now, fixed: None, slab: usize::MAX, within: None });
        self.storage.len() - 1
    }

    /// Puts the storage of a value on the list of the arena that the value should lie in.
    fn wish_for(&mut self, v: Var, storage: usize) {
        if let Some(arena) = self.wish[v.index()] {
            self.arenas[arena].push(storage);
        }
    }

    /// Puts copies of inputs, by input, on lists of new arenas. Copies lie together only where the copied values
    /// should: what is read and written by one op is kept apart for values, and so for their copies.
    fn wish_for_copies(&mut self, node: &Node, copies: &BTreeMap<usize, usize>) {
        for list in node.op.together(node.inputs.len()) {
            let mut arenas: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for (x, copy) in list.iter().filter_map(|x| Some((*x, *copies.get(x)?))) {
                if let Some(arena) = self.wish[self.memory[node.inputs[x].index()].index()] {
                    arenas.entry(arena).or_default().push(copy);
                }
            }
            self.arenas.extend(arenas.into_values());
        }
    }

    /// Places every live node. The output of an in-place op takes over its input's memory if nothing else needs it.
    fn steps(&mut self) -> Result<()> {
        let tape = self.tape;
        for (i, node) in tape.nodes.iter().enumerate() {
            if !self.live[i] {
                continue;
            }
            let inputs = node.inputs.iter().map(|&v| self.home_of(v)).collect::<Result<Vec<_>>>()?;
            if node.op.is_view() {
                self.home[node.outputs[0].index()] = Some(inputs[0]);
                continue;
            }
            let mut outputs: Vec<Option<usize>> = vec![None; node.outputs.len()];
            let mut copies = BTreeMap::new();
            for (x, y) in node.op.in_place() {
                let root = self.root[node.inputs[x].index()];
                if self.may_take_over(i, &inputs, x, root, node.outputs[y]) {
                    outputs[y] = Some(inputs[x]);
                    // The memory now lives as long as the output does.
                    let until = self.last_use[node.outputs[y].index()].unwrap_or(i);
                    self.last_use[root.index()] = Some(until);
                } else {
                    let ty = tape.ty(node.inputs[x]);
                    let copy = self.copy((&node.layer, node.part), ty, inputs[x])?;
                    outputs[y] = Some(copy);
                    copies.insert(x, copy);
                }
            }
            self.wish_for_copies(node, &copies);
            let mut homes = Vec::new();
            for (o, &v) in outputs.into_iter().zip(&node.outputs) {
                let home = match o {
                    Some(home) => home,
                    None => {
                        let home = self.fresh(tape.ty(v).bytes());
                        self.wish_for(v, home);
                        home
                    }
                };
                self.home[v.index()] = Some(home);
                homes.push(home);
            }
            let x = node.inputs.iter().map(|&v| tape.ty(v)).collect();
            let y = node.outputs.iter().map(|&v| tape.ty(v)).collect();
            self.push(node.op.clone(), (&node.layer, node.part), (x, inputs), (y, homes))?;
        }
        Ok(())
    }

    fn may_take_over(&mut self, node: usize, inputs: &[usize], x: usize, root: Var, y: Var) -> bool {
        let n = &self.tape.nodes[node];
        let alone = inputs.iter().enumerate().all(|(i, &s)| i == x || s != inputs[x]);
        // This looks at the storage and not at the root, because a chain of in-place ops shares one storage.
        let dies = self.last_use[root.index()].is_none_or(|l| l <= node);
        if !alone || !dies {
            return false;
        }
        match &self.storage[inputs[x]].fixed {
            None => true,
            Some(Place::State(name)) => {
                let guard = self.tape.guard_of(name);
                let guard_ok = guard.is_none() || n.inputs.last().copied() == guard || n.op.defies_guard();
                let Some((name, versions)) = self.tape.states.get_key_value(name) else { return false };
                let is_newest = versions.first == root && self.root[versions.newest.index()] == y;
                if is_newest && guard_ok {
                    self.committed.insert(name);
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
        (x, inputs): Held,
        (y, outputs): Held,
    ) -> Result<()> {
        let variant = self.options.variant(op.as_ref(), &x);
        let wanted = op.workspace(&x, &y, variant, self.options.caps);
        let work: Vec<usize> = wanted.iter().map(|t| self.fresh(t.bytes())).collect();
        let now = self.steps.len();
        for &s in inputs.iter().chain(&outputs).chain(&work) {
            let storage = &mut self.storage[s];
            storage.birth = storage.birth.min(now);
            storage.death = storage.death.max(now);
        }
        let layer = layer.to_string();
        self.steps.push(Step { op, variant, layer, part, x, y, inputs, outputs, work, launches: Vec::new() });
        Ok(())
    }

    /// Copies a value. Returns the storage that holds the copy.
    fn copy(&mut self, at: (&str, StepPart), ty: Type, from: usize) -> Result<usize> {
        let copy = self.fresh(ty.bytes());
        self.push(Arc::new(Copy), at, (vec![ty], vec![from]), (vec![ty], vec![copy]))?;
        Ok(copy)
    }

    /// Copies a value before its memory is written at the end of the step.
    fn set_aside(&mut self, ty: Type, home: usize) -> Result<usize> {
        self.copy(("commit", StepPart::Optimizer), ty, home)
    }

    /// Writes the assigned values into the states, at the end of the step.
    fn commit(&mut self) -> Result<()> {
        let tape = self.tape;
        let assigned: Vec<(&str, Var, Var)> = tape
            .states
            .iter()
            .filter(|(n, v)| v.newest != v.first && !self.committed.contains(n.as_str()))
            .map(|(n, v)| (n.as_str(), v.first, v.newest))
            .collect();
        // A value that is another state's old value is copied before any state is overwritten.
        let mut sources = Vec::new();
        for (_, _, newest) in &assigned {
            let home = self.home_of(*newest)?;
            let ty = tape.ty(*newest);
            if matches!(self.storage[home].fixed, Some(Place::State(_))) {
                sources.push(self.set_aside(ty, home)?);
            } else {
                sources.push(home);
            }
        }
        let targets = assigned.iter().map(|a| self.home_of(a.1)).collect::<Result<Vec<_>>>()?;
        self.keep_old_values(&assigned)?;
        for (((name, _, newest), source), target) in assigned.iter().zip(sources).zip(targets) {
            let ty = tape.ty(*newest);
            let (mut x, mut inputs) = (vec![ty], vec![source]);
            if let Some(guard) = tape.guard_of(name).filter(|_| !self.defies_guard(*newest)) {
                x.push(tape.ty(guard));
                inputs.push(self.home_of(guard)?);
            }
            let layer = format!("commit.{name}");
            self.push(Arc::new(Assign), (&layer, StepPart::Optimizer), (x, inputs), (vec![ty], vec![target]))?;
        }
        let end = self.steps.len();
        for (_, v) in &tape.outputs {
            let home = self.home_of(*v)?;
            self.storage[home].death = end;
        }
        Ok(())
    }

    /// Whether the op that made a state's newest value writes even while the guard is raised.
    fn defies_guard(&self, newest: Var) -> bool {
        self.maker[self.root[newest.index()].index()].is_some_and(|i| self.tape.nodes[i].op.defies_guard())
    }

    /// Copies the old value of a state that is about to be overwritten, if it is a named output or a guard.
    fn keep_old_values(&mut self, assigned: &[(&str, Var, Var)]) -> Result<()> {
        let tape = self.tape;
        for v in tape.outputs.iter().map(|o| o.1).chain(tape.guards.values().copied()) {
            let home = self.home_of(v)?;
            if let Some(Place::State(name)) = &self.storage[home].fixed
                && assigned.iter().any(|a| a.0 == name)
            {
                let copy = self.set_aside(tape.ty(v), home)?;
                self.home[v.index()] = Some(copy);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Schedule> {
        let (lists, most) = (std::mem::take(&mut self.arenas), self.options.caps.binding_bytes);
        let arenas = lay_out(&mut self.storage, lists, most, self.options.fence_bytes);
        let slabs = assign_slabs(&mut self.storage, self.options.reuse);
        emit(&mut self.steps, &self.storage, self.options.caps)?;
        let place = |s: usize| Place::of(&self.storage, s);
        let tape = self.tape;
        let run = tape.nodes.iter().zip(&self.live).filter(|(n, live)| **live && !n.op.is_view());
        let values_bytes = run.flat_map(|(n, _)| n.outputs.iter().map(|&v| tape.ty(v).bytes())).sum();
        let homes = self.home.iter().enumerate().filter_map(|(v, home)| Some((Var(v as u32), (*home)?)));
        let places = homes.map(|(v, s)| (v, (tape.ty(v), place(s)))).collect();
        let kept = tape.outputs.iter().filter_map(|(n, v)| Some((n, v, self.home[v.index()]?)));
        let outputs = kept.map(|(n, v, s)| (n.clone(), tape.ty(*v), place(s))).collect();
        let mut inputs: Vec<(String, Type)> = tape.inputs.iter().map(|(n, v)| (n.clone(), tape.ty(*v))).collect();
        if let Some(v) = tape.scalars_var {
            inputs.push((SCALARS_INPUT.into(), tape.ty(v)));
        }
        Ok(Schedule {
            slabs,
            arenas,
            inputs,
            scalars: tape.scalars.clone(),
            states: tape.state_types(),
            outputs,
            values_bytes,
            storage: self.storage,
            places,
            steps: self.steps,
        })
    }
}

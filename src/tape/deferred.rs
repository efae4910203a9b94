//! Deferral. An op that moves state in place may stand in the forward pass (running statistics, MoCo's queue), where
//! the guard of its scope is not known yet: the guard tests gradients. Before the guard is known the op must not write
//! the state, so the schedule would copy the whole state before the op and copy it back at the end of the step. This
//! pure pass over a recording moves such an op behind all others and gives it the guard, so that it writes the state
//! directly. Nothing in the step reads what the op makes, so no value changes.

use super::record::{Node, Tape, Var};
use super::scope::Scope;
use std::collections::BTreeMap;

impl Tape {
    /// The recording in which every op that can wait for its guard waits. `None` if there is no such op.
    pub(super) fn deferred(&self) -> Option<Tape> {
        if self.guards.is_empty() {
            return None;
        }
        let waiting = Waiting::new(self);
        let guards: Vec<Option<Var>> = (0..self.nodes.len()).map(|i| waiting.guard(i)).collect();
        if guards.iter().all(Option::is_none) {
            return None;
        }
        let mut tape = self.clone();
        let (mut now, mut later): (Vec<Node>, Vec<Node>) = (Vec::new(), Vec::new());
        for (mut node, guard) in std::mem::take(&mut tape.nodes).into_iter().zip(guards) {
            node.inputs.extend(guard);
            if guard.is_some() { later.push(node) } else { now.push(node) }
        }
        now.append(&mut later);
        tape.nodes = now;
        Some(tape)
    }
}

/// What decides whether a node can wait.
struct Waiting<'a> {
    tape: &'a Tape,
    live: Vec<bool>,
    /// For each value: the value whose memory it shares through views, or itself.
    root: Vec<Var>,
    /// For each value: how often it is read, by nodes that run, as an output, as a guard, or as the new value of a
    /// state.
    readers: Vec<usize>,
    /// For each assigned state, by its value at the beginning of the step: its new value, and the scope that assigns
    /// it.
    assigned: BTreeMap<Var, (Var, &'a Scope)>,
}

impl<'a> Waiting<'a> {
    fn new(tape: &'a Tape) -> Self {
        let (live, root) = (tape.live(), tape.roots(false));
        let mut readers = vec![0; tape.values.len()];
        let nodes = tape.nodes.iter().zip(&live).filter(|(n, live)| **live && !n.op.is_view());
        let read = nodes.flat_map(|(n, _)| n.inputs.iter().copied()).chain(tape.kept());
        read.for_each(|v| readers[root[v.index()].index()] += 1);
        let states = tape.states.values().filter(|s| s.newest != s.first);
        let assigned = states.filter_map(|s| Some((s.first, (root[s.newest.index()], s.scopes.first()?)))).collect();
        Waiting { tape, live, root, readers, assigned }
    }

    /// The guard that a node can wait for. The node must take a guard and have none yet. All its outputs must be new
    /// values of states under that one guard, and nothing else may read them.
    fn guard(&self, node: usize) -> Option<Var> {
        let n = &self.tape.nodes[node];
        let pairs = n.op.in_place();
        if !self.live[node] || n.op.unguarded()? != n.inputs.len() || pairs.len() != n.outputs.len() {
            return None;
        }
        let mut guards = pairs.iter().map(|&(x, y)| {
            let (newest, scope) = self.assigned.get(&self.root[n.inputs[x].index()])?;
            let own = *newest == n.outputs[y] && self.readers[newest.index()] == 1;
            self.tape.guards.get(*scope).copied().filter(|_| own)
        });
        let first = guards.next()??;
        guards.all(|other| other == Some(first)).then_some(first)
    }
}

//! Deferral: an op that moves state in place may be recorded before the guard of its scope is known, because the guard
//! tests gradients and the op stands in the forward pass (running statistics, MoCo's queue). Where it stands it must not
//! write the state, so the schedule would copy the whole state before it and back at the end of the step. This pure pass
//! over a recording moves such an op behind all others and gives it the guard, so that it writes the state directly.
//! Nothing in the step reads what it makes, so no value changes.

use super::record::{Node, Tape, Var};
use super::scope::Scope;
use std::collections::BTreeMap;

impl Tape {
    /// The recording in which every op that can wait for its guard does. `None` if there is no such op.
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

/// What says whether a node can wait.
struct Waiting<'a> {
    tape: &'a Tape,
    live: Vec<bool>,
    /// For each value, the one whose memory it is, seen through views.
    root: Vec<Var>,
    /// How often each value is read: by nodes that run, as an output, as a guard, as what a state becomes.
    readers: Vec<usize>,
    /// The value of each assigned state at the beginning of the step: what it becomes, and the scope that says so.
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

    /// The guard that a node can wait for: it takes one and has none yet, all that it makes are new values of states
    /// under that guard, and nothing else reads them.
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

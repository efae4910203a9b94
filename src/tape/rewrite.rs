//! Rewriting puts one node in place of a chain of nodes in which each is read only by the next. It is a pure pass over
//! a recording, from its end, so that the longest chain is found first. It names no op: `kernels` passes in a rule that
//! says what may be fused (`kernels/fuse.rs`). The new node takes the place of the chain's last node and computes the
//! same value, so every handle stays valid. It may also make values of the chain that others read (the statistics of a
//! batch norm); those others then come after it. The chain's other nodes are dropped with the dead ones.

use super::op::{Op, Type};
use super::record::{Node, Tape, Var};
use super::schedule::Options;
use crate::base::{Error, Result};
use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A rule says what replaces the chain that ends in a value, if anything does.
pub type Rule = fn(&Chain<'_>, Var) -> Option<Fusion>;

/// The node that replaces a chain.
#[derive(Clone, Debug)]
pub struct Fusion {
    /// Its op.
    pub op: Arc<dyn Op>,
    /// Its inputs: values that come from outside the chain.
    pub inputs: Vec<Var>,
    /// Its outputs: values of the chain that are needed outside.
    pub outputs: Vec<Var>,
    /// The chain's first value. The new node is named after the layer that made it.
    pub begins: Var,
}

/// The chain of nodes that ends in one value, for a rule to inspect.
pub struct Chain<'a> {
    options: &'a Options<'a>,
    tape: &'a Tape,
    uses: &'a Uses,
    end: Var,
}

/// For each value: the node that makes it, the first node that reads it, and how often it is read. A value that the
/// step is run for is read once more.
#[derive(Debug)]
struct Uses {
    maker: Vec<Option<usize>>,
    first: Vec<Option<usize>>,
    readers: Vec<usize>,
}

impl Uses {
    fn new(tape: &Tape) -> Self {
        let count = tape.values.len();
        let (mut maker, mut first, mut readers) = (vec![None; count], vec![None; count], vec![0; count]);
        for (i, (node, _)) in tape.nodes.iter().zip(tape.live()).enumerate().filter(|(_, (_, live))| *live) {
            for v in &node.inputs {
                readers[v.index()] += 1;
                first[v.index()].get_or_insert(i);
            }
            node.outputs.iter().for_each(|v| maker[v.index()] = Some(i));
        }
        tape.kept().for_each(|v| readers[v.index()] += 1);
        Uses { maker, first, readers }
    }
}

impl<'a> Chain<'a> {
    /// The op that makes `v`, with its inputs. `None` unless the op is a `T`, has no other output, and `v` is the
    /// chain's end or is read only by the next node of the chain.
    pub fn part<T: Op>(&self, v: Var) -> Option<(&'a T, &'a [Var])> {
        let inside = v == self.end || self.uses.readers[v.index()] == 1;
        let tape: &'a Tape = self.tape;
        let node = self.uses.maker[v.index()].filter(|_| inside).map(|i| &tape.nodes[i])?;
        let op: &'a dyn Any = node.op.as_ref();
        (node.outputs.len() == 1).then_some((op.downcast_ref::<T>()?, node.inputs.as_slice()))
    }

    /// The op that makes `v`, with its inputs and outputs, whoever reads them. `None` unless the op is a `T`.
    pub fn maker<T: Op>(&self, v: Var) -> Option<(&'a T, &'a [Var], &'a [Var])> {
        let tape: &'a Tape = self.tape;
        let node = self.uses.maker[v.index()].map(|i| &tape.nodes[i])?;
        let op: &'a dyn Any = node.op.as_ref();
        Some((op.downcast_ref::<T>()?, node.inputs.as_slice(), node.outputs.as_slice()))
    }

    /// Whether a node makes `v`: it is no input and no state.
    pub fn is_computed(&self, v: Var) -> bool {
        self.uses.maker[v.index()].is_some()
    }

    /// Whether the node that ends the chain reads `v` before any other node does.
    pub fn is_read_here_first(&self, v: Var) -> bool {
        self.uses.first[v.index()] == self.uses.maker[self.end.index()]
    }

    /// Whether one node alone reads `v`.
    pub fn is_read_once(&self, v: Var) -> bool {
        self.uses.readers[v.index()] == 1
    }
}

impl Chain<'_> {
    /// The type of a value.
    pub fn ty(&self, v: Var) -> Type {
        self.tape.ty(v)
    }

    /// Whether the backward pass computes values again. What is fused then holds everything that it reads while that
    /// happens.
    pub fn computes_again(&self) -> bool {
        self.options.recompute
    }

    /// The variant of `op` that the schedule would run over `x`. Whether to fuse can depend on it.
    pub fn variant(&self, op: &dyn Op, x: &[Var]) -> &'static str {
        let types: Vec<Type> = x.iter().map(|&v| self.ty(v)).collect();
        self.options.variant(op, &types)
    }
}

impl Tape {
    /// The recording in which every chain that `rule` knows is replaced. It is an error if a fusion gives another type.
    /// A new node stands where its chain ended, and what reads its outputs comes after it.
    pub fn rewritten(&self, rule: Rule, options: &Options<'_>) -> Result<Tape> {
        let (mut tape, uses) = (self.clone(), Uses::new(self));
        let mut taken = vec![false; self.nodes.len()];
        let mut gone: Vec<bool> = self.live().iter().map(|live| !live).collect();
        for (i, node) in self.nodes.iter().enumerate().rev() {
            let end = node.outputs[0];
            if taken[i] || uses.maker[end.index()].is_none() {
                continue;
            }
            let Some(fusion) = rule(&Chain { options, tape: self, uses: &uses, end }, end) else { continue };
            let inside = self.inside(&uses, i, &fusion);
            if inside.iter().any(|&n| taken[n]) || tape.circular(&inside, &gone, &fusion) {
                continue;
            }
            for &n in &inside {
                (taken[n], gone[n]) = (true, n != i);
            }
            tape.nodes[i] = self.fused(node, fusion, &uses)?;
        }
        let nodes = std::mem::take(&mut tape.nodes).into_iter().zip(gone).filter(|(_, gone)| !gone);
        tape.nodes = sorted(nodes.map(|(node, _)| node).collect());
        Ok(tape)
    }

    /// The nodes that a fusion stands for: those from node `last` back to its inputs.
    fn inside(&self, uses: &Uses, last: usize, fusion: &Fusion) -> Vec<usize> {
        let mut inside = vec![last];
        let mut next = 0;
        while let Some(&node) = inside.get(next) {
            for v in self.nodes[node].inputs.iter().filter(|v| !fusion.inputs.contains(v)) {
                // What others read, and the new node does not make, stays.
                let within = uses.readers[v.index()] == 1 || fusion.outputs.contains(v);
                inside.extend(uses.maker[v.index()].filter(|n| within && !inside.contains(n)));
            }
            next += 1;
        }
        inside
    }

    /// Whether an input of a fusion depends on one of its outputs, through nodes that stay.
    fn circular(&self, inside: &[usize], gone: &[bool], fusion: &Fusion) -> bool {
        let (mut after, mut found) = (vec![false; self.values.len()], true);
        fusion.outputs.iter().for_each(|v| after[v.index()] = true);
        while std::mem::take(&mut found) {
            for (_, node) in self.nodes.iter().enumerate().filter(|(i, _)| !gone[*i] && !inside.contains(i)) {
                let first = node.outputs[0].index();
                if !after[first] && node.inputs.iter().any(|v| after[v.index()]) {
                    node.outputs.iter().for_each(|v| after[v.index()] = true);
                    found = true; // nodes are not in order any more once one was replaced
                }
            }
        }
        fusion.inputs.iter().any(|v| after[v.index()])
    }

    fn fused(&self, last: &Node, Fusion { op, inputs, outputs, begins }: Fusion, uses: &Uses) -> Result<Node> {
        let types = |list: &[Var]| list.iter().map(|&v| self.ty(v)).collect::<Vec<Type>>();
        let (made, wanted) = (op.infer(&types(&inputs))?, types(&outputs));
        if made != wanted {
            let (name, what) = (op.name(), last.op.name());
            return Err(Error::Failed(format!("{name} makes {made:?} in place of {what}, which makes {wanted:?}")));
        }
        let layer = uses.maker[begins.index()].map_or(&last.layer, |i| &self.nodes[i].layer).clone();
        Ok(Node { op, inputs, outputs, layer, part: last.part })
    }
}

/// The nodes in their order, but each behind those that make its inputs.
fn sorted(nodes: Vec<Node>) -> Vec<Node> {
    let mut unmade: BTreeSet<Var> = nodes.iter().flat_map(|n| n.outputs.iter().copied()).collect();
    let (mut ready, mut waiting) = (Vec::with_capacity(nodes.len()), Vec::new());
    for node in nodes {
        waiting.push(node);
        while let Some(at) = waiting.iter().position(|n: &Node| n.inputs.iter().all(|v| !unmade.contains(v))) {
            let node = waiting.remove(at);
            for v in &node.outputs {
                unmade.remove(v);
            }
            ready.push(node);
        }
    }
    ready.append(&mut waiting); // none: no fusion is circular
    ready
}

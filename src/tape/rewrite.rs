//! Rewriting puts one node in place of a chain of nodes in which each is read only by the next. It is a pure pass over
//! a recording, from its end, so that the longest chain is found first. It names no op: `kernels` passes in a rule that
//! says what may be fused (`kernels/fuse.rs`). The new node takes the place of the chain's last node and computes the
//! same value, so every handle stays valid. Nothing needs the chain's other nodes any more, so they are dropped with
//! the dead ones.

use super::op::{Op, Type};
use super::record::{Node, Tape, Var};
use super::schedule::Options;
use crate::base::{Error, Result};
use std::any::Any;
use std::sync::Arc;

/// A rule says what replaces the chain that ends in a value, if anything does.
pub type Rule = fn(&Chain<'_>, Var) -> Option<Fusion>;

/// The node that replaces a chain.
#[derive(Clone, Debug)]
pub struct Fusion {
    /// Its op. The op has one output.
    pub op: Arc<dyn Op>,
    /// Its inputs: values that come from outside the chain.
    pub inputs: Vec<Var>,
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

/// For each value: the node that makes it, and how often it is read. A value that the step is run for is read once
/// more.
#[derive(Debug)]
struct Uses {
    maker: Vec<Option<usize>>,
    readers: Vec<usize>,
}

impl Uses {
    fn new(tape: &Tape) -> Self {
        let (mut maker, mut readers) = (vec![None; tape.values.len()], vec![0; tape.values.len()]);
        for (i, (node, _)) in tape.nodes.iter().zip(tape.live()).enumerate().filter(|(_, (_, live))| *live) {
            node.inputs.iter().for_each(|v| readers[v.index()] += 1);
            node.outputs.iter().for_each(|v| maker[v.index()] = Some(i));
        }
        tape.kept().for_each(|v| readers[v.index()] += 1);
        Uses { maker, readers }
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
}

impl Chain<'_> {
    /// The type of a value.
    pub fn ty(&self, v: Var) -> Type {
        self.tape.ty(v)
    }

    /// The variant of `op` that the schedule would run over `x`. Whether to fuse can depend on it.
    pub fn variant(&self, op: &dyn Op, x: &[Var]) -> &'static str {
        let types: Vec<Type> = x.iter().map(|&v| self.ty(v)).collect();
        self.options.variant(op, &types)
    }
}

impl Tape {
    /// The recording in which every chain that `rule` knows is replaced. It is an error if a fusion gives another type.
    pub fn rewritten(&self, rule: Rule, options: &Options<'_>) -> Result<Tape> {
        let (mut tape, uses) = (self.clone(), Uses::new(self));
        let mut taken = vec![false; self.nodes.len()];
        for (i, node) in self.nodes.iter().enumerate().rev() {
            let [end] = node.outputs[..] else { continue };
            if taken[i] || uses.maker[end.index()].is_none() {
                continue;
            }
            if let Some(fusion) = rule(&Chain { options, tape: self, uses: &uses, end }, end) {
                self.take(&uses, end, &fusion.inputs, &mut taken);
                tape.nodes[i] = self.fused(node, fusion, &uses)?;
            }
        }
        Ok(tape)
    }

    /// Marks the nodes between a chain's inputs and its end.
    fn take(&self, uses: &Uses, v: Var, inputs: &[Var], taken: &mut [bool]) {
        if let Some(i) = uses.maker[v.index()].filter(|_| !inputs.contains(&v)) {
            taken[i] = true;
            self.nodes[i].inputs.iter().for_each(|&x| self.take(uses, x, inputs, taken));
        }
    }

    fn fused(&self, last: &Node, Fusion { op, inputs, begins }: Fusion, uses: &Uses) -> Result<Node> {
        let types: Vec<Type> = inputs.iter().map(|&v| self.ty(v)).collect();
        let (made, wanted) = (op.infer(&types)?, self.ty(last.outputs[0]));
        if made != [wanted] {
            let (name, what) = (op.name(), last.op.name());
            return Err(Error::Failed(format!("{name} makes {made:?} in place of {what}, which makes {wanted}")));
        }
        let layer = uses.maker[begins.index()].map_or(&last.layer, |i| &self.nodes[i].layer).clone();
        Ok(Node { op, inputs, outputs: last.outputs.clone(), layer, part: last.part })
    }
}

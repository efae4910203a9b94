//! Joining. Optimizers, averages and the like are recorded tensor by tensor, but one launch can walk all tensors. This
//! pure pass over a recording puts one node in place of all nodes of one op that differ only in inputs of their own
//! ([`Op::own_inputs`]). The node takes the place of the last of them. Nothing between them reads what they make, so no
//! value changes.

use super::op::Op;
use super::record::{Node, StepPart, Tape, Var};
use crate::base::{Error, Result};
use std::collections::BTreeMap;

/// Nodes that may become one.
struct Group {
    nodes: Vec<usize>,
    /// The name of their op, their part of the step, and the inputs that they have in common.
    kind: (&'static str, StepPart, Vec<Var>),
}

impl Tape {
    /// The recording in which nodes that can run as one do. It is an error if an op gives other types then.
    pub(super) fn joined(&self) -> Result<Tape> {
        let mut tape = self.clone();
        let (mut gone, mut at) = (vec![false; self.nodes.len()], BTreeMap::new());
        for nodes in self.joinable() {
            if let Some(node) = self.one_of(&nodes)? {
                nodes.iter().for_each(|&i| gone[i] = true);
                at.extend(nodes.last().map(|&last| (last, node)));
            }
        }
        let nodes = std::mem::take(&mut tape.nodes).into_iter().enumerate();
        tape.nodes = nodes.filter_map(|(i, node)| if gone[i] { at.remove(&i) } else { Some(node) }).collect();
        Ok(tape)
    }

    /// Lists of nodes that may become one, each in the order of the recording.
    fn joinable(&self) -> Vec<Vec<usize>> {
        let live = self.live();
        // A group is open as long as nothing has read what its nodes make.
        let (mut open, mut closed): (Vec<Group>, Vec<Group>) = (Vec::new(), Vec::new());
        for (i, node) in self.nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
            let reads =
                |g: &Group| g.nodes.iter().any(|&n| self.nodes[n].outputs.iter().any(|v| node.inputs.contains(v)));
            closed.extend(open.extract_if(.., |g| reads(g)));
            let Some(own) = node.op.own_inputs().filter(|own| *own <= node.inputs.len()) else { continue };
            let kind = (node.op.name(), node.part, node.inputs[own..].to_vec());
            match open.iter_mut().find(|g| g.kind == kind && self.joins(&g.nodes, i)) {
                Some(group) => group.nodes.push(i),
                None => open.push(Group { nodes: vec![i], kind }),
            }
        }
        closed.into_iter().chain(open).map(|g| g.nodes).filter(|nodes| nodes.len() > 1).collect()
    }

    /// Whether node `i` can run as one with `nodes`.
    fn joins(&self, nodes: &[usize], i: usize) -> bool {
        nodes.first().is_some_and(|&first| {
            let (first, other) = (self.nodes[first].op.as_ref(), self.nodes[i].op.as_ref());
            first.joined(&[first, other]).is_some()
        })
    }

    /// The node that stands for all of `nodes`.
    fn one_of(&self, nodes: &[usize]) -> Result<Option<Node>> {
        let all: Vec<&Node> = nodes.iter().map(|&i| &self.nodes[i]).collect();
        let Some(first) = all.first() else { return Ok(None) };
        let ops: Vec<&dyn Op> = all.iter().map(|n| n.op.as_ref()).collect();
        let Some(op) = first.op.joined(&ops) else { return Ok(None) };
        let own = first.op.own_inputs().unwrap_or_default();
        let mut inputs: Vec<Var> = all.iter().flat_map(|n| &n.inputs[..own]).copied().collect();
        inputs.extend(&first.inputs[own..]);
        let outputs: Vec<Var> = all.iter().flat_map(|n| &n.outputs).copied().collect();
        let types = |list: &[Var]| list.iter().map(|&v| self.ty(v)).collect::<Vec<_>>();
        let (made, due) = (op.infer(&types(&inputs))?, types(&outputs));
        if made != due {
            let name = op.name();
            return Err(Error::Failed(format!("{name} makes other types for many tensors than for each: {made:?}")));
        }
        let layers: Vec<&str> = all.iter().map(|n| n.layer.as_str()).collect();
        Ok(Some(Node { op, inputs, outputs, layer: common(&layers), part: first.part }))
    }
}

/// The layers that all paths begin with, joined by dots.
fn common(paths: &[&str]) -> String {
    let Some((first, others)) = paths.split_first() else { return String::new() };
    let mut layers: Vec<&str> = first.split('.').collect();
    for path in others {
        let same = layers.iter().zip(path.split('.')).take_while(|(a, b)| **a == *b).count();
        layers.truncate(same);
    }
    layers.join(".")
}

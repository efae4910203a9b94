//! Arenas: values that lie one after the other in one buffer, so that one launch can bind them all. An optimizer walks
//! all parameters of a step so. An op says which of its inputs should lie together ([`Op::together`]). Each of these
//! values is still bound by itself where another op reads or writes it, as a part of the buffer.
//!
//! wgpu tracks usage per buffer: a dispatch cannot read one part of a buffer and write another. So a value stays
//! outside an arena if any op would read one member of the arena and write another. An op that finds values in several
//! buffers launches more often; nothing else depends on where values lie.

use super::demand::padded;
use super::lifetime::Storage;
use super::record::{Role, Tape};
use super::schedule::Place;
use crate::device::buffer::PART_ALIGN;
use std::collections::{BTreeMap, BTreeSet};

/// Inputs or states that lie in one buffer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arena {
    /// The place of each, with its first byte in the buffer.
    pub members: Vec<(Place, u64)>,
    /// Bytes of the buffer.
    pub bytes: u64,
}

impl Arena {
    /// The states among its members, by name.
    pub fn states(&self) -> impl Iterator<Item = (&str, u64)> {
        self.members.iter().filter_map(|(place, at)| match place {
            Place::State(name) => Some((name.as_str(), *at)),
            _ => None,
        })
    }
}

/// For each value: the number of the arena that it should lie in, if there is one. Values of one number are all
/// inputs, all states or all computed. A value that shares another's memory has no number; the other may have one.
pub(super) fn wishes(tape: &Tape, live: &[bool]) -> Vec<Option<usize>> {
    let root = tape.roots(true);
    let nodes = || tape.nodes.iter().zip(live).filter(|(_, live)| **live).map(|(n, _)| n);
    let (mut wish, mut count) = (vec![None; tape.values.len()], 0);
    for node in nodes() {
        for list in node.op.together(node.inputs.len()) {
            let mut kinds = BTreeMap::new();
            for v in list.iter().map(|&x| root[node.inputs[x].index()].index()) {
                let kind = match &tape.values[v].role {
                    Role::Input(_) => 0,
                    Role::State(_) => 1,
                    Role::Temp => 2,
                };
                if wish[v].is_none() {
                    wish[v] = Some(*kinds.entry(kind).or_insert_with(|| {
                        count += 1;
                        count - 1
                    }));
                }
            }
        }
    }
    for node in nodes().filter(|n| !n.op.is_view()) {
        let taken: BTreeSet<usize> = node.op.in_place().iter().map(|pair| pair.0).collect();
        let read = node.inputs.iter().enumerate().filter(|(x, _)| !taken.contains(x)).map(|(_, v)| v);
        let read: BTreeSet<usize> = read.filter_map(|v| wish[root[v.index()].index()]).collect();
        for v in node.outputs.iter().map(|v| root[v.index()].index()) {
            if wish[v].is_some_and(|arena| read.contains(&arena)) {
                wish[v] = None;
            }
        }
        // One launch binds an arena for each list. It cannot bind one buffer twice if it writes it.
        let mut used = BTreeMap::new();
        for (i, list) in node.op.together(node.inputs.len()).iter().enumerate() {
            for v in list.iter().map(|&x| root[node.inputs[x].index()].index()) {
                if wish[v].is_some_and(|arena| *used.entry(arena).or_insert(i) != i) {
                    wish[v] = None;
                }
            }
        }
    }
    wish
}

/// Lays out each list of storage in arenas of at most `most` bytes. Each arena becomes a storage of its own. Returns
/// the arenas of inputs and states. Lists are in the order of names there, so that two recordings that name the same
/// tensors lay them out alike.
pub(super) fn lay_out(storage: &mut Vec<Storage>, lists: Vec<Vec<usize>>, most: u64, fence_bytes: u64) -> Vec<Arena> {
    let mut arenas = Vec::new();
    for mut list in lists {
        list.sort_by(|&a, &b| storage[a].fixed.cmp(&storage[b].fixed).then(a.cmp(&b)));
        let (mut part, mut end) = (Vec::new(), 0);
        for &s in &list {
            let bytes = padded(storage[s].bytes);
            if end + bytes + fence_bytes > most {
                close(storage, &mut arenas, std::mem::take(&mut part), end + fence_bytes);
                end = 0;
            }
            part.push((s, end));
            end = (end + bytes).next_multiple_of(PART_ALIGN);
        }
        let last = part.last().map_or(0, |&(s, at)| at + padded(storage[s].bytes));
        close(storage, &mut arenas, part, last + fence_bytes);
    }
    arenas
}

/// Makes an arena of `bytes` of the storage in `list`, each with its first byte, if there are several.
fn close(storage: &mut Vec<Storage>, arenas: &mut Vec<Arena>, list: Vec<(usize, u64)>, bytes: u64) {
    if list.len() < 2 {
        return;
    }
    let of = |f: &dyn Fn(&Storage) -> usize| list.iter().map(|&(s, _)| f(&storage[s])).collect::<Vec<_>>();
    let (birth, death) = (of(&|s| s.birth).into_iter().min(), of(&|s| s.death).into_iter().max());
    let members: Vec<(Place, u64)> = list.iter().filter_map(|&(s, at)| Some((storage[s].fixed.clone()?, at))).collect();
    let fixed = (!members.is_empty()).then_some(Place::Arena(arenas.len()));
    if fixed.is_some() {
        arenas.push(Arena { members, bytes });
    }
    let whole = storage.len();
    let (birth, death) = (birth.unwrap_or(0), death.unwrap_or(0));
    storage.push(Storage { bytes, birth, death, fixed, slab: usize::MAX, within: None });
    list.into_iter().for_each(|(s, at)| storage[s].within = Some((whole, at)));
}

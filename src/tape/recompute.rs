//! Recompute (Chen et al. 2016, arXiv 1604.06174). The backward pass reads values of the forward pass. Instead of being
//! kept all the time, such a value is computed again just before it is read. This is a pure pass over a recording,
//! after fusion. The same nodes run a second time with the same inputs, so the bits are those of a step that keeps
//! everything.
//!
//! The forward pass is cut into segments. Values of one segment that another segment reads are kept. All other values
//! of a segment are computed again where the backward pass first reads one of them. Three things are never computed
//! again: values that the step is run for, augmentation, and ops that write in place, because those move state and an
//! assign happens once. A random op carries its stream, so it draws the same numbers again.
//!
//! Where to cut depends on sizes alone. There is one trial for each of several bounds on the bytes that a segment
//! holds. Each trial chooses the cuts that the fewest bytes cross. The trial with the lowest peak is taken. At the end,
//! each segment that does not lower the peak is kept as it is, since to compute it again would take time for nothing.

use super::record::{Node, Role, StepPart, Tape, Value, Var};

/// The bounds of the trials: a segment holds at most the saved bytes of the forward pass divided by one of these.
const PARTS: [u64; 11] = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

impl Tape {
    /// The recording in which the backward pass reads values that are computed again, if that lowers the peak of
    /// memory. Otherwise the same recording.
    pub fn recomputed(&self) -> Tape {
        let Some(forward) = Forward::of(self) else { return self.clone() };
        let trials = PARTS.iter().map(|parts| {
            let cuts = forward.cuts(forward.saved_bytes() / parts);
            let tape = forward.repeated(&cuts);
            (tape.peak_bytes(), cuts, tape)
        });
        let Some((mut least, mut cuts, mut best)) = trials.min_by_key(|t| t.0) else { return self.clone() };
        if least >= self.peak_bytes() {
            return self.clone();
        }
        for segment in (0..cuts.len()).rev() {
            cuts[segment].again = false;
            let tape = forward.repeated(&cuts);
            let peak = tape.peak_bytes();
            cuts[segment].again = peak > least;
            if peak <= least {
                (least, best) = (peak, tape);
            }
        }
        best
    }

    /// The most bytes of computed values that are in use at once, workspaces not counted.
    pub(super) fn peak_bytes(&self) -> u64 {
        let (live, root) = (self.live(), self.roots(true));
        let mut span: Vec<Option<(usize, usize)>> = vec![None; self.values.len()];
        for (i, node) in self.nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
            for v in node.inputs.iter().chain(&node.outputs).map(|v| root[v.index()]) {
                span[v.index()].get_or_insert((i, i)).1 = i;
            }
        }
        self.kept().for_each(|v| span[root[v.index()].index()].iter_mut().for_each(|s| s.1 = self.nodes.len()));
        let mut change = vec![0i64; self.nodes.len() + 2];
        for (value, span) in self.values.iter().zip(span) {
            if let (Role::Temp, Some((birth, death))) = (&value.role, span) {
                change[birth] += value.ty.bytes() as i64;
                change[death + 1] -= value.ty.bytes() as i64;
            }
        }
        let alive = change.iter().scan(0i64, |alive, c| {
            *alive += c;
            Some(*alive)
        });
        alive.max().unwrap_or(0) as u64
    }

    /// For each value: the value whose memory it shares, through views and, if `in_place`, through ops that write in
    /// place.
    pub(super) fn roots(&self, in_place: bool) -> Vec<Var> {
        let mut root: Vec<Var> = (0..self.values.len() as u32).map(Var).collect();
        for node in &self.nodes {
            if node.op.is_view() {
                root[node.outputs[0].index()] = root[node.inputs[0].index()];
            }
            for (x, y) in node.op.in_place().into_iter().filter(|_| in_place) {
                root[node.outputs[y].index()] = root[node.inputs[x].index()];
            }
        }
        root
    }
}

/// A range of nodes of the forward pass.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// Its first node, and the node after its last.
    nodes: (usize, usize),
    /// Whether its values are computed again.
    again: bool,
}

/// The forward pass of a recording: everything before the first node of a backward pass.
struct Forward<'a> {
    tape: &'a Tape,
    live: Vec<bool>,
    /// The first node of the backward pass.
    end: usize,
    root: Vec<Var>,
    /// For each value that can be computed again: the node that makes it.
    maker: Vec<Option<usize>>,
    /// For each value: the nodes of the forward pass that read its memory.
    readers: Vec<Vec<usize>>,
    /// For each value: whether a later node reads its memory.
    late: Vec<bool>,
}

impl<'a> Forward<'a> {
    fn of(tape: &'a Tape) -> Option<Self> {
        let (live, root, count) = (tape.live(), tape.roots(false), tape.values.len());
        let end = (0..tape.nodes.len()).find(|&i| live[i] && tape.nodes[i].part == StepPart::Backward)?;
        let (mut maker, mut readers, mut late) = (vec![None; count], vec![Vec::new(); count], vec![false; count]);
        for (i, node) in tape.nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
            for v in node.inputs.iter().map(|v| root[v.index()].index()) {
                if i < end { readers[v].push(i) } else { late[v] = true }
            }
            if i < end && node.part == StepPart::Forward && !node.op.is_view() && node.op.in_place().is_empty() {
                node.outputs.iter().for_each(|v| maker[v.index()] = Some(i));
            }
        }
        tape.kept().for_each(|v| maker[root[v.index()].index()] = None);
        Some(Forward { tape, live, end, root, maker, readers, late })
    }

    /// The values that can be computed again, each with its node and its bytes.
    fn values(&self) -> impl Iterator<Item = (usize, usize, u64)> + '_ {
        let made = self.maker.iter().enumerate().filter_map(|(v, &m)| Some((v, m?)));
        made.map(|(v, m)| (v, m, self.tape.values[v].ty.bytes()))
    }

    /// Bytes that are kept for the backward pass if nothing is computed again.
    fn saved_bytes(&self) -> u64 {
        self.values().filter(|v| self.late[v.0]).map(|v| v.2).sum()
    }

    /// Cuts the forward pass into segments of at most `most` saved bytes each (more only if one node saves more). The
    /// fewest possible bytes cross the cuts.
    fn cuts(&self, most: u64) -> Vec<Segment> {
        // `saved[n]`: bytes saved by the nodes before n. `crossing[n]`: bytes in use across a cut before n.
        let (mut saved, mut crossing) = (vec![0; self.end + 1], vec![0; self.end + 1]);
        for (v, made, bytes) in self.values() {
            saved[made + 1] += if self.late[v] { bytes } else { 0 };
            let last = self.readers[v].last().copied().unwrap_or(made);
            crossing[made + 1..=last].iter_mut().for_each(|c: &mut u64| *c += bytes);
        }
        for at in 1..=self.end {
            saved[at] += saved[at - 1];
        }
        // `best[n]`: the fewest bytes that cross cuts up to node n, and the last of those cuts.
        let mut best = vec![(0u64, 0usize); self.end + 1];
        let mut from = 0;
        for at in 1..=self.end {
            while from + 1 < at && saved[at] - saved[from] > most {
                from += 1;
            }
            let through = (from..at).map(|cut| (best[cut].0 + crossing[cut], cut));
            best[at] = through.min_by_key(|t| t.0).unwrap_or_default();
        }
        let mut segments = Vec::new();
        let mut end = self.end;
        while end > 0 {
            let begin = best[end].1;
            // The last segment is kept: the backward pass begins with it and would compute it again at once.
            segments.push(Segment { nodes: (begin, end), again: !segments.is_empty() });
            end = begin;
        }
        segments.reverse();
        segments
    }

    /// The recording in which every segment with `again` set is computed again.
    fn repeated(&self, segments: &[Segment]) -> Tape {
        let mut segment_of = vec![usize::MAX; self.end];
        for (s, segment) in segments.iter().enumerate() {
            segment_of[segment.nodes.0..segment.nodes.1].fill(s);
        }
        // The segment in which a value is computed again, if it is.
        let again = |v: usize| {
            let s = segment_of[self.maker[v]?];
            let own = segments[s].again && self.readers[v].iter().all(|&r| segment_of[r] == s);
            own.then_some(s)
        };
        let again: Vec<Option<usize>> = (0..self.tape.values.len()).map(again).collect();
        let needed = self.needed(&again);
        let mut tape = self.tape.clone();
        tape.nodes.clear();
        let mut made = vec![false; segments.len()];
        let mut renamed: Vec<Var> = (0..self.tape.values.len() as u32).map(Var).collect();
        for (i, node) in self.tape.nodes.iter().enumerate() {
            if i >= self.end && self.live[i] {
                for s in node.inputs.iter().filter_map(|v| again[self.root[v.index()].index()]) {
                    if !std::mem::replace(&mut made[s], true) {
                        let (from, to) = segments[s].nodes;
                        let nodes = (from..to).filter(|&n| needed[n]).map(|n| &self.tape.nodes[n]);
                        nodes.for_each(|n| {
                            let outputs = repeat(&mut tape, n, &renamed);
                            let own = n.outputs.iter().zip(outputs);
                            own.filter(|(v, _)| again[self.root[v.index()].index()] == Some(s))
                                .for_each(|(v, copy)| renamed[v.index()] = copy);
                        });
                    }
                }
            }
            let late = |v: &Var| if i < self.end { *v } else { renamed[v.index()] };
            tape.nodes.push(Node { inputs: node.inputs.iter().map(late).collect(), ..node.clone() });
        }
        tape
    }

    /// Which nodes of the forward pass must run again, so that the backward pass can read the values that are computed
    /// again.
    fn needed(&self, again: &[Option<usize>]) -> Vec<bool> {
        let mut wanted = vec![false; self.tape.values.len()];
        let mut needed = vec![false; self.end];
        for (i, node) in self.tape.nodes.iter().enumerate().rev().filter(|(i, _)| self.live[*i]) {
            if i >= self.end {
                node.inputs.iter().for_each(|v| wanted[v.index()] = true);
                continue;
            }
            needed[i] = node.outputs.iter().any(|v| wanted[v.index()] && again[self.root[v.index()].index()].is_some());
            if needed[i] {
                node.inputs.iter().for_each(|v| wanted[v.index()] = true);
            }
        }
        needed
    }
}

/// Appends a node a second time. Returns its outputs, which are new values.
fn repeat(tape: &mut Tape, node: &Node, renamed: &[Var]) -> Vec<Var> {
    let inputs = node.inputs.iter().map(|v| renamed[v.index()]).collect();
    let first = tape.values.len() as u32;
    let values = node.outputs.iter().map(|v| Value { ty: tape.ty(*v), role: Role::Temp });
    let values: Vec<Value> = values.collect();
    tape.values.extend(values);
    let outputs: Vec<Var> = (first..tape.values.len() as u32).map(Var).collect();
    tape.nodes.push(Node { inputs, outputs: outputs.clone(), part: StepPart::Backward, ..node.clone() });
    outputs
}

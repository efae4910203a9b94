//! A recording bound to a device. Buffers, parameters, pipelines and bind groups are made once. A run writes the
//! inputs, encodes and submits. It allocates nothing and looks at no shape. A recording that was read from a file runs
//! the same way, but its kernels contain runtime checks.

use super::arena::Arena;
use super::demand::past_budget;
use super::op::Type;
use super::record::SCALARS;
use super::recording::{Memory, Named, PartOf, Recording, Role};
use super::schedule::Place;
use super::state::State;
use crate::base::{Error, Result};
use crate::device::dispatch::ParamBlocks;
use crate::device::shader::Access;
use crate::device::{Bound, Buffer, Dispatch, Gpu, Part, Ticket};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// What the host gives to a run: the bytes of each input and the value of each scalar, by name.
#[derive(Clone, Debug, Default)]
pub struct Feed<'a> {
    /// Name and bytes of each input.
    pub inputs: Vec<(&'a str, &'a [u8])>,
    /// Name and value of each scalar.
    pub scalars: Vec<(&'a str, f32)>,
}

impl<'a> Feed<'a> {
    /// An empty feed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input, whose elements are in row-major order.
    pub fn input<T: bytemuck::NoUninit>(mut self, name: &'a str, data: &'a [T]) -> Self {
        self.inputs.push((name, bytemuck::cast_slice(data)));
        self
    }

    /// Adds an input of type `ty` as 32-bit words. If the number of halves is odd, the last word holds one half.
    pub fn words(mut self, name: &'a str, ty: Type, words: &'a [u32]) -> Self {
        let bytes: &[u8] = bytemuck::cast_slice(words);
        self.inputs.push((name, bytes.get(..ty.bytes() as usize).unwrap_or(bytes)));
        self
    }

    /// Adds a scalar.
    pub fn scalar(mut self, name: &'a str, value: f32) -> Self {
        self.scalars.push((name, value));
        self
    }
}

/// A recording that runs.
#[derive(Debug)]
pub struct Replay {
    recording: Recording,
    /// The buffers of the recording, except that of the parameters.
    parts: Vec<Part>,
    /// The buffers of computed values.
    slabs: Vec<Arc<Buffer>>,
    dispatches: Vec<Dispatch>,
    /// Keeps the parameter buffer alive for the bind groups.
    _params: Params,
}

struct Params(#[allow(dead_code, reason = "held, not read: bind groups refer to it")] ParamBlocks);

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("params")
    }
}

impl Replay {
    /// Compiles a recording over the tensors of `state`, which must hold every state that the recording names. It is an
    /// error before anything is allocated if the recording's parts do not fit together, if its text is no valid kernel,
    /// or if it would not fit the device.
    pub fn new(gpu: &Gpu, recording: Recording, state: &State) -> Result<Replay> {
        let refused = |why: String| Error::Failed(format!("the recording cannot run: {why}"));
        recording.expect_sound().map_err(refused)?;
        recording.kernels.iter().try_for_each(|k| k.expect_valid())?;
        if let Some(why) = recording.past_limits(gpu.caps()).or_else(|| past_budget(gpu, recording.own_bytes())) {
            return Err(Error::Usage(format!("the recording does not fit: {why}; record a smaller step")));
        }
        let held = state.arrange(gpu, &recording.arenas())?;
        if let Some(name) = recording.states_in_arenas().find(|name| held.contains(*name)) {
            return Err(Error::Failed(format!(
                "the recording has {name} in one buffer with other states, and another plan or store holds it \
                 elsewhere; make this one first"
            )));
        }
        recording.expect_apart(gpu, state)?;
        let parts = recording.placed(gpu, state)?;
        let computed = |(m, _): &(&Memory, &Part)| m.part_of.is_none() && matches!(m.role, Role::Output | Role::Temp);
        let slabs = recording.buffers.iter().zip(&parts).filter(computed).map(|(_, p)| p.buffer.clone()).collect();
        let params = ParamBlocks::new(recording.launches.iter().map(|c| c.params.as_slice())).upload(gpu)?;
        gpu.prepare(&recording.kernels)?;
        let mut dispatches = Vec::new();
        for (i, call) in recording.launches.iter().enumerate() {
            let bound: Vec<Bound<'_>> = call.buffers.iter().map(|&b| parts[b].bound()).collect();
            let kernel = &recording.kernels[call.kernel];
            dispatches.push(gpu.dispatch_shader(&call.label, kernel, &bound, (&params, i), call.grid)?);
        }
        Ok(Replay { recording, parts, slabs, dispatches, _params: Params(params) })
    }

    /// What it was made from.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// The dispatches of a run, in order, for timing.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// Runs one step: writes the feed, encodes and submits. It returns before the device is done.
    pub fn run(&self, gpu: &Gpu, feed: &Feed<'_>) -> Result<Ticket> {
        self.write(gpu, feed)?;
        let ticket = gpu.submit(gpu.encode(&self.dispatches));
        gpu.check()?;
        Ok(ticket)
    }

    /// Writes the inputs and scalars of a run. It is an error if the feed lacks a name that the plan has, has a name
    /// that the plan lacks, has a name twice, or has an input of another size. Then nothing is written.
    pub fn write(&self, gpu: &Gpu, feed: &Feed<'_>) -> Result<()> {
        let recorded = &self.recording;
        expect_known("input", &feed.inputs, &recorded.inputs.iter().map(|i| i.name.as_str()).collect::<Vec<_>>())?;
        expect_known("scalar", &feed.scalars, &recorded.scalars.iter().map(String::as_str).collect::<Vec<_>>())?;
        let mut writes = Vec::new();
        for input in &recorded.inputs {
            let (name, ty) = (&input.name, input.ty);
            let Some((_, bytes)) = feed.inputs.iter().find(|i| i.0 == name) else {
                return Err(Error::Failed(format!("the plan needs the input {name}, {ty}, and was not given it")));
            };
            if bytes.len() as u64 != ty.bytes() {
                return Err(Error::Failed(format!(
                    "input {name} is {ty}, {} bytes, in this plan and was given {} bytes; make a plan for the other shape",
                    ty.bytes(),
                    bytes.len()
                )));
            }
            writes.push((&self.parts[input.buffer], *bytes));
        }
        let mut values = [0f32; SCALARS];
        for (value, name) in values.iter_mut().zip(&recorded.scalars) {
            let Some(s) = feed.scalars.iter().find(|s| s.0 == name) else {
                return Err(Error::Failed(format!("the plan needs the scalar {name} and was not given it")));
            };
            *value = s.1;
        }
        if let Some(at) = recorded.buffers.iter().position(|b| b.role == Role::Scalars) {
            writes.push((&self.parts[at], bytemuck::bytes_of(&values)));
        }
        writes.into_iter().for_each(|(part, bytes)| gpu.stage(part, bytes));
        Ok(())
    }

    /// Reads the bytes of a named output of the last run. It waits for the device. It is an error if there is no such
    /// output.
    pub fn read(&self, gpu: &Gpu, name: &str) -> Result<Vec<u8>> {
        let Some(output) = self.recording.outputs.iter().find(|o| o.name == name) else {
            return Err(Error::Failed(format!("the plan has no output called {name}")));
        };
        gpu.read_part(&self.parts[output.buffer], output.ty.bytes())
    }

    /// Reads a named output of the last run as f32, in row-major order. The output must hold f32.
    pub fn read_f32(&self, gpu: &Gpu, name: &str) -> Result<Vec<f32>> {
        Ok(bytemuck::pod_collect_to_vec(&self.read(gpu, name)?))
    }

    /// The buffer `i` of the recording.
    pub(super) fn part(&self, i: usize) -> Option<&Part> {
        self.parts.get(i)
    }

    /// The buffers of computed values. Tests fill them with NaN.
    pub fn slabs(&self) -> &[Arc<Buffer>] {
        &self.slabs
    }
}

impl Recording {
    /// The arenas of its states.
    fn arenas(&self) -> Vec<Arena> {
        let mut arenas: BTreeMap<usize, Arena> = BTreeMap::new();
        for Named { name, buffer, .. } in &self.states {
            if let Some(PartOf { buffer, offset }) = self.buffers[*buffer].part_of {
                let bytes = self.buffers[buffer].bytes;
                let arena = arenas.entry(buffer).or_insert_with(|| Arena { members: Vec::new(), bytes });
                arena.members.push((Place::State(name.clone()), offset));
            }
        }
        arenas.into_values().collect()
    }

    fn states_in_arenas(&self) -> impl Iterator<Item = &String> {
        self.states.iter().filter(|s| self.buffers[s.buffer].part_of.is_some()).map(|s| &s.name)
    }

    /// Moves tensors out of a buffer of `state` of which a launch would read one and write another. wgpu tracks whole
    /// buffers, so the launch cannot bind them so. It is an error if another plan or store holds that buffer.
    fn expect_apart(&self, gpu: &Gpu, state: &State) -> Result<()> {
        // For each buffer that holds states: one of them, and whether it has a place beside others here.
        let mut names: BTreeMap<usize, (&Named, bool)> = BTreeMap::new();
        for named in &self.states {
            let whole = self.buffers[named.buffer].part_of;
            names.insert(named.buffer, (named, whole.is_some()));
            if let Some(whole) = whole {
                names.entry(whole.buffer).or_insert((named, true));
            }
        }
        for call in &self.launches {
            let access = self.kernels[call.kernel].layout().buffers.iter().map(|a| *a == Access::ReadWrite);
            let (written, read): (Vec<_>, Vec<_>) = call.buffers.iter().zip(access).partition(|(_, writes)| *writes);
            let states = |list: Vec<(&usize, bool)>| -> Vec<_> {
                list.into_iter().filter_map(|(b, _)| names.get(b).copied()).collect()
            };
            let (written, read) = (states(written), states(read));
            for ((to, to_placed), (from, from_placed)) in
                written.iter().flat_map(|w| read.iter().map(move |r| (*w, *r)))
            {
                let beside = || Ok::<_, Error>(state.part(&to.name, to.ty)?.beside(&state.part(&from.name, from.ty)?));
                if to.name == from.name || !beside()? {
                    continue;
                }
                let movable = [(from, from_placed), (to, to_placed)].into_iter().find(|(_, placed)| !placed);
                if !movable.map_or(Ok(false), |(named, _)| state.move_out(gpu, &named.name))? {
                    return Err(Error::Failed(format!(
                        "{} reads {} and writes {}, which lie in one buffer that another plan or store holds, so \
                         that no launch can; make the plan that reads one and writes the other first",
                        call.label, from.name, to.name
                    )));
                }
            }
        }
        Ok(())
    }

    /// A buffer or a part of one for each of its buffers, except that of the parameters. States lie in `state`.
    fn placed(&self, gpu: &Gpu, state: &State) -> Result<Vec<Part>> {
        let mut known: BTreeMap<usize, Part> = BTreeMap::new();
        for Named { name, ty, buffer } in &self.states {
            let part = state.part(name, *ty)?;
            if let Some(whole) = self.buffers[*buffer].part_of {
                known.insert(whole.buffer, Part::whole(part.buffer.clone()));
            }
            known.insert(*buffer, part);
        }
        // A part may stand before the buffer that it is a part of.
        let whole = |m: &Memory| m.part_of.is_none() && m.role != Role::Params;
        for (i, m) in self.buffers.iter().enumerate().filter(|(_, m)| whole(m)) {
            if let Entry::Vacant(own) = known.entry(i) {
                own.insert(Part::whole(Arc::new(gpu.buffer(&m.name, m.bytes)?)));
            }
        }
        let mut parts = Vec::new();
        for (i, m) in self.buffers.iter().enumerate().filter(|(_, m)| m.role != Role::Params) {
            let within = m.part_of.and_then(|p| Some((known.get(&p.buffer)?.buffer.clone(), p.offset)));
            let part = match (known.get(&i), within) {
                (Some(part), _) => part.clone(),
                (None, Some((buffer, offset))) => Part { buffer, offset, bytes: m.bytes },
                (None, None) => return Err(Error::Failed(format!("the buffer {} lies nowhere", m.name))),
            };
            parts.push(part);
        }
        Ok(parts)
    }
}

/// It is an error if a name is fed that is not among `known`, or is fed twice. Such a value would be ignored silently.
fn expect_known<T>(what: &str, fed: &[(&str, T)], known: &[&str]) -> Result<()> {
    for (i, (name, _)) in fed.iter().enumerate() {
        if !known.contains(name) {
            let has = if known.is_empty() { "none".to_string() } else { known.join(", ") };
            return Err(Error::Failed(format!("the plan has no {what} called {name}, it has {has}; leave it out")));
        }
        if fed[..i].iter().any(|f| f.0 == *name) {
            return Err(Error::Failed(format!("the {what} {name} is given twice; leave one out")));
        }
    }
    Ok(())
}

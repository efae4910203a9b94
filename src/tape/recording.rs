//! A step as data: kernels as complete text, buffers, launches, and the names of what goes in and out. A replay needs
//! nothing else, and a plan is made from nothing else, so a run's address, a file and a page in a browser all describe
//! what really runs. A recording serializes as JSON. The parameters of a launch are some tens of bytes and are written
//! as hex digits, so one text holds the whole step, any language reads it, and people can compare two steps.

mod check;
mod file;
#[cfg(test)]
mod tests;

use super::demand::padded;
use super::layout::{expect_layout, written_before};
use super::op::Type;
use super::record::SCALARS_INPUT;
use super::schedule::{Place, Schedule};
use crate::base::Result;
use crate::base::hash::Hasher;
use crate::device::dispatch::{CHUNK, ParamBlocks};
use crate::device::shader::Access;
use crate::device::{Gpu, Kernel, Shader, Tree};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What `schema` says in a recording of the current form.
pub const SCHEMA: &str = "wgslab-recording/2";

/// A step as data.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// [`SCHEMA`].
    pub schema: String,
    /// Its kernels, each once.
    #[serde(with = "file::shared")]
    pub kernels: Vec<Arc<Shader>>,
    /// Its buffers: computed ones first, then inputs, scalars, states and parameters. Some are parts of others.
    pub buffers: Vec<Memory>,
    /// What runs, in order.
    pub launches: Vec<Call>,
    /// What the host writes before each run.
    pub inputs: Vec<Named>,
    /// Names of the scalars by their slot in the buffer of scalars. Each is an f32.
    pub scalars: Vec<String>,
    /// The tensors that outlive a run.
    pub states: Vec<Named>,
    /// What can be read after a run, until the next one.
    pub outputs: Vec<Named>,
}

/// How the device's work of a run is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cuts {
    /// Launches of kernels.
    pub dispatches: usize,
    /// Compute passes. Each is submitted by itself.
    pub passes: usize,
    /// Launches that wait for the earlier ones of their pass, by wgpu's rule: a buffer that they bind was written
    /// before in the pass, or was read and they write it. A part counts as its whole buffer. Between passes the device
    /// always waits; that is not counted.
    pub barriers: usize,
}

/// A buffer, or a part of one that is bound by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// What it is for.
    pub role: Role,
    /// Its name, unique among buffers of its role.
    pub name: String,
    /// Its size in bytes, a multiple of 16 (whole vec4).
    pub bytes: u64,
    /// The buffer that it is a part of; `None`, and left out of a file, if it is a buffer by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<PartOf>,
}

/// Where a part lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartOf {
    /// Which of [`Recording::buffers`] it is a part of. That one is no part, and has the same role.
    pub buffer: usize,
    /// Its first byte there, a multiple of 256.
    pub offset: u64,
}

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Written by the host before each run.
    Input,
    /// A tensor that outlives the run.
    State,
    /// Computed. It holds a named output at the end.
    Output,
    /// Computed. Several values share it, one after another.
    Temp,
    /// The `Params` of all launches, each at the next multiple of 256 bytes.
    Params,
    /// The named scalars, written by the host before each run.
    Scalars,
}

/// A named value in a buffer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Which of [`Recording::buffers`] holds it. It begins at the buffer's first byte.
    pub buffer: usize,
}

/// A launch of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// `<layer>/<op>.<entry>`, for people.
    pub label: String,
    /// Which of [`Recording::kernels`] runs.
    pub kernel: usize,
    /// Which of [`Recording::buffers`] are bound, in order from binding 1. Each is bound whole; of a part, the part is.
    pub buffers: Vec<usize>,
    /// The bytes of its `Params` (binding 0). In a file they are hex digits.
    #[serde(with = "file::hex")]
    pub params: Vec<u8>,
    /// Numbers of workgroups in x, y and z.
    pub grid: [u32; 3],
}

impl Recording {
    /// A schedule as data, with the kernel text of `tree`. It is an error if the layout of a kernel's text does not
    /// match its launch.
    pub fn of(schedule: &Schedule, tree: &Tree) -> Result<Recording> {
        Self::made(schedule, &mut |kernel| kernel.shader(tree).map(Arc::new))
    }

    /// A schedule as data, with the kernel text that `gpu` runs and caches. The errors are those of [`Recording::of`].
    pub fn on(gpu: &Gpu, schedule: &Schedule) -> Result<Recording> {
        Self::made(schedule, &mut |kernel| gpu.shader(kernel))
    }

    fn made(schedule: &Schedule, shader: &mut dyn FnMut(&Kernel) -> Result<Arc<Shader>>) -> Result<Recording> {
        let (buffers, at) = buffers(schedule);
        let (mut kernels, mut known, mut launches) = (Vec::new(), HashMap::new(), Vec::new());
        for step in &schedule.steps {
            let mut written = written_before(step);
            for (launch, places) in &step.launches {
                let kernel = match known.get(&launch.kernel) {
                    Some(&kernel) => kernel,
                    None => {
                        kernels.push(shader(&launch.kernel)?);
                        known.insert(&launch.kernel, kernels.len() - 1);
                        kernels.len() - 1
                    }
                };
                expect_layout(launch, &kernels[kernel], &mut written)?;
                launches.push(Call {
                    label: format!("{}/{}", step.layer, launch.kernel.name),
                    kernel,
                    buffers: places.iter().map(|place| at[place]).collect(),
                    params: launch.params.clone(),
                    grid: launch.grid,
                });
            }
        }
        let named = |(name, ty, place): (&String, Type, &Place)| Named { name: name.clone(), ty, buffer: at[place] };
        let host = schedule.inputs.iter().map(|(n, ty)| named((n, *ty, &Place::Input(n.clone()))));
        Ok(Recording {
            schema: SCHEMA.to_string(),
            kernels,
            inputs: host.filter(|i| buffers[i.buffer].role == Role::Input).collect(),
            scalars: schedule.scalars.clone(),
            states: schedule.states.iter().map(|(n, ty)| named((n, *ty, &Place::State(n.clone())))).collect(),
            outputs: schedule.outputs.iter().map(|(n, ty, place)| named((n, *ty, place))).collect(),
            buffers,
            launches,
        })
    }

    /// What the address of a run takes from a recording, as 16 hex digits: the name, variant and text of every kernel
    /// in the order of the launches, since bits also depend on which layer runs which variant. Sizes and parameters are
    /// left out. The settings of the run decide them, and some of them (how many losses are kept on the device) change
    /// no result.
    pub fn address(&self) -> String {
        let one = |k: &Arc<Shader>| Hasher::new().part(k.name()).part(k.variant()).part(k.wgsl()).hex();
        let each: Vec<String> = self.kernels.iter().map(one).collect();
        self.launches.iter().fold(Hasher::new(), |all, call| all.part(&each[call.kernel])).short()
    }

    /// How the device's work is cut.
    pub fn cuts(&self) -> Cuts {
        let mut cuts = Cuts { dispatches: self.launches.len(), passes: 0, barriers: 0 };
        for pass in self.launches.chunks(CHUNK) {
            cuts.passes += 1;
            // For each buffer that the pass has used: whether its last launch wrote it.
            let mut written: BTreeMap<usize, bool> = BTreeMap::new();
            for call in pass {
                let access = &self.kernels[call.kernel].layout().buffers;
                let of = |(&b, access): (&usize, &Access)| {
                    (self.buffers[b].part_of.map_or(b, |part| part.buffer), *access == Access::ReadWrite)
                };
                let bound: Vec<(usize, bool)> = call.buffers.iter().zip(access).map(of).collect();
                let waits = |(buffer, writes): &(usize, bool)| written.get(buffer).is_some_and(|w| *w || *writes);
                cuts.barriers += usize::from(bound.iter().any(waits));
                written.extend(bound);
            }
        }
        cuts
    }

    /// Names and types of the states, as [`super::State::insert_missing`] takes them.
    pub fn state_types(&self) -> Vec<(String, Type)> {
        self.states.iter().map(|s| (s.name.clone(), s.ty)).collect()
    }

    /// Makes a computed buffer one that holds a named output at the end, with all that lies in it.
    pub fn keep(&mut self, buffer: usize) {
        let whole = self.buffers[buffer].part_of.map_or(buffer, |part| part.buffer);
        let all = self.buffers.iter_mut().enumerate();
        let within = all.filter(|(i, b)| *i == whole || b.part_of.is_some_and(|part| part.buffer == whole));
        within.for_each(|(_, b)| b.role = Role::Output);
    }

    /// Which buffer of the recording a place of the schedule is.
    pub(crate) fn index_of(&self, place: &Place) -> Option<usize> {
        let called = |list: &[Named], name: &str| list.iter().find(|n| n.name == name).map(|n| n.buffer);
        match place {
            Place::Slab(i) => Some(*i),
            Place::Input(name) if name == SCALARS_INPUT && !self.scalars.is_empty() => {
                self.buffers.iter().position(|b| b.role == Role::Scalars)
            }
            Place::Input(name) => called(&self.inputs, name),
            Place::State(name) => called(&self.states, name),
            Place::Part { slab, offset, bytes } => {
                let within = Some(PartOf { buffer: *slab, offset: *offset });
                self.buffers.iter().position(|b| b.part_of == within && b.bytes == padded(*bytes))
            }
            Place::Arena(_) => None,
        }
    }
}

/// The buffers of a schedule, slabs first, and which buffer each place is.
fn buffers(schedule: &Schedule) -> (Vec<Memory>, BTreeMap<Place, usize>) {
    let mut list: Vec<Memory> = Vec::new();
    let mut at: BTreeMap<Place, usize> = BTreeMap::new();
    let mut add = |role, name: String, bytes: u64, place: Option<Place>, part_of: Option<PartOf>| {
        at.extend(place.map(|place| (place, list.len())));
        list.push(Memory { role, name, bytes: padded(bytes), part_of });
        list.len() - 1
    };
    let kept = |slab: usize| {
        let lies = |place: &Place| matches!(place, Place::Slab(i) | Place::Part { slab: i, .. } if *i == slab);
        if schedule.outputs.iter().any(|o| lies(&o.2)) { Role::Output } else { Role::Temp }
    };
    for (i, &bytes) in schedule.slabs.iter().enumerate() {
        add(kept(i), format!("slab{i}"), bytes, Some(Place::Slab(i)), None);
    }
    let parts: BTreeSet<Place> = (0..schedule.storage.len()).map(|s| Place::of(&schedule.storage, s)).collect();
    for place in parts {
        if let Place::Part { slab, offset, bytes } = place {
            let part_of = Some(PartOf { buffer: slab, offset });
            add(kept(slab), format!("slab{slab}+{offset}+{bytes}"), bytes, Some(place), part_of);
        }
    }
    // For each input and state in an arena: where it lies.
    let mut within = BTreeMap::new();
    for (i, arena) in schedule.arenas.iter().enumerate().filter(|(_, arena)| !arena.members.is_empty()) {
        let input = matches!(arena.members[0].0, Place::Input(_));
        let role = if input { Role::Input } else { Role::State };
        let buffer = add(role, format!("arena {i}"), arena.bytes, Some(Place::Arena(i)), None);
        within.extend(arena.members.iter().map(|(place, offset)| (place, PartOf { buffer, offset: *offset })));
    }
    for (name, ty) in &schedule.inputs {
        let scalars = name == SCALARS_INPUT && !schedule.scalars.is_empty();
        let role = if scalars { Role::Scalars } else { Role::Input };
        let place = Place::Input(name.clone());
        let part_of = within.get(&place).copied();
        add(role, name.clone(), ty.bytes(), Some(place), part_of);
    }
    for (name, ty) in &schedule.states {
        let place = Place::State(name.clone());
        let part_of = within.get(&place).copied();
        add(Role::State, name.clone(), ty.bytes(), Some(place), part_of);
    }
    let blocks = schedule.steps.iter().flat_map(|s| &s.launches).map(|(l, _)| ParamBlocks::block_bytes(&l.params));
    let params: u64 = blocks.sum();
    if params > 0 {
        add(Role::Params, "params".into(), params, None, None);
    }
    (list, at)
}

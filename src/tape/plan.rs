//! A plan: a schedule bound to a device. Buffers, parameters, pipelines and bind groups are made once; a run writes
//! the inputs, encodes and submits. Nothing is allocated and no shape is looked at while running.

use super::demand::misfit;
use super::layout::expect_layout;
use super::op::Type;
use super::record::{SCALARS, SCALARS_INPUT};
use super::schedule::{Place, Schedule};
use super::state::State;
use crate::base::{Error, Result};
use crate::device::dispatch::ParamBlocks;
use crate::device::{Buffer, Dispatch, Gpu, Ticket};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the host gives a run: the bytes of each input and the value of each scalar, by name.
#[derive(Clone, Debug, Default)]
pub struct Feed<'a> {
    /// Inputs.
    pub inputs: Vec<(&'a str, &'a [u8])>,
    /// Scalars.
    pub scalars: Vec<(&'a str, f32)>,
}

impl<'a> Feed<'a> {
    /// An empty feed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input.
    pub fn input<T: bytemuck::NoUninit>(mut self, name: &'a str, data: &'a [T]) -> Self {
        self.inputs.push((name, bytemuck::cast_slice(data)));
        self
    }

    /// Adds an input of type `ty` as words: of an odd number of halves, the last word holds one.
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

/// A compiled step.
#[derive(Debug)]
pub struct Plan {
    dispatches: Vec<Dispatch>,
    inputs: BTreeMap<String, (Type, Buffer)>,
    slabs: Vec<Arc<Buffer>>,
    states: BTreeMap<String, Arc<Buffer>>,
    schedule: Schedule,
    /// Keeps the parameter buffer alive for the bind groups.
    _params: Buffers,
}

struct Buffers(#[allow(dead_code, reason = "held, not read: bind groups refer to it")] ParamBlocks);

impl std::fmt::Debug for Buffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("params")
    }
}

impl Plan {
    /// Compiles a schedule over the tensors of `state`, which must hold every state it names. One that would not fit is
    /// an error before anything is allocated.
    pub fn new(gpu: &Gpu, schedule: Schedule, state: &State) -> Result<Plan> {
        if let Some(why) = misfit(gpu, std::slice::from_ref(&schedule), state) {
            return Err(Error::Usage(format!(
                "the plan does not fit: {why}; use a smaller batch_size, image_size or case"
            )));
        }
        let states = schedule
            .states
            .iter()
            .map(|(n, ty)| Ok((n.clone(), state.buffer(n, *ty)?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        let inputs = schedule
            .inputs
            .iter()
            .map(|(n, ty)| Ok((n.clone(), (*ty, gpu.buffer(n, ty.bytes())?))))
            .collect::<Result<BTreeMap<_, _>>>()?;
        let slabs = schedule
            .slabs
            .iter()
            .enumerate()
            .map(|(i, &bytes)| Ok(Arc::new(gpu.buffer(&format!("slab{i}"), bytes)?)))
            .collect::<Result<Vec<_>>>()?;
        let launches = || schedule.steps.iter().flat_map(|s| s.launches.iter().map(move |l| (s, l)));
        let params = ParamBlocks::new(launches().map(|(_, (l, _))| l.params.as_slice())).upload(gpu)?;
        let mut dispatches = Vec::new();
        for step in &schedule.steps {
            expect_layout(gpu, step)?;
        }
        for (i, (step, (launch, places))) in launches().enumerate() {
            let buffers = places
                .iter()
                .map(|p| match p {
                    Place::Input(n) => &inputs[n].1,
                    Place::State(n) => states[n].as_ref(),
                    Place::Slab(s) => slabs[*s].as_ref(),
                })
                .collect::<Vec<_>>();
            let label = format!("{}/{}", step.layer, launch.kernel.name);
            dispatches.push(gpu.dispatch(&label, &launch.kernel, &buffers, (&params, i), launch.grid)?);
        }
        Ok(Plan { dispatches, inputs, slabs, states, schedule, _params: Buffers(params) })
    }

    /// What the plan was made from.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The dispatches of a run, in order, for timing.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// Runs one step: writes the feed, encodes, submits. Returns before the device is done.
    pub fn run(&self, gpu: &Gpu, feed: &Feed<'_>) -> Result<Ticket> {
        self.write(gpu, feed)?;
        let ticket = gpu.submit(gpu.encode(&self.dispatches));
        gpu.check()?;
        Ok(ticket)
    }

    /// Writes the inputs and scalars of a run. A feed that lacks one the plan has, has one the plan lacks, names one twice
    /// or is of another shape is an error that names it; nothing is written then.
    pub fn write(&self, gpu: &Gpu, feed: &Feed<'_>) -> Result<()> {
        let with_scalars = !self.schedule.scalars.is_empty();
        let inputs = || self.inputs.iter().filter(|i| !(with_scalars && i.0 == SCALARS_INPUT));
        expect_known("input", &feed.inputs, &inputs().map(|i| i.0.as_str()).collect::<Vec<_>>())?;
        let scalars: Vec<&str> = self.schedule.scalars.iter().map(String::as_str).collect();
        expect_known("scalar", &feed.scalars, &scalars)?;
        let mut writes = Vec::new();
        for (name, (ty, buffer)) in inputs() {
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
            writes.push((buffer, *bytes));
        }
        let mut values = [0f32; SCALARS];
        for (slot, name) in scalars.iter().enumerate() {
            let Some(s) = feed.scalars.iter().find(|s| s.0 == *name) else {
                return Err(Error::Failed(format!("the plan needs the scalar {name} and was not given it")));
            };
            values[slot] = s.1;
        }
        if let Some((_, buffer)) = self.inputs.get(SCALARS_INPUT).filter(|_| with_scalars) {
            writes.push((buffer, bytemuck::bytes_of(&values)));
        }
        writes.into_iter().for_each(|(buffer, bytes)| gpu.stage(buffer, bytes));
        Ok(())
    }

    /// Reads a named output of the last run.
    pub fn read(&self, gpu: &Gpu, name: &str) -> Result<Vec<u8>> {
        let Some((_, ty, place)) = self.schedule.outputs.iter().find(|o| o.0 == name) else {
            return Err(Error::Failed(format!("the plan has no output called {name}")));
        };
        gpu.read(self.buffer(place), ty.bytes())
    }

    /// Reads the value of type `ty` that lies at a place of the schedule.
    pub fn read_place(&self, gpu: &Gpu, place: &Place, ty: Type) -> Result<Vec<u8>> {
        gpu.read(self.buffer(place), ty.bytes())
    }

    /// Reads a named f32 output of the last run.
    pub fn read_f32(&self, gpu: &Gpu, name: &str) -> Result<Vec<f32>> {
        Ok(bytemuck::pod_collect_to_vec(&self.read(gpu, name)?))
    }

    pub(super) fn buffer(&self, place: &Place) -> &Buffer {
        match place {
            Place::Input(n) => &self.inputs[n].1,
            Place::State(n) => &self.states[n],
            Place::Slab(s) => &self.slabs[*s],
        }
    }

    /// The plan's own buffers, for tests that poison them.
    pub fn slabs(&self) -> &[Arc<Buffer>] {
        &self.slabs
    }
}

/// An error where something is fed that is not among `known`, or is fed twice: it would be left out without a word.
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

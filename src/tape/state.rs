//! What outlives a step: named tensors on the device. Several plans share one store. A checkpoint is the store written
//! to a file.

use super::arena::Arena;
use super::demand::padded;
use super::op::Type;
use crate::base::{Error, Result};
use crate::device::{Buffer, Gpu, Part};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
struct Tensor {
    /// Where it lies. A plan may move it beside others before any plan holds it.
    part: Mutex<Part>,
    ty: Type,
    resident: bool,
}

impl Clone for Tensor {
    fn clone(&self) -> Self {
        Tensor { part: Mutex::new(self.part()), ty: self.ty, resident: self.resident }
    }
}

impl Tensor {
    fn part(&self) -> Part {
        self.part.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it lies at `at` in a buffer of `bytes`.
    fn lies(&self, at: u64, bytes: u64) -> bool {
        let part = self.part();
        part.offset == at && part.buffer.bytes() == bytes
    }

    fn move_to(&self, gpu: &Gpu, part: Part) -> Result<()> {
        gpu.copy(&self.part(), &part)?;
        *self.part.lock().unwrap_or_else(PoisonError::into_inner) = part;
        Ok(())
    }
}

/// Named tensors on the device.
///
/// ```
/// use wgslab::tape::{State, Type};
///
/// # let Some(gpu) = wgslab::lab::check::gpu_or_skip()? else { return Ok(()) };
/// let mut state = State::new();
/// state.insert(&gpu, "mean", Type::f32([2]), Some(bytemuck::bytes_of(&[0.5f32, 1.5])))?;
/// state.insert(&gpu, "count", Type::u32([1]), None)?; // zeros
/// assert_eq!(state.read_f32(&gpu, "mean")?, [0.5, 1.5]);
/// assert_eq!(state.names().collect::<Vec<_>>(), ["count", "mean"]);
/// assert!(state.write(&gpu, "mean", &[0; 4]).is_err()); // 8 bytes are due
/// # Ok::<(), wgslab::base::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct State {
    tensors: BTreeMap<String, Tensor>,
}

impl State {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor that holds `bytes` (row-major), or zeros. It replaces a tensor of the same name. It is an error if
    /// the number of bytes is not that of `ty`.
    pub fn insert(&mut self, gpu: &Gpu, name: &str, ty: Type, bytes: Option<&[u8]>) -> Result<()> {
        self.place(gpu, name, ty, bytes, false)
    }

    /// Adds a tensor that is data and not state (pages of images, labels). Plans read it, and checkpoints leave it out.
    pub fn insert_resident(&mut self, gpu: &Gpu, name: &str, ty: Type, bytes: &[u8]) -> Result<()> {
        self.place(gpu, name, ty, Some(bytes), true)
    }

    fn place(&mut self, gpu: &Gpu, name: &str, ty: Type, bytes: Option<&[u8]>, resident: bool) -> Result<()> {
        if let Some(b) = bytes.filter(|b| b.len() as u64 != ty.bytes()) {
            return Err(Error::Failed(format!(
                "state {name} is {ty}, {} bytes, and was given {}",
                ty.bytes(),
                b.len()
            )));
        }
        let buffer = gpu.buffer(name, ty.bytes())?;
        if let Some(b) = bytes {
            gpu.write(&buffer, 0, b)?;
        }
        let part = Mutex::new(Part::whole(Arc::new(buffer)));
        self.tensors.insert(name.to_string(), Tensor { part, ty, resident });
        Ok(())
    }

    /// Adds every state that a tape names and the store lacks. Its elements are zeros.
    pub fn insert_missing(&mut self, gpu: &Gpu, types: &[(String, Type)]) -> Result<()> {
        for (name, ty) in types {
            if !self.tensors.contains_key(name) {
                self.insert(gpu, name, *ty, None)?;
            }
        }
        Ok(())
    }

    /// Overwrites a tensor. It is an error if there is none of that name, or if it has another number of bytes.
    pub fn write(&self, gpu: &Gpu, name: &str, bytes: &[u8]) -> Result<()> {
        let t = self.tensor(name)?;
        if bytes.len() as u64 != t.ty.bytes() {
            return Err(Error::Failed(format!(
                "state {name} is {}, {} bytes, and was given {}",
                t.ty,
                t.ty.bytes(),
                bytes.len()
            )));
        }
        let part = t.part();
        gpu.write(&part.buffer, part.offset, bytes)
    }

    /// Reads the bytes of a tensor. It waits for the device.
    pub fn read(&self, gpu: &Gpu, name: &str) -> Result<Vec<u8>> {
        let t = self.tensor(name)?;
        gpu.read_part(&t.part(), t.ty.bytes())
    }

    /// Reads a tensor as f32, in row-major order. The tensor must hold f32.
    pub fn read_f32(&self, gpu: &Gpu, name: &str) -> Result<Vec<f32>> {
        Ok(bytemuck::pod_collect_to_vec(&self.read(gpu, name)?))
    }

    /// The type of a tensor; `None` if there is none of that name.
    pub fn ty(&self, name: &str) -> Option<Type> {
        self.tensors.get(name).map(|t| t.ty)
    }

    /// The names of the tensors that a checkpoint holds, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().filter(|t| !t.1.resident).map(|t| t.0.as_str())
    }

    /// Removes a tensor. Plans that hold it keep its buffer alive.
    pub fn remove(&mut self, name: &str) {
        self.tensors.remove(name);
    }

    /// Moves tensors into a new buffer for each of `arenas`, unless a buffer is there in which as many lie as they say.
    /// A tensor that a plan or another store holds stays where it is, and none is moved into a buffer that is there:
    /// whatever lies in it may be another's. Returns the names of those that do not lie with others as `arenas` say, so
    /// that they must be bound by themselves. Later plans that ask for the same arenas find them.
    pub fn arrange(&self, gpu: &Gpu, arenas: &[Arena]) -> Result<BTreeSet<String>> {
        let mut apart = BTreeSet::new();
        for arena in arenas {
            let mut members: Vec<(&str, u64)> = arena.states().filter(|m| self.tensors.contains_key(m.0)).collect();
            // A tensor of one of these in a file may be alone in its arena.
            let least = arena.states().count().clamp(1, 2);
            let mut in_place: BTreeMap<*const Buffer, Vec<(&str, u64)>> = BTreeMap::new();
            for (name, at) in members.iter().filter(|(name, at)| self.tensors[*name].lies(*at, arena.bytes)) {
                in_place.entry(Arc::as_ptr(&self.tensors[*name].part().buffer)).or_default().push((*name, *at));
            }
            let there = in_place.into_values().max_by_key(Vec::len).unwrap_or_default();
            let free: Vec<(&str, u64)> = members.iter().filter(|m| self.is_free(m.0)).copied().collect();
            if there.len() >= least.max(free.len()) {
                members.retain(|m| !there.contains(m));
            } else if free.len() >= least {
                self.move_into(gpu, Arc::new(gpu.buffer("arena", arena.bytes)?), &free)?;
                members.retain(|m| !free.contains(m));
            }
            apart.extend(members.into_iter().map(|(name, _)| name.to_string()));
        }
        Ok(apart)
    }

    /// Moves tensors to their places in `buffer`.
    fn move_into(&self, gpu: &Gpu, buffer: Arc<Buffer>, list: &[(&str, u64)]) -> Result<()> {
        list.iter().try_for_each(|&(name, offset)| {
            let tensor = &self.tensors[name];
            let bytes = padded(tensor.ty.bytes());
            tensor.move_to(gpu, Part { buffer: buffer.clone(), offset, bytes })
        })
    }

    /// Moves a tensor into a buffer of its own. `false` if a plan or another store holds the buffer in which it lies.
    pub(super) fn move_out(&self, gpu: &Gpu, name: &str) -> Result<bool> {
        let is_free = self.is_free(name);
        if is_free {
            let buffer = Arc::new(gpu.buffer(name, self.tensor(name)?.ty.bytes())?);
            self.move_into(gpu, buffer, &[(name, 0)])?;
        }
        Ok(is_free)
    }

    /// Whether nothing but tensors of this store lies in a tensor's buffer, and nobody else holds it.
    fn is_free(&self, name: &str) -> bool {
        let Some(buffer) = self.tensors.get(name).map(|t| t.part().buffer) else { return false };
        let own = self.tensors.values().filter(|t| Arc::ptr_eq(&t.part().buffer, &buffer)).count();
        own == Arc::strong_count(&buffer) - 1
    }

    pub(super) fn part(&self, name: &str, ty: Type) -> Result<Part> {
        let t = self.tensor(name)?;
        if t.ty != ty {
            return Err(Error::Failed(format!("state {name} is {} in the store and {ty} on the tape", t.ty)));
        }
        Ok(t.part())
    }

    fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| Error::Failed(format!("there is no state called {name}")))
    }
}

//! Ops over one tensor (optimizers, averages) that run over many at once: one launch walks all tensors that lie in the
//! same buffers ([`crate::tape::arena`]). What it must know of each tensor stands in a table that its `Params` end in;
//! shaders/common/tensors.wgsl finds the row of a workgroup. An op over one tensor launches the same kernel with one row, so
//! many tensors at once give the bits that they give one by one.

use crate::base::Result;
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::tape::op::ParamBlock;
use crate::tape::{Cost, Emit, Home, Op, Slot, Type};
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

/// The most tensors of a launch: their table is 8 KiB, and every adapter binds 16 KiB of parameters.
const MOST: usize = 256;

/// An op over one tensor that may run over many.
pub trait Many: Op + Clone + PartialEq + Debug + serde::Serialize {
    /// How many of its inputs are of the tensor. All others are common.
    const OWN: usize;

    /// Whether both may run as one.
    fn joins(&self, other: &Self) -> bool;

    /// What all together need while they run.
    fn workspaces(_all: &[Self], _x: &[Type]) -> Vec<Type> {
        Vec::new()
    }

    /// Appends the launches for all. The inputs are the own ones of each in turn, and then the common ones.
    fn emit_all(all: &[Self], e: &mut Emit<'_>) -> Result<()>;
}

/// Several ops of one kind as one. Its inputs are the own inputs of each in turn, and then the common ones.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Joined<T> {
    /// The op of each tensor.
    pub each: Vec<T>,
}

/// The op that stands for all of `ops`, if they may run as one.
pub(crate) fn joined<T: Many>(ops: &[&dyn Op]) -> Option<Arc<dyn Op>> {
    let one = |op: &&dyn Op| {
        let any: &dyn Any = *op;
        any.downcast_ref::<T>().cloned()
    };
    let each = ops.iter().map(one).collect::<Option<Vec<T>>>()?;
    let first = each.first()?;
    each.iter().all(|other| first.joins(other)).then(|| Arc::new(Joined { each: each.clone() }) as Arc<dyn Op>)
}

/// An op with the types of its inputs and outputs.
type Typed<'a, T> = (&'a T, Vec<Type>, Vec<Type>);

impl<T: Many> Joined<T> {
    /// The inputs of tensor `i`.
    fn inputs<'a, V>(&self, x: &'a [V], i: usize) -> impl Iterator<Item = &'a V> {
        let common = self.each.len() * T::OWN;
        x[i * T::OWN..(i + 1) * T::OWN].iter().chain(&x[common..])
    }

    /// The op of each tensor.
    fn types(&self, x: &[Type]) -> Result<Vec<Typed<'_, T>>> {
        let one = |(i, op)| {
            let x: Vec<Type> = self.inputs(x, i).copied().collect();
            let y = T::infer(op, &x)?;
            Ok((op, x, y))
        };
        self.each.iter().enumerate().map(one).collect()
    }
}

impl<T: Many> Op for Joined<T> {
    fn name(&self) -> &'static str {
        self.each.first().map_or("joined", |op| op.name())
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(self.types(x)?.into_iter().flat_map(|(_, _, y)| y).collect())
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        let pairs = self.each.first().map(|op| op.in_place()).unwrap_or_default();
        let outputs = pairs.len();
        let of = |i: usize| pairs.iter().map(move |&(x, y)| (i * T::OWN + x, i * outputs + y));
        (0..self.each.len()).flat_map(of).collect()
    }

    fn together(&self, _inputs: usize) -> Vec<Vec<usize>> {
        (0..T::OWN).map(|own| (0..self.each.len()).map(|i| i * T::OWN + own).collect()).collect()
    }

    fn workspace(&self, x: &[Type], _y: &[Type], _variant: &'static str, _caps: &Caps) -> Vec<Type> {
        T::workspaces(&self.each, x)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        T::emit_all(&self.each, e)
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        let costs = self.types(x).unwrap_or_default().into_iter().map(|(op, x, y)| op.cost(&x, &y));
        costs.fold(Cost::default(), |a, b| Cost { flops: a.flops + b.flops, bytes: a.bytes + b.bytes })
    }
}

/// What a launch must know of a tensor.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    /// How many workgroups walk it.
    pub groups: usize,
    /// Its elements or vec4s, as the kernel wants.
    pub size: u32,
    /// Two words that the kernel reads.
    pub words: [u32; 2],
    /// What is bound of it, at most four values. The row holds where each begins, in vec4.
    pub slots: Vec<Slot>,
    /// The row's last word, if there are at most three values.
    pub index: u32,
}

/// Launches a kernel over tensors: once for all that lie in the same buffers. `common` are bound after the buffers of the
/// tensors. `params` end in the table.
pub(crate) fn launch_all<P: ParamBlock>(
    e: &mut Emit<'_>,
    kernel: &Kernel,
    (tensors, common): (&[Tensor], &[Slot]),
    params: &P,
) {
    let mut walks: Vec<(Vec<usize>, Vec<&Tensor>)> = Vec::new();
    for tensor in tensors {
        let buffers: Vec<usize> = tensor.slots.iter().map(|&slot| e.home(slot).buffer).collect();
        match walks.iter_mut().find(|w| w.0 == buffers && w.1.len() < MOST) {
            Some(walk) => walk.1.push(tensor),
            None => walks.push((buffers, vec![tensor])),
        }
    }
    for (_, tensors) in walks {
        let (mut table, mut groups) = (Vec::new(), 0);
        for tensor in &tensors {
            let mut at = [0, 0, 0, tensor.index];
            for (word, &slot) in at.iter_mut().zip(&tensor.slots) {
                let Home { offset, .. } = e.home(slot);
                *word = (offset / 16) as u32;
            }
            let [a, b] = tensor.words;
            table.extend([[groups as u32, tensor.size, a, b], at]);
            groups += tensor.groups;
        }
        let around = |slot: &Slot| match *slot {
            Slot::In(i) => Slot::AroundIn(i),
            Slot::Out(i) => Slot::AroundOut(i),
            slot => slot,
        };
        let mut buffers: Vec<Slot> = tensors[0].slots.iter().map(around).collect();
        buffers.extend(common);
        let kernel = kernel.clone().with("ROWS", table.len() as u32);
        e.launch_with(kernel, &buffers, (params, &table), groups_1d(groups));
    }
}

/// `kernel`, or with a guard the kernel of the pieces `under_guard`, after whose `bound` buffers the guard is bound.
pub(crate) fn under(guard: Option<Slot>, kernel: Kernel, under_guard: &[Piece], bound: usize) -> Kernel {
    match guard {
        Some(_) => Kernel { pieces: under_guard.to_vec(), ..kernel }.with("GUARD", bound as u32 + 1),
        None => kernel,
    }
}

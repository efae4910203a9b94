//! An op is plain data that can infer types, emit launches, append its gradient and state its cost.

use super::constants::Constants;
use super::record::{Tape, Var};
use crate::base::{DType, Error, Result, Shape};
use crate::device::{Caps, Kernel};
use std::any::Any;
use std::sync::Arc;

/// Shape and element type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Type {
    /// Its dimensions.
    pub shape: Shape,
    /// The type of its elements.
    pub dtype: DType,
}

impl Type {
    /// An f16 tensor.
    pub fn f16(shape: impl Into<Shape>) -> Self {
        Type { shape: shape.into(), dtype: DType::F16 }
    }

    /// An f32 tensor.
    pub fn f32(shape: impl Into<Shape>) -> Self {
        Type { shape: shape.into(), dtype: DType::F32 }
    }

    /// A u32 tensor.
    pub fn u32(shape: impl Into<Shape>) -> Self {
        Type { shape: shape.into(), dtype: DType::U32 }
    }

    /// Bytes of its elements. Its buffer may be longer, because buffers are whole vec4 (16 bytes).
    pub fn bytes(&self) -> u64 {
        (self.shape.numel() * self.dtype.bytes()) as u64
    }

    /// It is an error unless the elements are f32 or f16. `op` and `name` (of the tensor) stand in the error.
    pub fn expect_float(&self, op: &'static str, name: &str) -> Result<()> {
        if self.dtype.is_float() { Ok(()) } else { self.expect_dtype(op, name, DType::F32) }
    }

    /// It is an error unless the elements are of `dtype`. `op` and `name` (of the tensor) stand in the error.
    pub fn expect_dtype(&self, op: &'static str, name: &str, dtype: DType) -> Result<()> {
        if self.dtype == dtype {
            return Ok(());
        }
        Err(Error::shape(op, format!("{name} must hold {}, not {}", dtype.name(), self.dtype.name())))
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.dtype.name(), self.shape)
    }
}

/// Work of an op, counted from its formula. A roofline is made of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cost {
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that must be read or written at least once.
    pub bytes: u64,
}

/// A buffer of a launch, named by its role in the op.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// Input `i`, read.
    In(usize),
    /// Output `i`.
    Out(usize),
    /// Workspace `i`.
    Work(usize),
    /// The whole buffer in which input `i` lies, read.
    AroundIn(usize),
    /// The whole buffer in which output `i` lies.
    AroundOut(usize),
}

impl Slot {
    /// The value of the op that a slot binds, or binds with what lies around it.
    pub fn value(self) -> Slot {
        match self {
            Slot::AroundIn(i) => Slot::In(i),
            Slot::AroundOut(i) => Slot::Out(i),
            slot => slot,
        }
    }
}

/// Where a value lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub struct Home {
    /// Tells buffers apart.
    pub buffer: usize,
    /// Its first byte in the buffer, a multiple of 16.
    pub offset: u64,
}

/// One launch of a kernel as plain data.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The kernel that runs.
    pub kernel: Kernel,
    /// Its storage buffers, in binding order.
    pub buffers: Vec<Slot>,
    /// The bytes of its `Params`.
    pub params: Vec<u8>,
    /// Names and byte offsets of the fields of `Params`. [`super::layout`] compares them with the shader.
    pub fields: &'static [(&'static str, usize)],
    /// Numbers of workgroups in x, y and z.
    pub grid: [u32; 3],
}

/// What an op sees when it emits its launches.
pub struct Emit<'a> {
    /// Types of the inputs.
    pub x: &'a [Type],
    /// Types of the outputs.
    pub y: &'a [Type],
    /// The chosen variant, one of those the op offered.
    pub variant: &'static str,
    /// What the adapter can do.
    pub caps: &'a Caps,
    /// Where each input lies, and then where each output lies.
    pub homes: Vec<Home>,
    /// The launches so far.
    pub launches: Vec<Launch>,
}

impl<'a> Emit<'a> {
    /// For values that lie in a buffer of their own each.
    pub fn apart(x: &'a [Type], y: &'a [Type], variant: &'static str, caps: &'a Caps) -> Self {
        let homes = (0..x.len() + y.len()).map(|buffer| Home { buffer, offset: 0 }).collect();
        Emit { x, y, variant, caps, homes, launches: Vec::new() }
    }

    /// Where an input or output lies. A workspace lies at the beginning of a buffer of its own.
    pub fn home(&self, slot: Slot) -> Home {
        match slot.value() {
            Slot::Out(i) => self.homes[self.x.len() + i],
            Slot::In(i) | Slot::AroundIn(i) | Slot::AroundOut(i) => self.homes[i],
            Slot::Work(i) => Home { buffer: usize::MAX - i, offset: 0 },
        }
    }

    /// Appends a launch whose `Params` end in a table of vectors of four words, the field that `params` ends in.
    pub fn launch_with<P: ParamBlock>(
        &mut self,
        kernel: Kernel,
        buffers: &[Slot],
        (params, table): (&P, &[[u32; 4]]),
        grid: [u32; 3],
    ) {
        self.launch(kernel, buffers, params, grid);
        if let Some(launch) = self.launches.last_mut() {
            launch.params.extend_from_slice(bytemuck::cast_slice(table));
        }
    }

    /// Appends a launch.
    pub fn launch<P: ParamBlock>(&mut self, kernel: Kernel, buffers: &[Slot], params: &P, grid: [u32; 3]) {
        let (params, fields) = (bytemuck::bytes_of(params).to_vec(), P::FIELDS);
        self.launches.push(Launch { kernel, buffers: buffers.to_vec(), params, fields, grid });
    }
}

/// The `Params` of a kernel, declared with [`crate::params!`].
pub trait ParamBlock: bytemuck::Pod {
    /// Names and offsets of its fields, in order.
    const FIELDS: &'static [(&'static str, usize)];
}

/// An op is plain data and never holds a closure. Equal ops give equal launches. A table or an address knows an op by
/// its name and its [`Constants`], so it derives `serde::Serialize`. How it prints has no meaning.
pub trait Op: Any + Constants + std::fmt::Debug + Send + Sync {
    /// Its name. Its file has the same name.
    fn name(&self) -> &'static str;

    /// The types of the outputs for inputs of these types. The error names the op, the types it was given, and what
    /// would fit.
    fn infer(&self, x: &[Type]) -> Result<Vec<Type>>;

    /// Whether it takes and gives f16, if `infer` allows it. Recording refuses f16 to any other op, so that no op
    /// computes wrongly with elements that it was not written for.
    fn takes_f16(&self) -> bool {
        false
    }

    /// Whether `grad` takes gradients of f32 for outputs of f16. Else they are rounded before.
    fn takes_long_gradients(&self) -> bool {
        false
    }

    /// The variants that can run on `caps`, the one that is expected to be fastest first. There is at least one.
    fn variants(&self, _x: &[Type], _caps: &Caps) -> Vec<&'static str> {
        vec!["portable"]
    }

    /// The types of the buffers that a variant needs while it runs.
    fn workspace(&self, _x: &[Type], _y: &[Type], _variant: &'static str, _caps: &Caps) -> Vec<Type> {
        Vec::new()
    }

    /// Pairs (input, output) that share a buffer. The kernel finds the input's value in the output's buffer and
    /// overwrites it. The schedule makes a copy if the input is still needed.
    fn in_place(&self) -> Vec<(usize, usize)> {
        Vec::new()
    }

    /// Whether the output is the input's memory with another shape. Then nothing is launched.
    fn is_view(&self) -> bool {
        false
    }

    /// Whether the op writes in place even while the guard is raised. Any other op may write state directly under a
    /// guard only if it takes the guard as its last input and leaves the state alone while the guard is raised.
    fn defies_guard(&self) -> bool {
        false
    }

    /// `Some(n)` if the op has n inputs and takes a guard after them that may be added once it is recorded. The guard
    /// of a scope is often known only after the backward pass ([`super::deferred`]).
    fn unguarded(&self) -> Option<usize> {
        None
    }

    /// `Some(n)` if nodes of this op may run as one. Its first n inputs are then a node's own, and all others (scalars,
    /// the guard) are the same for all of them. See [`super::join`].
    fn own_inputs(&self) -> Option<usize> {
        None
    }

    /// The op that stands for all of `ops`, which have the name and the other inputs of this op. Its inputs are the
    /// own inputs of each in turn, and then the common ones; its outputs are those of each in turn. `None` if they
    /// cannot run as one.
    fn joined(&self, _ops: &[&dyn Op]) -> Option<Arc<dyn Op>> {
        None
    }

    /// Lists of inputs, of `inputs` in all, that should lie in one buffer, so that a launch can bind them together. It
    /// is a wish: the op launches more often where they do not. [`Emit::home`] says where they lie.
    fn together(&self, _inputs: usize) -> Vec<Vec<usize>> {
        Vec::new()
    }

    /// Whether a function that can saturate is applied to the op's sums. Where the sums are large, such a function
    /// gives the same result for right and wrong sums, so made-up inputs must keep the sums near 1.
    fn may_saturate(&self) -> bool {
        false
    }

    /// Appends the launches of the chosen variant.
    fn emit(&self, e: &mut Emit<'_>) -> Result<()>;

    /// Appends nodes that compute the gradient of each input from the gradients `dy` of the outputs. `dy[i]` is `None`
    /// if nothing depends on output `i`. The result has one entry for each input: a value of the input's shape and
    /// dtype, or `None` for an input without a gradient. Of an f16 input it may be f32, where it is a long sum that should
    /// not be rounded. An op skips the inputs whose gradient nobody asked for, as
    /// [`Tape::wants`] says.
    fn grad(&self, _t: &mut Tape, _x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Err(Error::no_gradient(self.name(), "it has no gradient; detach its inputs or leave it out of the loss"))
    }

    /// Floating-point operations and bytes, from the formula.
    fn cost(&self, x: &[Type], y: &[Type]) -> Cost;
}

/// Declares the `Params` of a kernel: a plain struct of u32 and f32 fields, laid out as WGSL lays out the same struct.
/// Before a plan is made, the names and offsets of the fields are compared with those that naga reads from the shader.
/// A package that uses the macro needs `bytemuck` with its feature `derive`.
#[macro_export]
macro_rules! params {
    ($(#[$m:meta])* $vis:vis struct $name:ident { $($field:ident : $ty:ty),* $(,)? }) => {
        $(#[$m])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        $vis struct $name { $($vis $field: $ty),* }
        impl $crate::tape::op::ParamBlock for $name {
            const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field))),*];
        }
    };
}

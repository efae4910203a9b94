//! An op is plain data that can infer shapes, emit launches, append its gradient and state its cost.

use super::constants::Constants;
use super::record::{Tape, Var};
use crate::base::{DType, Error, Result, Shape};
use crate::device::{Caps, Kernel};
use std::any::Any;

/// Shape and element type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Type {
    /// Its dimensions.
    pub shape: Shape,
    /// Its elements.
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

    /// Bytes of its elements. Buffers are longer: they are whole vec4, so an odd number of halves ends in padding.
    pub fn bytes(&self) -> u64 {
        (self.shape.numel() * self.dtype.bytes()) as u64
    }

    /// An error unless the elements are of `dtype`.
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

/// Work of an op, counted from its formula: what a roofline needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cost {
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that must cross memory at least once.
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
}

/// One launch of a kernel as plain data.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What runs.
    pub kernel: Kernel,
    /// Its storage buffers, in binding order.
    pub buffers: Vec<Slot>,
    /// The bytes of its `Params`.
    pub params: Vec<u8>,
    /// Names and offsets of the fields of `Params`, for the layout test.
    pub fields: &'static [(&'static str, usize)],
    /// Workgroups.
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
    /// The launches so far.
    pub launches: Vec<Launch>,
}

impl Emit<'_> {
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

/// An op is plain data, printable, never a closure. The same op value gives the same launches. It is known by its name
/// and its [`Constants`], so it derives `serde::Serialize`; how it prints has no meaning.
pub trait Op: Any + Constants + std::fmt::Debug + Send + Sync {
    /// Its name, as its file is named.
    fn name(&self) -> &'static str;

    /// Types of the outputs, or an error naming the op, both shapes and what would fit.
    fn infer(&self, x: &[Type]) -> Result<Vec<Type>>;

    /// Whether it takes and gives f16, if `infer` allows it. Recording refuses f16 to any other op, so that no op
    /// computes wrongly with elements that it was not written for.
    fn takes_f16(&self) -> bool {
        false
    }

    /// The variants that can run on `caps`, the one expected to be fastest first; never empty.
    fn variants(&self, _x: &[Type], _caps: &Caps) -> Vec<&'static str> {
        vec!["portable"]
    }

    /// Buffers a variant needs while it runs.
    fn workspace(&self, _x: &[Type], _y: &[Type], _variant: &'static str, _caps: &Caps) -> Vec<Type> {
        Vec::new()
    }

    /// (input, output) pairs that share a buffer, which the kernel reads and writes: it finds the input's value in the
    /// output. The schedule makes a copy if the input is still needed.
    fn in_place(&self) -> Vec<(usize, usize)> {
        Vec::new()
    }

    /// Whether the output is the input's memory with another shape. Nothing is launched then.
    fn is_view(&self) -> bool {
        false
    }

    /// Whether the in-place write happens regardless of the guard. Any other op may write state directly under a guard
    /// only if it takes the guard as its last input, and leaves its target alone while the guard is raised.
    fn defies_guard(&self) -> bool {
        false
    }

    /// How many inputs it has without a guard, if it takes one as a last input and may be given it after it was recorded:
    /// the guard of a scope is often known only behind the backward pass ([`super::deferred`]).
    fn unguarded(&self) -> Option<usize> {
        None
    }

    /// A function that may saturate takes its sums: where they are large, it gives the same for right and wrong ones, so
    /// that made-up inputs must keep them near 1.
    fn may_saturate(&self) -> bool {
        false
    }

    /// Appends the launches of the chosen variant.
    fn emit(&self, e: &mut Emit<'_>) -> Result<()>;

    /// Appends nodes that compute the gradient of each input from those of the outputs. `dy[i]` is `None` if output `i`
    /// does not matter. The result is `None` for an input without a gradient. Skip inputs whose gradient nobody asked
    /// for, as [`Tape::wants`] says.
    fn grad(&self, _t: &mut Tape, _x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Err(Error::no_gradient(self.name(), "it has no gradient; detach its inputs or leave it out of the loss"))
    }

    /// Flops and bytes from the formula.
    fn cost(&self, x: &[Type], y: &[Type]) -> Cost;
}

/// Declares the `Params` of a kernel: a plain struct of u32 and f32 fields, laid out as WGSL lays out the same struct.
/// Before a plan is made, its names and offsets are compared with what naga reflects. The package that uses the macro
/// needs `bytemuck` with its feature `derive`.
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

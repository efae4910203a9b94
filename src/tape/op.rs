//! What an op is: plain data that can infer shapes, emit launches, append its gradient and state its cost.

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

    /// Bytes of its elements. Buffers are longer: whole vec4, so an odd number of halves ends in padding.
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

/// An op: plain data, printable, never a closure. The same op value gives the same launches. It is known by its name and
/// its [`Constants`], so it derives `serde::Serialize`; what it prints as has no meaning.
pub trait Op: Any + Constants + std::fmt::Debug + Send + Sync {
    /// Its name, as its file is named.
    fn name(&self) -> &'static str;

    /// Types of the outputs, or an error naming the op, both shapes and what would fit.
    fn infer(&self, x: &[Type]) -> Result<Vec<Type>>;

    /// Whether it takes and gives f16 where `infer` lets it. Recording refuses f16 to any other op, so that none computes
    /// wrongly with elements it was not written for.
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

    /// (input, output) pairs that are one buffer, read and written: the kernel finds the input's value in the output.
    /// The schedule makes a copy where the input is still needed.
    fn in_place(&self) -> Vec<(usize, usize)> {
        Vec::new()
    }

    /// The output is the input's memory under another shape; nothing is launched.
    fn is_view(&self) -> bool {
        false
    }

    /// The in-place write must happen whatever the tape's guard says. Any other op may write state directly under a
    /// guard only if it takes the guard as its last input and leaves its target alone when that is raised.
    fn defies_guard(&self) -> bool {
        false
    }

    /// A function that may saturate takes its sums: where they are large, it gives the same for right and wrong ones, so
    /// that made-up inputs must keep them near 1.
    fn may_saturate(&self) -> bool {
        false
    }

    /// Appends the launches of the chosen variant.
    fn emit(&self, e: &mut Emit<'_>) -> Result<()>;

    /// Appends nodes that compute the gradient of each input from those of the outputs. `dy[i]` is `None` where
    /// output `i` does not matter; the result is `None` where an input has no gradient. Skip inputs that
    /// [`Tape::wants`] says nobody asked for.
    fn grad(&self, _t: &mut Tape, _x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Err(Error::no_gradient(self.name(), "it has no gradient; detach its inputs or leave it out of the loss"))
    }

    /// Flops and bytes from the formula.
    fn cost(&self, x: &[Type], y: &[Type]) -> Cost;
}

/// Declares `Params` of a kernel: a plain struct of u32 and f32 fields, laid out as WGSL lays out the same struct,
/// with the names and offsets that are compared with what naga reflects before a plan is made. The package that says it needs
/// `bytemuck` with its feature `derive`.
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

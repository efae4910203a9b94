//! kernels: one file per op, in one order: formula, data, params, shaders, public method, shapes, dispatch, gradient,
//! cost, cases. Ops stand in families (`elementwise`, `shape`, `layers`, `losses`, `images`, `training`); `core` holds what
//! they share, `catalog` what goes over all of them, and `fuse` says which of them become one. The same names stand in
//! `shaders/<family>/<op>/` and `kernels-tests/reference/<family>/<op>.rs`. An op file reaches other ops through `Tape`
//! methods, or through a core, nothing else. Paths leave the family out: `wgslab::kernels::conv2d`.
//!
//! The text of a kernel is put together where it is launched: [`Kernel::new`] takes the pieces it begins with, and each
//! [`Kernel::followed_by`] adds those that one choice brings (a type, a walk, an op's own formula).
//!
//! NaN in is NaN out, so that a bad step cannot look like a good one: an op that does otherwise says so in its head, and stands
//! in the list of `kernels-tests/not_numbers.rs`. So is a NaN in a cotangent, and both are compared with PyTorch's in
//! `kernels-tests/golden_not_numbers.rs`, outputs and gradients. Three things of WGSL lose a NaN: `max`, `min` and `clamp` may give
//! the other number, and `!=` is false of it where SPIR-V's comparison is ordered. Kernels select by `<`, `>` or `==` instead,
//! with the value itself on the side of false.

/// The ops of a family, one line each: their modules, and `listed()`, every op's name with its cases.
macro_rules! ops {
    ($($op:ident,)*) => {
        $(pub mod $op;)*

        /// Every op of this list: its name and its named cases.
        pub(crate) fn listed() -> Vec<(&'static str, Vec<crate::kernels::Case>)> {
            vec![$((stringify!($op), $op::cases())),*]
        }
    };
}

mod catalog;
mod core;
mod elementwise;
pub mod fuse;
mod images;
mod layers;
mod losses;
mod shape;
mod training;

pub use self::catalog::case::{Case, Fill, Recorded};
pub use self::catalog::*;
pub use self::core::*;
pub use self::elementwise::*;
pub use self::images::*;
pub use self::layers::*;
pub use self::losses::*;
pub use self::shape::*;
pub use self::training::*;

use crate::base::{DType, Error, Result, Shape};
use crate::device::{Kernel, Piece, groups_1d};
use crate::piece;
use crate::tape::backward::Arithmetic;
use crate::tape::{Op, Slot, Tape, Type, Var};

/// The list of a family.
type Listed = fn() -> Vec<(&'static str, Vec<Case>)>;

/// A list of an op's name and its named cases: tests, gradients and benches read it.
pub fn ops() -> Vec<(&'static str, Vec<Case>)> {
    let families: [Listed; 6] =
        [elementwise::listed, images::listed, layers::listed, losses::listed, shape::listed, training::listed];
    let mut ops: Vec<_> = families.iter().flat_map(|family| family()).collect();
    ops.push(("epilogue", fuse::cases()));
    ops.extend(binary::families());
    ops.extend(unary::families());
    ops.sort_by_key(|op| op.0);
    ops
}

/// What a backward pass needs of the ops.
struct Ops;

impl Arithmetic for Ops {
    fn ones(t: &mut Tape, like: Var) -> Result<Var> {
        let (shape, dtype) = (t.shape(like), t.ty(like).dtype);
        let ones = t.fill(shape, 1.0)?;
        t.cast(ones, dtype)
    }

    fn sum(t: &mut Tape, a: Var, b: Var) -> Result<Var> {
        t.add(a, b)
    }

    fn cast(t: &mut Tape, a: Var, dtype: DType) -> Result<Var> {
        t.cast(a, dtype)
    }
}

impl Tape {
    /// Appends the gradient of Σ ⟨output, cotangent⟩ with respect to each of `wrt`; a cotangent of `None` means ones.
    /// `None` comes back where nothing depends on that value.
    pub fn backward(&mut self, outputs: &[Var], cotangents: &[Option<Var>], wrt: &[Var]) -> Result<Vec<Option<Var>>> {
        self.backward_with::<Ops>(outputs, cotangents, wrt)
    }

    /// The gradient of one scalar loss.
    pub fn gradient(&mut self, loss: Var, wrt: &[Var]) -> Result<Vec<Option<Var>>> {
        self.backward(&[loss], &[None], wrt)
    }
}

/// vec4 count and grid of an elementwise kernel of 256 vec4 a workgroup over `elements` elements.
pub(crate) fn vec4_grid(elements: usize) -> (u32, [u32; 3]) {
    let vectors = elements.div_ceil(4);
    (vectors as u32, groups_1d(vectors.div_ceil(256)))
}

/// What a kernel over rows begins with: its index, and what a unit of a row is: four numbers where rows are `whole` vec4,
/// else one.
pub(crate) fn units(whole: bool) -> &'static [Piece] {
    const VEC4: &[Piece] = &[piece!("common/index.wgsl"), piece!("common/vec4.wgsl")];
    const SCALAR: &[Piece] = &[piece!("common/index.wgsl"), piece!("common/scalar.wgsl")];
    if whole { VEC4 } else { SCALAR }
}

/// `x` with an axis of another size.
pub(crate) fn resized(x: Type, axis: usize, size: usize) -> Type {
    let mut dims: Vec<usize> = x.shape.dims().iter().map(|&d| d as usize).collect();
    dims[axis] = size;
    Type { shape: Shape::new(&dims), dtype: x.dtype }
}

/// Elements from `axis` on: how much of `x` lies in one piece in memory.
pub(crate) fn from_axis(x: Type, axis: u32) -> u32 {
    x.shape.dims()[axis as usize..].iter().product()
}

/// N and K of logits, after checking them against labels and weights.
pub(crate) fn classification(op: &'static str, x: &[Type]) -> Result<(usize, usize)> {
    x[0].expect_dtype(op, "logits", DType::F32)?;
    x[1].expect_dtype(op, "labels", DType::U32)?;
    x[2].expect_dtype(op, "weights", DType::F32)?;
    let [n, k] = x[0].shape.matrix(op, "logits")?;
    for (ty, name) in [(x[1], "labels"), (x[2], "weights")] {
        if ty.shape.vector(op, name)? != n {
            let need = "they must have one entry for each row";
            return Err(Error::shapes(op, (name, ty.shape), ("logits", x[0].shape), need));
        }
    }
    Ok((n, k))
}

/// An error unless all are f32 of one type.
pub(crate) fn same_types(op: &'static str, x: &[(&str, Type)]) -> Result<()> {
    let (first, ty) = x[0];
    for &(name, other) in x {
        other.expect_dtype(op, name, DType::F32)?;
        if other.shape != ty.shape {
            return Err(Error::shapes(op, (first, ty.shape), (name, other.shape), "they must be equal"));
        }
    }
    Ok(())
}

/// `kernel` over `buffers`. Where the op has an input more than [`Op::unguarded`] says, which is a guard, it is the kernel
/// of the pieces `under_guard` with the guard bound last.
pub(crate) fn guarded(
    op: &dyn Op,
    inputs: usize,
    kernel: Kernel,
    under_guard: &[Piece],
    mut buffers: Vec<Slot>,
) -> (Kernel, Vec<Slot>) {
    let Some(plain) = op.unguarded().filter(|&plain| inputs > plain) else { return (kernel, buffers) };
    buffers.push(Slot::In(plain));
    let kernel = Kernel { pieces: under_guard.to_vec(), ..kernel }.with("GUARD", buffers.len() as u32);
    (kernel, buffers)
}

//! The ops of the tape itself: a view, a copy, and the commit of an assign.
//!
//! view: y = x with another shape, in the same memory. copy: y = x in memory of its own. assign: state = x, unless the
//! guard is raised. All take any dtype, and the dtype does not change. Shaders: shaders/tape/assign/.

use super::op::{Cost, Emit, Op, Slot, Type};
use super::record::{Tape, Var};
use crate::base::{Error, Result, Shape};
use crate::device::{Kernel, Piece, groups_1d};
use crate::{params, piece};

params! {
    struct Params { words: u32 }
}

const COPY: &[Piece] = &[piece!("common/index.wgsl"), piece!("tape/assign/copy.wgsl")];
const GUARDED: &[Piece] = &[piece!("common/index.wgsl"), piece!("tape/assign/guarded.wgsl")];

/// The same memory with another shape.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct View {
    /// The new shape. It has as many elements as the input.
    pub shape: Shape,
}

impl Op for View {
    fn name(&self) -> &'static str {
        "view"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        if x[0].shape.numel() != self.shape.numel() {
            return Err(Error::shape(
                "view",
                format!(
                    "{} has {} elements and {} has {}; they must be equal",
                    x[0].shape,
                    x[0].shape.numel(),
                    self.shape,
                    self.shape.numel()
                ),
            ));
        }
        Ok(vec![Type { shape: self.shape, dtype: x[0].dtype }])
    }

    fn is_view(&self) -> bool {
        true
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn emit(&self, _e: &mut Emit<'_>) -> Result<()> {
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let shape = t.shape(x[0]);
        Ok(vec![dy[0].map(|d| t.reshape(d, shape)).transpose()?])
    }

    fn cost(&self, _x: &[Type], _y: &[Type]) -> Cost {
        Cost::default()
    }
}

/// y = x in memory of its own.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct Copy;

/// state = x. Input 0 is x, input 1 (optional) is the guard, u32 [1]; while the guard is not zero, the state keeps its
/// value. Output 0 is the state's buffer.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct Assign;

fn emit(e: &mut Emit<'_>) {
    let words = e.y[0].bytes().div_ceil(4) as usize;
    let params = Params { words: words as u32 };
    let grid = groups_1d(words.div_ceil(256));
    if e.x.len() == 2 {
        let buffers = [Slot::In(0), Slot::In(1), Slot::Out(0)];
        e.launch(Kernel::new("assign.guarded", "portable", GUARDED), &buffers, &params, grid);
    } else {
        e.launch(Kernel::new("assign.copy", "portable", COPY), &[Slot::In(0), Slot::Out(0)], &params, grid);
    }
}

fn copy_cost(y: &[Type]) -> Cost {
    Cost { flops: 0, bytes: 2 * y[0].bytes() }
}

impl Op for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        emit(e);
        Ok(())
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        copy_cost(y)
    }
}

impl Op for Assign {
    fn name(&self) -> &'static str {
        "assign"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        emit(e);
        Ok(())
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        copy_cost(y)
    }
}

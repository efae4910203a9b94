//! slice: y = x[start .. start + length] along the first dimension.
//! dx is dy inside the slice and 0 outside it. Shaders: shaders/slice/.

use crate::base::{DType, Error, Result, Shape};
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// Rows `start .. start + length` of the first dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// The first row.
    pub start: u32,
    /// How many rows.
    pub length: u32,
}

/// dx from dy, in the type of x.
#[derive(Clone, Debug, PartialEq)]
struct SliceGrad {
    slice: Slice,
    x: Type,
}

params! {
    struct Params { elements: u32, start: u32 }
}

params! {
    struct GradParams { elements: u32, start: u32, length: u32 }
}

const FORWARD: &[Piece] = &[piece!("common/index.wgsl"), piece!("slice/forward.wgsl")];
const GRAD: &[Piece] = &[piece!("common/index.wgsl"), piece!("slice/grad.wgsl")];

impl Tape {
    /// Rows `start .. start + length` of an f32 tensor [N, …].
    pub fn slice(&mut self, x: Var, start: usize, length: usize) -> Result<Var> {
        self.apply1(Slice { start: start as u32, length: length as u32 }, &[x])
    }
}

/// Elements of one row of the first dimension.
fn row(x: Type) -> u32 {
    x.shape.dims()[1..].iter().product()
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("slice", "x", DType::F32)?;
        let rows = x[0].shape.dims().first().copied().unwrap_or(0);
        if self.length == 0 || self.start.checked_add(self.length).is_none_or(|end| end > rows) {
            let what = format!(
                "rows {} to {} of {} are not all there",
                self.start,
                self.start as u64 + self.length as u64,
                x[0].shape
            );
            return Err(Error::shape("slice", what));
        }
        let mut dims: Vec<usize> = x[0].shape.dims().iter().map(|&d| d as usize).collect();
        dims[0] = self.length as usize;
        Ok(vec![Type::f32(Shape::new(&dims))])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let elements = e.y[0].shape.numel();
        let params = Params { elements: elements as u32, start: self.start * row(e.x[0]) };
        let kernel = Kernel::new("slice.forward", "portable", FORWARD);
        e.launch(kernel, &[Slot::In(0), Slot::Out(0)], &params, groups_1d(elements.div_ceil(256)));
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let x = t.ty(x[0]);
        Ok(vec![dy[0].map(|dy| t.apply1(SliceGrad { slice: self.clone(), x }, &[dy])).transpose()?])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: 2 * y[0].bytes() }
    }
}

impl Op for SliceGrad {
    fn name(&self) -> &'static str {
        "slice.grad"
    }

    fn infer(&self, _x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![self.x])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let elements = self.x.shape.numel();
        let params = GradParams {
            elements: elements as u32,
            start: self.slice.start * row(self.x),
            length: e.x[0].shape.numel() as u32,
        };
        let kernel = Kernel::new("slice.grad", "portable", GRAD);
        e.launch(kernel, &[Slot::In(0), Slot::Out(0)], &params, groups_1d(elements.div_ceil(256)));
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: x[0].bytes() + y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize], start, length| {
        Case::new(name, Slice { start, length }, vec![(Type::f32(Shape::new(shape)), Fill::Normal)])
    };
    vec![case("all", &[5], 0, 5), case("the middle, odd", &[13, 7, 3], 5, 3), case("the last row", &[300, 3], 299, 1)]
}

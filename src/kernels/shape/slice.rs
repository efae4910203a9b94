//! slice: y = x[…, start .. start + length, …] along an axis.
//! dx is dy inside the slice and 0 outside it. Shaders: shaders/shape/slice/.

use crate::base::{Error, Result, Shape};
use crate::device::{Piece, groups_1d};
use crate::kernels::{Case, Fill, from_axis, held, resized};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// `start .. start + length` of the axis `axis`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Slice {
    /// The axis.
    pub axis: u32,
    /// The first of it.
    pub start: u32,
    /// How many.
    pub length: u32,
}

/// dx from dy, in the type of x.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct SliceGrad {
    slice: Slice,
    x: Type,
}

params! {
    struct Params { units: u32, row: u32, x_row: u32, start: u32 }
}

const FORWARD: &[Piece] = &[piece!("shape/slice/forward.wgsl")];
const GRAD: &[Piece] = &[piece!("shape/slice/grad.wgsl")];

impl Tape {
    /// `start .. start + length` of one axis of a tensor of any element type (PyTorch's `narrow`).
    pub fn slice(&mut self, x: Var, axis: usize, start: usize, length: usize) -> Result<Var> {
        self.apply1(Slice { axis: axis as u32, start: start as u32, length: length as u32 }, &[x])
    }
}

impl Slice {
    /// Launches a kernel over the units of the output: y of the slice, or dx of its gradient.
    fn launch(&self, e: &mut Emit<'_>, name: &'static str, own: &[Piece], x: Type, y: Type) {
        let (x_row, y_row) = (from_axis(x, self.axis), from_axis(y, self.axis));
        let start = x_row / x.shape.dims()[self.axis as usize] * self.start;
        let (kernel, unit) = held::moving(name, e.y[0].dtype, &[x_row, y_row, start], 2);
        let units = e.y[0].shape.numel() as u32 / unit;
        let params = Params { units, row: y_row / unit, x_row: x_row / unit, start: start / unit };
        e.launch(
            kernel.followed_by(own),
            &[Slot::In(0), Slot::Out(0)],
            &params,
            groups_1d(units.div_ceil(256) as usize),
        );
    }
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let (axis, start, length) = (self.axis as usize, self.start as usize, self.length as usize);
        let Some(&dim) = x[0].shape.dims().get(axis) else {
            return Err(Error::shape("slice", format!("{} has no axis {axis}; axes count from 0", x[0].shape)));
        };
        if length == 0 || start + length > dim as usize {
            let end = start + length;
            let what = format!(
                "{start} to {end} of axis {axis} of {} are not all there; take at least one, up to {dim}",
                x[0].shape
            );
            return Err(Error::shape("slice", what));
        }
        Ok(vec![resized(x[0], axis, length)])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (x, y) = (e.x[0], e.y[0]);
        self.launch(e, "slice.forward", FORWARD, x, y);
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

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_float("slice.grad", "dy")?;
        Ok(vec![self.x])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (x, y) = (self.x, e.x[0]);
        self.slice.launch(e, "slice.grad", GRAD, x, y);
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: x[0].bytes() + y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize], axis, start, length| {
        Case::new(name, Slice { axis, start, length }, vec![(Type::f32(Shape::new(shape)), Fill::Normal)])
    };
    let words = Slice { axis: 1, start: 3, length: 2 };
    vec![
        case("all", &[5], 0, 0, 5),
        case("the middle, odd", &[13, 7, 3], 0, 5, 3),
        case("the last row", &[300, 3], 0, 299, 1),
        case("the last axis, odd", &[11, 5, 7], 2, 2, 4),
        case("whole vec4", &[33, 12], 1, 4, 8),
        case("channels", &[2, 5, 4, 4], 1, 1, 3),
        Case::new("words", words, vec![(Type::u32([3, 7]), Fill::Bytes)]),
        case("f16, the middle, odd", &[13, 7, 3], 0, 5, 3).halved(&[0]),
        case("f16, the last axis, odd", &[11, 5, 7], 2, 2, 4).halved(&[0]),
        case("f16, an odd start", &[9, 8], 1, 3, 4).halved(&[0]),
        case("f16, whole words", &[5, 18], 1, 6, 6).halved(&[0]),
        case("f16, four words", &[33, 48], 1, 16, 16).halved(&[0]),
    ]
}

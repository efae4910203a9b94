//! concat: y = [a; b; …], joined along an axis.
//! The gradient of each input is its slice of dy. Shaders: shaders/shape/concat/.

use crate::base::{Error, Result, Shape};
use crate::device::{Piece, groups_1d};
use crate::kernels::{Case, Fill, from_axis, held, resized};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// Tensors joined along `axis`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Concat {
    /// The axis they are joined along.
    pub axis: u32,
}

params! {
    struct Params { units: u32, row: u32, y_row: u32, start: u32 }
}

const FORWARD: &[Piece] = &[piece!("shape/concat/forward.wgsl")];

impl Tape {
    /// Tensors of one element type whose dimensions are equal but for `axis`, joined along `axis` in their order.
    pub fn concat(&mut self, parts: &[Var], axis: usize) -> Result<Var> {
        self.apply1(Concat { axis: axis as u32 }, parts)
    }
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let axis = self.axis as usize;
        let Some(first) = x.first() else { return Err(Error::shape("concat", "needs at least one tensor")) };
        if axis >= first.shape.rank() {
            return Err(Error::shape("concat", format!("{} has no axis {axis}; axes count from 0", first.shape)));
        }
        let mut size = 0;
        for t in x {
            t.expect_dtype("concat", "every part", first.dtype)?;
            let others = |s: Shape| s.dims().iter().copied().enumerate().filter(|d| d.0 != axis).collect::<Vec<_>>();
            if t.shape.rank() != first.shape.rank() || others(t.shape) != others(first.shape) {
                let need = format!("all dimensions but {axis} must be equal");
                return Err(Error::shapes("concat", ("one part", first.shape), ("another", t.shape), &need));
            }
            size += t.shape.dim(axis);
        }
        Ok(vec![resized(*first, axis, size)])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let y_row = from_axis(e.y[0], self.axis);
        let mut start = 0;
        for (i, t) in e.x.iter().enumerate() {
            let part = from_axis(*t, self.axis);
            let (kernel, unit) = held::moving("concat.forward", t.dtype, &[part, y_row, start], 2);
            let units = t.shape.numel() as u32 / unit;
            let params = Params { units, row: part / unit, y_row: y_row / unit, start: start / unit };
            e.launch(
                kernel.followed_by(FORWARD),
                &[Slot::In(i), Slot::Out(0)],
                &params,
                groups_1d(units.div_ceil(256) as usize),
            );
            start += part;
        }
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let Some(dy) = dy[0] else { return Ok(vec![None; x.len()]) };
        let mut start = 0;
        let mut grads = Vec::new();
        for &part in x {
            let (axis, length) = (self.axis as usize, t.shape(part).dim(self.axis as usize));
            grads.push(if t.wants(part) { Some(t.slice(dy, axis, start, length)?) } else { None });
            start += length;
        }
        Ok(grads)
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: 2 * y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, axis, parts: &[&[usize]]| {
        let inputs = parts.iter().map(|p| (Type::f32(Shape::new(p)), Fill::Normal)).collect();
        Case::new(name, Concat { axis }, inputs)
    };
    let words = [[3, 2], [3, 7]].map(|s| (Type::u32(s), Fill::Bytes)).to_vec();
    vec![
        case("two", 0, &[&[3, 5], &[4, 5]]),
        case("three, odd", 0, &[&[1, 7, 3], &[13, 7, 3], &[5, 7, 3]]),
        case("one", 1, &[&[3, 5]]),
        case("the last axis, odd", 2, &[&[5, 3, 1], &[5, 3, 7], &[5, 3, 2]]),
        case("the last axis, whole vec4", 1, &[&[33, 8], &[33, 4]]),
        case("channels", 1, &[&[2, 3, 4, 4], &[2, 5, 4, 4]]),
        Case::new("words", Concat { axis: 1 }, words),
        case("f16, two, odd", 0, &[&[3, 5], &[4, 5]]).halved(&[0, 1]),
        case("f16, the last axis, odd", 2, &[&[5, 3, 1], &[5, 3, 7], &[5, 3, 2]]).halved(&[0, 1, 2]),
        case("f16, whole words", 1, &[&[7, 1, 6], &[7, 5, 6]]).halved(&[0, 1]),
        case("f16, four words", 1, &[&[3, 1, 16], &[3, 5, 16]]).halved(&[0, 1]),
    ]
}

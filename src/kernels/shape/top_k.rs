//! top_k: the k largest elements of each row in descending order, and where they are; equals in their order, NaN first.
//! dx is dvalues at those places and 0 elsewhere. Shaders: shaders/shape/top_k/, shaders/core/order/.

use crate::base::{Error, Result, Shape};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::order::{self, Params};
use crate::kernels::{Case, Fill, resized};
use crate::piece;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};

/// x f32 [.., M] -> (values [.., k], indices u32 [.., k]).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TopK {
    /// How many of each row.
    pub k: u32,
}

/// dx from (indices, dvalues), in the type of x.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct TopKGrad {
    x: Type,
}

const FORWARD: &[Piece] = &[piece!("common/order.wgsl"), piece!("shape/top_k/values.wgsl")];
const GRAD: &[Piece] = &[piece!("common/index.wgsl"), piece!("shape/top_k/grad.wgsl")];

impl Tape {
    /// The `k` largest elements of each row of f32 x [.., M], descending, and their indices in the row: values [.., k]
    /// and u32 [.., k]. Of equals the one further left comes first; a NaN counts as largest. For rows of up to some
    /// thousands: past what workgroup memory holds, and on software adapters, a row costs M² comparisons.
    pub fn top_k(&mut self, x: Var, k: usize) -> Result<[Var; 2]> {
        let y = self.apply(TopK { k: k as u32 }, &[x])?;
        Ok([y[0], y[1]])
    }
}

impl Op for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let [_, length] = order::rows("top_k", &x[0])?;
        if self.k == 0 || self.k as usize > length {
            let what = format!("cannot take {} of the last axis of {}; take 1 to {length}", self.k, x[0].shape);
            return Err(Error::shape("top_k", what));
        }
        let values = resized(x[0], x[0].shape.rank() - 1, self.k as usize);
        Ok(vec![values, Type::u32(values.shape)])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        order::variants(x[0].shape.dims().last().map_or(1, |&d| d as usize), caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [rows, length] = order::rows("top_k", &e.x[0])?;
        let buffers = [Slot::In(0), Slot::Out(0), Slot::Out(1)];
        order::launch(e, "top_k.forward", FORWARD, &buffers, [rows, length, self.k as usize]);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let x = t.ty(x[0]);
        Ok(vec![dy[0].map(|dy| t.apply1(TopKGrad { x }, &[y[1], dy])).transpose()?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

impl Op for TopKGrad {
    fn name(&self) -> &'static str {
        "top_k.grad"
    }

    fn infer(&self, _x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![self.x])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [rows, length] = order::rows("top_k.grad", &self.x)?;
        let keep = e.x[0].shape.numel() / rows;
        let params = Params { rows: rows as u32, length: length as u32, keep: keep as u32 };
        let buffers = [Slot::In(0), Slot::In(1), Slot::Out(0)];
        e.launch(Kernel::new("top_k.grad", "portable", GRAD), &buffers, &params, groups_1d(rows));
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize], k, fill| Case::new(name, TopK { k }, vec![(Type::f32(Shape::new(shape)), fill)]);
    vec![
        case("one", &[1], 1, Fill::Distinct),
        case("prime", &[7, 13], 5, Fill::Distinct),
        case("all of a row", &[2, 3, 17], 17, Fill::Normal),
        case("200 nearest", &[3, 2051], 200, Fill::Normal),
        case("256 of 2,048", &[2, 2048], 256, Fill::Normal),
        case("ties", &[5, 67], 9, Fill::Values(vec![1.0, 0.0, -0.0, 1.0, -1.0])),
        case("infinite", &[3, 5], 4, Fill::Values(vec![f32::NEG_INFINITY, 1.0, f32::INFINITY, -1.0])),
    ]
}

//! rank: the stable argsort of each row, ascending, every NaN last: row[y_0] ≤ row[y_1] ≤ …, equals in their order.
//! Indices have no gradient. Shaders: shaders/shape/rank/, shaders/core/order/.

use crate::base::Result;
use crate::device::{Caps, Piece};
use crate::kernels::order;
use crate::kernels::{Case, Fill};
use crate::piece;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};

/// x f32 [.., M] -> u32 [.., M].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Rank;

const FORWARD: &[Piece] = &[piece!("common/order.wgsl"), piece!("shape/rank/values.wgsl")];

impl Tape {
    /// Which element of each row of f32 x [.., M] stands at each place of the ascending order, as u32 [.., M]: stable,
    /// and NaN last (PyTorch's `argsort` with `stable=True`). For rows of up to some thousands: past what workgroup
    /// memory holds, and on software adapters, a row costs M² comparisons.
    pub fn rank(&mut self, x: Var) -> Result<Var> {
        self.apply1(Rank, &[x])
    }
}

impl Op for Rank {
    fn name(&self) -> &'static str {
        "rank"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        order::rows("rank", &x[0])?;
        Ok(vec![Type::u32(x[0].shape)])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        order::variants(x[0].shape.dims().last().map_or(1, |&d| d as usize), caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [rows, length] = order::rows("rank", &e.x[0])?;
        order::launch(e, "rank.forward", FORWARD, &[Slot::In(0), Slot::Out(0)], [rows, length, length]);
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, _x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: x[0].bytes() + y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case =
        |name, shape: &[usize], fill| Case::new(name, Rank, vec![(Type::f32(crate::base::Shape::new(shape)), fill)]);
    let (nan, infinity) = (f32::NAN, f32::INFINITY);
    vec![
        case("one", &[3, 1], Fill::Normal),
        case("prime", &[7, 13], Fill::Normal),
        case("one row", &[1031], Fill::Normal),
        case("a power of two", &[2, 3, 64], Fill::Normal),
        case("ties", &[3, 257], Fill::Values(vec![1.0, -1.0, 0.0, -0.0, 1.0])),
        case("the largest row", &[2, 4096], Fill::Normal),
        case("nan last", &[5, 7], Fill::Values(vec![nan, 1.0, infinity, -nan, -infinity, -2.0, f32::MAX, nan])),
    ]
}

//! scatter_add: y[r] = Σ x[n] over the rows n whose index is r, 0 where there is none: PyTorch's `index_add` to zeros.
//! Indices past the end count as the last row, as in gather. dx is the gather of dy. Sums of f16 are f32 and rounded once.
//!
//! Deterministic without atomics: the N indices are put into order (N² comparisons of whole numbers, nothing beside the
//! traffic of x for N up to some thousands), each row of y finds its part of the order by bisection, and walks it in the
//! order of x. A row of y with many rows of x is walked by its D invocations alone. Shaders: shaders/shape/scatter_add/,
//! shaders/core/order/.

use crate::base::{DType, Error, Result, Shape};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::order;
use crate::kernels::{Case, Fill, held, resized};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (x [N, ..], indices u32 [N]) -> y [rows, ..].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ScatterAdd {
    /// Rows of y.
    pub rows: u32,
}

params! {
    struct Starts { rows: u32, length: u32 }
}
params! {
    struct Sum { units: u32, row: u32 }
}

const ORDER: &[Piece] = &[piece!("shape/scatter_add/order.wgsl")];
const STARTS: &[Piece] = &[piece!("common/index.wgsl"), piece!("shape/scatter_add/starts.wgsl")];
const SUM: &[Piece] = &[piece!("shape/scatter_add/sum.wgsl")];

impl Tape {
    /// The rows of f32 or f16 x [N, ..] added up by their u32 indices [N]: [rows, ..] of x's elements, 0 where no index
    /// points. Rows are added in their order; an index of `rows` or more counts as rows − 1.
    pub fn scatter_add(&mut self, x: Var, indices: Var, rows: usize) -> Result<Var> {
        self.apply1(ScatterAdd { rows: rows as u32 }, &[x, indices])
    }
}

impl Op for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_float("scatter_add", "x")?;
        x[1].expect_dtype("scatter_add", "indices", DType::U32)?;
        let n = x[1].shape.vector("scatter_add", "indices")?;
        if x[0].shape.dims().first() != Some(&(n as u32)) || x[0].shape.numel() == 0 || self.rows == 0 {
            let need = format!("each row needs an index, and y, of {} rows, at least one row", self.rows);
            return Err(Error::shapes("scatter_add", ("x", x[0].shape), ("indices", x[1].shape), &need));
        }
        Ok(vec![resized(x[0], 0, self.rows as usize)])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        order::variants(x[1].shape.numel(), caps)
    }

    /// The sorted indices, the rows of x in that order, and where each row of y begins in it.
    fn workspace(&self, x: &[Type], _y: &[Type], _variant: &'static str, _caps: &Caps) -> Vec<Type> {
        vec![x[1], x[1], Type::u32([self.rows as usize + 1])]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (n, rows) = (e.x[1].shape.numel(), self.rows as usize);
        let buffers = [Slot::In(1), Slot::Work(0), Slot::Work(1)];
        order::launch(e, "scatter_add.order", ORDER, &buffers, [1, n, rows]);
        let starts = Starts { rows: self.rows, length: n as u32 };
        let kernel = Kernel::new("scatter_add.starts", "portable", STARTS);
        e.launch(kernel, &[Slot::Work(0), Slot::Work(2)], &starts, groups_1d((rows + 1).div_ceil(64)));
        let row = e.y[0].shape.numel() / rows;
        let whole = row.is_multiple_of(4);
        let unit = if whole { 4 } else { 1 };
        let count = rows * row / unit;
        let sum = Sum { units: count as u32, row: (row / unit) as u32 };
        let buffers = [Slot::In(0), Slot::Work(1), Slot::Work(2), Slot::Out(0)];
        let dtype = e.x[0].dtype;
        let kernel = held::over_rows("scatter_add.sum", "portable", whole, dtype).followed_by(SUM);
        let kernel = held::made(kernel, held::cells(whole), dtype, 4);
        e.launch(kernel, &buffers, &sum, groups_1d(count.div_ceil(64)));
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![dy[0].map(|dy| t.gather(dy, x[1])).transpose()?, None])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let bytes = x.iter().chain(y).map(Type::bytes).sum();
        Cost { flops: x[0].shape.numel() as u64, bytes }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, rows, x: &[usize], indices: Fill| {
        let inputs = vec![(Type::f32(Shape::new(x)), Fill::Normal), (Type::u32([x[0]]), indices)];
        Case::new(name, ScatterAdd { rows }, inputs)
    };
    vec![
        case("one", 1, &[1, 1], Fill::Below(1)),
        case("prime", 11, &[13, 7], Fill::Below(11)),
        case("whole vec4", 10, &[67, 16], Fill::Below(10)),
        case("many rows, few indices", 1031, &[5, 3], Fill::Below(1031)),
        case("more than a sort holds", 7, &[4099, 2], Fill::Below(7)),
        case("all to one row", 3, &[300, 5], Fill::Words(vec![1])),
        case("counts", 4, &[257], Fill::Below(4)),
        case("first, last and past the end", 5, &[9, 3], Fill::Words(vec![0, 4, 5, u32::MAX])),
        case("f16, prime", 11, &[13, 7], Fill::Below(11)).halved(&[0]),
        case("f16, whole vec4", 10, &[67, 16], Fill::Below(10)).halved(&[0]),
        case("f16, all to one row", 3, &[300, 5], Fill::Words(vec![1])).halved(&[0]),
    ]
}

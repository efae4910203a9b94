//! gather: y[n] = table[index_n]: PyTorch's `index_select` of rows, and its embedding. Indices past the table's end count
//! as its last row; the host checks them first where they come from data.
//! dtable is the scatter_add of dy. Shaders: shaders/shape/gather/.

use crate::base::{DType, Error, Result, Shape};
use crate::device::{Piece, groups_1d};
use crate::kernels::{Case, Fill, held, resized};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (table [R, ..], indices u32 [N]) -> y [N, ..].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Gather;

params! {
    struct Params { units: u32, row: u32, rows: u32 }
}

const FORWARD: &[Piece] = &[piece!("shape/gather/forward.wgsl")];

impl Tape {
    /// Rows of a table [R, ..] of any element type at u32 indices [N]: [N, ..]. An index of R or more counts as R − 1.
    pub fn gather(&mut self, table: Var, indices: Var) -> Result<Var> {
        self.apply1(Gather, &[table, indices])
    }
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[1].expect_dtype("gather", "indices", DType::U32)?;
        let n = x[1].shape.vector("gather", "indices")?;
        if x[0].shape.rank() == 0 || x[0].shape.numel() == 0 {
            return Err(Error::shape("gather", format!("the table is {} and must have rows", x[0].shape)));
        }
        Ok(vec![resized(x[0], 0, n)])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (table, rows) = (e.x[0].shape, e.x[0].shape.dim(0));
        let row = table.numel() / rows;
        let (kernel, unit) = held::moving("gather.forward", e.x[0].dtype, &[row as u32], 3);
        let units = e.y[0].shape.numel() / unit as usize;
        let params = Params { units: units as u32, row: row as u32 / unit, rows: rows as u32 };
        let buffers = [Slot::In(0), Slot::In(1), Slot::Out(0)];
        e.launch(kernel.followed_by(FORWARD), &buffers, &params, groups_1d(units.div_ceil(256)));
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let rows = t.shape(x[0]).dim(0);
        Ok(vec![dy[0].map(|dy| t.scatter_add(dy, x[1], rows)).transpose()?, None])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: 2 * y[0].bytes() + x[1].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, table: &[usize], indices: Fill, n| {
        Case::new(name, Gather, vec![(Type::f32(Shape::new(table)), Fill::Normal), (Type::u32([n]), indices)])
    };
    let words = vec![(Type::u32([5, 3]), Fill::Bytes), (Type::u32([7]), Fill::Below(5))];
    vec![
        case("one", &[1, 1], Fill::Below(1), 1),
        case("prime", &[11, 7], Fill::Below(11), 13),
        case("whole vec4", &[10, 16], Fill::Below(10), 67),
        case("a vector", &[300], Fill::Below(300), 31),
        case("images", &[5, 3, 4, 4], Fill::Below(5), 3),
        case("first, last and past the end", &[5, 3], Fill::Words(vec![0, 4, 5, u32::MAX]), 9),
        Case::new("words", Gather, words),
        case("f16, prime", &[11, 7], Fill::Below(11), 13).halved(&[0]),
        case("f16, a vector", &[300], Fill::Below(300), 31).halved(&[0]),
        case("f16, whole words", &[10, 6], Fill::Below(10), 7).halved(&[0]),
        case("f16, four words", &[10, 16], Fill::Below(10), 67).halved(&[0]),
    ]
}

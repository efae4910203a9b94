//! add_bias: y[m, n] = x[m, n] + b[n].
//! dx = dy, db[n] = Σ_m dy[m, n], in a fixed order. Shaders: shaders/add_bias/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// y = x + b, the same b for every row.
#[derive(Clone, Debug, PartialEq)]
pub struct AddBias;

/// db from dy: sums of columns.
#[derive(Clone, Debug, PartialEq)]
struct GradBias;

params! {
    struct Params { vectors: u32, columns: u32 }
}

params! {
    struct SumParams { rows: u32, columns: u32 }
}

const FORWARD: &[Piece] = &[piece!("common/index.wgsl"), piece!("add_bias/forward.wgsl")];
const LANE: &[Piece] = &[piece!("common/index.wgsl"), piece!("add_bias/column_sum_lane.wgsl")];
const GROUP: &[Piece] = &[piece!("common/index.wgsl"), piece!("add_bias/column_sum_group.wgsl")];

impl Tape {
    /// x + b: x f32 [M, N], b f32 [N].
    pub fn add_bias(&mut self, x: Var, b: Var) -> Result<Var> {
        self.apply1(AddBias, &[x, b])
    }
}

impl Op for AddBias {
    fn name(&self) -> &'static str {
        "add_bias"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("add_bias", "x", DType::F32)?;
        x[1].expect_dtype("add_bias", "b", DType::F32)?;
        let ([_, columns], n) = (x[0].shape.matrix("add_bias", "x")?, x[1].shape.vector("add_bias", "b")?);
        if columns != n {
            let need = "b must have one element for each column of x";
            return Err(Error::shapes("add_bias", ("x", x[0].shape), ("b", x[1].shape), need));
        }
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
        let params = Params { vectors, columns: e.x[1].shape.numel() as u32 };
        let buffers = [Slot::In(0), Slot::In(1), Slot::Out(0)];
        e.launch(Kernel::new("add_bias.forward", "portable", FORWARD), &buffers, &params, grid);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let wanted = dy[0].filter(|_| t.wants(x[1]));
        Ok(vec![dy[0], wanted.map(|dy| t.apply1(GradBias, &[dy])).transpose()?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() + x[1].bytes() }
    }
}

impl Op for GradBias {
    fn name(&self) -> &'static str {
        "add_bias.grad_bias"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let [_, n] = x[0].shape.matrix("add_bias.grad_bias", "dy")?;
        Ok(vec![Type::f32([n])])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        // Workgroup memory and barriers cost a software adapter more than a serial walk.
        if caps.software { vec!["lane_per_column", "workgroup"] } else { vec!["workgroup", "lane_per_column"] }
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [rows, columns] = e.x[0].shape.matrix("add_bias.grad_bias", "dy")?;
        let params = SumParams { rows: rows as u32, columns: columns as u32 };
        let (pieces, width) = if e.variant == "lane_per_column" { (LANE, 8) } else { (GROUP, 32) };
        let kernel = Kernel::new("add_bias.grad_bias", e.variant, pieces);
        e.launch(kernel, &[Slot::In(0), Slot::Out(0)], &params, groups_1d(columns.div_ceil(width)));
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: x[0].shape.numel() as u64, bytes: x[0].bytes() + y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, m: usize, n: usize| {
        Case::new(name, AddBias, vec![(Type::f32([m, n]), Fill::Normal), (Type::f32([n]), Fill::Normal)])
    };
    vec![
        case("one", 1, 1),
        case("two columns", 9, 2),
        case("three columns", 5, 3),
        case("prime", 13, 31),
        case("a tile and one", 9, 33),
        case("many rows", 131, 64),
    ]
}

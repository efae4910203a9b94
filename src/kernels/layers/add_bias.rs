//! add_bias: y[m, n] = x[m, n] + b[n].
//! dx = dy, db[n] = Σ_m dy[m, n], in a fixed order. x and y are f32 or f16, b and db f32. Shaders: shaders/layers/add_bias/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill, gemm, held, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// y = x + b, the same b for every row.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct AddBias;

/// db from dy: sums of columns.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct GradBias;

params! {
    struct Params { vectors: u32, columns: u32 }
}

params! {
    struct LaneParams { rows: u32, columns: u32 }
}

params! {
    struct GroupParams { rows: u32, columns: u32, tiles: u32, length: u32 }
}

const INDEX: &[Piece] = &[piece!("common/index.wgsl")];
const FORWARD: &[Piece] = &[piece!("layers/add_bias/forward.wgsl")];
const LANE: &[Piece] = &[piece!("layers/add_bias/column_sum_lane.wgsl")];
const GROUP: &[Piece] = &[piece!("layers/add_bias/column_sum_group.wgsl")];

impl Tape {
    /// x + b: x f32 or f16 [M, N], b f32 [N]; y has x's type.
    pub fn add_bias(&mut self, x: Var, b: Var) -> Result<Var> {
        self.apply1(AddBias, &[x, b])
    }
}

impl Op for AddBias {
    fn name(&self) -> &'static str {
        "add_bias"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_float("add_bias", "x")?;
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
        let kernel = Kernel::new("add_bias.forward", "portable", INDEX).followed_by(held::quads(e.x[0].dtype));
        e.launch(kernel.followed_by(FORWARD), &buffers, &params, grid);
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

/// Columns that a workgroup owns.
const COLUMNS: usize = 32;

/// How many slices the rows of a variant are cut into, so that a GPU has enough workgroups, and their length: a function
/// of the shape alone, so that the sum's order, and with it every bit, is the same everywhere.
fn slices(rows: usize, columns: usize, variant: &str) -> (usize, usize) {
    let groups = if variant == "workgroup" { 512 / columns.div_ceil(COLUMNS) } else { 1 };
    let length = rows.div_ceil(groups.clamp(1, rows.div_ceil(64)));
    (rows.div_ceil(length), length)
}

impl Op for GradBias {
    fn name(&self) -> &'static str {
        "add_bias.grad_bias"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let [_, n] = x[0].shape.matrix("add_bias.grad_bias", "dy")?;
        Ok(vec![Type::f32([n])])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        // Workgroup memory and barriers cost a software adapter more than a serial walk. There is no `subgroups`: a workgroup
        // takes one barrier, which an exchange between subgroups would take, too.
        if caps.software { vec!["lane_per_column", "workgroup"] } else { vec!["workgroup", "lane_per_column"] }
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        let [rows, columns] = [0, 1].map(|i| x[0].shape.dim(i));
        let slices = slices(rows, columns, variant).0;
        if slices > 1 { vec![Type::f32([slices, columns])] } else { Vec::new() }
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        const NAME: &str = "add_bias.grad_bias";
        let [m, n] = e.x[0].shape.matrix(NAME, "dy")?;
        let (rows, columns) = (m as u32, n as u32);
        let kernel = held::floats(Kernel::new(NAME, e.variant, INDEX), e.x[0].dtype);
        if e.variant == "lane_per_column" {
            let kernel = kernel.followed_by(LANE);
            e.launch(kernel, &[Slot::In(0), Slot::Out(0)], &LaneParams { rows, columns }, groups_1d(n.div_ceil(8)));
            return Ok(());
        }
        let (slices, length) = slices(m, n, e.variant);
        let tiles = n.div_ceil(COLUMNS);
        let params = GroupParams { rows, columns, tiles: tiles as u32, length: length as u32 };
        let sums = if slices > 1 { Slot::Work(0) } else { Slot::Out(0) };
        e.launch(kernel.followed_by(GROUP), &[Slot::In(0), sums], &params, groups_1d(tiles * slices));
        if slices > 1 {
            gemm::sum_slices(e, "add_bias.grad_bias_sum", sums, Slot::Out(0), n, slices);
        }
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
        case("rows in slices, a tile and one", 201, 33),
        case("f16, one", 1, 1).halved(&[0]),
        case("f16, prime", 13, 31).halved(&[0]),
        case("f16, a tile and one", 9, 33).halved(&[0]),
        case("f16, many rows", 131, 64).halved(&[0]),
        case("f16, rows in slices, a tile and one", 201, 33).halved(&[0]),
    ]
}

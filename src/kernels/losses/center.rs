//! center: y = x − the mean of its column over the rows. dx = dy − the mean of its column: the same again.
//! Shaders: shaders/losses/center/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill, units};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// x [N, D] -> y [N, D].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Center;

params! {
    struct Params { rows: u32, vectors: u32, inverse_rows: f32 }
}

const FORWARD: &[Piece] = &[piece!("losses/center/forward.wgsl")];

impl Tape {
    /// x f32 [N, D] without the mean of each column.
    pub fn center(&mut self, x: Var) -> Result<Var> {
        self.apply1(Center, &[x])
    }
}

impl Op for Center {
    fn name(&self) -> &'static str {
        "center"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("center", "x", DType::F32)?;
        let [n, d] = x[0].shape.matrix("center", "x")?;
        if n * d == 0 {
            return Err(Error::shape("center", format!("x is {} and has no mean; give one row or more", x[0].shape)));
        }
        Ok(vec![x[0]])
    }

    /// `columns`: an invocation a column. `groups`: 8 rows of 32 invocations walk 32 columns together, and meet at one
    /// barrier, which an exchange between subgroups would take, too.
    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        if caps.software { vec!["columns", "groups"] } else { vec!["groups", "columns"] }
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [n, d] = e.x[0].shape.matrix("center", "x")?;
        let whole = d.is_multiple_of(4);
        let vectors = if whole { d / 4 } else { d };
        let (wide, tall) = if e.variant == "columns" { (8, 1) } else { (32, 8) };
        let kernel = Kernel::new("center.forward", e.variant, units(whole)).followed_by(FORWARD);
        let kernel = kernel.with("WIDE", wide).with("TALL", tall);
        let params = Params { rows: n as u32, vectors: vectors as u32, inverse_rows: 1.0 / n as f32 };
        let grid = groups_1d(vectors.div_ceil(wide as usize));
        e.launch(kernel, &[Slot::In(0), Slot::Out(0)], &params, grid);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, _x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![dy[0].map(|dy| t.center(dy)).transpose()?])
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 2 * x[0].shape.numel() as u64, bytes: 2 * x[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, d: usize, fill| Case::new(name, Center, vec![(Type::f32([n, d]), fill)]);
    vec![
        case("one", 1, 1, Fill::Normal),
        case("prime", 7, 13, Fill::Normal),
        case("whole vec4", 9, 64, Fill::Normal),
        case("a large mean", 37, 5, Fill::Uniform(9.9, 10.1)),
        case("more than a workgroup", 67, 260, Fill::Normal),
    ]
}

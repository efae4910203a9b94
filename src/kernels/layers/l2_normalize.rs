//! l2_normalize: y = x / max(‖x‖, eps), row by row.
//! dx = (dy − y ⟨y, dy⟩) / ‖x‖, or dy / eps where ‖x‖ < eps. Shaders: shaders/layers/l2_normalize/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill, lanes, units};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// x [N, D] -> (y [N, D], norm [N], the length of each row before the maximum).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct L2Normalize {
    /// The least divisor.
    pub eps: f32,
}

/// dx from (y, norm, dy).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct L2NormalizeGrad {
    eps: f32,
}

params! {
    struct Params { rows: u32, vectors: u32, eps: f32 }
}

const ROWS: &[Piece] = &[piece!("layers/l2_normalize/forward_rows.wgsl")];
const GROUPS: &[Piece] = &[piece!("layers/l2_normalize/forward_groups.wgsl")];
const GRAD_ROWS: &[Piece] = &[piece!("layers/l2_normalize/grad_rows.wgsl")];
const GRAD_GROUPS: &[Piece] = &[piece!("layers/l2_normalize/grad_groups.wgsl")];

impl Tape {
    /// The rows of x [N, D] divided by max(‖row‖, eps); PyTorch's eps is 1e-12.
    pub fn l2_normalize(&mut self, x: Var, eps: f32) -> Result<Var> {
        Ok(self.apply(L2Normalize { eps }, &[x])?[0])
    }
}

fn launch(e: &mut Emit<'_>, name: &'static str, eps: f32, own: [&[Piece]; 2], buffers: &[Slot]) -> Result<()> {
    let [n, d] = e.x[0].shape.matrix("l2_normalize", "x")?;
    let whole = d.is_multiple_of(4);
    let params = Params { rows: n as u32, vectors: (if whole { d / 4 } else { d }) as u32, eps };
    let kernel = Kernel::new(name, e.variant, units(whole));
    let (kernel, grid) = match e.variant {
        "rows" => (kernel.followed_by(own[0]), groups_1d(n.div_ceil(8))),
        _ => (lanes::sum64(kernel).followed_by(own[1]), groups_1d(n)),
    };
    e.launch(kernel, buffers, &params, grid);
    Ok(())
}

impl Op for L2Normalize {
    fn name(&self) -> &'static str {
        "l2_normalize"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("l2_normalize", "x", DType::F32)?;
        let [n, _] = x[0].shape.matrix("l2_normalize", "x")?;
        Ok(vec![x[0], Type::f32([n])])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        lanes::row_variants(caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let buffers = [Slot::In(0), Slot::Out(0), Slot::Out(1)];
        launch(e, "l2_normalize.forward", self.eps, [ROWS, GROUPS], &buffers)
    }

    fn grad(&self, t: &mut Tape, _x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        if dy[1].is_some() {
            return Err(Error::no_gradient("l2_normalize", "its norm output has no gradient; detach it"));
        }
        Ok(vec![dy[0].map(|dy| t.apply1(L2NormalizeGrad { eps: self.eps }, &[y[0], y[1], dy])).transpose()?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 3 * x[0].shape.numel() as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

impl Op for L2NormalizeGrad {
    fn name(&self) -> &'static str {
        "l2_normalize.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        lanes::row_variants(caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let buffers = [Slot::In(0), Slot::In(1), Slot::In(2), Slot::Out(0)];
        launch(e, "l2_normalize.grad", self.eps, [GRAD_ROWS, GRAD_GROUPS], &buffers)
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 5 * x[0].shape.numel() as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, d: usize, eps: f32, fill: Fill| {
        Case::new(name, L2Normalize { eps }, vec![(Type::f32([n, d]), fill)])
    };
    vec![
        case("one", 1, 1, 1e-12, Fill::AwayFromZero),
        case("prime", 7, 13, 1e-12, Fill::Normal),
        case("whole vec4", 9, 64, 1e-12, Fill::Normal),
        case("more than a workgroup", 67, 260, 1e-12, Fill::Normal),
        case("below eps", 5, 8, 100.0, Fill::Normal),
    ]
}

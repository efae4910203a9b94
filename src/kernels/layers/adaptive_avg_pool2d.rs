//! adaptive_avg_pool2d: y[n, c, o, p] = the mean of x over rows ⌊o·H/OH⌋ to ⌈(o + 1)·H/OH⌉ and columns alike, as
//! PyTorch's windows. dx[h, w] = Σ dy of the windows over (h, w), each divided by its own area.
//! The walk is kernels/core/pool.rs. Shaders: shaders/core/pool/.

use crate::base::Result;
use crate::kernels::pool::{Fold, Pool, Windows};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Tape, Type, Var};

/// The mean of each of out rows × columns windows: y [N, C, OH, OW].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct AdaptiveAvgPool2d {
    /// Rows and columns of y.
    pub out: [u32; 2],
}

impl Tape {
    /// The means of x f32 or f16 [N, C, H, W] over `out` (rows, columns) windows that share a plane out evenly: y is
    /// [N, C, OH, OW]. As torch.nn.functional.adaptive_avg_pool2d.
    pub fn adaptive_avg_pool2d(&mut self, x: Var, out: [u32; 2]) -> Result<Var> {
        self.apply1(AdaptiveAvgPool2d { out }, &[x])
    }
}

impl AdaptiveAvgPool2d {
    fn pool(&self) -> Pool {
        let windows = Windows::Adaptive { out: self.out };
        Pool {
            names: ["adaptive_avg_pool2d", "adaptive_avg_pool2d.forward", "adaptive_avg_pool2d.grad"],
            windows,
            fold: Fold::Mean,
        }
    }
}

impl Op for AdaptiveAvgPool2d {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        self.pool().infer(&x[0])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        self.pool().emit(e)
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        self.pool().grad(t, x, y, dy)
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        self.pool().cost(x, y)
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: [usize; 4], out| {
        Case::new(name, AdaptiveAvgPool2d { out }, vec![(Type::f32(shape), Fill::Normal)])
    };
    vec![
        case("one", [1, 1, 1, 1], [1, 1]),
        case("whole planes", [3, 23, 7, 5], [1, 1]),
        case("windows that overlap", [2, 3, 7, 11], [3, 4]),
        case("as large as x", [2, 2, 6, 5], [6, 5]),
        case("larger than x", [1, 3, 3, 5], [7, 6]),
        case("f16, windows that overlap", [2, 3, 7, 11], [3, 4]).halved(&[0]),
        case("long windows", [1, 2, 19, 29], [2, 2]),
    ]
}

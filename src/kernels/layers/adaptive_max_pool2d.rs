//! adaptive_max_pool2d: y[n, c, o, p] = the maximum of x over rows ⌊o·H/OH⌋ to ⌈(o + 1)·H/OH⌉ and columns alike, as
//! PyTorch's windows. dx[h, w] = Σ dy of the windows whose maximum stands at (h, w), the first of equals in row order.
//! A NaN is larger than all else, and of several NaN the last one is the maximum, as in PyTorch. The walk is kernels/core/pool.rs. Shaders: shaders/core/pool/.

use crate::base::Result;
use crate::kernels::pool::{Fold, Pool, Windows};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Tape, Type, Var};

/// The maximum of each of out rows × columns windows. Outputs y [N, C, OH, OW] and, as u32, where in its plane each
/// maximum stands: h·W + w.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct AdaptiveMaxPool2d {
    /// Rows and columns of y.
    pub out: [u32; 2],
}

impl Tape {
    /// The maxima of x f32 or f16 [N, C, H, W] over `out` (rows, columns) windows that share a plane out evenly: y is
    /// [N, C, OH, OW]. As torch.nn.functional.adaptive_max_pool2d.
    pub fn adaptive_max_pool2d(&mut self, x: Var, out: [u32; 2]) -> Result<Var> {
        Ok(self.apply(AdaptiveMaxPool2d { out }, &[x])?[0])
    }

    /// The maximum of each plane: x f32 or f16 [N, C, H, W] to [N, C].
    pub fn global_max_pool(&mut self, x: Var) -> Result<Var> {
        let [n, c, _, _] = self.shape(x).nchw("global_max_pool", "x")?;
        let y = self.adaptive_max_pool2d(x, [1, 1])?;
        self.reshape(y, [n, c])
    }
}

impl AdaptiveMaxPool2d {
    fn pool(&self) -> Pool {
        let windows = Windows::Adaptive { out: self.out };
        Pool {
            names: ["adaptive_max_pool2d", "adaptive_max_pool2d.forward", "adaptive_max_pool2d.grad"],
            windows,
            fold: Fold::Max,
        }
    }
}

impl Op for AdaptiveMaxPool2d {
    fn name(&self) -> &'static str {
        "adaptive_max_pool2d"
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

/// Named cases; values are distinct: a tie has no gradient to compare with.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: [usize; 4], out| {
        Case::new(name, AdaptiveMaxPool2d { out }, vec![(Type::f32(shape), Fill::Distinct)])
    };
    vec![
        case("one", [1, 1, 1, 1], [1, 1]),
        case("whole planes", [3, 23, 7, 5], [1, 1]),
        case("windows that overlap", [2, 3, 7, 11], [3, 4]),
        case("as large as x", [2, 2, 6, 5], [6, 5]),
        case("f16, windows that overlap", [2, 3, 7, 11], [3, 4]).halved(&[0]),
        case("larger than x", [1, 3, 3, 5], [7, 6]),
    ]
}

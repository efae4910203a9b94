//! max_pool2d: y[n, c, oh, ow] = the maximum of x over a kernel × kernel window; the padding never wins.
//! dx[h, w] = Σ dy of the windows whose maximum stands at (h, w); among equal values the first in row order is the
//! maximum. A NaN is larger than all else, and of several NaN the last one is the maximum, as in PyTorch. The walk is kernels/core/pool.rs. Shaders: shaders/core/pool/.

use crate::base::Result;
use crate::kernels::pool::{Fold, Pool, Windows};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Tape, Type, Var};

/// The maximum of each window. Outputs y [N, C, OH, OW] and, as u32, where in its plane each maximum stands: h·W + w.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MaxPool2d {
    /// Rows and columns of a window.
    pub kernel: u32,
    /// From a window to the next.
    pub stride: u32,
    /// Rows and columns around x that no window's maximum comes from.
    pub padding: u32,
}

impl Tape {
    /// The maximum over kernel × kernel windows of x f32 or f16 [N, C, H, W]; y is [N, C, OH, OW] with
    /// OH = ⌊(H + 2·padding − kernel)/stride⌋ + 1. As torch.nn.functional.max_pool2d.
    pub fn max_pool2d(&mut self, x: Var, kernel: u32, stride: u32, padding: u32) -> Result<Var> {
        Ok(self.apply(MaxPool2d { kernel, stride, padding }, &[x])?[0])
    }
}

impl MaxPool2d {
    fn pool(&self) -> Pool {
        let [kernel, stride, padding] = [self.kernel, self.stride, self.padding].map(|v| [v, v]);
        let windows = Windows::Strided { kernel, stride, padding };
        Pool { names: ["max_pool2d", "max_pool2d.forward", "max_pool2d.grad"], windows, fold: Fold::Max }
    }
}

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
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

/// Named cases; but for the one about ties, values are distinct: a tie has no gradient to compare with.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: [usize; 4], (kernel, stride, padding), fill| {
        Case::new(name, MaxPool2d { kernel, stride, padding }, vec![(Type::f32(shape), fill)])
    };
    vec![
        case("one", [1, 1, 1, 1], (1, 1, 0), Fill::Distinct),
        case("resnet's stem", [2, 3, 14, 14], (3, 2, 1), Fill::Distinct),
        case("prime", [2, 5, 11, 7], (3, 2, 1), Fill::Distinct),
        case("halves", [3, 2, 8, 6], (2, 2, 0), Fill::Distinct),
        case("gaps between windows", [1, 2, 11, 13], (2, 3, 0), Fill::Distinct),
        case("strides past a block", [1, 3, 17, 13], (3, 5, 1), Fill::Distinct),
        case("heavy overlap", [1, 2, 9, 10], (5, 1, 2), Fill::Distinct),
        case("more columns than lanes", [1, 1, 5, 135], (3, 2, 1), Fill::Distinct),
        case("windows wider than a step", [1, 2, 23, 25], (11, 3, 5), Fill::Distinct),
        case("smaller than its window", [1, 3, 2, 2], (4, 2, 2), Fill::Distinct),
        case("f16, resnet's stem", [2, 3, 14, 14], (3, 2, 1), Fill::Distinct).halved(&[0]),
        case("f16, prime", [2, 5, 11, 7], (3, 2, 1), Fill::Distinct).halved(&[0]),
        case("f16, windows wider than a step", [1, 2, 23, 25], (11, 3, 5), Fill::Distinct).halved(&[0]),
        case("ties", [2, 2, 9, 9], (3, 2, 1), Fill::Values(vec![1.0, 0.0, 1.0, 1.0])),
        case("all equal and negative", [1, 2, 6, 6], (3, 1, 1), Fill::Values(vec![-1.0])),
    ]
}

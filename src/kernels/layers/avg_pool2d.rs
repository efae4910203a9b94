//! avg_pool2d: y[n, c, oh, ow] = Σ of x over a window / the window's size, the padding counted as zeros.
//! dx[h, w] = Σ dy of the windows over (h, w) / the window's size. The walk is kernels/core/pool.rs. Shaders: shaders/core/pool/.

use crate::base::Result;
use crate::kernels::pool::{Fold, Pool, Windows};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Tape, Type, Var};

/// The mean of each window; each pair is (rows, columns).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct AvgPool2d {
    /// Size of a window.
    pub kernel: [u32; 2],
    /// From a window to the next.
    pub stride: [u32; 2],
    /// Zeros around x.
    pub padding: [u32; 2],
}

impl Tape {
    /// The mean over windows of x f32 or f16 [N, C, H, W]; each pair is (rows, columns), padding counts as zeros. y is
    /// [N, C, OH, OW] with OH = ⌊(H + 2·padding − kernel)/stride⌋ + 1. As torch.nn.functional.avg_pool2d.
    pub fn avg_pool2d(&mut self, x: Var, kernel: [u32; 2], stride: [u32; 2], padding: [u32; 2]) -> Result<Var> {
        self.apply1(AvgPool2d { kernel, stride, padding }, &[x])
    }

    /// The mean of each plane: x f32 or f16 [N, C, H, W] to [N, C].
    pub fn global_avg_pool(&mut self, x: Var) -> Result<Var> {
        let [n, c, h, w] = self.shape(x).nchw("global_avg_pool", "x")?;
        let kernel = [h as u32, w as u32];
        let y = self.avg_pool2d(x, kernel, kernel, [0, 0])?;
        self.reshape(y, [n, c])
    }
}

impl AvgPool2d {
    fn pool(&self) -> Pool {
        let AvgPool2d { kernel, stride, padding } = *self;
        let windows = Windows::Strided { kernel, stride, padding };
        Pool { names: ["avg_pool2d", "avg_pool2d.forward", "avg_pool2d.grad"], windows, fold: Fold::Mean }
    }
}

impl Op for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
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
    let case = |name, shape: [usize; 4], kernel, stride, padding| {
        Case::new(name, AvgPool2d { kernel, stride, padding }, vec![(Type::f32(shape), Fill::Normal)])
    };
    vec![
        case("one", [1, 1, 1, 1], [1, 1], [1, 1], [0, 0]),
        case("whole planes", [3, 5, 7, 7], [7, 7], [7, 7], [0, 0]),
        case("f16, whole planes", [3, 5, 7, 7], [7, 7], [7, 7], [0, 0]).halved(&[0]),
        case("f16, prime, padded", [2, 3, 11, 7], [3, 3], [2, 2], [1, 1]).halved(&[0]),
        case("prime, padded", [2, 3, 11, 7], [3, 3], [2, 2], [1, 1]),
        case("oblong", [2, 2, 6, 10], [2, 5], [1, 3], [0, 2]),
        case("gaps between windows", [1, 2, 11, 13], [2, 2], [3, 4], [0, 0]),
        case("strides past a block", [1, 3, 17, 13], [4, 3], [5, 7], [2, 1]),
        case("more than a workgroup", [5, 13, 4, 4], [2, 2], [2, 2], [0, 0]),
        case("more columns than lanes", [1, 2, 3, 133], [1, 2], [1, 1], [0, 0]),
        case("more planes than a dimension has workgroups", [1, 65537, 1, 33], [1, 33], [1, 33], [0, 0]),
    ]
}

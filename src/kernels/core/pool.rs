//! What poolings share: where windows lie over a plane, and one walk over them, forward and backward. An op file says
//! which windows it has and whether it takes their maximum or their mean. Shaders: shaders/core/pool/.

use crate::base::{Error, Result, Shape};
use crate::device::{Kernel, Piece};
use crate::kernels::held::{self, Cells};
use crate::kernels::tiles::Tiles;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// Where the windows of a pooling lie; each pair is (rows, columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) enum Windows {
    /// All of one size, a stride apart, over a padded plane.
    Strided { kernel: [u32; 2], stride: [u32; 2], padding: [u32; 2] },
    /// So many that share the plane out evenly: window o of n over s places is ⌊o·s/n⌋ to ⌈(o + 1)·s/n⌉, as PyTorch's.
    Adaptive { out: [u32; 2] },
}

/// What is made of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) enum Fold {
    /// Its largest element; y comes with where in its plane that stands.
    Max,
    /// Its mean, zeros of the padding included.
    Mean,
}

/// A pooling: what an op file delegates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Pool {
    /// The op, as its file is named, its forward kernel, and its gradient.
    pub names: [&'static str; 3],
    pub windows: Windows,
    pub fold: Fold,
}

/// dx of `shape` from (dy), or from (argmax, dy) of a maximum.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct PoolGrad {
    pool: Pool,
    shape: Shape,
}

params! {
    struct Params {
        planes: u32, tile: u32, height: u32, width: u32, out_height: u32, out_width: u32,
        longest: u32, kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, padding_h: u32, padding_w: u32,
    }
}

const PARAMS: &[Piece] = &[piece!("core/pool/params.wgsl"), piece!("common/tile.wgsl"), piece!("common/one.wgsl")];
/// Where windows lie.
const STRIDED: &[Piece] = &[piece!("core/pool/strided.wgsl")];
const ADAPTIVE: &[Piece] = &[piece!("core/pool/adaptive.wgsl")];
/// What is folded, and its gradient.
const MAX: [&[Piece]; 2] = [&[piece!("core/pool/max.wgsl")], &[piece!("core/pool/max_grad.wgsl")]];
const MEAN: [&[Piece]; 2] = [&[piece!("core/pool/mean.wgsl")], &[piece!("core/pool/mean_grad.wgsl")]];
/// Rows of a window that are taken in one step, and longer ones.
const ROW_SHORT: &[Piece] = &[piece!("core/pool/row_short.wgsl")];
const ROW_LONG: &[Piece] = &[piece!("core/pool/row_long.wgsl")];
/// The walks.
const FORWARD: &[Piece] = &[piece!("core/pool/forward.wgsl")];
const GRAD: &[Piece] = &[piece!("core/pool/grad.wgsl")];

/// The widest stride that a block of the gradient spans; elements past it are owned one by one.
const BLOCK: u32 = 4;
/// The most columns of a window that are taken in one step.
const STEP: u32 = 8;

impl Windows {
    /// The outputs along an axis of `size`, or `None` where the windows do not fit.
    fn out(&self, axis: usize, size: usize) -> Option<usize> {
        match *self {
            Windows::Strided { kernel, stride, padding } => {
                let [kernel, stride, padding] = [kernel, stride, padding].map(|v| v[axis] as usize);
                let fits = kernel > 0 && stride > 0 && 2 * padding <= kernel && size + 2 * padding >= kernel;
                fits.then(|| (size + 2 * padding - kernel) / stride + 1)
            }
            Windows::Adaptive { out } => {
                let out = out[axis] as usize;
                let fits = out > 0 && (out + 1) * (size + 1) <= u32::MAX as usize;
                fits.then_some(out)
            }
        }
    }

    /// The longest window along an axis.
    fn longest(&self, axis: usize, size: u32) -> u32 {
        match *self {
            Windows::Strided { kernel, .. } => kernel[axis].min(size),
            Windows::Adaptive { out } => longest_share(size, out[axis]),
        }
    }

    /// How many elements along an axis an invocation of the gradient owns.
    fn block(&self, axis: usize) -> u32 {
        match *self {
            Windows::Strided { stride, .. } if stride[axis] <= BLOCK => stride[axis],
            _ => 1,
        }
    }

    /// The most windows over one block along an axis.
    fn reach(&self, axis: usize, size: u32) -> u32 {
        match *self {
            Windows::Strided { kernel, stride, .. } => kernel[axis].div_ceil(stride[axis]),
            Windows::Adaptive { out } => longest_share(out[axis], size),
        }
    }
}

/// The longest of `out` windows that share `size` places out evenly.
fn longest_share(size: u32, out: u32) -> u32 {
    let share = |o: u64| ((o + 1) * size as u64).div_ceil(out as u64) - o * size as u64 / out as u64;
    (0..out as u64).map(share).max().unwrap_or(0) as u32
}

impl Pool {
    /// Types of the outputs for x f32 or f16 [N, C, H, W]: y [N, C, OH, OW], and the places of maxima.
    pub fn infer(&self, x: &Type) -> Result<Vec<Type>> {
        let op = self.names[0];
        x.expect_float(op, "x")?;
        let [n, c, h, w] = x.shape.nchw(op, "x")?;
        let (Some(out_h), Some(out_w)) = (self.windows.out(0, h), self.windows.out(1, w)) else {
            let windows = self.windows;
            let need = "they must fit x, be apart, and be padded by at most half their size";
            return Err(Error::shape(op, format!("x is {} and its windows are {windows:?}; {need}", x.shape)));
        };
        let y = [n, c, out_h, out_w];
        Ok(match self.fold {
            Fold::Max => vec![Type { shape: y.into(), ..*x }, Type::u32(y)],
            Fold::Mean => vec![Type { shape: y.into(), ..*x }],
        })
    }

    /// What a kernel begins with: where windows lie, and what is folded.
    fn kernel(&self, name: &'static str, is_grad: bool) -> Kernel {
        let windows = match self.windows {
            Windows::Strided { .. } => STRIDED,
            Windows::Adaptive { .. } => ADAPTIVE,
        };
        let fold = match self.fold {
            Fold::Max => MAX,
            Fold::Mean => MEAN,
        };
        Kernel::new(name, "portable", PARAMS).followed_by(windows).followed_by(fold[usize::from(is_grad)])
    }

    /// Launches `kernel`, which walks `over` rows × columns of each plane of x.
    fn launch(
        &self,
        e: &mut Emit<'_>,
        [x, y]: [Shape; 2],
        over: [u32; 2],
        kernel: Kernel,
        buffers: &[Slot],
    ) -> Result<()> {
        let ([n, c, h, w], [_, _, out_h, out_w]) = (x.nchw(self.names[0], "x")?, y.nchw(self.names[0], "y")?);
        let tiles = Tiles::new(n * c, over, 1, e.caps);
        let [kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w] = match self.windows {
            Windows::Strided { kernel: k, stride: s, padding: p } => [k[0], k[1], s[0], s[1], p[0], p[1]],
            Windows::Adaptive { .. } => [0; 6],
        };
        let kernel = kernel.with("STRIDEH", stride_h).with("STRIDEW", stride_w);
        // x and y, or dy and dx, have one type.
        let (dtype, at) = (e.y[0].dtype, buffers.iter().position(|slot| *slot == Slot::Out(0)).unwrap_or(0) + 1);
        let kernel = held::made(kernel.followed_by(held::read(Cells::Each, dtype)), Cells::Each, dtype, at as u32);
        let params = Params {
            planes: (n * c) as u32,
            tile: tiles.tile,
            height: h as u32,
            width: w as u32,
            out_height: out_h as u32,
            out_width: out_w as u32,
            longest: self.windows.longest(0, h as u32),
            kernel_h,
            kernel_w,
            stride_h,
            stride_w,
            padding_h,
            padding_w,
        };
        e.launch(tiles.on(kernel), buffers, &params, tiles.grid);
        Ok(())
    }

    /// Emits the forward pass: binds x, y and, for a maximum, its places.
    pub fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (x, y) = (e.x[0].shape, e.y[0].shape);
        let columns = self.windows.longest(1, x.dim(3) as u32);
        let row = if columns > STEP { ROW_LONG } else { ROW_SHORT };
        let kernel = self.kernel(self.names[1], false).followed_by(row).followed_by(FORWARD);
        let kernel = kernel.with("STEP", columns.min(STEP));
        let buffers = match self.fold {
            Fold::Max => vec![Slot::In(0), Slot::Out(0), Slot::Out(1)],
            Fold::Mean => vec![Slot::In(0), Slot::Out(0)],
        };
        self.launch(e, [x, y], [2, 3].map(|i| y.dim(i) as u32), kernel, &buffers)
    }

    /// Records the gradient towards x.
    pub fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let Some(dy) = dy[0] else { return Ok(vec![None]) };
        let op = PoolGrad { pool: *self, shape: t.shape(x[0]) };
        let inputs = match self.fold {
            Fold::Max => vec![y[1], dy],
            Fold::Mean => vec![dy],
        };
        Ok(vec![Some(t.apply1(op, &inputs)?)])
    }

    /// One operation for each element of each window.
    pub fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let (h, w) = (x[0].shape.dim(2) as u32, x[0].shape.dim(3) as u32);
        let area = u64::from(self.windows.longest(0, h)) * u64::from(self.windows.longest(1, w));
        let bytes = x.iter().chain(y).map(Type::bytes).sum();
        Cost { flops: y[0].shape.numel() as u64 * area, bytes }
    }
}

impl Op for PoolGrad {
    fn name(&self) -> &'static str {
        self.pool.names[2]
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![Type { shape: self.shape, dtype: x[x.len() - 1].dtype }])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let windows = self.pool.windows;
        let padding = match windows {
            Windows::Strided { padding, .. } => padding,
            Windows::Adaptive { .. } => [0, 0],
        };
        let size = [2, 3].map(|i| self.shape.dim(i) as u32);
        let block = [0, 1].map(|axis| windows.block(axis));
        let over = [0, 1].map(|axis| (size[axis] + padding[axis]).div_ceil(block[axis]));
        let kernel = self
            .pool
            .kernel(self.pool.names[2], true)
            .followed_by(GRAD)
            .with("REACH", windows.reach(1, size[1]))
            .with("HEIGHT", block[0])
            .with("WIDTH", block[1]);
        let mut buffers: Vec<Slot> = (0..e.x.len()).map(Slot::In).collect();
        buffers.push(Slot::Out(0));
        self.pool.launch(e, [self.shape, e.x[0].shape], over, kernel, &buffers)
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let bytes = x.iter().chain(y).map(Type::bytes).sum();
        Cost { flops: y[0].shape.numel() as u64, bytes }
    }
}

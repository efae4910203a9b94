//! avg_pool2d: y[n, c, oh, ow] = Σ of x over a window / the window's size, the padding counted as zeros.
//! dx[h, w] = Σ dy of the windows over (h, w) / the window's size. Shaders: shaders/avg_pool2d/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// The mean of each window; each pair is (rows, columns).
#[derive(Clone, Debug, PartialEq)]
pub struct AvgPool2d {
    /// Size of a window.
    pub kernel: [u32; 2],
    /// From a window to the next.
    pub stride: [u32; 2],
    /// Zeros around x.
    pub padding: [u32; 2],
}

/// dx from (x for its shape, dy).
#[derive(Clone, Debug, PartialEq)]
struct AvgPool2dGrad(AvgPool2d);

params! {
    struct Params {
        elements: u32, height: u32, width: u32, out_height: u32, out_width: u32,
        kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, padding_h: u32, padding_w: u32,
    }
}

const FORWARD: &[Piece] = &[piece!("common/index.wgsl"), piece!("avg_pool2d/forward.wgsl")];
const GRAD: &[Piece] = &[piece!("common/index.wgsl"), piece!("avg_pool2d/grad.wgsl")];

impl Tape {
    /// The mean over windows of x f32 [N, C, H, W]; each pair is (rows, columns), padding counts as zeros. y is
    /// [N, C, OH, OW] with OH = ⌊(H + 2·padding − kernel)/stride⌋ + 1.
    pub fn avg_pool2d(&mut self, x: Var, kernel: [u32; 2], stride: [u32; 2], padding: [u32; 2]) -> Result<Var> {
        self.apply1(AvgPool2d { kernel, stride, padding }, &[x])
    }

    /// The mean of each plane: x f32 [N, C, H, W] to [N, C].
    pub fn global_avg_pool(&mut self, x: Var) -> Result<Var> {
        let [n, c, h, w] = self.shape(x).nchw("global_avg_pool", "x")?;
        let kernel = [h as u32, w as u32];
        let y = self.avg_pool2d(x, kernel, kernel, [0, 0])?;
        self.reshape(y, [n, c])
    }
}

impl Op for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("avg_pool2d", "x", DType::F32)?;
        let [n, c, h, w] = x[0].shape.nchw("avg_pool2d", "x")?;
        let out = |size: usize, axis: usize| {
            let [kernel, stride, padding] = [self.kernel, self.stride, self.padding].map(|v| v[axis] as usize);
            let fits = kernel > 0 && stride > 0 && 2 * padding <= kernel && size + 2 * padding >= kernel;
            fits.then(|| (size + 2 * padding - kernel) / stride + 1)
        };
        let (Some(out_h), Some(out_w)) = (out(h, 0), out(w, 1)) else {
            return Err(Error::shape(
                "avg_pool2d",
                format!(
                    "x is {} and the windows are {:?}, {:?} apart, padded by {:?}; \
                     they must fit x, be apart, and be padded by at most half their size",
                    x[0].shape, self.kernel, self.stride, self.padding
                ),
            ));
        };
        Ok(vec![Type::f32([n, c, out_h, out_w])])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (params, grid) = self.params(&e.x[0], &e.y[0], &e.y[0])?;
        let kernel = Kernel::new("avg_pool2d.forward", "portable", FORWARD);
        e.launch(kernel, &[Slot::In(0), Slot::Out(0)], &params, grid);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![dy[0].map(|dy| t.apply1(AvgPool2dGrad(self.clone()), &[x[0], dy])).transpose()?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let added = y[0].shape.numel() as u64 * (self.kernel[0] * self.kernel[1]) as u64;
        Cost { flops: added, bytes: x[0].bytes() + y[0].bytes() }
    }
}

impl AvgPool2d {
    /// Params and grid of a kernel with an invocation for each element of `over`.
    fn params(&self, x: &Type, y: &Type, over: &Type) -> Result<(Params, [u32; 3])> {
        let as_u32 = |ty: &Type| Ok::<_, Error>(ty.shape.nchw("avg_pool2d", "x")?.map(|d| d as u32));
        let ([_, _, height, width], [_, _, out_height, out_width]) = (as_u32(x)?, as_u32(y)?);
        let elements = over.shape.numel();
        let params = Params {
            elements: elements as u32,
            height,
            width,
            out_height,
            out_width,
            kernel_h: self.kernel[0],
            kernel_w: self.kernel[1],
            stride_h: self.stride[0],
            stride_w: self.stride[1],
            padding_h: self.padding[0],
            padding_w: self.padding[1],
        };
        Ok((params, groups_1d(elements.div_ceil(64))))
    }
}

impl Op for AvgPool2dGrad {
    fn name(&self) -> &'static str {
        "avg_pool2d.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (params, grid) = self.0.params(&e.x[0], &e.x[1], &e.x[0])?;
        let [rows, columns] = [0, 1].map(|axis| self.0.kernel[axis].div_ceil(self.0.stride[axis]));
        let kernel = Kernel::new("avg_pool2d.grad", "portable", GRAD).with("ROWS", rows).with("COLUMNS", columns);
        e.launch(kernel, &[Slot::In(1), Slot::Out(0)], &params, grid);
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: y[0].shape.numel() as u64, bytes: x[1].bytes() + y[0].bytes() }
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
        case("prime, padded", [2, 3, 11, 7], [3, 3], [2, 2], [1, 1]),
        case("oblong", [2, 2, 6, 10], [2, 5], [1, 3], [0, 2]),
        case("gaps between windows", [1, 2, 11, 13], [2, 2], [3, 4], [0, 0]),
        case("more than a workgroup", [5, 13, 4, 4], [2, 2], [2, 2], [0, 0]),
    ]
}

//! max_pool2d: y[n, c, oh, ow] = the maximum of x over a kernel × kernel window; the padding never wins.
//! dx[h, w] = Σ dy of the windows whose maximum stands at (h, w); among equal values the first in row order is the
//! maximum. Shaders: shaders/max_pool2d/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// The maximum of each window. Outputs y [N, C, OH, OW] and, as u32, where in its plane each maximum stands: h·W + w.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPool2d {
    /// Rows and columns of a window.
    pub kernel: u32,
    /// From a window to the next.
    pub stride: u32,
    /// Rows and columns around x that no window's maximum comes from.
    pub padding: u32,
}

/// dx from (x for its shape, argmax, dy).
#[derive(Clone, Debug, PartialEq)]
struct MaxPool2dGrad(MaxPool2d);

params! {
    struct Params {
        elements: u32, height: u32, width: u32, out_height: u32, out_width: u32,
        kernel: u32, stride: u32, padding: u32,
    }
}

const FORWARD: &[Piece] = &[piece!("common/index.wgsl"), piece!("max_pool2d/forward.wgsl")];
const GRAD: &[Piece] = &[piece!("common/index.wgsl"), piece!("max_pool2d/grad.wgsl")];

impl Tape {
    /// The maximum over kernel × kernel windows of x f32 [N, C, H, W]; y is [N, C, OH, OW] with
    /// OH = ⌊(H + 2·padding − kernel)/stride⌋ + 1.
    pub fn max_pool2d(&mut self, x: Var, kernel: u32, stride: u32, padding: u32) -> Result<Var> {
        self.apply1(MaxPool2d { kernel, stride, padding }, &[x])
    }
}

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("max_pool2d", "x", DType::F32)?;
        let [n, c, h, w] = x[0].shape.nchw("max_pool2d", "x")?;
        let (kernel, stride, padding) = (self.kernel as usize, self.stride as usize, self.padding as usize);
        if kernel == 0 || stride == 0 || 2 * padding > kernel || h.min(w) + 2 * padding < kernel {
            return Err(Error::shape(
                "max_pool2d",
                format!(
                    "x is {} and the windows are {kernel} wide, {stride} apart, padded by {padding}; \
                     they must fit x, be apart, and be padded by at most half their width",
                    x[0].shape
                ),
            ));
        }
        let out = |size: usize| (size + 2 * padding - kernel) / stride + 1;
        let y = [n, c, out(h), out(w)];
        Ok(vec![Type::f32(y), Type::u32(y)])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (params, grid) = self.params(&e.x[0], &e.y[0], &e.y[0])?;
        let buffers = [Slot::In(0), Slot::Out(0), Slot::Out(1)];
        let kernel = Kernel::new("max_pool2d.forward", "portable", FORWARD).with("KERNEL", self.kernel);
        e.launch(kernel, &buffers, &params, grid);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![dy[0].map(|dy| t.apply1(MaxPool2dGrad(self.clone()), &[x[0], y[1], dy])).transpose()?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let compared = y[0].shape.numel() as u64 * (self.kernel * self.kernel) as u64;
        Cost { flops: compared, bytes: x[0].bytes() + y[0].bytes() + y[1].bytes() }
    }
}

impl MaxPool2d {
    /// Params and grid of a kernel with an invocation for each element of `over`.
    fn params(&self, x: &Type, y: &Type, over: &Type) -> Result<(Params, [u32; 3])> {
        let as_u32 = |ty: &Type| Ok::<_, Error>(ty.shape.nchw("max_pool2d", "x")?.map(|d| d as u32));
        let ([_, _, height, width], [_, _, out_height, out_width]) = (as_u32(x)?, as_u32(y)?);
        let MaxPool2d { kernel, stride, padding } = *self;
        let elements = over.shape.numel();
        let params =
            Params { elements: elements as u32, height, width, out_height, out_width, kernel, stride, padding };
        Ok((params, groups_1d(elements.div_ceil(64))))
    }
}

impl Op for MaxPool2dGrad {
    fn name(&self) -> &'static str {
        "max_pool2d.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (params, grid) = self.0.params(&e.x[0], &e.x[1], &e.x[0])?;
        let buffers = [Slot::In(1), Slot::In(2), Slot::Out(0)];
        let reach = self.0.kernel.div_ceil(self.0.stride);
        let kernel = Kernel::new("max_pool2d.grad", "portable", GRAD).with("REACH", reach);
        e.launch(kernel, &buffers, &params, grid);
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: x[2].shape.numel() as u64, bytes: x[1].bytes() + x[2].bytes() + y[0].bytes() }
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
        case("heavy overlap", [1, 2, 9, 10], (5, 1, 2), Fill::Distinct),
        case("smaller than its window", [1, 3, 2, 2], (4, 2, 2), Fill::Distinct),
        case("ties", [2, 2, 9, 9], (3, 2, 1), Fill::Values(vec![1.0, 0.0, 1.0, 1.0])),
        case("all equal and negative", [1, 2, 6, 6], (3, 1, 1), Fill::Values(vec![-1.0])),
    ]
}

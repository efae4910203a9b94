//! conv2d: y[n, k, p, q] = Σ_{c, r, s} w[k, c, r, s] · x[n, c, p·st + r·dil − pad, q·st + s·dil − pad], x zero in its
//! border, c over the input channels of the group that k belongs to. P = (H + 2·pad − dil·(R − 1) − 1) / st + 1.
//! dx[n, c, h, w] = Σ w[k, c, r, s] · dy[n, k, p, q] over the (p, q, r, s) that reach (h, w);
//! dw[k, c, r, s] = Σ_{n, p, q} dy[n, k, p, q] · x[n, c, p·st + r·dil − pad, q·st + s·dil − pad].
//! All three are matrix products over gathered operands: shaders/layers/conv2d/ says how to gather, shaders/core/gemm/
//! multiplies. Which variants there are and what each launches: core/conv2d_route.rs. `direct` serves depthwise
//! convolutions, `winograd` 3×3 windows of stride 1, `tiled_taps` windows over whole blocks of channels. Predicted share of
//! a GPU's f32 roof for `tiled_64` and `tiled_128`: 40 to 48 %, because a gather costs about 25 instructions a number
//! instead of 12 (arithmetic: gemm.rs); ggml-vulkan reaches 45 %. Nothing is predicted for `tiled_taps`.
//! A NaN or an infinity reaches all that its taps reach; where a variant multiplies the border by 0, or adds and
//! subtracts neighbours (Winograd), it becomes a NaN further away, too.
//! x and w are both f32 or both f16, all sums f32. Of f16, y is f32 or f16: where it is f32, dy is rounded before its product,
//! dx and dw after theirs; where it is f16, dx is written in f16 and dw stays f32.

use crate::base::{DType, Error, Result, Shape};
use crate::device::Caps;
use crate::kernels::conv2d_pass::{Direction, Pass, Sizes};
use crate::kernels::epilogue::{Axis, Ending, Product, expect_result, is_f32};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Tape, Type, Var};

/// A convolution with the same stride, padding and dilation in both directions.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Conv2d {
    /// Step of the window.
    pub stride: u32,
    /// Width of the border of zeros.
    pub padding: u32,
    /// Distance of the window's taps.
    pub dilation: u32,
    /// Groups that the channels are cut into; as many as channels is a depthwise convolution.
    pub groups: u32,
    /// The elements of y: f32, or f16 where the operands are. Then dx is f16, too, and dw is f32.
    #[serde(skip_serializing_if = "is_f32")]
    pub result: DType,
}

/// dx from (w, dy): what a transposed convolution computes.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct GradInput {
    /// The convolution.
    pub conv: Conv2d,
    /// Type of its input, and so of dx.
    pub x: Type,
}

/// dw from (dy, x).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct GradWeight {
    conv: Conv2d,
    w: Type,
}

impl Tape {
    /// 2-D convolution (cross-correlation, as everywhere) of x [N, C, H, W] with weight [K, C / groups, R, S];
    /// x and weight both f32 or both f16; y [N, K, P, Q], f32 or as `conv` says. torch.nn.functional.conv2d without its bias.
    pub fn conv2d(&mut self, x: Var, weight: Var, conv: Conv2d) -> Result<Var> {
        self.apply1(conv, &[x, weight])
    }
}

impl Conv2d {
    /// Of this stride and padding, undilated, in one group.
    pub const fn new(stride: u32, padding: u32) -> Self {
        Conv2d { stride, padding, dilation: 1, groups: 1, result: DType::F32 }
    }

    /// With a result in the elements of the operands: f16 of f16.
    pub const fn rounded(self) -> Self {
        Conv2d { result: DType::F16, ..self }
    }

    fn sizes(&self, x: Type, w: Type) -> Result<Sizes> {
        let [n, c, h, width] = x.shape.nchw("conv2d", "x")?;
        let [k, wc, r, s] = w.shape.nchw("conv2d", "weight")?;
        let [stride, padding, dilation, groups] =
            [self.stride, self.padding, self.dilation, self.groups].map(|v| v as usize);
        let bad = |need: &str| Err(Error::shapes("conv2d", ("x", x.shape), ("weight", w.shape), need));
        if stride == 0 || dilation == 0 || groups == 0 || [n, c, h, width, k, r, s].contains(&0) {
            return bad("every size, the stride, the dilation and the groups must be at least 1");
        }
        if !c.is_multiple_of(groups) || !k.is_multiple_of(groups) || c / groups != wc {
            let need = "the weight's second dimension must be the input channels divided by the groups, and both \
                        channel counts must divide by the groups";
            return bad(&format!("{need} ({groups} here)"));
        }
        let (reach_h, reach_w) = (dilation * (r - 1) + 1, dilation * (s - 1) + 1);
        if h + 2 * padding < reach_h || width + 2 * padding < reach_w {
            return bad(&format!("the window must fit the input with its padding of {padding}"));
        }
        let (p, q) = ((h + 2 * padding - reach_h) / stride + 1, (width + 2 * padding - reach_w) / stride + 1);
        Ok(Sizes { n, c, h, w: width, k, r, s, p, q, stride, padding, dilation, groups })
    }

    fn forward(&self, x: &[Type]) -> Result<Pass> {
        self.pass(Direction::Forward, [x[0], x[1]], x)
    }

    /// A pass of the convolution of x with w over these operands.
    fn pass(&self, direction: Direction, [x, w]: [Type; 2], operands: &[Type]) -> Result<Pass> {
        Ok(Pass { sizes: self.sizes(x, w)?, direction, operands: operands[0].dtype })
    }
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_float("conv2d", "x")?;
        x[1].expect_dtype("conv2d", "weight", x[0].dtype)?;
        expect_result("conv2d", x[0].dtype, self.result)?;
        let s = self.sizes(x[0], x[1])?;
        Ok(vec![Type { shape: [s.n, s.k, s.p, s.q].into(), dtype: self.result }])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        self.forward(x).map_or(vec!["naive"], |pass| pass.variants(caps))
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, caps: &Caps) -> Vec<Type> {
        self.forward(x).map_or(Vec::new(), |pass| pass.workspace(variant, caps))
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        self.emit_ending(e, &Ending::NONE)
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let Some(dy) = dy[0] else { return Ok(vec![None, None]) };
        let (dtype, wt) = (t.ty(x[0]).dtype, Type::f32(t.shape(x[1])));
        let xt = Type { shape: t.shape(x[0]), dtype: self.result };
        let dy = t.cast(dy, dtype)?;
        let dx = if t.wants(x[0]) { Some(t.apply1(GradInput { conv: *self, x: xt }, &[x[1], dy])?) } else { None };
        let dw = if t.wants(x[1]) { Some(t.apply1(GradWeight { conv: *self, w: wt }, &[dy, x[0]])?) } else { None };
        // dw is a long sum: it stays f32 where the result shows that x is an activation.
        let dw_type = if self.result == DType::F16 { DType::F32 } else { dtype };
        let cast = |t: &mut Tape, d: Option<Var>, to| d.map(|d| t.cast(d, to)).transpose();
        Ok(vec![cast(t, dx, dtype)?, cast(t, dw, dw_type)?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        self.sizes(x[0], x[1]).map_or(Cost::default(), |s| s.cost(&[x[0], x[1], y[0]]))
    }
}

impl Product for Conv2d {
    const FUSED: &'static str = "conv2d.fused";
    const CHANNELS: Axis = Axis::Rows;

    fn emit_ending(&self, e: &mut Emit<'_>, ending: &Ending) -> Result<()> {
        self.forward(e.x)?.emit(e, ending)
    }
}

impl GradInput {
    fn pass(&self, x: &[Type]) -> Result<Pass> {
        self.conv.pass(Direction::GradInput, [self.x, x[0]], x)
    }
}

impl Op for GradInput {
    fn name(&self) -> &'static str {
        "conv2d.grad_input"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let s = self.conv.sizes(self.x, x[0])?;
        x[0].expect_float("conv2d.grad_input", "weight")?;
        expect_result("conv2d.grad_input", x[0].dtype, self.x.dtype)?;
        x[1].expect_dtype("conv2d.grad_input", "grad_output", x[0].dtype)?;
        let made = Shape::from([s.n, s.k, s.p, s.q]);
        if x[1].shape != made {
            let need = format!("the convolution of {} with it gives {made}", self.x.shape);
            return Err(Error::shapes("conv2d.grad_input", ("grad_output", x[1].shape), ("weight", x[0].shape), &need));
        }
        Ok(vec![self.x])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        self.pass(x).map_or(vec!["naive"], |pass| pass.variants(caps))
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, caps: &Caps) -> Vec<Type> {
        self.pass(x).map_or(Vec::new(), |pass| pass.workspace(variant, caps))
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        self.pass(e.x)?.emit(e, &Ending::NONE)
    }

    /// Of a transposed convolution: dx is linear in w and in dy.
    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let Some(d) = dy[0] else { return Ok(vec![None, None]) };
        let (dtype, w) = (t.ty(x[0]).dtype, Type::f32(t.shape(x[0])));
        let d = t.cast(d, dtype)?;
        let dw = if t.wants(x[0]) { Some(t.apply1(GradWeight { conv: self.conv, w }, &[x[1], d])?) } else { None };
        let ddy = if t.wants(x[1]) { Some(t.conv2d(d, x[0], self.conv)?) } else { None };
        [dw, ddy].into_iter().map(|d| d.map(|d| t.cast(d, dtype)).transpose()).collect()
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        self.conv.sizes(self.x, x[0]).map_or(Cost::default(), |s| s.cost(&[x[0], x[1], y[0]]))
    }
}

impl GradWeight {
    fn pass(&self, x: &[Type]) -> Result<Pass> {
        self.conv.pass(Direction::GradWeight, [x[1], self.w], x)
    }
}

impl Op for GradWeight {
    fn name(&self) -> &'static str {
        "conv2d.grad_weight"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[1].expect_dtype("conv2d.grad_weight", "x", x[0].dtype)?;
        Ok(vec![self.w])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        self.pass(x).map_or(vec!["naive"], |pass| pass.variants(caps))
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, caps: &Caps) -> Vec<Type> {
        self.pass(x).map_or(Vec::new(), |pass| pass.workspace(variant, caps))
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        self.pass(e.x)?.emit(e, &Ending::NONE)
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        self.conv.sizes(x[1], self.w).map_or(Cost::default(), |s| s.cost(&[x[0], x[1], y[0]]))
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, x: [usize; 4], w: [usize; 4], conv: Conv2d| {
        Case::new(name, conv, vec![(Type::f32(x), Fill::Normal), (Type::f32(w), Fill::Normal)])
    };
    let half = |name, x: [usize; 4], w: [usize; 4], conv: Conv2d| {
        Case::new(name, conv, vec![(Type::f16(x), Fill::Normal), (Type::f16(w), Fill::Normal)])
    };
    let plain = Conv2d::new;
    let grouped = |stride, padding, groups| Conv2d { groups, ..Conv2d::new(stride, padding) };
    let dilated = |stride, padding, dilation| Conv2d { dilation, ..Conv2d::new(stride, padding) };
    vec![
        case("one", [1, 1, 1, 1], [1, 1, 1, 1], plain(1, 0)),
        case("3x3", [2, 8, 8, 8], [16, 8, 3, 3], plain(1, 1)),
        case("3x3 stride 2, whole blocks", [2, 8, 9, 8], [24, 8, 3, 3], plain(2, 1)),
        case("3x3, slices of whole blocks", [1, 176, 5, 5], [8, 176, 3, 3], plain(1, 1)),
        case("3x3 stride 2 of few inputs, slices of whole blocks", [1, 8, 7, 9], [176, 8, 3, 3], plain(2, 1)),
        case("3x2 stride 3, dilated, whole blocks", [2, 16, 11, 13], [67, 16, 3, 2], dilated(3, 2, 2)),
        case("3x3 dilated, rows past a block", [1, 67, 9, 11], [16, 67, 3, 3], dilated(1, 2, 2)),
        case("3x3 primes", [3, 5, 7, 11], [13, 5, 3, 3], plain(1, 1)),
        case("3x3 on one pixel, padded", [3, 2, 1, 1], [3, 2, 3, 3], plain(1, 1)),
        case("3x3 without padding", [1, 6, 6, 5], [67, 6, 3, 3], plain(1, 0)),
        case("3x3 stride 2", [2, 6, 9, 8], [10, 6, 3, 3], plain(2, 1)),
        case("1x1", [3, 12, 6, 6], [20, 12, 1, 1], plain(1, 0)),
        case("1x1, more input channels, a prime", [2, 67, 4, 10], [13, 67, 1, 1], plain(1, 0)),
        case("1x1, odd planes", [2, 9, 5, 5], [70, 9, 1, 1], plain(1, 0)),
        case("3x3 in rows of whole vec4", [2, 9, 7, 8], [66, 9, 3, 3], plain(1, 1)),
        case("1x1, a product an image", [2, 12, 8, 8], [20, 12, 1, 1], plain(1, 0)),
        case("1x1, whole tiles", [1, 16, 8, 16], [128, 16, 1, 1], plain(1, 0)),
        case("1x1 of one image, a long sum", [1, 1030, 8, 8], [3, 1030, 1, 1], plain(1, 0)),
        case("3x3 of few outputs, a long sum", [2, 130, 5, 5], [3, 130, 3, 3], plain(1, 1)),
        case("1x1 stride 2", [2, 12, 7, 6], [20, 12, 1, 1], plain(2, 0)),
        case("resnet stem 7x7/2", [2, 3, 17, 15], [16, 3, 7, 7], plain(2, 3)),
        case("no padding", [1, 4, 6, 5], [70, 4, 3, 2], plain(1, 0)),
        case("stride 3 past the window", [1, 3, 11, 10], [5, 3, 2, 2], plain(3, 1)),
        case("padding past the window", [1, 2, 3, 3], [4, 2, 2, 2], plain(1, 3)),
        case("long reduction", [9, 4, 16, 16], [4, 4, 3, 3], plain(1, 1)),
        case("dilated", [2, 5, 9, 11], [7, 5, 3, 3], dilated(1, 2, 2)),
        case("dilated, stride 2", [1, 4, 11, 13], [6, 4, 3, 2], dilated(2, 1, 3)),
        case("groups", [2, 6, 7, 5], [9, 2, 3, 3], grouped(1, 1, 3)),
        half("f16, one", [1, 1, 1, 1], [1, 1, 1, 1], plain(1, 0)),
        half("f16, 3x3 primes", [2, 3, 5, 7], [5, 3, 3, 3], plain(1, 1)),
        half("f16, 3x3 stride 2", [2, 6, 9, 8], [10, 6, 3, 3], plain(2, 1)),
        half("f16, 1x1", [2, 6, 4, 5], [10, 6, 1, 1], plain(1, 0)),
        half("f16, groups, dilated", [2, 6, 9, 7], [9, 2, 3, 3], Conv2d { dilation: 2, ..grouped(1, 1, 3) }),
        half("f16 to f16, one", [1, 1, 1, 1], [1, 1, 1, 1], plain(1, 0).rounded()),
        half("f16 to f16, 3x3 primes", [2, 3, 5, 7], [5, 3, 3, 3], plain(1, 1).rounded()),
        half("f16 to f16, 3x3 stride 2", [2, 6, 9, 8], [10, 6, 3, 3], plain(2, 1).rounded()),
        half("f16 to f16, whole planes", [2, 9, 6, 8], [66, 9, 3, 3], plain(1, 1).rounded()),
        half("f16 to f16, groups", [2, 6, 7, 5], [9, 2, 3, 3], grouped(1, 1, 3).rounded()),
        half("f16 to f16, a long sum", [2, 130, 5, 5], [3, 130, 3, 3], plain(1, 1).rounded()),
        half("f16, long reduction", [9, 4, 16, 16], [4, 4, 3, 3], plain(1, 1)),
        case("depthwise", [2, 7, 9, 6], [7, 1, 3, 3], grouped(1, 1, 7)),
        case("depthwise, two filters, stride 2", [3, 5, 8, 9], [10, 1, 3, 3], grouped(2, 1, 5)),
        case(
            "depthwise, dilated, long reduction",
            [5, 2, 17, 19],
            [2, 1, 3, 3],
            Conv2d { dilation: 2, ..grouped(1, 2, 2) },
        ),
    ]
}

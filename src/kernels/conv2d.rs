//! conv2d: y[n, k, p, q] = Σ_{c, r, s} w[k, c, r, s] · x[n, c, p·st + r − pad, q·st + s − pad], x zero in its border.
//! P = (H + 2·pad − R) / st + 1. dx[n, c, h, w] = Σ w[k, c, r, s] · dy[n, k, p, q] over the (p, q, r, s) that reach
//! (h, w); dw[k, c, r, s] = Σ_{n, p, q} dy[n, k, p, q] · x[n, c, p·st + r − pad, q·st + s − pad].
//! All three are matrix products over gathered operands: shaders/conv2d/ says how to gather, shaders/gemm/ multiplies.
//! How the software adapter's operands are packed: conv2d_pack.rs.

use super::{conv2d_pack as packed, gemm};
use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// A convolution with the same stride and padding in both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2d {
    /// Step of the window.
    pub stride: u32,
    /// Width of the border of zeros.
    pub padding: u32,
}

/// dx from (w, dy).
#[derive(Clone, Debug, PartialEq)]
struct GradInput {
    conv: Conv2d,
    x: Type,
}

/// dw from (dy, x).
#[derive(Clone, Debug, PartialEq)]
struct GradWeight {
    conv: Conv2d,
    w: Type,
}

/// Every size of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub n: usize,
    pub c: usize,
    pub h: usize,
    pub w: usize,
    pub k: usize,
    pub r: usize,
    pub s: usize,
    pub p: usize,
    pub q: usize,
    pub stride: usize,
    pub padding: usize,
}

params! {
    struct Params {
        m: u32, n: u32, k: u32, k_split: u32,
        c: u32, h: u32, w: u32, r: u32, s: u32, p: u32, q: u32, stride: u32, padding: u32,
    }
}

const FORWARD_NAIVE: &[Piece] =
    &[piece!("common/index.wgsl"), piece!("conv2d/forward.wgsl"), piece!("gemm/naive.wgsl")];
const FORWARD_TILED: &[Piece] =
    &[piece!("common/index.wgsl"), piece!("conv2d/forward.wgsl"), piece!("gemm/tiled.wgsl")];
const GRAD_INPUT_NAIVE: &[Piece] =
    &[piece!("common/index.wgsl"), piece!("conv2d/grad_input.wgsl"), piece!("gemm/naive.wgsl")];
const GRAD_INPUT_TILED: &[Piece] =
    &[piece!("common/index.wgsl"), piece!("conv2d/grad_input.wgsl"), piece!("gemm/tiled.wgsl")];
const GRAD_WEIGHT_NAIVE: &[Piece] =
    &[piece!("common/index.wgsl"), piece!("conv2d/grad_weight.wgsl"), piece!("gemm/naive.wgsl")];
const GRAD_WEIGHT_TILED: &[Piece] =
    &[piece!("common/index.wgsl"), piece!("conv2d/grad_weight.wgsl"), piece!("gemm/tiled.wgsl")];

impl Tape {
    /// 2-D convolution (cross-correlation, as everywhere) of x [N, C, H, W] with weight [K, C, R, S]; y [N, K, P, Q].
    pub fn conv2d(&mut self, x: Var, weight: Var, conv: Conv2d) -> Result<Var> {
        self.apply1(conv, &[x, weight])
    }
}

impl Conv2d {
    fn sizes(&self, x: Type, w: Type) -> Result<Sizes> {
        let [n, c, h, width] = x.shape.nchw("conv2d", "x")?;
        let [k, wc, r, s] = w.shape.nchw("conv2d", "weight")?;
        let (stride, padding) = (self.stride as usize, self.padding as usize);
        let bad = |need: &str| Err(Error::shapes("conv2d", ("x", x.shape), ("weight", w.shape), need));
        if c != wc {
            return bad("their second dimensions (input channels) must be equal");
        }
        if stride == 0 || [n, c, h, width, k, r, s].contains(&0) {
            return bad("every size and the stride must be at least 1");
        }
        if h + 2 * padding < r || width + 2 * padding < s {
            return bad(&format!("the window must fit the input with its padding of {padding}"));
        }
        let (p, q) = ((h + 2 * padding - r) / stride + 1, (width + 2 * padding - s) / stride + 1);
        Ok(Sizes { n, c, h, w: width, k, r, s, p, q, stride, padding })
    }
}

impl Sizes {
    /// The shader's parameters for an m × n product over k in slices of `k_split`.
    fn params(&self, (m, n, k): (usize, usize, usize), k_split: usize) -> Params {
        let v = |x: usize| x as u32;
        Params {
            m: v(m),
            n: v(n),
            k: v(k),
            k_split: v(k_split),
            c: v(self.c),
            h: v(self.h),
            w: v(self.w),
            r: v(self.r),
            s: v(self.s),
            p: v(self.p),
            q: v(self.q),
            stride: v(self.stride),
            padding: v(self.padding),
        }
    }

    fn forward(&self) -> (usize, usize, usize) {
        (self.k, self.n * self.p * self.q, self.c * self.r * self.s)
    }

    fn grad_input(&self) -> (usize, usize, usize) {
        (self.c, self.n * self.h * self.w, self.k * self.r * self.s)
    }

    fn grad_weight(&self) -> (usize, usize, usize) {
        (self.k, self.c * self.r * self.s, self.n * self.p * self.q)
    }

    /// All three directions do the same arithmetic.
    fn cost(&self, types: &[Type]) -> Cost {
        let (m, n, k) = self.forward();
        Cost { flops: 2 * (m * n * k) as u64, bytes: types.iter().map(Type::bytes).sum() }
    }
}

/// Emits a naive or tiled product from operands gathered by the op's own piece.
fn emit_gathered(
    e: &mut Emit<'_>,
    name: &'static str,
    pieces: (&'static [Piece], &'static [Piece]),
    sizes: &Sizes,
    mnk: (usize, usize, usize),
) {
    let (kernel, grid) = match e.variant {
        "naive" => (Kernel::new(name, "naive", pieces.0), groups_1d((mnk.0 * mnk.1).div_ceil(64))),
        tiled => gemm::tiled(name, tiled, pieces.1, mnk.0, mnk.1, 1),
    };
    e.launch(kernel, &[Slot::In(0), Slot::In(1), Slot::Out(0)], &sizes.params(mnk, mnk.2), grid);
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("conv2d", "x", DType::F32)?;
        x[1].expect_dtype("conv2d", "weight", DType::F32)?;
        let s = self.sizes(x[0], x[1])?;
        Ok(vec![Type::f32([s.n, s.k, s.p, s.q])])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        self.sizes(x[0], x[1]).map_or(vec!["naive"], |s| gemm::variants(s.k, s.n * s.p * s.q, caps))
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, caps: &Caps) -> Vec<Type> {
        match (self.sizes(x[0], x[1]), gemm::lanes(caps), variant) {
            (Ok(s), Some(lanes), "broadcast") => packed::forward_workspace(&s, lanes),
            _ => Vec::new(),
        }
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let s = self.sizes(e.x[0], e.x[1])?;
        if let ("broadcast", Some(lanes)) = (e.variant, gemm::lanes(e.caps)) {
            packed::forward(e, &s, lanes);
            return Ok(());
        }
        // The shader binds the weight first: it is the left operand.
        emit_gathered(e, "conv2d.forward", (FORWARD_NAIVE, FORWARD_TILED), &s, s.forward());
        if let Some(l) = e.launches.last_mut() {
            l.buffers = vec![Slot::In(1), Slot::In(0), Slot::Out(0)];
        }
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let Some(dy) = dy[0] else { return Ok(vec![None, None]) };
        let (xt, wt) = (t.ty(x[0]), t.ty(x[1]));
        let dx = if t.wants(x[0]) { Some(t.apply1(GradInput { conv: *self, x: xt }, &[x[1], dy])?) } else { None };
        let dw = if t.wants(x[1]) { Some(t.apply1(GradWeight { conv: *self, w: wt }, &[dy, x[0]])?) } else { None };
        Ok(vec![dx, dw])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        self.sizes(x[0], x[1]).map_or(Cost::default(), |s| s.cost(&[x[0], x[1], y[0]]))
    }
}

impl Op for GradInput {
    fn name(&self) -> &'static str {
        "conv2d.grad_input"
    }

    fn infer(&self, _x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![self.x])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        self.conv.sizes(self.x, x[0]).map_or(vec!["naive"], |s| gemm::variants(s.c, s.n * s.h * s.w, caps))
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, caps: &Caps) -> Vec<Type> {
        match (self.conv.sizes(self.x, x[0]), gemm::lanes(caps), variant) {
            (Ok(s), Some(lanes), "broadcast") => packed::grad_input_workspace(&s, lanes),
            _ => Vec::new(),
        }
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let s = self.conv.sizes(self.x, e.x[0])?;
        if let ("broadcast", Some(lanes)) = (e.variant, gemm::lanes(e.caps)) {
            packed::grad_input(e, &s, lanes);
            return Ok(());
        }
        emit_gathered(e, "conv2d.grad_input", (GRAD_INPUT_NAIVE, GRAD_INPUT_TILED), &s, s.grad_input());
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        self.conv.sizes(self.x, x[0]).map_or(Cost::default(), |s| s.cost(&[x[0], x[1], y[0]]))
    }
}

impl Op for GradWeight {
    fn name(&self) -> &'static str {
        "conv2d.grad_weight"
    }

    fn infer(&self, _x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![self.w])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        self.conv.sizes(x[1], self.w).map_or(vec!["naive"], |s| gemm::variants(s.k, s.c * s.r * s.s, caps))
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, caps: &Caps) -> Vec<Type> {
        let Ok(s) = self.conv.sizes(x[1], self.w) else { return Vec::new() };
        let (m, n, k) = s.grad_weight();
        match (variant, gemm::lanes(caps)) {
            ("broadcast", Some(lanes)) => packed::grad_weight_workspace(&s, lanes),
            ("tiled_64" | "tiled_128", _) if gemm::slices(m, n, k) > 1 => {
                vec![Type::f32([gemm::slices(m, n, k), m, n])]
            }
            _ => Vec::new(),
        }
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let s = self.conv.sizes(e.x[1], self.w)?;
        if let ("broadcast", Some(lanes)) = (e.variant, gemm::lanes(e.caps)) {
            packed::grad_weight(e, &s, lanes);
            return Ok(());
        }
        let (m, n, k) = s.grad_weight();
        let slices = gemm::slices(m, n, k);
        if e.variant == "naive" || slices == 1 {
            emit_gathered(e, "conv2d.grad_weight", (GRAD_WEIGHT_NAIVE, GRAD_WEIGHT_TILED), &s, (m, n, k));
            return Ok(());
        }
        let (kernel, grid) = gemm::tiled("conv2d.grad_weight", e.variant, GRAD_WEIGHT_TILED, m, n, slices);
        let params = s.params((m, n, k), k.div_ceil(slices));
        e.launch(kernel, &[Slot::In(0), Slot::In(1), Slot::Work(0)], &params, grid);
        gemm::sum_slices(e, "conv2d.grad_weight_sum", Slot::Work(0), Slot::Out(0), m * n, slices);
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        self.conv.sizes(x[1], self.w).map_or(Cost::default(), |s| s.cost(&[x[0], x[1], y[0]]))
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, x: [usize; 4], w: [usize; 4], stride, padding| {
        let inputs = vec![(Type::f32(x), Fill::Normal), (Type::f32(w), Fill::Normal)];
        Case::new(name, Conv2d { stride, padding }, inputs)
    };
    vec![
        case("one", [1, 1, 1, 1], [1, 1, 1, 1], 1, 0),
        case("3x3", [2, 8, 8, 8], [16, 8, 3, 3], 1, 1),
        case("3x3 primes", [3, 5, 7, 11], [13, 5, 3, 3], 1, 1),
        case("3x3 stride 2", [2, 6, 9, 8], [10, 6, 3, 3], 2, 1),
        case("1x1 stride 2", [2, 12, 7, 6], [20, 12, 1, 1], 2, 0),
        case("resnet stem 7x7/2", [2, 3, 17, 15], [16, 3, 7, 7], 2, 3),
        case("no padding", [1, 4, 6, 5], [70, 4, 3, 2], 1, 0),
        case("stride 3 past the window", [1, 3, 11, 10], [5, 3, 2, 2], 3, 1),
        case("padding past the window", [1, 2, 3, 3], [4, 2, 2, 2], 1, 3),
        case("long reduction", [9, 4, 16, 16], [4, 4, 3, 3], 1, 1),
    ]
}

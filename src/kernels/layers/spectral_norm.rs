//! spectral_norm: y = W/σ, σ = uᵀ·W·v, with u and v from power iteration, u ← W·v/‖W·v‖, v ← Wᵀ·u/‖Wᵀ·u‖ (Miyato et al.
//! 2018, arXiv:1802.05957, algorithm 1, in the order of torch.nn.utils.parametrizations.spectral_norm). The gradient
//! takes u and v for constants: dW = dy/σ − ⟨dy, W⟩/σ²·u·vᵀ. Shaders: shaders/layers/spectral_norm/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill, lanes, units};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// W [M, K], u [M], v [K] -> (y [M, K], σ [1]).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SpectralNorm;

/// dW from (dy, W, u, v, σ).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct SpectralNormGrad;

params! {
    struct Params { rows: u32, vectors: u32 }
}

const SIGMA_ROWS: &[Piece] =
    &[piece!("layers/spectral_norm/of_vectors.wgsl"), piece!("layers/spectral_norm/dots_rows.wgsl")];
const SIGMA_GROUPS: &[Piece] =
    &[piece!("layers/spectral_norm/of_vectors.wgsl"), piece!("layers/spectral_norm/dots_groups.wgsl")];
const INNER_ROWS: &[Piece] =
    &[piece!("layers/spectral_norm/of_matrix.wgsl"), piece!("layers/spectral_norm/dots_rows.wgsl")];
const INNER_GROUPS: &[Piece] =
    &[piece!("layers/spectral_norm/of_matrix.wgsl"), piece!("layers/spectral_norm/dots_groups.wgsl")];
const FORWARD: &[Piece] = &[piece!("layers/spectral_norm/forward.wgsl")];
const GRAD: &[Piece] = &[piece!("layers/spectral_norm/grad.wgsl")];
const TOTAL: &[Piece] = &[piece!("layers/spectral_norm/total.wgsl")];

impl Tape {
    /// The weight f32 [M, …] over its largest singular value, as [M, K] with K the rest. States `u` [M] and `v` [K], f32,
    /// hold the vectors: each of `iterations` rounds of power iteration moves them, and the new ones are assigned; 0
    /// rounds, for evaluation, leave them as they are. They begin as random vectors, v of length 1, best after some
    /// rounds (PyTorch takes 15); PyTorch's eps is 1e-12. No gradient flows through the rounds.
    pub fn spectral_norm(&mut self, weight: Var, u: &str, v: &str, iterations: usize, eps: f32) -> Result<Var> {
        let shape = self.shape(weight);
        if shape.rank() < 2 || shape.numel() == 0 {
            return Err(Error::shape("spectral_norm", format!("weight must be [M, …] and not empty, not {shape}")));
        }
        let (m, k) = (shape.dim(0), shape.numel() / shape.dim(0));
        let matrix = self.reshape(weight, [m, k])?;
        let fixed = self.detach(matrix)?;
        let (mut left, mut right) = (self.state(u, Type::f32([m]))?, self.state(v, Type::f32([k]))?);
        for _ in 0..iterations {
            let column = self.reshape(right, [k, 1])?;
            let product = self.matmul(fixed, column, false, false)?;
            let row = self.reshape(product, [1, m])?;
            let unit = self.l2_normalize(row, eps)?;
            let product = self.matmul(unit, fixed, false, false)?;
            let next = self.l2_normalize(product, eps)?;
            (left, right) = (self.reshape(unit, [m])?, self.reshape(next, [k])?);
        }
        if iterations > 0 {
            self.assign(u, left)?;
            self.assign(v, right)?;
        }
        let y = self.apply(SpectralNorm, &[matrix, left, right])?[0];
        self.reshape(y, shape)
    }
}

/// Parameters of W [M, K], and what kernels over its rows begin with.
fn sizes(w: &Type) -> Result<(Params, &'static [Piece])> {
    let [m, k] = w.shape.matrix("spectral_norm", "W")?;
    let whole = k.is_multiple_of(4);
    let vectors = if whole { k / 4 } else { k };
    Ok((Params { rows: m as u32, vectors: vectors as u32 }, units(whole)))
}

/// Launches the products of the rows and their sum.
fn sum(e: &mut Emit<'_>, [rows, groups]: [&[Piece]; 2], buffers: &[Slot], [dots, total]: [Slot; 2]) -> Result<()> {
    let (params, units) = sizes(&e.x[0])?;
    let m = params.rows as usize;
    let dot = Kernel::new("spectral_norm.dots", e.variant, units);
    let (dot, grid) = match e.variant {
        "rows" => (dot.followed_by(rows), groups_1d(m.div_ceil(8))),
        _ => (lanes::sum64(dot).followed_by(groups), groups_1d(m)),
    };
    e.launch(dot, buffers, &params, grid);
    let all = lanes::sum64(Kernel::new("spectral_norm.total", lanes::shared(e.variant), &[]));
    e.launch(all.followed_by(TOTAL), &[dots, total], &params, [1, 1, 1]);
    Ok(())
}

/// Launches a kernel of an invocation a unit of W.
fn each(e: &mut Emit<'_>, name: &'static str, own: &[Piece], buffers: &[Slot]) -> Result<()> {
    let (params, units) = sizes(&e.x[0])?;
    let count = params.rows as usize * params.vectors as usize;
    let kernel = Kernel::new(name, "portable", units).followed_by(own);
    e.launch(kernel, buffers, &params, groups_1d(count.div_ceil(256)));
    Ok(())
}

impl Op for SpectralNorm {
    fn name(&self) -> &'static str {
        "spectral_norm"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("spectral_norm", "W", DType::F32)?;
        let [m, k] = x[0].shape.matrix("spectral_norm", "W")?;
        for (ty, name, length) in [(x[1], "u", m), (x[2], "v", k)] {
            if ty != Type::f32([length]) {
                let need = "u must be F32 with an element for each row of W, v for each column";
                return Err(Error::shapes("spectral_norm", ("W", x[0].shape), (name, ty.shape), need));
            }
        }
        Ok(vec![x[0], Type::f32([1])])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        lanes::row_variants(caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], _variant: &'static str, _caps: &Caps) -> Vec<Type> {
        vec![x[1]]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let ([w, u, v], [y, sigma], dots) = ([0, 1, 2].map(Slot::In), [0, 1].map(Slot::Out), Slot::Work(0));
        sum(e, [SIGMA_ROWS, SIGMA_GROUPS], &[w, u, v, dots], [dots, sigma])?;
        each(e, "spectral_norm.forward", FORWARD, &[w, sigma, y])
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        if dy[1].is_some() {
            return Err(Error::no_gradient("spectral_norm", "its sigma output has no gradient; detach it"));
        }
        let dw = dy[0].map(|dy| t.apply1(SpectralNormGrad, &[dy, x[0], x[1], x[2], y[1]])).transpose()?;
        Ok(vec![dw, None, None])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 3 * x[0].shape.numel() as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

impl Op for SpectralNormGrad {
    fn name(&self) -> &'static str {
        "spectral_norm.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        lanes::row_variants(caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], _variant: &'static str, _caps: &Caps) -> Vec<Type> {
        vec![x[2], Type::f32([1])]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [dy, w, u, v, sigma] = [0, 1, 2, 3, 4].map(Slot::In);
        let [dots, total] = [0, 1].map(Slot::Work);
        sum(e, [INNER_ROWS, INNER_GROUPS], &[dy, w, dots], [dots, total])?;
        each(e, "spectral_norm.grad", GRAD, &[dy, sigma, total, u, v, Slot::Out(0)])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 5 * x[0].shape.numel() as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    // Vectors of one sign keep σ, a sum that could cancel, away from 0.
    let case = |name, m: usize, k: usize| {
        let positive = Fill::Uniform(0.2, 1.0);
        let w = (Type::f32([m, k]), positive.clone());
        Case::new(name, SpectralNorm, vec![w, (Type::f32([m]), positive.clone()), (Type::f32([k]), positive)])
    };
    vec![case("one", 1, 1), case("prime", 7, 13), case("whole vec4", 9, 64), case("more than a workgroup", 67, 260)]
}

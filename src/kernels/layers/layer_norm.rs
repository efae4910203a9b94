//! layer_norm: y = (x − mean)/√(var + eps)·weight + bias, mean and biased variance of each row (Ba et al. 2016,
//! arXiv:1607.06450, eq. 4). With rstd = 1/√(var + eps), x̂ = (x − mean)·rstd and g = dy·weight:
//! dx = rstd·(g − mean(g) − x̂·mean(g·x̂)), dweight = Σ dy·x̂ and dbias = Σ dy over the rows, in two stages of a fixed
//! order. x, y and their gradients are f32 or f16; all else is f32, and so are all sums. Shaders:
//! shaders/layers/layer_norm/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill, held, lanes, units};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// x [N, D], weight [D], bias [D] -> (y [N, D], mean [N], rstd [N]).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct LayerNorm {
    /// Added to the variance.
    pub eps: f32,
}

/// (dx, dweight, dbias) from (x, weight, mean, rstd, dy).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct LayerNormGrad;

params! {
    struct Params { rows: u32, vectors: u32, columns: u32, eps: f32 }
}

params! {
    struct Affine { rows: u32, vectors: u32, chunks: u32, per: u32 }
}

const ROWS: &[Piece] = &[piece!("layers/layer_norm/forward_rows.wgsl")];
const GROUPS: &[Piece] = &[piece!("layers/layer_norm/forward_groups.wgsl")];
const GRAD_ROWS: &[Piece] = &[piece!("layers/layer_norm/grad_rows.wgsl")];
const GRAD_GROUPS: &[Piece] = &[piece!("layers/layer_norm/grad_groups.wgsl")];
const AFFINE_CHUNKS: &[Piece] = &[piece!("layers/layer_norm/affine_chunks.wgsl")];
const AFFINE_FINISH: &[Piece] = &[piece!("layers/layer_norm/affine_finish.wgsl")];

impl Tape {
    /// Layer norm of the rows of x f32 or f16 [N, D], with weight and bias f32 [D]; y has x's type; PyTorch's eps is 1e-5.
    /// What has more dimensions is reshaped to its rows first.
    pub fn layer_norm(&mut self, x: Var, weight: Var, bias: Var, eps: f32) -> Result<Var> {
        Ok(self.apply(LayerNorm { eps }, &[x, weight, bias])?[0])
    }
}

/// Units of a row, and whether they are whole vec4.
fn rows_of(d: usize) -> (usize, bool) {
    let whole = d.is_multiple_of(4);
    (if whole { d / 4 } else { d }, whole)
}

/// Chunks of rows that the columns are summed in: enough invocations for a GPU, few partial sums for the rest.
fn chunks(n: usize, d: usize, variant: &str) -> usize {
    let (vectors, _) = rows_of(d);
    if variant == "rows" {
        n.div_ceil(256).min(16)
    } else {
        (32_768 / vectors.max(1)).clamp(1, 128).min(n.div_ceil(16))
    }
}

/// The kernel of a row each, which makes y or dx at the binding `made`.
fn launch(
    e: &mut Emit<'_>,
    name: &'static str,
    eps: f32,
    own: [&[Piece]; 2],
    buffers: &[Slot],
    made: u32,
) -> Result<()> {
    let [n, d] = e.x[0].shape.matrix("layer_norm", "x")?;
    let (vectors, whole) = rows_of(d);
    let params = Params { rows: n as u32, vectors: vectors as u32, columns: d as u32, eps };
    let dtype = e.x[0].dtype;
    let kernel = held::over_rows(name, e.variant, whole, dtype);
    let (kernel, grid) = match e.variant {
        "rows" => (kernel.followed_by(own[0]), groups_1d(n.div_ceil(8))),
        _ => (lanes::sum64(kernel).followed_by(own[1]), groups_1d(n)),
    };
    e.launch(held::made(kernel, held::cells(whole), dtype, made), buffers, &params, grid);
    Ok(())
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_float("layer_norm", "x")?;
        let [n, d] = x[0].shape.matrix("layer_norm", "x")?;
        if n * d == 0 {
            return Err(Error::shape("layer_norm", format!("x is {} and must not be empty", x[0].shape)));
        }
        for (ty, name) in [(x[1], "weight"), (x[2], "bias")] {
            ty.expect_dtype("layer_norm", name, DType::F32)?;
            if ty.shape.vector("layer_norm", name)? != d {
                let need = "it must have one element for each column of x";
                return Err(Error::shapes("layer_norm", ("x", x[0].shape), (name, ty.shape), need));
            }
        }
        Ok(vec![x[0], Type::f32([n]), Type::f32([n])])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        lanes::row_variants(caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let buffers = [Slot::In(0), Slot::In(1), Slot::In(2), Slot::Out(0), Slot::Out(1), Slot::Out(2)];
        launch(e, "layer_norm.forward", self.eps, [ROWS, GROUPS], &buffers, 4)
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        if dy[1].is_some() || dy[2].is_some() {
            return Err(Error::no_gradient("layer_norm", "its mean and rstd have no gradient; detach them"));
        }
        let Some(dy) = dy[0] else { return Ok(vec![None; 3]) };
        Ok(t.apply(LayerNormGrad, &[x[0], x[1], y[1], y[2], dy])?.into_iter().map(Some).collect())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 8 * x[0].shape.numel() as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

impl Op for LayerNormGrad {
    fn name(&self) -> &'static str {
        "layer_norm.grad"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0], x[1], x[1]])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        lanes::row_variants(caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        let (n, d) = (x[0].shape.dim(0), x[0].shape.dim(1));
        vec![Type::f32([chunks(n, d, variant), 2, d])]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [x, weight, mean, rstd, dy] = [0, 1, 2, 3, 4].map(Slot::In);
        let ([dx, dweight, dbias], parts) = ([0, 1, 2].map(Slot::Out), Slot::Work(0));
        let buffers = [x, weight, mean, rstd, dy, dx];
        launch(e, "layer_norm.grad", 0.0, [GRAD_ROWS, GRAD_GROUPS], &buffers, 6)?;
        let [n, d] = e.x[0].shape.matrix("layer_norm", "x")?;
        let (vectors, whole) = rows_of(d);
        let per = n.div_ceil(chunks(n, d, e.variant));
        let chunks = chunks(n, d, e.variant);
        let params = Affine { rows: n as u32, vectors: vectors as u32, chunks: chunks as u32, per: per as u32 };
        let variant = lanes::or_twin(e.variant, "groups");
        let kernel = held::over_rows("layer_norm.affine_chunks", variant, whole, e.x[0].dtype);
        let kernel = kernel.followed_by(AFFINE_CHUNKS);
        e.launch(kernel, &[x, mean, rstd, dy, parts], &params, groups_1d((chunks * vectors).div_ceil(64)));
        let kernel = Kernel::new("layer_norm.affine_finish", variant, units(whole)).followed_by(AFFINE_FINISH);
        e.launch(kernel, &[parts, dweight, dbias], &params, groups_1d(vectors.div_ceil(64)));
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 14 * x[0].shape.numel() as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, d: usize, fill| {
        let inputs =
            vec![(Type::f32([n, d]), fill), (Type::f32([d]), Fill::Uniform(0.5, 1.5)), (Type::f32([d]), Fill::Normal)];
        Case::new(name, LayerNorm { eps: 1e-5 }, inputs)
    };
    vec![
        case("one", 1, 1, Fill::Normal),
        case("prime", 7, 13, Fill::Normal),
        case("whole vec4", 9, 64, Fill::Normal),
        case("more than a workgroup", 67, 260, Fill::Normal),
        case("several chunks of rows", 531, 6, Fill::Normal),
        case("a mean a hundred times the deviation", 5, 32, Fill::Uniform(9.9, 10.1)),
        case("a row of one value", 3, 8, Fill::Values(vec![2.5])),
        case("f16, one", 1, 1, Fill::Normal).halved(&[0]),
        case("f16, prime", 7, 13, Fill::Normal).halved(&[0]),
        case("f16, rows of whole words", 5, 6, Fill::Normal).halved(&[0]),
        case("f16, whole vec4", 9, 64, Fill::Normal).halved(&[0]),
        case("f16, more than a workgroup", 67, 260, Fill::Normal).halved(&[0]),
        case("f16, several chunks of rows", 531, 6, Fill::Normal).halved(&[0]),
        case("f16, a mean a hundred times the deviation", 5, 32, Fill::Uniform(9.9, 10.1)).halved(&[0]),
    ]
}

//! batch_norm: y = (x − mean)/√(var + eps)·weight + bias, mean and variance of each channel over the batch (training)
//! or given (evaluation). With x̂ = (x − mean)/√(var + eps) and M elements a channel:
//! dbias = Σ dy, dweight = Σ dy·x̂, dx = weight/√(var + eps)·(dy − Σ dy/M − x̂·Σ dy·x̂/M); the two sums over M are
//! left out where the statistics are given. Shaders: shaders/batch_norm/.
//!
//! Forward reads x twice and writes y, backward reads x and dy twice and writes dx. The variance is merged from small
//! blocks around their own means (Chan's formula), all shifted by the first cell of the channel, so that a large mean
//! costs no digits.

mod walk;

use crate::base::{DType, Error, Result};
use crate::device::Caps;
use crate::kernels::{Case, Fill};
use crate::piece;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use walk::{ByCell, Launcher, Walk};

/// Normalises each channel over the batch. Inputs x [N, C, H, W] or [N, C], weight [C], bias [C]; outputs y, mean [C]
/// and the biased variance [C].
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f32,
}

/// Normalises with given statistics. Inputs x, weight, bias, running mean [C], running variance [C]; output y.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormEval {
    /// Added to the variance.
    pub eps: f32,
}

/// (dx, dweight, dbias) from (x, weight, mean, variance, dy) and, where the loss reads them, (dmean, dvariance).
#[derive(Clone, Debug, PartialEq)]
struct BatchNormGrad {
    eps: f32,
    /// The statistics are those of x.
    of_batch: bool,
}

macro_rules! by_cell {
    (@ $cell:literal, $($path:literal),*) => {
        &[piece!("common/index.wgsl"), piece!($cell), piece!("batch_norm/params.wgsl"), $(piece!($path)),*]
    };
    ($($path:literal),*) => {[
        by_cell!(@ "batch_norm/cell_f32.wgsl", $($path),*),
        by_cell!(@ "batch_norm/cell_vec4.wgsl", $($path),*),
    ]};
}

const STATISTICS_LANE: ByCell = by_cell!("batch_norm/moments.wgsl", "batch_norm/statistics_lane.wgsl");
const STATISTICS_GROUP: ByCell =
    by_cell!("batch_norm/span.wgsl", "batch_norm/moments.wgsl", "batch_norm/statistics_group.wgsl");
const FINISH: ByCell = by_cell!("batch_norm/moments.wgsl", "batch_norm/finish.wgsl");
const APPLY_LANE: ByCell = by_cell!("batch_norm/after_nothing.wgsl", "batch_norm/apply_lane.wgsl");
const APPLY_EACH: ByCell = by_cell!("batch_norm/after_nothing.wgsl", "batch_norm/apply_each.wgsl");
const SUMS_LANE: ByCell = by_cell!("batch_norm/sums_lane.wgsl");
const SUMS_GROUP: ByCell = by_cell!("batch_norm/span.wgsl", "batch_norm/sums_group.wgsl");
const GRAD_FINISH_FIXED: ByCell = by_cell!("batch_norm/through_fixed.wgsl", "batch_norm/grad_finish.wgsl");
const GRAD_FINISH_BATCH: ByCell = by_cell!("batch_norm/through_batch.wgsl", "batch_norm/grad_finish.wgsl");
const GRAD_FINISH_GIVEN: ByCell = by_cell!("batch_norm/through_given.wgsl", "batch_norm/grad_finish.wgsl");
const GRAD_LANE: ByCell = by_cell!("batch_norm/grad_lane.wgsl");
const GRAD_EACH: ByCell = by_cell!("batch_norm/grad_each.wgsl");

/// An invocation walks a whole chunk of a channel: few invocations with long serial walks.
const LANE: &str = "lane_per_chunk";
/// A workgroup walks a chunk of a channel side by side, and what is element by element runs so.
const GROUP: &str = "workgroup_per_chunk";

impl Tape {
    /// Batch norm of a training step: x f32 [N, C, H, W] or [N, C], weight and bias f32 [C]. Returns
    /// [y, mean [C], variance [C]]: y has x's shape, the statistics are the batch's, the variance is biased. Running
    /// statistics are moved with [`Tape::ema`], whose factor makes the variance unbiased.
    pub fn batch_norm(&mut self, x: Var, weight: Var, bias: Var, eps: f32) -> Result<[Var; 3]> {
        let out = self.apply(BatchNorm { eps }, &[x, weight, bias])?;
        Ok([out[0], out[1], out[2]])
    }

    /// Batch norm with given statistics: x f32 [N, C, H, W] or [N, C]; weight, bias, mean and variance f32 [C].
    pub fn batch_norm_eval(
        &mut self,
        x: Var,
        weight: Var,
        bias: Var,
        running_mean: Var,
        running_var: Var,
        eps: f32,
    ) -> Result<Var> {
        self.apply1(BatchNormEval { eps }, &[x, weight, bias, running_mean, running_var])
    }
}

/// Checks x against the vectors that have an element for each channel; returns (channels, elements of a channel).
fn check(op: &'static str, x: &[Type], vectors: &[&str]) -> Result<(usize, usize)> {
    x[0].expect_dtype(op, "x", DType::F32)?;
    let channels = match *x[0].shape.dims() {
        [_, c] | [_, c, _, _] => c as usize,
        _ => return Err(Error::shape(op, format!("x must be [N, C] or [N, C, H, W], not {}", x[0].shape))),
    };
    for (ty, name) in x[1..].iter().zip(vectors) {
        ty.expect_dtype(op, name, DType::F32)?;
        if ty.shape.vector(op, name)? != channels {
            let need = "it must have one element for each channel of x";
            return Err(Error::shapes(op, ("x", x[0].shape), (name, ty.shape), need));
        }
    }
    Ok((channels, x[0].shape.numel() / channels.max(1)))
}

fn variants(x: &Type, caps: &Caps) -> Vec<&'static str> {
    // Where a channel's elements are never neighbours (x [N, C]), neighbouring lanes of the first read neighbouring
    // channels and the second would read apart.
    if caps.software || Walk::new(x.shape, LANE).is_scattered() { vec![LANE, GROUP] } else { vec![GROUP, LANE] }
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let (channels, count) = check("batch_norm", x, &["weight", "bias"])?;
        if count < 2 {
            let what = format!("x is {}, one element a channel; training needs two or more", x[0].shape);
            return Err(Error::shape("batch_norm", what));
        }
        Ok(vec![x[0], Type::f32([channels]), Type::f32([channels])])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(&x[0], caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        vec![Walk::new(x[0].shape, variant).partials()]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (x, [weight, bias], [y, mean, variance]) = (Slot::In(0), [1, 2].map(Slot::In), [0, 1, 2].map(Slot::Out));
        let partial = Slot::Work(0);
        let mut l = Launcher::new(e, self.eps);
        l.chunks("batch_norm.statistics", [STATISTICS_LANE, STATISTICS_GROUP], &[x, partial]);
        l.channels("batch_norm.finish", FINISH, &[x, partial, mean, variance]);
        l.elements("batch_norm.apply", [APPLY_LANE, APPLY_EACH], &[x, weight, bias, mean, variance, y]);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let mut inputs = vec![x[0], x[1], y[1], y[2], or_zeros(t, dy[0], y[0])?];
        if dy[1].is_some() || dy[2].is_some() {
            inputs.extend([or_zeros(t, dy[1], y[1])?, or_zeros(t, dy[2], y[2])?]);
        }
        let g = t.apply(BatchNormGrad { eps: self.eps, of_batch: true }, &inputs)?;
        Ok(vec![Some(g[0]), Some(g[1]), Some(g[2])])
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 8 * x[0].shape.numel() as u64, bytes: 3 * x[0].bytes() }
    }
}

/// A cotangent, or zeros like `y` where nothing depends on that output.
fn or_zeros(t: &mut Tape, dy: Option<Var>, y: Var) -> Result<Var> {
    match dy {
        Some(dy) => Ok(dy),
        None => {
            let shape = t.shape(y);
            t.fill(shape, 0.0)
        }
    }
}

impl Op for BatchNormEval {
    fn name(&self) -> &'static str {
        "batch_norm_eval"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        check("batch_norm_eval", x, &["weight", "bias", "running_mean", "running_var"])?;
        Ok(vec![x[0]])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(&x[0], caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [x, weight, bias, mean, variance] = [0, 1, 2, 3, 4].map(Slot::In);
        let buffers = [x, weight, bias, mean, variance, Slot::Out(0)];
        Launcher::new(e, self.eps).elements("batch_norm.apply", [APPLY_LANE, APPLY_EACH], &buffers);
        Ok(())
    }

    /// The running statistics have no gradient: they are state, moved by an ema.
    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let dy = or_zeros(t, dy[0], y[0])?;
        let g = t.apply(BatchNormGrad { eps: self.eps, of_batch: false }, &[x[0], x[1], x[3], x[4], dy])?;
        Ok(vec![Some(g[0]), Some(g[1]), Some(g[2]), None, None])
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 3 * x[0].shape.numel() as u64, bytes: 2 * x[0].bytes() }
    }
}

impl Op for BatchNormGrad {
    fn name(&self) -> &'static str {
        "batch_norm.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0], x[1], x[1]])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(&x[0], caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        let walk = Walk::new(x[0].shape, variant);
        vec![walk.partials(), Type::f32([x[1].shape.numel(), 4])]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [x, weight, mean, variance, dy] = [0, 1, 2, 3, 4].map(Slot::In);
        let ([dx, dweight, dbias], [partial, coefficients]) = ([0, 1, 2].map(Slot::Out), [0, 1].map(Slot::Work));
        let given = e.x.len() > 5;
        let mut l = Launcher::new(e, self.eps);
        l.chunks("batch_norm.sums", [SUMS_LANE, SUMS_GROUP], &[x, mean, dy, partial]);
        let finish = match (self.of_batch, given) {
            (false, _) => GRAD_FINISH_FIXED,
            (true, false) => GRAD_FINISH_BATCH,
            (true, true) => GRAD_FINISH_GIVEN,
        };
        let mut buffers = vec![partial, weight, variance, dweight, dbias, coefficients];
        if given {
            buffers.extend([Slot::In(5), Slot::In(6)]);
        }
        l.channels("batch_norm.grad_finish", finish, &buffers);
        l.elements("batch_norm.grad", [GRAD_LANE, GRAD_EACH], &[x, mean, dy, coefficients, dx]);
        Ok(())
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 9 * x[0].shape.numel() as u64, bytes: 5 * x[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let vector = |c: usize| Type::f32([c]);
    let train = |name, shape: &[usize], fill| {
        let c = shape[1];
        let inputs = vec![
            (Type::f32(crate::base::Shape::new(shape)), fill),
            (vector(c), Fill::Uniform(0.5, 1.5)),
            (vector(c), Fill::Normal),
        ];
        Case::new(name, BatchNorm { eps: 1e-5 }, inputs)
    };
    let eval = |name, shape: &[usize]| {
        let c = shape[1];
        let inputs = vec![
            (Type::f32(crate::base::Shape::new(shape)), Fill::Normal),
            (vector(c), Fill::Uniform(0.5, 1.5)),
            (vector(c), Fill::Normal),
            (vector(c), Fill::Normal),
            (vector(c), Fill::Uniform(0.5, 1.5)),
        ];
        Case::new(name, BatchNormEval { eps: 1e-5 }, inputs)
    };
    vec![
        train("three elements", &[3, 1, 1, 1], Fill::Normal),
        train("prime", &[3, 5, 7, 7], Fill::Normal),
        train("whole vec4", &[5, 3, 6, 6], Fill::Normal),
        train("one image", &[1, 9, 5, 3], Fill::Normal),
        train("many images of few pixels", &[37, 65, 2, 2], Fill::Normal),
        train("several chunks", &[5, 3, 32, 36], Fill::Normal),
        train("a mean a hundred times the deviation", &[4, 3, 8, 8], Fill::Uniform(9.9, 10.1)),
        train("features", &[131, 33], Fill::Normal),
        train("three images of two features", &[3, 2], Fill::Normal),
        eval("evaluation, one", &[1, 1, 1, 1]),
        eval("evaluation, prime", &[3, 5, 7, 7]),
        eval("evaluation, whole vec4", &[5, 9, 4, 4]),
        eval("evaluation, features", &[131, 33]),
    ]
}

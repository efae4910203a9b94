//! batch_norm: y = (x − mean)/√(var + eps)·weight + bias, mean and variance of each channel over the batch (training)
//! or given (evaluation). With x̂ = (x − mean)/√(var + eps), M elements a channel and g = dy:
//! dbias = Σ g, dweight = Σ g·x̂, dx = weight/√(var + eps)·(g − Σ g/M − x̂·Σ g·x̂/M); where the statistics are given the
//! two sums over M are left out, and dmean = −weight/√(var + eps)·Σ g, dvar = −weight/(2·(var + eps))·Σ g·x̂.
//! Where each sample n has a weight w: mean = Σ w·x/M, var = Σ w·(x − mean)²/M, M = Σ w, and in dx the two sums over M
//! are multiplied by w. Shaders: shaders/layers/batch_norm/.
//!
//! Forward reads x twice and writes y, backward reads x and dy twice and writes dx. The variance is merged from small
//! blocks around their own means (Chan's formula), all shifted by the first cell of the channel, so that a large mean
//! costs no digits.
//!
//! The forms: [`Tape::batch_norm`] trains, [`Tape::batch_norm_split`] keeps statistics of sub-batches ("ghost" batch
//! norm, Hoffer et al. 2017, arXiv:1705.08741), [`Tape::batch_norm_weighted`] counts each sample by its weight,
//! [`Tape::batch_norm_eval`] takes given statistics. Frozen batch norm is the last with weight and bias left out of
//! `wrt`, or detached: its gradient then is one pass. Statistics are outputs with gradients, and given ones are inputs
//! with gradients, so parts of a batch (of several devices, or too large for one plan) combine exactly: the statistics
//! of all parts through [`Tape::merge_statistics`] into `batch_norm_eval` of each part.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Piece};
use crate::kernels::walk::{GROUP, LANE, Launcher, Layout, Walk};
use crate::kernels::{Case, Fill};
use crate::piece;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};

/// Normalises each channel over the batch. Inputs x [N, C, H, W] or [N, C], weight [C], bias [C] and, where each
/// sample has a weight, those [N]; outputs y, mean [C] and the biased variance [C]. Statistics of more than one
/// sub-batch are [splits, C].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f32,
    /// Sub-batches of N / splits neighbouring samples, each with its own statistics; 1 for all together.
    pub splits: usize,
}

/// Normalises with given statistics. Inputs x, weight, bias, mean [C], variance [C]; output y.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BatchNormEval {
    /// Added to the variance.
    pub eps: f32,
}

/// (dx, dweight, dbias) from (x, weight, mean, variance, dy), the weights of the samples where there are some, and
/// (dmean, dvariance) where the loss reads the statistics.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct BatchNormGrad {
    eps: f32,
    splits: usize,
    weighted: bool,
}

/// (dx, dweight, dbias, dmean, dvariance) from (x, weight, mean, variance, dy), the statistics being given.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct BatchNormEvalGrad {
    eps: f32,
}

/// How much a sample counts: each as much as another, or as much as its weight.
const UNWEIGHTED: &[Piece] = &[piece!("layers/batch_norm/unweighted.wgsl")];
const WEIGHTED: &[Piece] = &[piece!("layers/batch_norm/weighted.wgsl")];

const STATISTICS_LANE: &[Piece] =
    &[piece!("layers/batch_norm/moments.wgsl"), piece!("layers/batch_norm/statistics_lane.wgsl")];
const STATISTICS_GROUP: &[Piece] = &[
    piece!("layers/batch_norm/span.wgsl"),
    piece!("layers/batch_norm/moments.wgsl"),
    piece!("layers/batch_norm/statistics_group.wgsl"),
];
const FINISH: &[Piece] = &[piece!("layers/batch_norm/moments.wgsl"), piece!("layers/batch_norm/finish.wgsl")];
const APPLY_LANE: &[Piece] =
    &[piece!("layers/batch_norm/after_nothing.wgsl"), piece!("layers/batch_norm/apply_lane.wgsl")];
const APPLY_EACH: &[Piece] =
    &[piece!("layers/batch_norm/after_nothing.wgsl"), piece!("layers/batch_norm/apply_each.wgsl")];
const SUMS_LANE: &[Piece] = &[piece!("layers/batch_norm/sums_lane.wgsl")];
const SUMS_GROUP: &[Piece] = &[piece!("layers/batch_norm/span.wgsl"), piece!("layers/batch_norm/sums_group.wgsl")];
const GRAD_FINISH: &[Piece] =
    &[piece!("layers/batch_norm/through_batch.wgsl"), piece!("layers/batch_norm/grad_finish.wgsl")];
const GRAD_FINISH_FIXED: &[Piece] =
    &[piece!("layers/batch_norm/through_fixed.wgsl"), piece!("layers/batch_norm/grad_finish.wgsl")];
const THROUGH_GIVEN: &[Piece] = &[piece!("layers/batch_norm/through_given.wgsl")];
const GRAD_LANE: &[Piece] = &[piece!("layers/batch_norm/grad_lane.wgsl")];
const GRAD_EACH: &[Piece] = &[piece!("layers/batch_norm/grad_each.wgsl")];

impl Tape {
    /// Batch norm of a training step: x f32 [N, C, H, W] or [N, C], weight and bias f32 [C]. Returns
    /// [y, mean [C], variance [C]]: y has x's shape, the statistics are the batch's, the variance is biased. Running
    /// statistics are moved with [`Tape::ema`], whose factor makes the variance unbiased.
    pub fn batch_norm(&mut self, x: Var, weight: Var, bias: Var, eps: f32) -> Result<[Var; 3]> {
        self.batch_norm_split(x, weight, bias, eps, 1)
    }

    /// As [`Tape::batch_norm`] over `splits` sub-batches of N / splits neighbouring samples each, in order, as
    /// torch.chunk cuts them; N must be a multiple of it. Of more than one, mean and variance are [splits, C]:
    /// [`Tape::merge_statistics`] makes them one.
    pub fn batch_norm_split(&mut self, x: Var, weight: Var, bias: Var, eps: f32, splits: usize) -> Result<[Var; 3]> {
        let out = self.apply(BatchNorm { eps, splits }, &[x, weight, bias])?;
        Ok([out[0], out[1], out[2]])
    }

    /// As [`Tape::batch_norm`] where sample n counts `sample_weights[n]` times, f32 [N], none negative: a sample of
    /// weight 0 (padding) is normalised and does not enter the statistics, nor does its dy reach another sample except
    /// through them. The weights have no gradient. Where all are 0 the mean and the variance are 0.
    pub fn batch_norm_weighted(
        &mut self,
        x: Var,
        weight: Var,
        bias: Var,
        sample_weights: Var,
        eps: f32,
    ) -> Result<[Var; 3]> {
        let out = self.apply(BatchNorm { eps, splits: 1 }, &[x, weight, bias, sample_weights])?;
        Ok([out[0], out[1], out[2]])
    }

    /// Batch norm with given statistics: x f32 [N, C, H, W] or [N, C]; weight, bias, mean and variance f32 [C]. All
    /// five have a gradient; nobody asks for that of running statistics, which are state.
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

/// x as `splits` sub-batches.
fn layout(x: &Type, splits: usize, weighted: bool) -> Layout {
    let (images, channels) = (x.shape.dim(0), x.shape.dim(1));
    Layout { images, channels, plane: x.shape.numel() / (images * channels).max(1), splits, weighted }
}

fn variants(x: &Type, caps: &Caps) -> Vec<&'static str> {
    // Where a channel's elements are never neighbours (x [N, C]), neighbouring lanes of the first variant read
    // neighbouring channels, and those of the second would read numbers that lie far apart.
    let lane_first = caps.software || Walk::new(layout(x, 1, false), LANE, 0.0).is_scattered();
    if lane_first { vec![LANE, GROUP] } else { vec![GROUP, LANE] }
}

/// `buffers` and, behind them, the weights of the samples where there are some.
fn with_weights(buffers: &[Slot], weights: Option<Slot>) -> Vec<Slot> {
    buffers.iter().copied().chain(weights).collect()
}

/// The pieces of a kernel that asks how much a sample counts.
fn counting(weighted: bool, own: &[Piece]) -> Vec<Piece> {
    [if weighted { WEIGHTED } else { UNWEIGHTED }, own].concat()
}

impl BatchNorm {
    /// The walk over x, of `inputs` inputs.
    fn walk(&self, x: &[Type], variant: &str) -> Walk {
        Walk::new(layout(&x[0], self.splits, x.len() > 3), variant, self.eps)
    }
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let (channels, count) = check("batch_norm", &x[..3], &["weight", "bias"])?;
        let images = x[0].shape.dim(0);
        if self.splits == 0 || !images.is_multiple_of(self.splits) {
            let what =
                format!("x is {}: its {images} samples cannot be cut into {} equal parts", x[0].shape, self.splits);
            return Err(Error::shape("batch_norm", what));
        }
        if count / self.splits < 2 {
            let what =
                format!("x is {} in {} parts, one element a channel; training needs two", x[0].shape, self.splits);
            return Err(Error::shape("batch_norm", what));
        }
        if let Some(weights) = x.get(3).filter(|w| **w != Type::f32([images])) {
            let need = "they must be F32 and have one element for each sample of x";
            return Err(Error::shapes("batch_norm", ("x", x[0].shape), ("sample_weights", weights.shape), need));
        }
        let statistic = if self.splits == 1 { Type::f32([channels]) } else { Type::f32([self.splits, channels]) };
        Ok(vec![x[0], statistic, statistic])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(&x[0], caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        vec![self.walk(x, variant).partials()]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (x, [weight, bias], [y, mean, variance]) = (Slot::In(0), [1, 2].map(Slot::In), [0, 1, 2].map(Slot::Out));
        let (partial, weighted) = (Slot::Work(0), e.x.len() > 3);
        let weights = weighted.then_some(Slot::In(3));
        let walk = self.walk(e.x, e.variant);
        let mut l = Launcher::new(e, walk);
        let [lane, group] = [STATISTICS_LANE, STATISTICS_GROUP].map(|own| counting(weighted, own));
        l.chunks("batch_norm.statistics", [&lane, &group], &with_weights(&[x, partial], weights));
        let finish = counting(weighted, FINISH);
        l.channels("batch_norm.finish", &finish, &with_weights(&[x, partial, mean, variance], weights));
        l.elements("batch_norm.apply", [APPLY_LANE, APPLY_EACH], &[x, weight, bias, mean, variance, y]);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let mut inputs = vec![x[0], x[1], y[1], y[2], or_zeros(t, dy[0], y[0])?];
        inputs.extend(x.get(3));
        if dy[1].is_some() || dy[2].is_some() {
            inputs.extend([or_zeros(t, dy[1], y[1])?, or_zeros(t, dy[2], y[2])?]);
        }
        let g = t.apply(BatchNormGrad { eps: self.eps, splits: self.splits, weighted: x.len() > 3 }, &inputs)?;
        let mut gradients = vec![Some(g[0]), Some(g[1]), Some(g[2])];
        gradients.resize(x.len(), None);
        Ok(gradients)
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
        let walk = Walk::new(layout(&e.x[0], 1, false), e.variant, self.eps);
        Launcher::new(e, walk).elements("batch_norm.apply", [APPLY_LANE, APPLY_EACH], &buffers);
        Ok(())
    }

    /// Where only x is wanted (frozen), dx = weight/√(var + eps)·dy is the forward of dy with mean and bias 0.
    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let dy = or_zeros(t, dy[0], y[0])?;
        if !x[1..].iter().any(|&v| t.wants(v)) {
            let shape = t.shape(x[1]);
            let zero = t.fill(shape, 0.0)?;
            let dx = t.batch_norm_eval(dy, x[1], zero, zero, x[4], self.eps)?;
            return Ok(vec![Some(dx), None, None, None, None]);
        }
        let g = t.apply(BatchNormEvalGrad { eps: self.eps }, &[x[0], x[1], x[3], x[4], dy])?;
        Ok(g.into_iter().map(Some).collect())
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
        let walk = Walk::new(layout(&x[0], self.splits, self.weighted), variant, self.eps);
        vec![walk.partials(), Type::f32([x[2].shape.numel(), 4])]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [x, weight, mean, variance, dy] = [0, 1, 2, 3, 4].map(Slot::In);
        let ([dx, dweight, dbias], [partial, coefficients]) = ([0, 1, 2].map(Slot::Out), [0, 1].map(Slot::Work));
        let (w, channels) = (usize::from(self.weighted), e.x[1].shape.numel());
        let weights = self.weighted.then_some(Slot::In(5));
        let given = (e.x.len() > 5 + w).then_some([5 + w, 6 + w].map(Slot::In));
        let walk = Walk::new(layout(&e.x[0], self.splits, self.weighted), e.variant, self.eps);
        let mut l = Launcher::new(e, walk);
        l.chunks("batch_norm.sums", [SUMS_LANE, SUMS_GROUP], &[x, mean, dy, partial]);
        let buffers = with_weights(&[partial, weight, variance, dweight, dbias, coefficients], weights);
        l.each("batch_norm.grad_finish", &counting(self.weighted, GRAD_FINISH), &buffers, channels);
        if let Some([dmean, dvariance]) = given {
            let buffers = with_weights(&[dmean, dvariance, coefficients], weights);
            l.channels("batch_norm.through_given", &counting(self.weighted, THROUGH_GIVEN), &buffers);
        }
        let buffers = with_weights(&[x, mean, dy, coefficients, dx], weights);
        let [lane, each] = [GRAD_LANE, GRAD_EACH].map(|own| counting(self.weighted, own));
        l.elements("batch_norm.grad", [&lane, &each], &buffers);
        Ok(())
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 9 * x[0].shape.numel() as u64, bytes: 5 * x[0].bytes() }
    }
}

impl Op for BatchNormEvalGrad {
    fn name(&self) -> &'static str {
        "batch_norm_eval.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0], x[1], x[1], x[1], x[1]])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(&x[0], caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        vec![Walk::new(layout(&x[0], 1, false), variant, self.eps).partials(), Type::f32([x[1].shape.numel(), 4])]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [x, weight, mean, variance, dy] = [0, 1, 2, 3, 4].map(Slot::In);
        let [dx, dweight, dbias, dmean, dvariance] = [0, 1, 2, 3, 4].map(Slot::Out);
        let [partial, coefficients] = [0, 1].map(Slot::Work);
        let walk = Walk::new(layout(&e.x[0], 1, false), e.variant, self.eps);
        let mut l = Launcher::new(e, walk);
        l.chunks("batch_norm.sums", [SUMS_LANE, SUMS_GROUP], &[x, mean, dy, partial]);
        let buffers = [partial, weight, variance, dweight, dbias, coefficients, dmean, dvariance];
        l.channels("batch_norm.grad_finish", GRAD_FINISH_FIXED, &buffers);
        let [lane, each] = [GRAD_LANE, GRAD_EACH].map(|own| counting(false, own));
        l.elements("batch_norm.grad", [&lane, &each], &[x, mean, dy, coefficients, dx]);
        Ok(())
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 6 * x[0].shape.numel() as u64, bytes: 5 * x[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let vector = |c: usize| Type::f32([c]);
    let affine = |shape: &[usize], fill| {
        let c = shape[1];
        let x = (Type::f32(crate::base::Shape::new(shape)), fill);
        vec![x, (vector(c), Fill::Uniform(0.5, 1.5)), (vector(c), Fill::Normal)]
    };
    let split =
        |name, shape: &[usize], splits| Case::new(name, BatchNorm { eps: 1e-5, splits }, affine(shape, Fill::Normal));
    let train = |name, shape: &[usize], fill| Case::new(name, BatchNorm { eps: 1e-5, splits: 1 }, affine(shape, fill));
    let weighted = |name, shape: &[usize], splits, weights: Fill| {
        let mut inputs = affine(shape, Fill::Normal);
        inputs.push((vector(shape[0]), weights));
        Case::new(name, BatchNorm { eps: 1e-5, splits }, inputs)
    };
    let eval = |name, shape: &[usize]| {
        let mut inputs = affine(shape, Fill::Normal);
        inputs.extend([(vector(shape[1]), Fill::Normal), (vector(shape[1]), Fill::Uniform(0.5, 1.5))]);
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
        split("split in two", &[6, 5, 3, 3], 2),
        split("split, whole vec4, several chunks", &[15, 3, 32, 12], 3),
        split("split, features", &[132, 33], 11),
        split("each image by itself", &[5, 7, 4, 5], 5),
        weighted("weighted", &[7, 5, 3, 3], 1, Fill::Weights),
        weighted("weighted, whole vec4, several chunks", &[37, 3, 8, 4], 1, Fill::Weights),
        weighted("weighted, features", &[131, 33], 1, Fill::Weights),
        weighted(
            "weighted, padded at both ends",
            &[9, 3, 2, 2],
            1,
            Fill::Values(vec![0., 0., 1., 1., 1., 1., 1., 1., 0.]),
        ),
        weighted("weighted, split", &[12, 5, 3, 2], 3, Fill::Weights),
        eval("evaluation, one", &[1, 1, 1, 1]),
        eval("evaluation, prime", &[3, 5, 7, 7]),
        eval("evaluation, whole vec4", &[5, 9, 4, 4]),
        eval("evaluation, features", &[131, 33]),
    ]
}

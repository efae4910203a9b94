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
//! x, y and their gradients are f32 or f16; all else is f32, and so are all sums.
//!
//! The forms: [`Tape::batch_norm`] trains, [`Tape::batch_norm_split`] keeps statistics of sub-batches ("ghost" batch
//! norm, Hoffer et al. 2017, arXiv:1705.08741), [`Tape::batch_norm_weighted`] counts each sample by its weight,
//! [`Tape::batch_norm_eval`] takes given statistics. Frozen batch norm is the last with weight and bias left out of
//! `wrt`, or detached: its gradient then is one pass. Statistics are outputs with gradients, and given ones are inputs
//! with gradients, so parts of a batch (of several devices, or too large for one plan) combine exactly: the statistics
//! of all parts through [`Tape::merge_statistics`] into `batch_norm_eval` of each part.

use crate::base::Result;
use crate::device::Caps;
use crate::kernels::norm::{self, After, Arriving, Backward, check, or_zeros, reducing, variants};
use crate::kernels::{Case, Fill};
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
pub(crate) struct BatchNormGrad {
    pub(crate) eps: f32,
    pub(crate) splits: usize,
    pub(crate) weighted: bool,
}

/// (dx, dweight, dbias, dmean, dvariance) from (x, weight, mean, variance, dy), the statistics being given.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct BatchNormEvalGrad {
    eps: f32,
}

/// The kernels of a gradient.
const GRAD: [&str; 3] = ["batch_norm.sums", "batch_norm.grad_finish", "batch_norm.grad"];

impl Tape {
    /// Batch norm of a training step: x f32 or f16 [N, C, H, W] or [N, C], weight and bias f32 [C]. Returns
    /// [y, mean [C], variance [C]]: y has x's type, the statistics are the batch's, the variance is biased. Running
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

    /// Batch norm with given statistics: x f32 or f16 [N, C, H, W] or [N, C]; weight, bias, mean and variance f32 [C]. All
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

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        norm::infer("batch_norm", x, self.splits, x.get(3))
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        reducing(&x[0], caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        norm::walk(&x[0], (self.splits, self.eps), x.len() > 3, variant).statistics_work()
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (x, [weight, bias], [y, mean, variance]) = (Slot::In(0), [1, 2].map(Slot::In), [0, 1, 2].map(Slot::Out));
        let weights = (e.x.len() > 3).then_some(Slot::In(3));
        let walk = norm::walk(&e.x[0], (self.splits, self.eps), weights.is_some(), e.variant);
        norm::statistics(e, walk, x, weights, [mean, variance]);
        norm::apply(e, walk, "batch_norm.apply", [x, weight, bias, mean, variance], After::Nothing, y);
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

impl Op for BatchNormEval {
    fn name(&self) -> &'static str {
        "batch_norm_eval"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        check("batch_norm_eval", x, &["weight", "bias", "running_mean", "running_var"])?;
        Ok(vec![x[0]])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(&x[0], caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let walk = norm::walk(&e.x[0], (1, self.eps), false, e.variant);
        norm::apply(e, walk, "batch_norm.apply", [0, 1, 2, 3, 4].map(Slot::In), After::Nothing, Slot::Out(0));
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

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0], x[1], x[1]])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        reducing(&x[0], caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        let walk = norm::walk(&x[0], (self.splits, self.eps), self.weighted, variant);
        vec![walk.partials(), Type::f32([x[2].shape.numel(), 4])]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let w = usize::from(self.weighted);
        let backward = Backward {
            names: GRAD,
            x: [0, 1, 2, 3, 4].map(Slot::In),
            other: None,
            arriving: Arriving::Given,
            weights: self.weighted.then_some(Slot::In(5)),
            statistics: (e.x.len() > 5 + w).then_some([5 + w, 6 + w].map(Slot::In)),
            y: [0, 1, 2].map(Slot::Out),
            work: [0, 1].map(Slot::Work),
            through: (norm::THROUGH_BATCH, &[]),
        };
        let walk = norm::walk(&e.x[0], (self.splits, self.eps), self.weighted, e.variant);
        norm::backward(e, walk, backward);
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

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0], x[1], x[1], x[1], x[1]])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        reducing(&x[0], caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        vec![norm::walk(&x[0], (1, self.eps), false, variant).partials(), Type::f32([x[1].shape.numel(), 4])]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let backward = Backward {
            names: GRAD,
            x: [0, 1, 2, 3, 4].map(Slot::In),
            other: None,
            arriving: Arriving::Given,
            weights: None,
            statistics: None,
            y: [0, 1, 2].map(Slot::Out),
            work: [0, 1].map(Slot::Work),
            through: (norm::THROUGH_FIXED, &[3, 4].map(Slot::Out)),
        };
        let walk = norm::walk(&e.x[0], (1, self.eps), false, e.variant);
        norm::backward(e, walk, backward);
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
        train("f16, three elements", &[3, 1, 1, 1], Fill::Normal).halved(&[0]),
        train("f16, prime", &[3, 5, 7, 7], Fill::Normal).halved(&[0]),
        train("f16, whole vec4", &[5, 3, 6, 6], Fill::Normal).halved(&[0]),
        train("f16, planes of whole words", &[3, 5, 3, 2], Fill::Normal).halved(&[0]),
        train("f16, several chunks", &[5, 3, 32, 36], Fill::Normal).halved(&[0]),
        train("f16, features", &[131, 33], Fill::Normal).halved(&[0]),
        split("f16, split in two", &[6, 5, 3, 3], 2).halved(&[0]),
        weighted("f16, weighted", &[7, 5, 3, 3], 1, Fill::Weights).halved(&[0]),
        eval("f16, evaluation, prime", &[3, 5, 7, 7]).halved(&[0]),
        eval("f16, evaluation, whole vec4", &[5, 9, 4, 4]).halved(&[0]),
    ]
}

//! norm: batch norm in training as launches, forward and backward, with or without what follows it in the same pass over
//! x ([`After`], [`Arriving`]): the host's side of shaders/layers/batch_norm/, for batch_norm and for batch_norm_relu. Where
//! nothing follows, forward reads x twice and writes y, backward reads x and dy twice and writes dx.

use super::lanes;
use super::walk::{GROUP, LANE, Launcher, Layout, Walk, with_weights};
use crate::base::{DType, Error, Result};
use crate::device::{Caps, Piece};
use crate::piece;
use crate::tape::{Emit, Slot, Tape, Type, Var};

/// What happens to y before it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum After {
    /// Nothing.
    Nothing,
    /// relu.
    Relu,
    /// A tensor of y's shape is added, then relu.
    SumRelu(Slot),
}

/// How the gradient of the norm's output is found while the sums are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arriving {
    /// It is given.
    Given,
    /// The gradient of a relu after the norm: its mask is computed again from x and the bias.
    OfRelu { bias: Slot },
    /// The gradient of a relu after a sum: its mask is read from the relu's output, and it takes dy's place in `passed`.
    OfKept { kept: Slot, passed: Slot },
}

/// Names of a gradient's kernels, and where its numbers lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backward<'a> {
    /// Of the sums, of what finishes them, and of dx.
    pub names: [&'static str; 3],
    /// Inputs x, weight, mean, variance and dy.
    pub x: [Slot; 5],
    /// The gradient of another reader of the output, which is added to dy.
    pub other: Option<Slot>,
    /// What stands between dy and the norm's output.
    pub arriving: Arriving,
    /// Weights of the samples.
    pub weights: Option<Slot>,
    /// Gradients of mean and variance, if the loss reads those.
    pub statistics: Option<[Slot; 2]>,
    /// dx, dweight, dbias.
    pub y: [Slot; 3],
    /// Partial sums and coefficients.
    pub work: [Slot; 2],
    /// The pieces that say what flows through the statistics, and the buffers that they add.
    pub through: (&'a [Piece], &'a [Slot]),
}

/// How much a sample counts: each as much as another, or as much as its weight.
pub(crate) const UNWEIGHTED: &[Piece] = &[piece!("layers/batch_norm/unweighted.wgsl")];
const WEIGHTED: &[Piece] = &[piece!("layers/batch_norm/weighted.wgsl")];

/// The walks that write y.
const APPLY: [&[Piece]; 2] = [
    &[piece!("layers/batch_norm/apply_lane.wgsl")],
    &[piece!("layers/batch_norm/cells.wgsl"), piece!("layers/batch_norm/apply_each.wgsl")],
];
const NOTHING: &[Piece] = &[piece!("layers/batch_norm/after_nothing.wgsl")];
const RELU: &[Piece] = &[piece!("layers/batch_norm_relu/after_relu.wgsl")];
const SUM_RELU: &[Piece] = &[piece!("layers/batch_norm_relu/after_sum_relu.wgsl")];

/// The walks that add up.
const SUMS: [&[Piece]; 2] = [
    &[piece!("layers/batch_norm/sums_lane.wgsl")],
    &[piece!("layers/batch_norm/span.wgsl"), piece!("layers/batch_norm/sums_group.wgsl")],
];
const GRAD_FINISH: &[Piece] = &[piece!("layers/batch_norm/grad_finish.wgsl")];
const THROUGH_GIVEN: &[Piece] = &[piece!("layers/batch_norm/through_given.wgsl")];
/// The walks that write dx.
const GRAD: [&[Piece]; 2] = [
    &[piece!("layers/batch_norm/grad_lane.wgsl")],
    &[piece!("layers/batch_norm/cells.wgsl"), piece!("layers/batch_norm/grad_each.wgsl")],
];
/// What flows through statistics of the batch.
pub(crate) const THROUGH_BATCH: &[Piece] = &[piece!("layers/batch_norm/through_batch.wgsl")];
/// What flows into statistics that are given.
pub(crate) const THROUGH_FIXED: &[Piece] = &[piece!("layers/batch_norm/through_fixed.wgsl")];

const AS_GIVEN: &[Piece] = &[piece!("layers/batch_norm/dy_as_given.wgsl")];
const OF_RELU: &[Piece] = &[piece!("layers/batch_norm_relu/dy_of_relu.wgsl")];
const OF_KEPT: &[Piece] = &[piece!("layers/batch_norm_relu/dy_of_kept.wgsl")];
const READ: &[Piece] = &[piece!("layers/batch_norm_relu/dy_read.wgsl")];
const REPLACED: &[Piece] = &[piece!("layers/batch_norm_relu/dy_replaced.wgsl")];
const COTANGENT: &[Piece] = &[piece!("layers/batch_norm_relu/cotangent.wgsl")];
const COTANGENTS: &[Piece] = &[piece!("layers/batch_norm_relu/cotangents.wgsl")];
const UNSCALED: &[Piece] = &[piece!("layers/batch_norm/unscaled.wgsl")];
const SCALED: &[Piece] = &[piece!("layers/batch_norm_relu/scaled.wgsl")];
const UNSHIFTED: &[Piece] = &[piece!("layers/batch_norm/unshifted.wgsl")];
const SHIFTED: &[Piece] = &[piece!("layers/batch_norm_relu/shifted.wgsl")];

/// Checks x against the vectors that have an element for each channel; returns (channels, elements of a channel).
pub(crate) fn check(op: &'static str, x: &[Type], vectors: &[&str]) -> Result<(usize, usize)> {
    x[0].expect_float(op, "x")?;
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

/// y, mean and variance of x with weight and bias, where statistics are those of `splits` parts of the batch.
pub(crate) fn infer(op: &'static str, x: &[Type], splits: usize, weights: Option<&Type>) -> Result<Vec<Type>> {
    let (channels, count) = check(op, &x[..3], &["weight", "bias"])?;
    let images = x[0].shape.dim(0);
    if splits == 0 || !images.is_multiple_of(splits) {
        let what = format!("x is {}: its {images} samples cannot be cut into {splits} equal parts", x[0].shape);
        return Err(Error::shape(op, what));
    }
    if count / splits < 2 {
        let what = format!("x is {} in {splits} parts, one element a channel; training needs two", x[0].shape);
        return Err(Error::shape(op, what));
    }
    weights.map_or(Ok(()), |w| w.expect_dtype(op, "sample_weights", DType::F32))?;
    if let Some(weights) = weights.filter(|w| **w != Type::f32([images])) {
        let need = "they must have one element for each sample of x";
        return Err(Error::shapes(op, ("x", x[0].shape), ("sample_weights", weights.shape), need));
    }
    let statistic = if splits == 1 { Type::f32([channels]) } else { Type::f32([splits, channels]) };
    Ok(vec![x[0], statistic, statistic])
}

/// The walk over x as `splits` sub-batches.
pub(crate) fn walk(x: &Type, (splits, eps): (usize, f32), weighted: bool, variant: &str) -> Walk {
    let (images, channels) = (x.shape.dim(0), x.shape.dim(1));
    let plane = x.shape.numel() / (images * channels).max(1);
    Walk::new(Layout { dtype: x.dtype, images, channels, plane, splits, weighted }, variant, eps)
}

pub(crate) fn variants(x: &Type, caps: &Caps) -> Vec<&'static str> {
    // Where a channel's elements are never neighbours (x [N, C]), neighbouring lanes of the first variant read
    // neighbouring channels, and those of the second would read numbers that lie far apart.
    let lane_first = caps.software || walk(x, (1, 0.0), false, LANE).is_scattered();
    if lane_first { vec![LANE, GROUP] } else { vec![GROUP, LANE] }
}

/// The same of kernels that reduce each chunk.
pub(crate) fn reducing(x: &Type, caps: &Caps) -> Vec<&'static str> {
    lanes::and_subgroups(variants(x, caps), caps)
}

/// The pieces of a kernel that asks how much a sample counts.
fn counting(weights: Option<Slot>, own: &[&[Piece]]) -> Vec<Piece> {
    [if weights.is_some() { WEIGHTED } else { UNWEIGHTED }, &own.concat()].concat()
}

/// Statistics of the batch. `out` are mean and variance.
pub(crate) fn statistics(e: &mut Emit<'_>, walk: Walk, x: Slot, weights: Option<Slot>, out: [Slot; 2]) {
    let names = ["batch_norm.statistics", "batch_norm.finish"];
    Launcher::new(e, walk).statistics(names, &counting(weights, &[]), x, weights, out);
}

/// y from x, weight, bias, mean and variance: one launch.
pub(crate) fn apply(e: &mut Emit<'_>, walk: Walk, name: &'static str, x: [Slot; 5], after: After, y: Slot) {
    let (piece, more) = match after {
        After::Nothing => (NOTHING, None),
        After::Relu => (RELU, None),
        After::SumRelu(residual) => (SUM_RELU, Some(residual)),
    };
    let buffers: Vec<Slot> = x.into_iter().chain([y]).chain(more).collect();
    let [lane, each] = APPLY.map(|own| [piece, own].concat());
    Launcher::new(e, walk).elements(name, [&lane, &each], &buffers, 6);
}

/// The gradient: three launches, and one more where the loss reads the statistics.
pub(crate) fn backward(e: &mut Emit<'_>, walk: Walk, b: Backward<'_>) {
    let channels = e.x[1].shape.numel();
    let mut l = Launcher::new(e, walk);
    let ([x, weight, mean, variance, dy], [dx, dweight, dbias]) = (b.x, b.y);
    let [partial, coefficients] = b.work;
    let cotangent = if b.other.is_some() { COTANGENTS } else { COTANGENT };
    // Of the sums: how dy arrives, where it lies, and the buffers besides.
    let (arriving, dy, more): (Vec<Piece>, Slot, Vec<Slot>) = match b.arriving {
        Arriving::Given => ([AS_GIVEN, UNSCALED].concat(), dy, Vec::new()),
        Arriving::OfRelu { bias } => ([READ, cotangent, OF_RELU, SCALED].concat(), dy, vec![variance, weight, bias]),
        Arriving::OfKept { kept, passed } => ([REPLACED, cotangent, OF_KEPT, UNSCALED].concat(), passed, vec![kept]),
    };
    let buffers: Vec<Slot> = [x, mean, dy, partial].into_iter().chain(more).chain(b.other).collect();
    let [lane, group] = SUMS.map(|own| [&arriving, own].concat());
    l.other = buffers.len();
    l.made = matches!(b.arriving, Arriving::OfKept { .. }).then_some(3); // what is passed on
    l.sums(b.names[0], [&lane, &group], &buffers);
    l.made = None;

    let (shift, bias) = match b.arriving {
        Arriving::OfRelu { bias } => (SHIFTED, Some(bias)),
        _ => (UNSHIFTED, None),
    };
    let buffers = [partial, weight, variance, dweight, dbias, coefficients].into_iter().chain(bias);
    let buffers: Vec<Slot> = buffers.chain(b.through.1.iter().copied()).chain(b.weights).collect();
    l.each(b.names[1], &counting(b.weights, &[shift, b.through.0, GRAD_FINISH]), &buffers, channels);
    if let Some([dmean, dvariance]) = b.statistics {
        let buffers = with_weights(&[dmean, dvariance, coefficients], b.weights);
        l.channels("batch_norm.through_given", &counting(b.weights, &[THROUGH_GIVEN]), &buffers);
    }
    // What was passed on needs no mask any more.
    let (arriving, other) = match b.arriving {
        Arriving::OfRelu { .. } => ([READ, cotangent, OF_RELU].concat(), b.other),
        Arriving::Given | Arriving::OfKept { .. } => (AS_GIVEN.to_vec(), None),
    };
    let buffers: Vec<Slot> = [x, mean, dy, coefficients, dx].into_iter().chain(other).collect();
    l.other = buffers.len();
    let [lane, each] = GRAD.map(|own| counting(b.weights, &[&arriving, own]));
    l.elements(b.names[2], [&lane, &each], &with_weights(&buffers, b.weights), 5);
}

/// A cotangent, or zeros like `y` where nothing depends on that output.
pub(crate) fn or_zeros(t: &mut Tape, dy: Option<Var>, y: Var) -> Result<Var> {
    match dy {
        Some(dy) => Ok(dy),
        None => {
            let Type { shape, dtype } = t.ty(y);
            let zeros = t.fill(shape, 0.0)?;
            t.cast(zeros, dtype)
        }
    }
}

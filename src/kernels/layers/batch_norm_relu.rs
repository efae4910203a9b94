//! batch_norm_relu: y = max(b + residual, 0), b the batch norm of x in training, with or without a residual. It stands for
//! batch_norm, add and relu: kernels/fuse.rs puts it in their place when a whole tape is scheduled.
//! With m = 1 where y > 0 or NaN, else 0, its gradients are those of batch_norm for g = m·dy, and the residual's is g.
//!
//! In passes over x (statistics apart): forward x, the residual, y. Backward without a residual: m is computed again from
//! x, so that x and dy are read twice and dx is written, 5 passes instead of 8. With a residual: x, dy and y are read and
//! g is written in the place of dy, then x and g are read and dx is written, 7 instead of 8. Where y is read twice, the sum of both
//! gradients is taken on the way: one pass more, instead of 3. Shaders: shaders/layers/batch_norm_relu/,
//! shaders/layers/batch_norm/.

use crate::base::{DType, Error, Result};
use crate::device::Caps;
use crate::kernels::norm::{self, After, Arriving, Backward, or_zeros, reducing};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};

/// Normalises each channel over the batch, adds and takes the relu. Inputs x [N, C, H, W] or [N, C], weight [C], bias [C],
/// then the residual of x's shape, if any, and the weights of the samples [N], if any; outputs y, mean [C] and the biased
/// variance [C]. Statistics of more than one sub-batch are [splits, C].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BatchNormRelu {
    /// Added to the variance.
    pub eps: f32,
    /// Sub-batches of N / splits neighbouring samples, each with its own statistics; 1 for all together.
    pub splits: usize,
    /// Whether a tensor is added.
    pub residual: bool,
}

/// How the relu's gradient is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Mask {
    /// From x and the bias: nothing was added.
    Recomputed,
    /// From y, and the gradient before the norm's is kept: it is the residual's.
    Kept,
}

/// (dx, dweight, dbias, and the residual's gradient if the mask is kept) from (x, weight, mean, variance, dy), the other
/// reader's dy if there are two, the bias or y, the weights of the samples where there are some, and (dmean, dvariance)
/// where the loss reads the statistics.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BatchNormReluGrad {
    /// Added to the variance.
    pub eps: f32,
    /// Sub-batches with statistics of their own.
    pub splits: usize,
    /// Whether each sample has a weight.
    pub weighted: bool,
    /// How the relu's gradient is found.
    pub mask: Mask,
    /// y has two readers, and their gradients are added on the way.
    pub two: bool,
}

impl BatchNormRelu {
    /// The weights of the samples among the inputs.
    fn weights(&self) -> usize {
        3 + usize::from(self.residual)
    }
}

impl Op for BatchNormRelu {
    fn name(&self) -> &'static str {
        "batch_norm_relu"
    }

    fn may_saturate(&self) -> bool {
        true
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let y = norm::infer("batch_norm_relu", x, self.splits, x.get(self.weights()))?;
        let residual = x.get(3).filter(|_| self.residual);
        residual.map_or(Ok(()), |other| other.expect_dtype("batch_norm_relu", "residual", x[0].dtype))?;
        if let Some(other) = residual.filter(|ty| **ty != x[0]) {
            let need = "they must be equal";
            return Err(Error::shapes("batch_norm_relu", ("x", x[0].shape), ("residual", other.shape), need));
        }
        Ok(y)
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        reducing(&x[0], caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        norm::walk(&x[0], (self.splits, self.eps), x.len() > self.weights(), variant).statistics_work()
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (x, [weight, bias], [y, mean, variance]) = (Slot::In(0), [1, 2].map(Slot::In), [0, 1, 2].map(Slot::Out));
        let weights = (e.x.len() > self.weights()).then_some(Slot::In(self.weights()));
        let walk = norm::walk(&e.x[0], (self.splits, self.eps), weights.is_some(), e.variant);
        norm::statistics(e, walk, x, weights, [mean, variance]);
        let after = if self.residual { After::SumRelu(Slot::In(3)) } else { After::Relu };
        norm::apply(e, walk, "batch_norm_relu.apply", [x, weight, bias, mean, variance], after, y);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let weighted = x.len() > self.weights();
        let mask = if self.residual { Mask::Kept } else { Mask::Recomputed };
        let known = if self.residual { y[0] } else { x[2] };
        let mut inputs = vec![x[0], x[1], y[1], y[2], or_zeros(t, dy[0], y[0])?, known];
        inputs.extend(x.get(self.weights()));
        if dy[1].is_some() || dy[2].is_some() {
            inputs.extend([or_zeros(t, dy[1], y[1])?, or_zeros(t, dy[2], y[2])?]);
        }
        let op = BatchNormReluGrad { eps: self.eps, splits: self.splits, weighted, mask, two: false };
        let mut gradients: Vec<Option<Var>> = t.apply(op, &inputs)?.into_iter().map(Some).collect();
        gradients.resize(x.len(), None);
        Ok(gradients)
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        let passes = 3 + u64::from(self.residual);
        Cost { flops: (6 + passes) * x[0].shape.numel() as u64, bytes: passes * x[0].bytes() }
    }
}

impl Op for BatchNormReluGrad {
    fn name(&self) -> &'static str {
        "batch_norm_relu.grad"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        if self.mask == Mask::Kept && self.two && x[0].dtype == DType::F16 {
            let what = "two gradients of a sum in F16 are added before it: what is passed on would be rounded and the sums not";
            return Err(Error::shape("batch_norm_relu.grad", what));
        }
        // Of x's type: dy, the other reader's dy and y; of f32 all else.
        let known = 5 + usize::from(self.two);
        let like_x = 4..known + usize::from(self.mask == Mask::Kept);
        for (i, ty) in x.iter().enumerate().skip(1) {
            let dtype = if like_x.contains(&i) { x[0].dtype } else { DType::F32 };
            ty.expect_dtype("batch_norm_relu.grad", &format!("input {i} beside x in {}", x[0].dtype.name()), dtype)?;
        }
        let mut y = vec![x[0], x[1], x[1]];
        y.extend((self.mask == Mask::Kept).then_some(x[0]));
        Ok(y)
    }

    /// The residual's gradient takes dy's place.
    fn in_place(&self) -> Vec<(usize, usize)> {
        if self.mask == Mask::Kept { vec![(4, 3)] } else { Vec::new() }
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        reducing(&x[0], caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        let walk = norm::walk(&x[0], (self.splits, self.eps), self.weighted, variant);
        vec![walk.partials(), Type::f32([x[2].shape.numel(), 4])]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (known, weights) = (5 + usize::from(self.two), 6 + usize::from(self.two));
        let statistics = weights + usize::from(self.weighted);
        let (arriving, names) = match self.mask {
            Mask::Recomputed => (
                Arriving::OfRelu { bias: Slot::In(known) },
                ["batch_norm_relu.sums", "batch_norm_relu.grad_finish", "batch_norm_relu.grad"],
            ),
            // What comes after the sums is batch_norm's.
            Mask::Kept => (
                Arriving::OfKept { kept: Slot::In(known), passed: Slot::Out(3) },
                ["batch_norm_relu.sums", "batch_norm.grad_finish", "batch_norm.grad"],
            ),
        };
        let backward = Backward {
            names,
            x: [0, 1, 2, 3, 4].map(Slot::In),
            other: self.two.then_some(Slot::In(5)),
            arriving,
            weights: self.weighted.then_some(Slot::In(weights)),
            statistics: (e.x.len() > statistics).then_some([statistics, statistics + 1].map(Slot::In)),
            y: [0, 1, 2].map(Slot::Out),
            work: [0, 1].map(Slot::Work),
            through: (norm::THROUGH_BATCH, &[]),
        };
        let walk = norm::walk(&e.x[0], (self.splits, self.eps), self.weighted, e.variant);
        norm::backward(e, walk, backward);
        Ok(())
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        let passes = match (self.mask, self.two) {
            (Mask::Recomputed, two) => 5 + 2 * u64::from(two),
            (Mask::Kept, two) => 7 + u64::from(two),
        };
        Cost { flops: (6 + passes) * x[0].shape.numel() as u64, bytes: passes * x[0].bytes() }
    }
}

/// Named cases. No sum of a norm and a residual is near 0, where relu has a kink: x has both signs in each channel, and a
/// residual is larger than the norm.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize], splits, residual: bool, weights: Option<Fill>| {
        let (x, channel) = (Type::f32(crate::base::Shape::new(shape)), Type::f32([shape[1]]));
        let both_signs = Fill::Values(vec![-1.2, 0.9, 1.1, -0.8, 1.3, -1.0, 0.7]);
        let mut inputs = vec![(x, both_signs), (channel, Fill::Uniform(0.5, 1.5)), (channel, Fill::Uniform(-0.1, 0.1))];
        let large = Fill::Values(vec![6.0, -5.5, 7.0, 5.0, -6.5]);
        inputs.extend(residual.then_some((x, large)));
        inputs.extend(weights.map(|fill| (Type::f32([shape[0]]), fill)));
        Case::new(name, BatchNormRelu { eps: 1e-5, splits, residual }, inputs)
    };
    let two = |name, shape: &[usize], mask| {
        let (x, channel) = (Type::f32(crate::base::Shape::new(shape)), Type::f32([shape[1]]));
        let both_signs = Fill::Values(vec![-1.2, 0.9, 1.1, -0.8, 1.3, -1.0, 0.7]);
        let known = match mask {
            Mask::Recomputed => (channel, Fill::Uniform(-0.1, 0.1)),
            Mask::Kept => (x, Fill::Values(vec![0.0, 1.5, 0.0, 0.0, 2.0])),
        };
        let (scale, near_zero) = (Fill::Uniform(0.5, 1.5), Fill::Uniform(-0.1, 0.1));
        let inputs = vec![(x, both_signs), (channel, scale.clone()), (channel, near_zero), (channel, scale)];
        let inputs = inputs.into_iter().chain([(x, Fill::Normal), (x, Fill::Normal), known]).collect();
        Case::new(name, BatchNormReluGrad { eps: 1e-5, splits: 1, weighted: false, mask, two: true }, inputs)
    };
    vec![
        case("prime", &[3, 5, 7, 7], 1, false, None),
        case("whole vec4", &[5, 3, 6, 6], 1, false, None),
        case("many images of few pixels", &[37, 65, 2, 2], 1, false, None),
        case("several chunks", &[5, 3, 32, 36], 1, false, None),
        case("features", &[131, 33], 1, false, None),
        case("split, features", &[132, 33], 11, false, None),
        case("weighted", &[9, 5, 3, 3], 1, false, Some(Fill::Uniform(0.5, 1.5))),
        case("residual, prime", &[3, 5, 7, 7], 1, true, None),
        case("residual, several chunks", &[5, 3, 32, 36], 1, true, None),
        case("residual, features", &[131, 33], 1, true, None),
        case("residual, split, whole vec4", &[15, 3, 32, 12], 3, true, None),
        two("two gradients", &[3, 4, 5, 5], Mask::Recomputed),
        two("two gradients, several chunks, whole vec4", &[5, 3, 32, 4], Mask::Recomputed),
        two("two gradients of a sum", &[3, 4, 5, 5], Mask::Kept),
        two("two gradients of a sum, several chunks, whole vec4", &[5, 3, 32, 4], Mask::Kept),
        case("f16, prime", &[3, 5, 7, 7], 1, false, None).halved(&[0]),
        case("f16, whole vec4", &[5, 3, 6, 6], 1, false, None).halved(&[0]),
        case("f16, features", &[131, 33], 1, false, None).halved(&[0]),
        case("f16, residual, prime", &[3, 5, 7, 7], 1, true, None).halved(&[0, 3]),
        case("f16, residual, several chunks", &[5, 3, 32, 36], 1, true, None).halved(&[0, 3]),
        two("f16, two gradients", &[3, 4, 5, 5], Mask::Recomputed).halved(&[0, 4, 5]),
        case("residual, weighted, padded", &[9, 3, 2, 2], 1, true, Some(Fill::Values(vec![0.0, 1.0, 1.0]))),
    ]
}

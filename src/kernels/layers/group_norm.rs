//! group_norm: y = (x − mean)/√(var + eps)·weight + bias, mean and variance over the C/G channels and all pixels of a
//! group of one sample (Wu and He 2018, arXiv:1803.08494, eq. 7). With x̂ = (x − mean)/√(var + eps), M elements a group
//! and g = dy·weight: dbias = Σ dy, dweight = Σ dy·x̂, dx = (g − Σ g/M − x̂·Σ g·x̂/M)/√(var + eps).
//! It is batch_norm's walk where a channel goes through one sample. Shaders: shaders/layers/group_norm/, shaders/layers/batch_norm/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Piece};
use crate::kernels::norm::UNWEIGHTED;
use crate::kernels::walk::{GROUP, LANE, Launcher, Layout, Walk};
use crate::kernels::{Case, Fill, lanes};
use crate::piece;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};

/// Normalises groups of channels of each sample. Inputs x [N, C, H, W] or [N, C], weight [C], bias [C]; outputs y,
/// mean [N, G] and the biased variance [N, G].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct GroupNorm {
    /// G, which divides C.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
}

/// (dx, dweight, dbias) from (x, weight, mean, variance, dy).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct GroupNormGrad {
    norm: GroupNorm,
}

const APPLY_LANE: &[Piece] =
    &[piece!("layers/batch_norm/after_nothing.wgsl"), piece!("layers/batch_norm/apply_lane.wgsl")];
const APPLY_EACH: &[Piece] = &[
    piece!("layers/batch_norm/after_nothing.wgsl"),
    piece!("layers/batch_norm/cells.wgsl"),
    piece!("layers/batch_norm/apply_each.wgsl"),
];
const SUMS_LANE: &[Piece] = &[
    piece!("layers/batch_norm/dy_as_given.wgsl"),
    piece!("layers/batch_norm/unscaled.wgsl"),
    piece!("layers/batch_norm/sums_lane.wgsl"),
];
const SUMS_GROUP: &[Piece] = &[
    piece!("layers/batch_norm/dy_as_given.wgsl"),
    piece!("layers/batch_norm/unscaled.wgsl"),
    piece!("layers/batch_norm/span.wgsl"),
    piece!("layers/batch_norm/sums_group.wgsl"),
];
const GRAD_GROUPS: &[Piece] = &[piece!("layers/group_norm/grad_groups.wgsl")];
const GRAD_AFFINE: &[Piece] = &[piece!("layers/group_norm/grad_affine.wgsl")];
const GRAD_LANE: &[Piece] = &[
    piece!("layers/batch_norm/unweighted.wgsl"),
    piece!("layers/batch_norm/dy_as_given.wgsl"),
    piece!("layers/batch_norm/grad_lane.wgsl"),
];
const GRAD_EACH: &[Piece] = &[
    piece!("layers/batch_norm/unweighted.wgsl"),
    piece!("layers/batch_norm/dy_as_given.wgsl"),
    piece!("layers/batch_norm/cells.wgsl"),
    piece!("layers/batch_norm/grad_each.wgsl"),
];

impl Tape {
    /// Group norm of x f32 [N, C, H, W] or [N, C] in `groups` groups of neighbouring channels, with weight and bias
    /// f32 [C]; PyTorch's eps is 1e-5. Instance norm is C groups, layer norm over C, H and W one.
    pub fn group_norm(&mut self, x: Var, weight: Var, bias: Var, groups: usize, eps: f32) -> Result<Var> {
        Ok(self.apply(GroupNorm { groups, eps }, &[x, weight, bias])?[0])
    }
}

impl GroupNorm {
    /// The walk over the elements of each channel of each sample.
    fn channels(&self, x: &Type, variant: &str) -> Walk {
        let (images, channels) = (x.shape.dim(0), x.shape.dim(1));
        let plane = x.shape.numel() / (images * channels).max(1);
        let layout = Layout { dtype: x.dtype, images, channels, plane, splits: images, weighted: false };
        Walk::new(layout, variant, self.eps).sharing(channels / self.groups)
    }

    /// The walk over the elements of each group of each sample, which are neighbours.
    fn groups(&self, x: &Type, variant: &str) -> Walk {
        let channels = x.shape.dim(0) * self.groups;
        let plane = x.shape.numel() / channels;
        let layout = Layout { dtype: x.dtype, images: 1, channels, plane, splits: 1, weighted: false };
        Walk::new(layout, variant, self.eps)
    }
}

fn variants(caps: &Caps) -> Vec<&'static str> {
    lanes::and_subgroups(if caps.software { vec![LANE, GROUP] } else { vec![GROUP, LANE] }, caps)
}

impl Op for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_float("group_norm", "x")?;
        let (n, c) = match *x[0].shape.dims() {
            [n, c] | [n, c, _, _] if x[0].shape.numel() > 0 => (n as usize, c as usize),
            _ => {
                let what = format!("x must be [N, C] or [N, C, H, W] and not empty, not {}", x[0].shape);
                return Err(Error::shape("group_norm", what));
            }
        };
        if self.groups == 0 || !c.is_multiple_of(self.groups) {
            let what = format!("the {c} channels of x {} cannot be cut into {} equal groups", x[0].shape, self.groups);
            return Err(Error::shape("group_norm", what));
        }
        for (ty, name) in [(x[1], "weight"), (x[2], "bias")] {
            ty.expect_dtype("group_norm", name, DType::F32)?;
            if ty.shape.vector("group_norm", name)? != c {
                let need = "it must have one element for each channel of x";
                return Err(Error::shapes("group_norm", ("x", x[0].shape), (name, ty.shape), need));
            }
        }
        Ok(vec![x[0], Type::f32([n, self.groups]), Type::f32([n, self.groups])])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        self.groups(&x[0], variant).statistics_work()
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let ([x, weight, bias], [y, mean, variance]) = ([0, 1, 2].map(Slot::In), [0, 1, 2].map(Slot::Out));
        let (groups, channels) = (self.groups(&e.x[0], e.variant), self.channels(&e.x[0], e.variant));
        let names = ["group_norm.statistics", "group_norm.finish"];
        Launcher::new(e, groups).statistics(names, UNWEIGHTED, x, None, [mean, variance]);
        let buffers = [x, weight, bias, mean, variance, y];
        Launcher::new(e, channels).elements("group_norm.apply", [APPLY_LANE, APPLY_EACH], &buffers, 6);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        if dy[1].is_some() || dy[2].is_some() {
            return Err(Error::no_gradient("group_norm", "its mean and variance have no gradient; detach them"));
        }
        let Some(dy) = dy[0] else { return Ok(vec![None; 3]) };
        let g = t.apply(GroupNormGrad { norm: self.clone() }, &[x[0], x[1], y[1], y[2], dy])?;
        Ok(g.into_iter().map(Some).collect())
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 8 * x[0].shape.numel() as u64, bytes: 3 * x[0].bytes() }
    }
}

impl Op for GroupNormGrad {
    fn name(&self) -> &'static str {
        "group_norm.grad"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0], x[1], x[1]])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        let coefficients = Type::f32([x[0].shape.dim(0) * x[0].shape.dim(1), 4]);
        vec![self.norm.channels(&x[0], variant).partials(), coefficients]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [x, weight, mean, variance, dy] = [0, 1, 2, 3, 4].map(Slot::In);
        let ([dx, dweight, dbias], [partial, coefficients]) = ([0, 1, 2].map(Slot::Out), [0, 1].map(Slot::Work));
        let (groups, channels) = (e.x[2].shape.numel(), e.x[1].shape.numel());
        let walk = self.norm.channels(&e.x[0], e.variant);
        let mut l = Launcher::new(e, walk);
        l.sums("group_norm.sums", [SUMS_LANE, SUMS_GROUP], &[x, mean, dy, partial]);
        l.each("group_norm.grad_groups", GRAD_GROUPS, &[partial, weight, variance, coefficients], groups);
        l.each("group_norm.grad_affine", GRAD_AFFINE, &[partial, variance, dweight, dbias], channels);
        l.elements("group_norm.grad", [GRAD_LANE, GRAD_EACH], &[x, mean, dy, coefficients, dx], 5);
        Ok(())
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 9 * x[0].shape.numel() as u64, bytes: 5 * x[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize], groups, fill| {
        let (x, vector) = (Type::f32(crate::base::Shape::new(shape)), Type::f32([shape[1]]));
        let inputs = vec![(x, fill), (vector, Fill::Uniform(0.5, 1.5)), (vector, Fill::Normal)];
        Case::new(name, GroupNorm { groups, eps: 1e-5 }, inputs)
    };
    vec![
        case("three elements", &[1, 1, 3, 1], 1, Fill::Normal),
        case("prime", &[3, 10, 7, 5], 5, Fill::Normal),
        case("whole vec4", &[5, 6, 6, 6], 2, Fill::Normal),
        case("one group", &[2, 7, 3, 3], 1, Fill::Normal),
        case("every channel a group", &[3, 5, 5, 4], 5, Fill::Normal),
        case("a group is whole vec4, a channel is not", &[2, 8, 3, 3], 2, Fill::Normal),
        case("more than a workgroup", &[2, 4, 37, 36], 2, Fill::Normal),
        case("a mean a hundred times the deviation", &[4, 4, 8, 8], 2, Fill::Uniform(9.9, 10.1)),
        case("features", &[37, 33], 3, Fill::Normal),
        case("f16, prime", &[3, 10, 7, 5], 5, Fill::Normal).halved(&[0]),
        case("f16, whole vec4", &[5, 6, 6, 6], 2, Fill::Normal).halved(&[0]),
    ]
}

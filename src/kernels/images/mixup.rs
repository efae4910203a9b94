//! mixup (Zhang et al. 2018, arXiv:1710.09412): y_i = λ_i·x_i + (1 − λ_i)·x_pair(i), for images, features or soft targets.
//! dx_i = λ_i·dy_i + Σ (1 − λ_j)·dy_j over the j whose partner is i; λ and pair have none.
//! mix_targets: y_ik = λ_i·[k = label_i] + (1 − λ_i)·[k = label_pair(i)], from labels; it has no gradient.
//! Shaders: shaders/images/mixup/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::draw::check_per_sample;
use crate::kernels::tiles::Spans;
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (x f32 [B, ...], pair u32 [B], λ f32 [B]) -> y as x.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Mixup;

/// dx from (dy, pair, λ).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct MixupGrad;

/// (labels u32 [B], pair u32 [B], λ f32 [B]) -> soft targets f32 [B, classes].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MixTargets {
    /// How many classes there are, at least 1.
    pub classes: u32,
}

params! {
    struct Params { samples: u32, units: u32, chunks: u32 }
}
params! {
    struct Targets { samples: u32, classes: u32 }
}

/// Pieces for samples of whole vec4, and for the rest.
const FORWARD: [&[Piece]; 2] = [
    &[
        piece!("common/index.wgsl"),
        piece!("common/vec4.wgsl"),
        piece!("common/span.wgsl"),
        piece!("images/mixup/forward.wgsl"),
    ],
    &[
        piece!("common/index.wgsl"),
        piece!("common/scalar.wgsl"),
        piece!("common/span.wgsl"),
        piece!("images/mixup/forward.wgsl"),
    ],
];
const GRAD: [&[Piece]; 2] = [
    &[
        piece!("common/index.wgsl"),
        piece!("common/vec4.wgsl"),
        piece!("common/span.wgsl"),
        piece!("images/mixup/grad.wgsl"),
    ],
    &[
        piece!("common/index.wgsl"),
        piece!("common/scalar.wgsl"),
        piece!("common/span.wgsl"),
        piece!("images/mixup/grad.wgsl"),
    ],
];
const TARGETS: &[Piece] = &[piece!("common/index.wgsl"), piece!("images/mixup/targets.wgsl")];

impl Tape {
    /// Samples of x f32 [B, ...] mixed with their partners: `pair` u32 [B] is a permutation or a shift of 0..B, `lambda`
    /// f32 [B] the weight of the sample itself, from Beta(α, α). Soft targets [B, K] are mixed by the same call.
    pub fn mixup(&mut self, x: Var, pair: Var, lambda: Var) -> Result<Var> {
        self.apply1(Mixup, &[x, pair, lambda])
    }

    /// Soft targets f32 [B, classes] of mixed samples, from `labels` u32 [B].
    pub fn mix_targets(&mut self, labels: Var, pair: Var, lambda: Var, classes: u32) -> Result<Var> {
        self.apply1(MixTargets { classes }, &[labels, pair, lambda])
    }
}

/// The inputs that say how samples are mixed.
fn check(x: &[Type], batch: usize) -> Result<()> {
    check_per_sample("mixup", "pair", x[1], DType::U32, batch)?;
    check_per_sample("mixup", "lambda", x[2], DType::F32, batch)
}

fn emit(e: &mut Emit<'_>, name: &'static str, pieces: &[&'static [Piece]; 2]) {
    let spans = Spans::new(e.y[0].shape);
    let params = Params { samples: spans.samples, units: spans.units, chunks: spans.chunks };
    let kernel = Kernel::new(name, "portable", pieces[usize::from(!spans.wide)]);
    e.launch(kernel, &[Slot::In(0), Slot::In(1), Slot::In(2), Slot::Out(0)], &params, spans.grid);
}

impl Op for Mixup {
    fn name(&self) -> &'static str {
        "mixup"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("mixup", "x", DType::F32)?;
        if x[0].shape.rank() == 0 {
            return Err(Error::shape("mixup", "x must have a dimension of samples"));
        }
        check(x, x[0].shape.dim(0))?;
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        emit(e, "mixup.forward", &FORWARD);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![dy[0].map(|dy| t.apply1(MixupGrad, &[dy, x[1], x[2]])).transpose()?, None, None])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 3 * y[0].shape.numel() as u64, bytes: 3 * y[0].bytes() }
    }
}

impl Op for MixupGrad {
    fn name(&self) -> &'static str {
        "mixup.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        emit(e, "mixup.grad", &GRAD);
        Ok(())
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 3 * y[0].shape.numel() as u64, bytes: 3 * y[0].bytes() }
    }
}

impl Op for MixTargets {
    fn name(&self) -> &'static str {
        "mixup.targets"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("mixup", "labels", DType::U32)?;
        let batch = x[0].shape.vector("mixup", "labels")?;
        check(x, batch)?;
        if self.classes == 0 {
            return Err(Error::shape("mixup", "there must be a class at least"));
        }
        Ok(vec![Type::f32([batch, self.classes as usize])])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let params = Targets { samples: e.x[0].shape.dim(0) as u32, classes: self.classes };
        let grid = groups_1d(e.y[0].shape.numel().div_ceil(64));
        let buffers = [Slot::In(0), Slot::In(1), Slot::In(2), Slot::Out(0)];
        e.launch(Kernel::new("mixup.targets", "portable", TARGETS), &buffers, &params, grid);
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; x.len()])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 2 * y[0].shape.numel() as u64, bytes: y[0].bytes() }
    }
}

/// Named cases. One partner past the end now and then: it must be clamped, not read.
pub fn cases() -> Vec<Case> {
    let mixing = |n: usize, pair: Fill| [(Type::u32([n]), pair), (Type::f32([n]), Fill::Uniform(0.0, 1.0))];
    let case = |name, shape: &[usize], pair: Fill| {
        let mut x = vec![(Type::f32(crate::base::Shape::new(shape)), Fill::Normal)];
        x.extend(mixing(shape[0], pair));
        Case::new(name, Mixup, x)
    };
    let targets = |name, n: usize, classes: u32| {
        let mut x = vec![(Type::u32([n]), Fill::Below(classes + 1))];
        x.extend(mixing(n, Fill::Below(n as u32 + 1)));
        Case::new(name, MixTargets { classes }, x)
    };
    vec![
        case("one", &[1, 1], Fill::Words(vec![0])),
        case("a shift", &[5, 3, 7, 3], Fill::Words(vec![1, 2, 3, 4, 0])),
        case("partners of several", &[13, 8], Fill::Below(6)),
        case("partners past the end", &[7, 12], Fill::Below(9)),
        case("more than a workgroup a sample", &[4, 1033], Fill::Below(4)),
        targets("targets, one", 1, 1),
        targets("targets, two classes", 9, 2),
        targets("targets, many", 67, 11),
    ]
}

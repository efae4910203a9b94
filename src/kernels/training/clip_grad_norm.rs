//! clip_grad_norm, as torch.nn.utils.clip_grad_norm_: norm = √(Σ over all gradients of g²); g' = g · min(1, max_norm /
//! (norm + 1e-6)). Where the loss was multiplied by a scale, gradients and norm are divided by it in the same pass.
//! It has no gradient. Shaders: shaders/training/clip_grad_norm/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece};
use crate::kernels::many::{self, Joined, Many, Tensor, launch_all};
use crate::kernels::{Case, Fill, lanes};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};
use std::sync::Arc;

/// (gradients f32 of any shapes …, loss scale f32 [1] where `scaled`) -> (norm [1], coefficient [1]).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct GradNorm {
    /// The longest the gradients may be, all of them as one vector; `f32::MAX` clips nothing.
    pub max_norm: f32,
    /// Whether the last input is what the loss was multiplied by.
    pub scaled: bool,
}

/// (gradient, coefficient [1]) -> coefficient·gradient, in place.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ApplyCoefficient;

params! {
    struct Partial { tensors: [[u32; 4]; 0] }
}
params! {
    struct Finish { parts: u32, max_norm: f32 }
}
params! {
    struct Apply { tensors: [[u32; 4]; 0] }
}

/// What kernels over all gradients begin with.
const TENSORS: &[Piece] = &[piece!("common/index.wgsl"), piece!("common/tensors.wgsl")];
const PARTIAL: &[Piece] = &[piece!("common/squares.wgsl"), piece!("training/clip_grad_norm/partial.wgsl")];
const UNSCALED: &[Piece] = &[piece!("training/clip_grad_norm/unscaled.wgsl")];
const SCALED: &[Piece] = &[piece!("training/clip_grad_norm/scaled.wgsl")];
const FINISH: &[Piece] = &[piece!("training/clip_grad_norm/finish.wgsl")];
const APPLY: &[Piece] = &[piece!("training/clip_grad_norm/apply.wgsl")];

impl Tape {
    /// `grads` (f32 of any shapes, at least one) clipped to a common length of `max_norm` (`f32::MAX` for no limit) and
    /// divided by `scale`, an f32 [1], where the loss was multiplied by it; and their norm [1] before clipping. A norm
    /// that is not finite means that a gradient is not: raise the step's guard by [`Tape::found_inf`] of it.
    pub fn clip_grad_norm(&mut self, grads: &[Var], max_norm: f32, scale: Option<Var>) -> Result<(Vec<Var>, Var)> {
        let x: Vec<Var> = grads.iter().copied().chain(scale).collect();
        let y = self.apply(GradNorm { max_norm, scaled: scale.is_some() }, &x)?;
        let clipped = grads.iter().map(|&g| self.apply1(ApplyCoefficient, &[g, y[1]])).collect::<Result<_>>()?;
        Ok((clipped, y[0]))
    }
}

/// How many workgroups sum a gradient.
fn partials(x: &Type) -> usize {
    x.shape.numel().div_ceil(4 * 1024)
}

impl GradNorm {
    fn grads<'a>(&self, x: &'a [Type]) -> &'a [Type] {
        &x[..x.len() - usize::from(self.scaled)]
    }
}

impl Op for GradNorm {
    fn name(&self) -> &'static str {
        "clip_grad_norm"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        if x.len() <= usize::from(self.scaled) || self.max_norm.is_nan() || self.max_norm <= 0.0 {
            let what = format!("needs at least one gradient and a max_norm above 0, not {}", self.max_norm);
            return Err(Error::shape("clip_grad_norm", what));
        }
        self.grads(x).iter().try_for_each(|g| g.expect_dtype("clip_grad_norm", "a gradient", DType::F32))?;
        if let Some(scale) = x.last().filter(|s| self.scaled && **s != Type::f32([1])) {
            return Err(Error::shape("clip_grad_norm", format!("the loss scale is {scale} and must be F32 [1]")));
        }
        Ok(vec![Type::f32([1]); 2])
    }

    /// `subgroups`: the same, added within subgroups.
    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        lanes::and_subgroups(vec!["portable"], caps)
    }

    fn together(&self, inputs: usize) -> Vec<Vec<usize>> {
        vec![(0..inputs - usize::from(self.scaled)).collect()]
    }

    fn workspace(&self, x: &[Type], _y: &[Type], _variant: &'static str, _caps: &Caps) -> Vec<Type> {
        vec![Type::f32([self.grads(x).iter().map(partials).sum::<usize>()])]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (grads, mut first) = (self.grads(e.x), 0);
        let mut tensors = Vec::new();
        for (i, g) in grads.iter().enumerate() {
            let (groups, size, slots) = (partials(g), g.shape.numel() as u32, vec![Slot::In(i)]);
            tensors.push(Tensor { groups, size, words: [0; 2], slots, index: first });
            first += groups as u32;
        }
        let scale = Slot::In(grads.len());
        let variant = lanes::shared(e.variant);
        let kernel = lanes::sum64(Kernel::new("clip_grad_norm.partial", variant, TENSORS)).followed_by(PARTIAL);
        launch_all(e, &kernel, (&tensors, &[Slot::Work(0)]), &Partial { tensors: [] });
        let mut buffers = vec![Slot::Work(0), Slot::Out(0), Slot::Out(1)];
        buffers.extend(self.scaled.then_some(scale));
        let params = Finish { parts: first, max_norm: self.max_norm };
        let kernel = lanes::sum64(Kernel::new("clip_grad_norm.finish", variant, &[]));
        let kernel = kernel.followed_by(if self.scaled { SCALED } else { UNSCALED }).followed_by(FINISH);
        e.launch(kernel, &buffers, &params, [1, 1, 1]);
        Ok(())
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        let bytes = self.grads(x).iter().map(Type::bytes).sum::<u64>();
        Cost { flops: bytes / 2, bytes }
    }
}

impl Op for ApplyCoefficient {
    fn name(&self) -> &'static str {
        "clip_grad_norm.apply"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("clip_grad_norm.apply", "a gradient", DType::F32)?;
        if x[1] != Type::f32([1]) {
            let what = format!("the coefficient is {} and must be F32 [1]", x[1]);
            return Err(Error::shape("clip_grad_norm.apply", what));
        }
        Ok(vec![x[0]])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }

    fn own_inputs(&self) -> Option<usize> {
        Some(Self::OWN)
    }

    fn joined(&self, ops: &[&dyn Op]) -> Option<Arc<dyn Op>> {
        many::joined::<Self>(ops)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        Self::emit_all(std::slice::from_ref(self), e)
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() }
    }
}

impl Many for ApplyCoefficient {
    const OWN: usize = 1;

    fn joins(&self, _other: &Self) -> bool {
        true
    }

    fn emit_all(all: &[Self], e: &mut Emit<'_>) -> Result<()> {
        let tensor = |i: usize| {
            let vectors = e.y[i].shape.numel().div_ceil(4);
            let (groups, size, slots) = (vectors.div_ceil(256), vectors as u32, vec![Slot::Out(i)]);
            Tensor { groups, size, words: [0; 2], slots, index: 0 }
        };
        let tensors: Vec<Tensor> = (0..all.len()).map(tensor).collect();
        let kernel = Kernel::new("clip_grad_norm.apply", "portable", TENSORS).followed_by(APPLY);
        launch_all(e, &kernel, (&tensors, &[Slot::In(all.len())]), &Apply { tensors: [] });
        Ok(())
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, sizes: &[usize], max_norm, scale: Option<f32>| {
        let mut x: Vec<(Type, Fill)> = sizes.iter().map(|&n| (Type::f32([n]), Fill::Normal)).collect();
        x.extend(scale.map(|s| (Type::f32([1]), Fill::Values(vec![s]))));
        Case::new(name, GradNorm { max_norm, scaled: scale.is_some() }, x)
    };
    let apply = |name, n: usize, by: f32| {
        let x = vec![(Type::f32([n]), Fill::Normal), (Type::f32([1]), Fill::Values(vec![by]))];
        Case::new(name, ApplyCoefficient, x)
    };
    vec![
        case("one number", &[1], 0.1, None),
        case("long enough", &[7, 13, 1009], 1000.0, None),
        case("too long", &[7, 13, 1009, 4], 1.0, None),
        case("no limit", &[31, 5], f32::MAX, None),
        case("several partial sums", &[8197, 3, 4097], 2.0, None),
        case("scaled", &[257, 64], 1.0, Some(1024.0)),
        case("scaled, no limit", &[65], f32::MAX, Some(0.25)),
        Case::new(
            "coefficient, two tensors",
            Joined { each: vec![ApplyCoefficient; 2] },
            [
                (Type::f32([1031]), Fill::Normal),
                (Type::f32([6]), Fill::Normal),
                (Type::f32([1]), Fill::Values(vec![0.3])),
            ]
            .to_vec(),
        ),
        apply("coefficient, one", 1, 0.5),
        apply("coefficient, prime", 1009, 0.37),
        apply("coefficient, a workgroup and one", 1025, 1.0),
    ]
}

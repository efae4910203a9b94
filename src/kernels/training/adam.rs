//! adam (Kingma & Ba 2015, arXiv:1412.6980), as torch.optim.Adam: g = grad + decay·w; m' = β1 m + (1 − β1) g;
//! v' = β2 v + (1 − β2) g²; w' = w − lr · m'/(1 − β1^t) / (√(v'/(1 − β2^t)) + eps). Decoupled, it is AdamW (Loshchilov &
//! Hutter 2019, arXiv:1711.05101), as torch.optim.AdamW: g = grad, and w' starts from (1 − lr·decay)·w.
//! All in place; a raised guard leaves all alone. Shaders: shaders/training/adam/.

use crate::base::{Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::many::{self, Joined, Many, Tensor, launch_all, under};
use crate::kernels::{Case, Fill, same_types};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};
use std::sync::Arc;

/// (param, grad, exp_avg, exp_avg_sq, step, scalars, guard?) -> (param', exp_avg', exp_avg_sq'), in place. `step` is
/// an f32 [1] that counts this step too.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Adam {
    /// Decay of the mean.
    pub beta1: f32,
    /// Decay of the mean square.
    pub beta2: f32,
    /// Added to the divisor.
    pub eps: f32,
    /// Decay of the weights.
    pub weight_decay: f32,
    /// AdamW: the decay shrinks the weight itself instead of being added to the gradient as an L2 penalty.
    pub decoupled: bool,
    /// Slot of the learning rate among the scalars.
    pub lr: u32,
}

params! {
    struct Params {
        beta1: f32,
        beta2: f32,
        rest1: f32,
        rest2: f32,
        log1: f32,
        log2: f32,
        eps: f32,
        decoupled: u32,
        tensors: [[u32; 4]; 0],
    }
}

const FREE: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/tensors.wgsl"),
    piece!("common/unguarded.wgsl"),
    piece!("training/adam/step.wgsl"),
];
const GUARDED: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/tensors.wgsl"),
    piece!("common/guarded.wgsl"),
    piece!("training/adam/step.wgsl"),
];

impl Tape {
    /// Moves the state `param` along `grad`, keeping its means in the states `optim.<param>.exp_avg` and
    /// `optim.<param>.exp_avg_sq`. `step` comes from one [`Tape::increment`] of `optim.step`; `scalars` is the
    /// [`crate::tape::record::Scalar::var`] that belongs to `op.lr`. Set the step's guard before.
    pub fn adam(&mut self, param: &str, grad: Var, step: Var, scalars: Var, op: Adam) -> Result<()> {
        let ty = self.ty(grad);
        let (first, second) = (format!("optim.{param}.exp_avg"), format!("optim.{param}.exp_avg_sq"));
        let mut x = vec![self.state(param, ty)?, grad, self.state(&first, ty)?, self.state(&second, ty)?];
        x.extend([step, scalars]);
        x.extend(self.guard());
        let y = self.apply(op, &x)?;
        self.assign(param, y[0])?;
        self.assign(&first, y[1])?;
        self.assign(&second, y[2])
    }
}

impl Op for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        same_types("adam", &[("param", x[0]), ("grad", x[1]), ("exp_avg", x[2]), ("exp_avg_sq", x[3])])?;
        if x[4] != Type::f32([1]) {
            return Err(Error::shape("adam", format!("step is {} and must be F32 [1]", x[4])));
        }
        Ok(vec![x[0], x[2], x[3]])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0), (2, 1), (3, 2)]
    }

    fn unguarded(&self) -> Option<usize> {
        Some(6)
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

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 13 * x[0].shape.numel() as u64, bytes: 7 * x[0].bytes() }
    }
}

impl Many for Adam {
    const OWN: usize = 4;

    fn joins(&self, other: &Self) -> bool {
        *self == Adam { weight_decay: self.weight_decay, lr: self.lr, ..other.clone() }
    }

    fn emit_all(all: &[Self], e: &mut Emit<'_>) -> Result<()> {
        let Some(first) = all.first() else { return Ok(()) };
        let tensor = |(i, op): (usize, &Self)| {
            let (x, y) = (i * Self::OWN, 3 * i);
            let vectors = e.y[y].shape.numel().div_ceil(4);
            Tensor {
                groups: vectors.div_ceil(256),
                size: vectors as u32,
                words: [op.lr, op.weight_decay.to_bits()],
                slots: vec![Slot::Out(y), Slot::In(x + 1), Slot::Out(y + 1), Slot::Out(y + 2)],
                index: 0,
            }
        };
        let tensors: Vec<Tensor> = all.iter().enumerate().map(tensor).collect();
        let step = Self::OWN * all.len();
        let mut common = vec![Slot::In(step), Slot::In(step + 1)];
        let guard = (e.x.len() > step + 2).then_some(Slot::In(step + 2));
        let kernel = under(guard, Kernel::new("adam.step", "portable", FREE), GUARDED, 6);
        common.extend(guard);
        // In f64: 1 − 0.999 and log 0.999 keep few digits in f32.
        let (b1, b2) = (f64::from(first.beta1), f64::from(first.beta2));
        let params = Params {
            beta1: first.beta1,
            beta2: first.beta2,
            rest1: (1.0 - b1) as f32,
            rest2: (1.0 - b2) as f32,
            log1: b1.ln() as f32,
            log2: b2.ln() as f32,
            eps: first.eps,
            decoupled: u32::from(first.decoupled),
            tensors: [],
        };
        launch_all(e, &kernel, (&tensors, &common), &params);
        Ok(())
    }
}

/// Named cases; the scalars hold the learning rate in slot 1.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, step: f32, decoupled: bool, guard: Option<u32>| {
        let op = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, decoupled, lr: 1 };
        let mut x = vec![(Type::f32([n]), Fill::Normal); 3];
        x.push((Type::f32([n]), Fill::Uniform(0.1, 2.0))); // a mean square is not negative
        x.push((Type::f32([1]), Fill::Values(vec![step])));
        x.push((Type::f32([crate::tape::record::SCALARS]), Fill::Values(vec![7.0, 0.01])));
        x.extend(guard.map(|g| (Type::u32([1]), Fill::Words(vec![g]))));
        Case::new(name, op, x)
    };
    // Two tensors at once, with settings of their own.
    let both = |name, decoupled, guard: Option<u32>| {
        let op = |weight_decay, lr| Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay, decoupled, lr };
        let own = |n: usize| {
            let (ty, squares) = (Type::f32([n]), Fill::Uniform(0.1, 2.0));
            [(ty, Fill::Normal), (ty, Fill::Normal), (ty, Fill::Normal), (ty, squares)]
        };
        let mut x = [own(1031), own(6)].concat();
        x.push((Type::f32([1]), Fill::Values(vec![3.0])));
        x.push((Type::f32([crate::tape::record::SCALARS]), Fill::Values(vec![0.1, 0.01])));
        x.extend(guard.map(|g| (Type::u32([1]), Fill::Words(vec![g]))));
        Case::new(name, Joined { each: vec![op(0.01, 1), op(0.0, 0)] }, x)
    };
    vec![
        both("two tensors", false, None),
        both("two tensors, decoupled, guard down", true, Some(0)),
        both("two tensors, guard up", false, Some(1)),
        case("one", 1, 1.0, false, None),
        case("first step", 1009, 1.0, false, None),
        case("late step", 1025, 2000.0, false, None),
        case("guard down", 1025, 300.0, false, Some(0)),
        case("guard up", 37, 3.0, false, Some(1)),
        case("decoupled", 1031, 7.0, true, None),
        case("decoupled, guard up", 5, 7.0, true, Some(1)),
    ]
}

//! sgd: g = grad + decay·w; v' = momentum·v + g; w' = w − lr·v', or w − lr·(g + momentum·v') for Nesterov, as PyTorch
//! without dampening. Both in place; a raised guard leaves both alone. Shaders: shaders/training/sgd/.

use crate::base::Result;
use crate::device::{Kernel, Piece};
use crate::kernels::many::{self, Joined, Many, Tensor, launch_all, under};
use crate::kernels::{Case, Fill, same_types};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};
use std::sync::Arc;

/// (param, grad, velocity, scalars, guard?) -> (param', velocity'), in place.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Sgd {
    /// How much of the velocity stays.
    pub momentum: f32,
    /// Looks ahead along the new velocity.
    pub nesterov: bool,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f32,
    /// Slot of the learning rate among the scalars.
    pub lr: u32,
}

params! {
    /// Shared with lars, whose step is this one with a trust ratio.
    pub(crate) struct Params { momentum: f32, nesterov: u32, padding: [u32; 2], tensors: [[u32; 4]; 0] }
}

const FREE: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/tensors.wgsl"),
    piece!("common/unguarded.wgsl"),
    piece!("training/sgd/untrusted.wgsl"),
    piece!("training/sgd/step.wgsl"),
];
const GUARDED: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/tensors.wgsl"),
    piece!("common/guarded.wgsl"),
    piece!("training/sgd/untrusted.wgsl"),
    piece!("training/sgd/step.wgsl"),
];

impl Tape {
    /// Moves the state `param` along `grad`, keeping its velocity in the state `optim.<param>.velocity`. `scalars` is
    /// the [`crate::tape::record::Scalar::var`] that belongs to `op.lr`. Set the step's guard before.
    pub fn sgd(&mut self, param: &str, grad: Var, scalars: Var, op: Sgd) -> Result<()> {
        let ty = self.ty(grad);
        let velocity = format!("optim.{param}.velocity");
        let mut x = vec![self.state(param, ty)?, grad, self.state(&velocity, ty)?, scalars];
        x.extend(self.guard());
        let y = self.apply(op, &x)?;
        self.assign(param, y[0])?;
        self.assign(&velocity, y[1])
    }
}

impl Op for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        same_types("sgd", &[("param", x[0]), ("grad", x[1]), ("velocity", x[2])])?;
        Ok(vec![x[0], x[2]])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0), (2, 1)]
    }

    fn unguarded(&self) -> Option<usize> {
        Some(4)
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
        Cost { flops: 6 * x[0].shape.numel() as u64, bytes: 5 * x[0].bytes() }
    }
}

/// What a step must know of tensor `i` of one whose learning rate and decay are given: lars takes the same step.
pub(crate) fn tensor(i: usize, (lr, decay): (u32, f32), e: &Emit<'_>) -> Tensor {
    let (x, y) = (3 * i, 2 * i);
    let vectors = e.y[y].shape.numel().div_ceil(4);
    Tensor {
        groups: vectors.div_ceil(256),
        size: vectors as u32,
        words: [lr, decay.to_bits()],
        slots: vec![Slot::Out(y), Slot::In(x + 1), Slot::Out(y + 1)],
        index: i as u32,
    }
}

impl Many for Sgd {
    const OWN: usize = 3;

    fn joins(&self, other: &Self) -> bool {
        (self.momentum, self.nesterov) == (other.momentum, other.nesterov)
    }

    fn emit_all(all: &[Self], e: &mut Emit<'_>) -> Result<()> {
        let Some(first) = all.first() else { return Ok(()) };
        let one = |(i, op): (usize, &Self)| tensor(i, (op.lr, op.weight_decay), e);
        let tensors: Vec<Tensor> = all.iter().enumerate().map(one).collect();
        let scalars = Self::OWN * all.len();
        let guard = (e.x.len() > scalars + 1).then_some(Slot::In(scalars + 1));
        let kernel = under(guard, Kernel::new("sgd.step", "portable", FREE), GUARDED, 4);
        let common: Vec<Slot> = std::iter::once(Slot::In(scalars)).chain(guard).collect();
        let (momentum, nesterov) = (first.momentum, u32::from(first.nesterov));
        let params = Params { momentum, nesterov, padding: [0; 2], tensors: [] };
        launch_all(e, &kernel, (&tensors, &common), &params);
        Ok(())
    }
}

/// Named cases; the scalars hold the learning rate in slot 1.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, op: Sgd, guard: Option<u32>| {
        let scalars = (Type::f32([crate::tape::record::SCALARS]), Fill::Values(vec![7.0, 0.1]));
        let mut x = vec![(Type::f32([n]), Fill::Normal); 3];
        x.push(scalars);
        x.extend(guard.map(|g| (Type::u32([1]), Fill::Words(vec![g]))));
        Case::new(name, op, x)
    };
    let plain = Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.01, lr: 1 };
    let nesterov = Sgd { nesterov: true, ..plain.clone() };
    let both = {
        let own = |n: usize| vec![(Type::f32([n]), Fill::Normal); 3];
        let scalars = (Type::f32([crate::tape::record::SCALARS]), Fill::Values(vec![0.7, 0.1]));
        let each = vec![plain.clone(), Sgd { weight_decay: 0.0, lr: 0, ..plain.clone() }];
        Case::new("two tensors", Joined { each }, [own(1031), own(6), vec![scalars]].concat())
    };
    vec![
        both,
        case("one", 1, plain.clone(), None),
        case("no momentum", 13, Sgd { momentum: 0.0, ..plain.clone() }, None),
        case("prime", 1009, plain.clone(), None),
        case("nesterov", 1025, nesterov.clone(), None),
        case("guard down", 1025, nesterov, Some(0)),
        case("guard up", 37, plain, Some(1)),
    ]
}

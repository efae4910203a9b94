//! sgd: g = grad + decay·w; v' = momentum·v + g; w' = w − lr·v', or w − lr·(g + momentum·v') for Nesterov, as PyTorch
//! without dampening. Both in place; a raised guard leaves both alone. Shaders: shaders/training/sgd/.

use crate::base::Result;
use crate::device::{Kernel, Piece};
use crate::kernels::{Case, Fill, guarded, same_types, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

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
    pub(crate) struct Params { vectors: u32, lr: u32, momentum: f32, decay: f32, nesterov: u32 }
}

const FREE: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/unguarded.wgsl"),
    piece!("training/sgd/untrusted.wgsl"),
    piece!("training/sgd/step.wgsl"),
];
const GUARDED: &[Piece] = &[
    piece!("common/index.wgsl"),
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

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
        let nesterov = u32::from(self.nesterov);
        let params = Params { vectors, lr: self.lr, momentum: self.momentum, decay: self.weight_decay, nesterov };
        let buffers = vec![Slot::Out(0), Slot::In(1), Slot::Out(1), Slot::In(3)];
        let (kernel, buffers) = guarded(self, e.x.len(), Kernel::new("sgd.step", "portable", FREE), GUARDED, buffers);
        e.launch(kernel, &buffers, &params, grid);
        Ok(())
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 6 * x[0].shape.numel() as u64, bytes: 5 * x[0].bytes() }
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
    vec![
        case("one", 1, plain.clone(), None),
        case("no momentum", 13, Sgd { momentum: 0.0, ..plain.clone() }, None),
        case("prime", 1009, plain.clone(), None),
        case("nesterov", 1025, nesterov.clone(), None),
        case("guard down", 1025, nesterov, Some(0)),
        case("guard up", 37, plain, Some(1)),
    ]
}

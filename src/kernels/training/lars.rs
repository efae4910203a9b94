//! lars (You et al. 2017, arXiv:1708.03888), as the code of Barlow Twins has it: d = grad + decay·w; q = eta·‖w‖/‖d‖, or
//! 1 where either norm is 0; clipped, q = min(q/lr, 1); v' = momentum·v + q·d; w' = w − lr·v'. Both in place; a raised
//! guard leaves both alone. Biases and the parameters of norms are usually excluded: for them the step is
//! [`Tape::sgd`]'s without decay. Shaders: shaders/training/lars/, and the step of shaders/training/sgd/.

use crate::base::Result;
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill, guarded, same_types, sgd, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (param, grad, velocity, scalars, guard?) -> (param', velocity'), in place.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Lars {
    /// How much of the velocity stays.
    pub momentum: f32,
    /// L2 penalty, added to the gradient before its norm is taken.
    pub weight_decay: f32,
    /// The trust coefficient: 0.001 in the paper and in Barlow Twins.
    pub eta: f32,
    /// Keeps the local rate lr·q at lr or below.
    pub clip: bool,
    /// Slot of the learning rate among the scalars.
    pub lr: u32,
}

params! {
    struct Partial { elements: u32, decay: f32, groups: u32 }
}
params! {
    struct Trust { groups: u32, lr: u32, eta: f32, clip: u32 }
}

const PARTIAL: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/sum64.wgsl"),
    piece!("common/squares.wgsl"),
    piece!("training/lars/partial.wgsl"),
];
const TRUST: &[Piece] = &[piece!("common/sum64.wgsl"), piece!("training/lars/trust.wgsl")];
const FREE: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/unguarded.wgsl"),
    piece!("training/lars/trusted.wgsl"),
    piece!("training/sgd/step.wgsl"),
];
const GUARDED: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/guarded.wgsl"),
    piece!("training/lars/trusted.wgsl"),
    piece!("training/sgd/step.wgsl"),
];

impl Tape {
    /// Moves the state `param`, f32 of any shape, along `grad` of the same shape, keeping its velocity in the state
    /// `optim.<param>.velocity`. `scalars` is the [`crate::tape::record::Scalar::var`] that belongs to `op.lr`. Set the
    /// step's guard before.
    pub fn lars(&mut self, param: &str, grad: Var, scalars: Var, op: Lars) -> Result<()> {
        let ty = self.ty(grad);
        let velocity = format!("optim.{param}.velocity");
        let mut x = vec![self.state(param, ty)?, grad, self.state(&velocity, ty)?, scalars];
        x.extend(self.guard());
        let y = self.apply(op, &x)?;
        self.assign(param, y[0])?;
        self.assign(&velocity, y[1])
    }
}

/// How many workgroups sum a tensor of `elements`.
fn partials(elements: usize) -> usize {
    elements.div_ceil(4 * 1024)
}

impl Op for Lars {
    fn name(&self) -> &'static str {
        "lars"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        same_types("lars", &[("param", x[0]), ("grad", x[1]), ("velocity", x[2])])?;
        Ok(vec![x[0], x[2]])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0), (2, 1)]
    }

    fn unguarded(&self) -> Option<usize> {
        Some(4)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], _variant: &'static str, _caps: &crate::device::Caps) -> Vec<Type> {
        vec![Type::f32([2 * partials(x[0].shape.numel())]), Type::f32([1])]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let elements = e.y[0].shape.numel();
        let groups = partials(elements) as u32;
        let params = Partial { elements: elements as u32, decay: self.weight_decay, groups };
        let buffers = [Slot::Out(0), Slot::In(1), Slot::Work(0)];
        e.launch(Kernel::new("lars.partial", "portable", PARTIAL), &buffers, &params, groups_1d(groups as usize));
        let params = Trust { groups, lr: self.lr, eta: self.eta, clip: u32::from(self.clip) };
        let buffers = [Slot::Work(0), Slot::In(3), Slot::Work(1)];
        e.launch(Kernel::new("lars.trust", "portable", TRUST), &buffers, &params, [1, 1, 1]);
        let (vectors, grid) = vec4_grid(elements);
        let (momentum, decay) = (self.momentum, self.weight_decay);
        let params = sgd::Params { vectors, lr: self.lr, momentum, decay, nesterov: 0 };
        let buffers = vec![Slot::Out(0), Slot::In(1), Slot::Out(1), Slot::In(3), Slot::Work(1)];
        let (kernel, buffers) = guarded(self, e.x.len(), Kernel::new("lars.step", "portable", FREE), GUARDED, buffers);
        e.launch(kernel, &buffers, &params, grid);
        Ok(())
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 13 * x[0].shape.numel() as u64, bytes: 7 * x[0].bytes() }
    }
}

/// Named cases; the scalars hold the learning rate in slot 1.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, op: &Lars, param: Fill, guard: Option<u32>| {
        let ty = Type::f32([n]);
        let scalars = (Type::f32([crate::tape::record::SCALARS]), Fill::Values(vec![7.0, 0.3]));
        let mut x = vec![(ty, param), (ty, Fill::Normal), (ty, Fill::Normal), scalars];
        x.extend(guard.map(|g| (Type::u32([1]), Fill::Words(vec![g]))));
        Case::new(name, op.clone(), x)
    };
    let plain = Lars { momentum: 0.9, weight_decay: 0.01, eta: 0.001, clip: false, lr: 1 };
    let clipped = Lars { clip: true, ..plain.clone() };
    let large = Lars { eta: 5.0, ..clipped.clone() };
    vec![
        case("one", 1, &plain, Fill::Normal, None),
        case("prime", 1009, &plain, Fill::Normal, None),
        case("three partial sums", 8197, &plain, Fill::Normal, None),
        case("weights of zero", 37, &plain, Fill::Values(vec![0.0]), None),
        case("clip that does nothing", 131, &clipped, Fill::Normal, None),
        case("clip that bites", 131, &large, Fill::Normal, None),
        case("guard down", 1025, &plain, Fill::Normal, Some(0)),
        case("guard up", 37, &plain, Fill::Normal, Some(1)),
    ]
}

//! lars (You et al. 2017, arXiv:1708.03888), as the code of Barlow Twins has it: d = grad + decay·w; q = eta·‖w‖/‖d‖, or
//! 1 where either norm is 0; clipped, q = min(q/lr, 1); v' = momentum·v + q·d; w' = w − lr·v'. Both in place; a raised
//! guard leaves both alone. Biases and the parameters of norms are usually excluded: for them the step is
//! [`Tape::sgd`]'s without decay. Shaders: shaders/training/lars/, and the step of shaders/training/sgd/.

use crate::base::Result;
use crate::device::{Caps, Kernel, Piece};
use crate::kernels::many::{self, Joined, Many, Tensor, launch_all, under};
use crate::kernels::{Case, Fill, lanes, same_types, sgd};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};
use std::sync::Arc;

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
    struct Partial { tensors: [[u32; 4]; 0] }
}
params! {
    struct Trust { eta: f32, clip: u32, padding: [u32; 2], tensors: [[u32; 4]; 0] }
}

const INDEX: &[Piece] = &[piece!("common/index.wgsl")];
const TENSORS: &[Piece] = &[piece!("common/index.wgsl"), piece!("common/tensors.wgsl")];
const PARTIAL: &[Piece] = &[piece!("common/squares.wgsl"), piece!("training/lars/partial.wgsl")];
const TRUST: &[Piece] = &[piece!("training/lars/trust.wgsl")];
const FREE: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/tensors.wgsl"),
    piece!("common/unguarded.wgsl"),
    piece!("training/lars/trusted.wgsl"),
    piece!("training/sgd/step.wgsl"),
];
const GUARDED: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/tensors.wgsl"),
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

    fn own_inputs(&self) -> Option<usize> {
        Some(Self::OWN)
    }

    fn joined(&self, ops: &[&dyn Op]) -> Option<Arc<dyn Op>> {
        many::joined::<Self>(ops)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], _variant: &'static str, _caps: &Caps) -> Vec<Type> {
        Self::workspaces(std::slice::from_ref(self), x)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        Self::emit_all(std::slice::from_ref(self), e)
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 13 * x[0].shape.numel() as u64, bytes: 7 * x[0].bytes() }
    }
}

impl Many for Lars {
    const OWN: usize = 3;

    fn joins(&self, other: &Self) -> bool {
        *self == Lars { weight_decay: self.weight_decay, lr: self.lr, ..other.clone() }
    }

    /// The sums of the workgroups, and a ratio of each tensor.
    fn workspaces(all: &[Self], x: &[Type]) -> Vec<Type> {
        let sums = (0..all.len()).map(|i| partials(x[i * Self::OWN].shape.numel()));
        vec![Type::f32([2 * sums.sum::<usize>()]), Type::f32([all.len()])]
    }

    fn emit_all(all: &[Self], e: &mut Emit<'_>) -> Result<()> {
        let Some(first) = all.first() else { return Ok(()) };
        let (mut sums, mut ratios, mut steps, mut part) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (i, op) in all.iter().enumerate() {
            let elements = e.y[2 * i].shape.numel();
            let groups = partials(elements);
            sums.push(Tensor {
                groups,
                size: elements as u32,
                words: [op.weight_decay.to_bits(), 0],
                slots: vec![Slot::Out(2 * i), Slot::In(i * Self::OWN + 1)],
                index: part,
            });
            ratios.push(Tensor {
                groups: 1,
                size: groups as u32,
                words: [part, op.lr],
                slots: Vec::new(),
                index: i as u32,
            });
            steps.push(sgd::tensor(i, (op.lr, op.weight_decay), e));
            part += groups as u32;
        }
        let scalars = Slot::In(Self::OWN * all.len());
        let kernel = lanes::sum64(Kernel::new("lars.partial", "portable", TENSORS)).followed_by(PARTIAL);
        launch_all(e, &kernel, (&sums, &[Slot::Work(0)]), &Partial { tensors: [] });
        let kernel = lanes::sum64(Kernel::new("lars.trust", "portable", INDEX)).followed_by(TRUST);
        let (eta, clip) = (first.eta, u32::from(first.clip));
        let params = Trust { eta, clip, padding: [0; 2], tensors: [] };
        launch_all(e, &kernel, (&ratios, &[Slot::Work(0), scalars, Slot::Work(1)]), &params);
        let guard = (e.x.len() > Self::OWN * all.len() + 1).then_some(Slot::In(Self::OWN * all.len() + 1));
        let kernel = under(guard, Kernel::new("lars.step", "portable", FREE), GUARDED, 5);
        let common: Vec<Slot> = [scalars, Slot::Work(1)].into_iter().chain(guard).collect();
        let params = sgd::Params { momentum: first.momentum, nesterov: 0, padding: [0; 2], tensors: [] };
        launch_all(e, &kernel, (&steps, &common), &params);
        Ok(())
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
    let both = {
        let own = |n: usize| vec![(Type::f32([n]), Fill::Normal); 3];
        let scalars = (Type::f32([crate::tape::record::SCALARS]), Fill::Values(vec![0.7, 0.3]));
        let each = vec![clipped.clone(), Lars { weight_decay: 0.0, lr: 0, ..clipped.clone() }];
        Case::new("two tensors", Joined { each }, [own(8197), own(6), vec![scalars]].concat())
    };
    vec![
        both,
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

//! ema: target = keep·target + (1 − keep)·factor·x in place: running statistics and momentum encoders.
//! It moves state and has no gradient. Shaders: shaders/training/ema/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::many::{self, Joined, Many, Tensor, launch_all};
use crate::kernels::{Case, Fill};
use crate::tape::record::SCALARS;
use crate::tape::{Cost, Emit, Op, Scalar, Slot, Tape, Type, Var};
use crate::{params, piece};
use std::sync::Arc;

/// An exponential moving average, in place on input 0. Inputs: target, x, the scalars where `slot` is given, and the
/// step's guard where it has one.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Ema {
    /// How much of the old value stays; not used where `slot` is given.
    pub keep: f32,
    /// The scalar that says how much of the old value stays.
    pub slot: Option<u32>,
    /// What x is multiplied by first: n/(n−1) makes a biased variance of n values an unbiased one.
    pub factor: f32,
}

params! {
    struct Params { tensors: [[u32; 4]; 0] }
}

/// Pieces by what keep is and whether there is a guard.
const CONSTANT: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/tensors.wgsl"),
    piece!("common/unguarded.wgsl"),
    piece!("training/ema/keep_constant.wgsl"),
    piece!("training/ema/forward.wgsl"),
];
const CONSTANT_GUARDED: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/tensors.wgsl"),
    piece!("common/guarded.wgsl"),
    piece!("training/ema/keep_constant.wgsl"),
    piece!("training/ema/forward.wgsl"),
];
const SCHEDULED: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/tensors.wgsl"),
    piece!("common/unguarded.wgsl"),
    piece!("training/ema/keep_scheduled.wgsl"),
    piece!("training/ema/forward.wgsl"),
];
const SCHEDULED_GUARDED: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/tensors.wgsl"),
    piece!("common/guarded.wgsl"),
    piece!("training/ema/keep_scheduled.wgsl"),
    piece!("training/ema/forward.wgsl"),
];

impl Tape {
    /// Moves the state `target` towards x: keep·target + (1 − keep)·factor·x, both f32 of one shape. A guard
    /// that is set later holds for it, too. Returns the new value, already assigned.
    pub fn ema(&mut self, target: &str, x: Var, keep: f32, factor: f32) -> Result<Var> {
        self.ema_of(target, Ema { keep, slot: None, factor }, &[x])
    }

    /// As [`Tape::ema`] with factor 1 and a scheduled keep.
    pub fn ema_scheduled(&mut self, target: &str, x: Var, keep: Scalar) -> Result<Var> {
        self.ema_of(target, Ema { keep: 0.0, slot: Some(keep.slot), factor: 1.0 }, &[x, keep.var])
    }

    fn ema_of(&mut self, target: &str, op: Ema, inputs: &[Var]) -> Result<Var> {
        let ty = self.ty(inputs[0]);
        let mut all = vec![self.state(target, ty)?];
        all.extend_from_slice(inputs);
        all.extend(self.guard());
        let moved = self.apply1(op, &all)?;
        self.assign(target, moved)?;
        Ok(moved)
    }
}

impl Ema {
    /// How many inputs come before the guard.
    fn plain(&self) -> usize {
        2 + usize::from(self.slot.is_some())
    }
}

impl Op for Ema {
    fn name(&self) -> &'static str {
        "ema"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("ema", "target", DType::F32)?;
        x[1].expect_dtype("ema", "x", DType::F32)?;
        if x[0].shape != x[1].shape {
            return Err(Error::shapes("ema", ("target", x[0].shape), ("x", x[1].shape), "they must be equal"));
        }
        if self.slot.is_some() && x.get(2) != Some(&Type::f32([SCALARS])) {
            return Err(Error::shape("ema", "a scheduled keep needs the buffer of all scalars as its third input"));
        }
        if let Some(guard) = x.get(self.plain()).filter(|&&g| g != Type::u32([1])) {
            return Err(Error::shape("ema", format!("the guard must be U32 [1], not {guard}")));
        }
        Ok(vec![x[0]])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }

    fn unguarded(&self) -> Option<usize> {
        Some(self.plain())
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
        Cost { flops: 3 * y[0].shape.numel() as u64, bytes: 3 * y[0].bytes() }
    }
}

impl Many for Ema {
    const OWN: usize = 2;

    fn joins(&self, other: &Self) -> bool {
        self.slot.is_some() == other.slot.is_some()
    }

    fn emit_all(all: &[Self], e: &mut Emit<'_>) -> Result<()> {
        let Some(first) = all.first() else { return Ok(()) };
        let tensor = |(i, op): (usize, &Self)| {
            let vectors = e.y[i].shape.numel().div_ceil(4);
            Tensor {
                groups: vectors.div_ceil(256),
                size: vectors as u32,
                words: [op.slot.unwrap_or(op.keep.to_bits()), op.factor.to_bits()],
                slots: vec![Slot::Out(i), Slot::In(i * Self::OWN + 1)],
                index: 0,
            }
        };
        let tensors: Vec<Tensor> = all.iter().enumerate().map(tensor).collect();
        let common: Vec<Slot> = (all.len() * Self::OWN..e.x.len()).map(Slot::In).collect();
        let pieces = match (first.slot, common.len() > first.plain() - Self::OWN) {
            (None, false) => CONSTANT,
            (None, true) => CONSTANT_GUARDED,
            (Some(_), false) => SCHEDULED,
            (Some(_), true) => SCHEDULED_GUARDED,
        };
        // The guard is the last input, and is bound last.
        let kernel = Kernel::new("ema.forward", "portable", pieces).with("GUARD", (Self::OWN + common.len()) as u32);
        launch_all(e, &kernel, (&tensors, &common), &Params { tensors: [] });
        Ok(())
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize], op: Ema, rest: Vec<(Type, Fill)>| {
        let ty = Type::f32(crate::base::Shape::new(shape));
        let mut inputs = vec![(ty, Fill::Normal), (ty, Fill::Normal)];
        inputs.extend(rest);
        Case::new(name, op, inputs)
    };
    let constant = |keep, factor| Ema { keep, slot: None, factor };
    let scheduled = Ema { keep: 0.0, slot: Some(3), factor: 1.0 };
    let scalars = || (Type::f32([SCALARS]), Fill::Uniform(0.5, 1.0));
    let guard = |raised| (Type::u32([1]), Fill::Words(vec![raised]));
    let both = |name, each: [Ema; 2], common: Vec<(Type, Fill)>| {
        let own = [1031, 1031, 6, 6].map(|n| (Type::f32([n]), Fill::Normal));
        Case::new(name, Joined { each: each.to_vec() }, [own.to_vec(), common].concat())
    };
    let slow = Ema { slot: Some(9), factor: 1.5, ..scheduled.clone() };
    vec![
        both("two tensors", [constant(0.9, 1.0), constant(0.75, 1.25)], vec![]),
        both("two tensors, scheduled, guard down", [scheduled.clone(), slow], vec![scalars(), guard(0)]),
        case("one", &[1], constant(0.9, 1.0), vec![]),
        case("prime", &[7, 13, 11], constant(0.99, 1.25), vec![]),
        case("guard down", &[1025], constant(0.9, 1.0), vec![guard(0)]),
        case("guard raised", &[1025], constant(0.9, 1.0), vec![guard(1)]),
        case("scheduled", &[31], scheduled.clone(), vec![scalars()]),
        case("scheduled, guard down", &[31], scheduled.clone(), vec![scalars(), guard(0)]),
        case("scheduled, guard raised", &[31], scheduled, vec![scalars(), guard(1)]),
    ]
}

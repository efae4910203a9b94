//! loss_scale, as torch.amp.GradScaler with growth 2 and backoff ½: the loss is multiplied by a scale, so that small
//! gradients do not vanish in f16; a step whose gradients are not finite is skipped and halves the scale, and so many
//! good steps in a row double it. The scale stays within 2⁻¹⁰⁰ and 2¹⁰⁰. It moves state and has no gradient.
//! Shaders: shaders/training/loss_scale/.

use crate::base::{Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// The scale's start and pace.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct LossScale {
    /// The scale of the first step, positive: a power of two keeps scaling exact. PyTorch's is 65536.
    pub initial: f32,
    /// Good steps in a row after which the scale doubles, at least 1. PyTorch's is 2000.
    pub interval: u32,
}

/// (state [1]) -> the scale [1]: the state, or `initial` where it is 0 because no step was made yet.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Now(pub LossScale);

/// (state [1], good steps [1], flag u32 [1]) -> (state', good steps'), in place.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Step(pub LossScale);

params! {
    struct NowParams { initial: f32 }
}
params! {
    struct StepParams { initial: f32, interval: f32 }
}

const NOW: &[Piece] = &[piece!("training/loss_scale/now.wgsl")];
const STEP: &[Piece] = &[piece!("training/loss_scale/step.wgsl")];

/// The states it keeps, in a scope with the player's name before them: the scale, and how many good steps there were
/// since it last changed.
const STATES: [&str; 2] = ["loss_scale.scale", "loss_scale.good_steps"];

impl Tape {
    /// The scale of this step, f32 [1]: pass it to [`Tape::backward`] as the cotangent of a loss [1], and to
    /// [`Tape::clip_grad_norm`], which divides by it.
    pub fn loss_scale(&mut self, op: LossScale) -> Result<Var> {
        let name = self.scoped(STATES[0]);
        let state = self.state(&name, Type::f32([1]))?;
        self.apply1(Now(op), &[state])
    }

    /// Moves the scale for the next step: `flag`, u32 [1], is what [`Tape::found_inf`] of this step gave, and usually
    /// the scope's guard, which does not hold this back. Record it after [`Tape::loss_scale`]; a second one in a scope is an
    /// error.
    pub fn update_loss_scale(&mut self, op: LossScale, flag: Var) -> Result<()> {
        let [state, good] = STATES.map(|name| self.scoped(name));
        self.expect_unassigned(&state, "loss scale")?;
        let x = [self.state(&state, Type::f32([1]))?, self.state(&good, Type::f32([1]))?, flag];
        let y = self.apply(Step(op), &x)?;
        self.assign(&state, y[0])?;
        self.assign(&good, y[1])
    }
}

impl LossScale {
    fn check(&self, x: &[Type]) -> Result<()> {
        if !(self.initial > 0.0 && self.initial.is_finite()) || self.interval == 0 || self.interval >= 1 << 24 {
            return Err(Error::shape(
                "loss_scale",
                format!("{self:?} must begin above 0 and grow after 1 to 2²⁴ steps"),
            ));
        }
        match x.iter().find(|x| x.shape.numel() != 1) {
            Some(x) => Err(Error::shape("loss_scale", format!("scale, count and flag have one element, not {x}"))),
            None => Ok(()),
        }
    }
}

impl Op for Now {
    fn name(&self) -> &'static str {
        "loss_scale"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        self.0.check(x)?;
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let params = NowParams { initial: self.0.initial };
        e.launch(Kernel::new("loss_scale.now", "portable", NOW), &[Slot::In(0), Slot::Out(0)], &params, [1, 1, 1]);
        Ok(())
    }

    fn cost(&self, _x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: 8 }
    }
}

impl Op for Step {
    fn name(&self) -> &'static str {
        "loss_scale.step"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        self.0.check(x)?;
        Ok(vec![x[0], x[1]])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0), (1, 1)]
    }

    // The scale must fall exactly when the step is skipped.
    fn defies_guard(&self) -> bool {
        true
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let params = StepParams { initial: self.0.initial, interval: self.0.interval as f32 };
        let buffers = [Slot::Out(0), Slot::Out(1), Slot::In(2)];
        e.launch(Kernel::new("loss_scale.step", "portable", STEP), &buffers, &params, [1, 1, 1]);
        Ok(())
    }

    fn cost(&self, _x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 2, bytes: 20 }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let op = LossScale { initial: 1024.0, interval: 5 };
    let number = |v: f32| (Type::f32([1]), Fill::Values(vec![v]));
    let now = |name, state| Case::new(name, Now(op), vec![number(state)]);
    let step = |name, state, good, flag| {
        let x = vec![number(state), number(good), (Type::u32([1]), Fill::Words(vec![flag]))];
        Case::new(name, Step(op), x)
    };
    let largest = f32::from_bits(227 << 23);
    vec![
        now("before the first step", 0.0),
        now("later", 256.0),
        step("first step, good", 0.0, 0.0, 0),
        step("first step, bad", 0.0, 0.0, 1),
        step("good", 64.0, 2.0, 0),
        step("the good step that doubles", 64.0, 4.0, 0),
        step("bad", 64.0, 4.0, 1),
        step("no larger", largest, 4.0, 0),
    ]
}

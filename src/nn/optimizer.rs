//! Optimizers over a model's parameters. One recording updates all of them, guarded against a gradient that is not
//! finite.

use crate::base::{DType, Error, Result};
use crate::kernels::adam::Adam;
use crate::kernels::lars::Lars;
use crate::kernels::loss_scale::LossScale;
use crate::kernels::sgd::Sgd;
use crate::tape::{Scalar, StepPart, Tape, Var};

/// An optimizer with its constants. The learning rate is the step's scalar `lr`, in the scope of a player `<player>.lr`
/// ([`Tape::scope`]).
///
/// ```
/// use wgslab::nn::Optimizer;
/// use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type};
///
/// # let Some(gpu) = wgslab::lab::check::gpu_or_skip()? else { return Ok(()) };
/// let mut t = Tape::new();
/// let w = t.state("w", Type::f32([1]))?;
/// let loss = t.mul(w, w)?; // its gradient is 2·w
/// let sgd = Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
/// let skipped = sgd.minimize(&mut t, loss, &["w".to_string()])?;
/// t.output("skipped", skipped); // 1 where the gradient was not finite, and w was left alone
/// let mut state = State::new();
/// state.insert(&gpu, "w", Type::f32([1]), Some(bytemuck::bytes_of(&3.0f32)))?;
/// state.insert_missing(&gpu, &t.state_types())?; // what the optimizer remembers begins at zero
/// let plan = Plan::new(&gpu, Schedule::new(&t, &Options::new(gpu.caps()))?, &state)?;
/// plan.run(&gpu, &Feed::new().scalar("lr", 0.25))?;
/// assert_eq!(state.read_f32(&gpu, "w")?, [1.5]); // 3 − 0.25 · 6
/// # Ok::<(), wgslab::base::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub enum Optimizer {
    /// torch.optim.SGD.
    Sgd {
        /// The share of the velocity that is kept at each step.
        momentum: f32,
        /// Whether the momentum has Nesterov's form.
        nesterov: bool,
        /// This times the weight is added to the gradient.
        weight_decay: f32,
    },
    /// torch.optim.Adam, or torch.optim.AdamW if `decoupled`.
    Adam {
        /// The share of the mean of gradients that is kept at each step.
        beta1: f32,
        /// The share of the mean of their squares that is kept at each step.
        beta2: f32,
        /// Added to the root of the mean square.
        eps: f32,
        /// The weight decay; see `decoupled`.
        weight_decay: f32,
        /// If set, the weight itself shrinks by lr · decay. Otherwise decay times the weight is added to the gradient.
        decoupled: bool,
    },
    /// LARS (You et al. 2017, arXiv:1708.03888) as in the code of Barlow Twins. The step of a tensor is as long as
    /// `eta` times the tensor's norm. Most recipes exclude biases and norms ([`Vectors::Excluded`]).
    Lars {
        /// The share of the velocity that is kept at each step.
        momentum: f32,
        /// This times the weight is added to the gradient.
        weight_decay: f32,
        /// The trust coefficient.
        eta: f32,
        /// Whether the local rate is kept at lr or below.
        clip: bool,
    },
}

/// How an optimizer treats biases and the parameters of norms. These are the tensors of one dimension, as in the code
/// of Barlow Twins (`exclude_bias_and_norm`) and in timm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vectors {
    /// As all other tensors.
    #[default]
    Included,
    /// They have no weight decay, and LARS does not adapt their steps.
    Excluded,
    /// As `Excluded`, with a learning rate of their own: the step's scalar `bias_lr`, in the scope of a player
    /// `<player>.bias_lr`.
    ExcludedAtOwnRate,
}

/// What is done to gradients before an optimizer takes them, and which tensors it treats differently.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Clips all gradients together to this norm, as torch.nn.utils.clip_grad_norm_ does. `None` clips nothing.
    pub max_grad_norm: Option<f32>,
    /// Scales the loss and skips steps that overflow, as torch.amp.GradScaler does. `None` scales nothing.
    pub loss_scale: Option<LossScale>,
    /// How biases and the parameters of norms are treated.
    pub vectors: Vectors,
    /// A layer with a way of its own, as a group of parameters in PyTorch.
    pub group: Option<Group>,
}

/// A layer that is updated in a way of its own, as a group of parameters in PyTorch (`param_groups`). Its name is how the
/// names of its tensors begin, up to the first dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Some steps do not change it, nor what the optimizer remembers of it, as in PyTorch if `grad` is None. It has a
    /// scope of its own ([`Tape::scope`]) that is called like the layer, with its guard, step count and learning rate.
    Held {
        /// The layer.
        layer: &'static str,
        /// The scalar that is 1 in steps that do not change it, and 0 in all other steps.
        scalar: &'static str,
    },
    /// Its learning rate is the step's scalar `constant_lr` in the place of `lr`, and `constant_bias_lr` in the place of
    /// `bias_lr`; in the scope of a player `<player>.constant_lr`.
    ConstantRate {
        /// The layer.
        layer: &'static str,
    },
}

impl Group {
    fn layer(&self) -> &'static str {
        match self {
            Group::Held { layer, .. } | Group::ConstantRate { layer } => layer,
        }
    }

    fn has(&self, name: &str) -> bool {
        name.split_once('.').is_some_and(|(layer, _)| layer == self.layer())
    }
}

/// What [`Optimizer::minimize_within`] records besides the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The guard's flag, u32 [1]. It is 1 if the step is skipped.
    pub skipped: Var,
    /// The norm of all gradients before clipping, f32 [1]. `None` without a limit.
    pub grad_norm: Option<Var>,
    /// The factor of the loss, f32 [1]. `None` without a loss scale.
    pub loss_scale: Option<Var>,
}

impl Optimizer {
    /// Adam with PyTorch's betas and eps. The weight decay is added to the gradient.
    pub fn adam(weight_decay: f32) -> Self {
        Optimizer::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay, decoupled: false }
    }

    /// AdamW with PyTorch's betas and eps.
    pub fn adamw(weight_decay: f32) -> Self {
        Optimizer::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay, decoupled: true }
    }

    /// LARS with the momentum and trust coefficient of Barlow Twins.
    pub fn lars(weight_decay: f32) -> Self {
        Optimizer::Lars { momentum: 0.9, weight_decay, eta: 0.001, clip: false }
    }

    /// How many tensors of a parameter's size are kept for the parameter between steps.
    pub fn moments(&self) -> u64 {
        match self {
            Optimizer::Sgd { .. } | Optimizer::Lars { .. } => 1,
            Optimizer::Adam { .. } => 2,
        }
    }

    /// Records the backward pass of `loss` f32 [1] and the update of every parameter in `trained`. If a gradient is not
    /// finite, the guard of the scope is raised, and nothing of that scope is updated. Returns the guard's flag, u32
    /// [1]. It is an error if the scope has a guard already, or if the loss does not depend on a parameter.
    pub fn minimize(&self, t: &mut Tape, loss: Var, trained: &[String]) -> Result<Var> {
        Ok(self.minimize_within(t, loss, trained, Limits::default())?.skipped)
    }

    /// As [`Optimizer::minimize`], with `limits`. With clipping or a loss scale, the norm of all gradients raises the
    /// guard. The norm is finite only if each gradient is.
    pub fn minimize_within(&self, t: &mut Tape, loss: Var, trained: &[String], limits: Limits) -> Result<Step> {
        let vars = trained.iter().map(|n| current(t, n)).collect::<Result<Vec<_>>>()?;
        let loss_scale = limits.loss_scale.map(|op| t.loss_scale(op)).transpose()?;
        let found = t.backward(&[loss], &[loss_scale], &vars)?;
        let grads = expect_all(trained, found)?;
        t.part(StepPart::Optimizer, |t| self.apply(t, trained, grads, (limits, loss_scale)))
    }

    /// As [`Optimizer::minimize_within`], but with given gradients of `trained`, in the same order. Earlier recordings
    /// of the step made them, from a loss that was scaled by [`Tape::loss_scale`] if `limits` has a loss scale. It is an
    /// error if their number differs.
    pub fn descend_within(&self, t: &mut Tape, trained: &[String], grads: Vec<Var>, limits: Limits) -> Result<Step> {
        if trained.len() != grads.len() {
            let (have, due) = (grads.len(), trained.len());
            return Err(Error::Failed(format!("{have} gradients were given for {due} parameters; give one for each")));
        }
        let loss_scale = limits.loss_scale.map(|op| t.loss_scale(op)).transpose()?;
        t.part(StepPart::Optimizer, |t| self.apply(t, trained, grads, (limits, loss_scale)))
    }

    /// Guards, limits and applies the gradients of `trained`.
    fn apply(
        &self,
        t: &mut Tape,
        trained: &[String],
        mut grads: Vec<Var>,
        (limits, loss_scale): (Limits, Option<Var>),
    ) -> Result<Step> {
        let mut grad_norm = None;
        let skipped = if loss_scale.is_some() || limits.max_grad_norm.is_some() {
            let (clipped, norm) = t.clip_grad_norm(&grads, limits.max_grad_norm.unwrap_or(f32::MAX), loss_scale)?;
            (grads, grad_norm) = (clipped, Some(norm));
            t.found_inf(&[norm])?
        } else {
            t.found_inf(&grads)?
        };
        t.set_guard(skipped)?;
        let lr = t.scoped("lr");
        let (lr, all) = (t.scalar(&lr)?, trained.iter().cloned().zip(grads));
        let is_apart = |pair: &(String, Var)| limits.group.is_some_and(|of| of.has(&pair.0));
        let (apart, pairs): (Vec<_>, Vec<_>) = all.partition(is_apart);
        if let (Some(of), true) = (limits.group, apart.is_empty()) {
            let layer = of.layer();
            return Err(Error::Failed(format!(
                "the layer {layer} is a group of its own, but no trained parameter's name begins with {layer}.; name it as \
                 the layer is recorded"
            )));
        }
        t.layer("optimizer", |t| {
            let step = self.counted(t)?;
            self.update_within(t, &pairs, (lr, "bias_lr"), (step, limits.vectors))?;
            match limits.group {
                None => Ok(()),
                Some(Group::Held { layer, scalar }) => {
                    self.update_held(t, (layer, scalar), &apart, skipped, limits.vectors)
                }
                Some(Group::ConstantRate { .. }) => {
                    let lr = t.scoped("constant_lr");
                    let lr = t.scalar(&lr)?;
                    self.update_within(t, &apart, (lr, "constant_bias_lr"), (step, limits.vectors))
                }
            }
        })?;
        if let Some(op) = limits.loss_scale {
            t.update_loss_scale(op, skipped)?;
        }
        Ok(Step { skipped, grad_norm, loss_scale })
    }

    /// Records the update of each parameter by its gradient; `pairs` are names and gradients. Adam counts its steps in
    /// the state `optim.step`, in a scope `<player>.optim.step`. A second Adam that would count in the same state is an
    /// error.
    pub fn update(&self, t: &mut Tape, pairs: &[(String, Var)], lr: Scalar) -> Result<()> {
        let step = self.counted(t)?;
        self.update_within(t, pairs, (lr, "bias_lr"), (step, Vectors::Included))
    }

    /// The count of the scope's steps, with this one. Only Adam counts.
    fn counted(&self, t: &mut Tape) -> Result<Option<Var>> {
        let Optimizer::Adam { .. } = self else { return Ok(None) };
        let steps = t.scoped("optim.step");
        t.expect_unassigned(&steps, "optimizer")?;
        t.increment(&steps).map(Some)
    }

    /// As [`Optimizer::update`], in the step `step`. `vectors` says how biases and the parameters of norms are treated;
    /// a rate of their own is the scalar `bias_lr`.
    fn update_within(
        &self,
        t: &mut Tape,
        pairs: &[(String, Var)],
        (lr, bias_lr): (Scalar, &str),
        (step, vectors): (Option<Var>, Vectors),
    ) -> Result<()> {
        let bias_lr = match vectors {
            Vectors::ExcludedAtOwnRate => {
                let name = t.scoped(bias_lr);
                t.scalar(&name)?
            }
            _ => lr,
        };
        pairs.iter().try_for_each(|(name, g)| {
            let excluded = vectors != Vectors::Included && t.shape(*g).rank() <= 1;
            let lr = if excluded { bias_lr } else { lr };
            t.layer(name, |t| self.update_one(t, (name, *g), step, (lr, excluded)))
        })
    }

    /// Records the update of a layer that some steps do not change. A step that is `skipped` does not change it
    /// either.
    fn update_held(
        &self,
        t: &mut Tape,
        (layer, scalar): (&str, &str),
        pairs: &[(String, Var)],
        skipped: Var,
        vectors: Vectors,
    ) -> Result<()> {
        let hold = t.scalar(scalar)?;
        t.scope(layer, |t| {
            let hold = t.slice(hold.var, 0, hold.slot as usize, 1)?;
            let skipped = t.cast(skipped, DType::F32)?;
            let either = t.maximum(hold, skipped)?;
            let flag = t.cast(either, DType::U32)?;
            t.set_guard(flag)?;
            let lr = t.scoped("lr");
            let lr = t.scalar(&lr)?;
            let step = self.counted(t)?;
            self.update_within(t, pairs, (lr, "bias_lr"), (step, vectors))
        })
    }

    /// Records the update of one parameter. `step` is Adam's count of steps.
    fn update_one(
        &self,
        t: &mut Tape,
        (name, g): (&str, Var),
        step: Option<Var>,
        (lr, excluded): (Scalar, bool),
    ) -> Result<()> {
        let decay = |weight_decay: f32| if excluded { 0.0 } else { weight_decay };
        match (*self, step) {
            (Optimizer::Sgd { momentum, nesterov, weight_decay }, _) => {
                let op = Sgd { momentum, nesterov, weight_decay: decay(weight_decay), lr: lr.slot };
                t.sgd(name, g, lr.var, op)
            }
            (Optimizer::Adam { beta1, beta2, eps, weight_decay, decoupled }, Some(step)) => {
                let op = Adam { beta1, beta2, eps, weight_decay: decay(weight_decay), decoupled, lr: lr.slot };
                t.adam(name, g, step, lr.var, op)
            }
            (Optimizer::Adam { .. }, None) => Err(Error::Failed("Adam has no count of its steps".into())),
            (Optimizer::Lars { momentum, .. }, _) if excluded => {
                t.sgd(name, g, lr.var, Sgd { momentum, nesterov: false, weight_decay: 0.0, lr: lr.slot })
            }
            (Optimizer::Lars { momentum, weight_decay, eta, clip }, _) => {
                t.lars(name, g, lr.var, Lars { momentum, weight_decay, eta, clip, lr: lr.slot })
            }
        }
    }
}

/// The gradients of `trained`. It is an error if the loss does not depend on one of them.
pub(super) fn expect_all(trained: &[String], found: Vec<Option<Var>>) -> Result<Vec<Var>> {
    let missing =
        |n: &String| Error::Failed(format!("the loss does not depend on {n}; leave it out of the trained set"));
    trained.iter().zip(found).map(|(name, g)| g.ok_or_else(|| missing(name))).collect()
}

/// The newest value of a parameter that is on the tape. It is an error if it is not.
pub(super) fn current(t: &mut Tape, name: &str) -> Result<Var> {
    match t.state_types().into_iter().find(|s| s.0 == name) {
        Some((_, ty)) => t.state(name, ty),
        None => Err(Error::Failed(format!("parameter {name} is not on the tape"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Gpu;
    use crate::device::gpu::for_test;
    use crate::tape::{Feed, Options, Plan, Schedule, State, Type};

    const NAMES: [&str; 2] = ["body.w", "last.w"];

    /// Steps of `optimizer` with `group`, down the product of two numbers that begin at 2.
    fn product_of_two(gpu: &Gpu, optimizer: Optimizer, group: Group) -> (Plan, State) {
        let mut t = Tape::new();
        let [a, b] = NAMES.map(|name| t.state(name, Type::f32([1])).unwrap());
        let product = t.mul(a, b).unwrap();
        let limits = Limits { group: Some(group), ..Limits::default() };
        optimizer.minimize_within(&mut t, product, &NAMES.map(String::from), limits).unwrap();
        let mut state = State::new();
        for name in NAMES {
            state.insert(gpu, name, Type::f32([1]), Some(bytemuck::bytes_of(&2.0f32))).unwrap();
        }
        state.insert_missing(gpu, &t.state_types()).unwrap();
        let schedule = Schedule::new(&t, &Options::new(gpu.caps())).unwrap();
        (Plan::new(gpu, schedule, &state).unwrap(), state)
    }

    /// As with two groups of parameters in PyTorch. Both count the same steps of Adam.
    #[test]
    fn a_layer_at_a_constant_rate_leaves_the_schedule_to_the_others() {
        let Some(gpu) = for_test() else { return };
        let (plan, state) = product_of_two(&gpu, Optimizer::adam(0.0), Group::ConstantRate { layer: "last" });
        for (lr, due) in [(0.25, [1.75, 1.5]), (0.0, [1.75, 1.0])] {
            plan.run(&gpu, &Feed::new().scalar("lr", lr).scalar("constant_lr", 0.5)).unwrap();
            for (name, due) in NAMES.iter().zip(due) {
                let got = state.read_f32(&gpu, name).unwrap()[0];
                // The second gradient of Adam differs from the first, so that its step is nearly as long as the rate.
                assert!((got - due).abs() < 0.01, "{name}: {got}, {due}");
            }
        }
    }

    /// As in PyTorch with a gradient that is None, neither the weight nor what is remembered of it moves. Adam counts
    /// its first step when it takes one.
    #[test]
    fn a_held_layer_is_as_if_the_step_were_not() {
        let Some(gpu) = for_test() else { return };
        let adam = Optimizer::adam(0.1);
        let (plan, state) = product_of_two(&gpu, adam, Group::Held { layer: "last", scalar: "hold" });
        let step = |hold: f32| {
            plan.run(&gpu, &Feed::new().scalar("lr", 0.25).scalar("last.lr", 0.25).scalar("hold", hold)).unwrap();
            NAMES.map(|name| state.read_f32(&gpu, name).unwrap()[0])
        };
        // The first step of Adam is as long as the learning rate.
        let near = |got: [f32; 2], due: [f32; 2]| got.iter().zip(due).all(|(g, d)| (g - d).abs() < 1e-4);
        assert!(near(step(1.0), [1.75, 2.0]));
        assert_eq!(step(1.0)[1], 2.0);
        let third = step(0.0);
        assert!((third[1] - 1.75).abs() < 1e-4, "{third:?}");
        let unknown = Limits { group: Some(Group::ConstantRate { layer: "gone" }), ..Limits::default() };
        let mut t = Tape::new();
        let w = t.state("body.w", Type::f32([1])).unwrap();
        let e = adam.minimize_within(&mut t, w, &[NAMES[0].to_string()], unknown).unwrap_err();
        assert!(e.to_string().contains("no trained parameter's name begins with gone."), "{e}");
    }
}

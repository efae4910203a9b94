//! DINO (Caron et al. 2021, arXiv 2104.14294). The teacher is a moving average of the student. For each image, the
//! student's distribution over K outputs on one view must match the teacher's on the other view. The loss is H(P_t(x₁),
//! P_s(x₂)) = −Σ P_t log P_s (eq. 2 and 3), the mean over both directions. P_s = softmax(z / τ_s) (eq. 1). P_t =
//! softmax((z − c) / τ_t), and the center c follows the teacher's mean output of a batch (eq. 4). A head is three
//! layers, a projection to length 1, and a layer of K rows of length 1 (appendix C).
//!
//! Two things differ from the authors' best runs: there are two global views and no smaller ones, and the weight decay
//! does not rise.

use super::pair::Pair;
use super::{Method, head_key};
use crate::base::Result;
use crate::base::range::{Mistake, between, positive, share};
use crate::kernels::reduce::Reduction;
use crate::kernels::unary::Approximate;
use crate::nn::Transformer;
use crate::nn::init::Init;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::optimizer::Group;
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::tape::{Scalar, Tape, Type, Var};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;
use std::sync::Arc;

/// Its entry in the list of methods.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "dino",
    about: "DINO: a student tells its teacher's outputs of another view (Caron et al. 2021)",
    overlay: include_str!("../../configs/ssl/dino.toml"),
    read: |from| read(from, |method: Dino| Arc::new(method)),
};

/// The player that follows the student.
const TEACHER: &str = "teacher";
/// The center c, f32 [1, K].
const CENTER: &str = "center";
/// The layer of K outputs.
const LAST_LAYER: &str = "last_layer";
/// The scalars: the share of the teacher that is kept, 1 / τ_t, and whether the last layer is held.
const SCALARS: [&str; 3] = ["momentum", "teacher_sharpness", "hold_last_layer"];
/// The eps of lengths, as in PyTorch.
const EPS: f32 = 1e-12;

/// `[pretraining.dino]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dino {
    /// The share of the teacher that is kept at the first step. It rises to 1.
    pub momentum: f64,
    /// τ_s.
    pub student_temperature: f64,
    /// τ_t after the warm-up.
    pub teacher_temperature: f64,
    /// τ_t of the first epoch.
    pub warmup_teacher_temperature: f64,
    /// Epochs in which τ_t goes on a straight line from `warmup_teacher_temperature` to `teacher_temperature`. The last
    /// of them has `teacher_temperature`.
    pub warmup_teacher_temperature_epochs: usize,
    /// The share of c that is kept at each step.
    pub center_momentum: f64,
    /// How many epochs the last layer stays as it began.
    pub freeze_last_layer_epochs: usize,
    /// Width of the head's two hidden layers, and length of their projection.
    pub projection_dims: [usize; 2],
    /// K, the number of outputs.
    pub output_dim: usize,
    /// How the two views differ.
    pub views: Pair,
}

impl Checked for Dino {
    fn check(&self) -> Result<(), Mistake> {
        share("momentum", self.momentum)?;
        positive("student_temperature", self.student_temperature)?;
        positive("teacher_temperature", self.teacher_temperature)?;
        positive("warmup_teacher_temperature", self.warmup_teacher_temperature)?;
        between("warmup_teacher_temperature_epochs", self.warmup_teacher_temperature_epochs, 0, 1_000_000)?;
        share("center_momentum", self.center_momentum)?;
        between("freeze_last_layer_epochs", self.freeze_last_layer_epochs, 0, 1_000_000)?;
        self.projection_dims.iter().try_for_each(|&d| between("projection_dims", d, 1, 65_536))?;
        between("output_dim", self.output_dim, 2, 1 << 20)?;
        self.views.check()
    }
}

impl Dino {
    /// The K outputs of images x for the current player, [N, K].
    fn outputs(&self, r: &mut Recorder<'_>, x: Var) -> Result<Var> {
        let features = r.features(x)?;
        let ([hidden, out], prefix) = (self.projection_dims, r.named("projection."));
        // The initial values of the authors' code.
        let init = Init::Normal(0.02);
        let mut head = Transformer { t: r.t, params: r.params, prefix: &prefix, heads: 1, layer_scale: false, init };
        let mut z = features;
        for name in ["0", "2"] {
            z = head.linear(z, name, hidden)?;
            z = head.t.gelu(z, Approximate::None)?;
        }
        let z = head.linear(z, "4", out)?;
        // Weight normalization with the length fixed at 1: only the direction of a row counts.
        let name = r.named(&format!("{LAST_LAYER}.weight_v"));
        let rows = r.params.weight(r.t, &name, [self.output_dim, out], Init::UniformFanIn(out))?;
        r.t.layer(LAST_LAYER, |t| {
            let (z, rows) = (t.l2_normalize(z, EPS)?, t.l2_normalize(rows, EPS)?);
            t.linear(z, rows, None)
        })
    }

    /// The loss of the student's outputs [N, K] against the teacher's outputs in the same rows, f32 [1]. It also
    /// updates the center.
    fn compared(&self, t: &mut Tape, [student, teacher, center]: [Var; 3], sharpness: Scalar) -> Result<Var> {
        let (teacher, shape) = (t.detach(teacher)?, t.shape(student));
        let centers = t.broadcast(center, shape)?;
        let centered = t.sub(teacher, centers)?;
        let sharpness = t.slice(sharpness.var, 0, sharpness.slot as usize, 1)?;
        let sharpness = t.broadcast(sharpness, shape)?;
        let sharpened = t.mul(centered, sharpness)?;
        let target = t.softmax(sharpened, 1.0)?;
        let logits = t.scale(student, 1.0 / self.student_temperature as f32)?;
        let weights = t.fill([shape.dim(0)], 1.0)?;
        let loss = t.cross_entropy_with(logits, target, weights, None, 0.0)?[0];
        let mean = t.reduce(teacher, Reduction::Mean, &[0], true)?;
        t.ema(CENTER, mean, self.center_momentum as f32, 1.0)?;
        Ok(loss)
    }

    /// τ_t of an epoch (from 0).
    fn teacher_temperature_of(&self, epoch: usize) -> f64 {
        let (from, to, epochs) =
            (self.warmup_teacher_temperature, self.teacher_temperature, self.warmup_teacher_temperature_epochs);
        match epochs {
            _ if epoch >= epochs => to,
            1 => from,
            _ => from + (to - from) * epoch as f64 / (epochs - 1) as f64,
        }
    }
}

impl Method for Dino {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let views = self.views.views(r)?;
        let student = r.together(views, |r, x| self.outputs(r, x))?;
        // The teacher sees the views in the other order, so that row i of the student and row i of the teacher belong
        // together.
        let swapped = r.swapped(views)?;
        let teacher = r.player(TEACHER, Some(""), |r| r.together(swapped, |r, x| self.outputs(r, x)))?;
        let [student, teacher] = r.whole_batch([student, teacher])?;
        let center = r.params.statistic(r.t, CENTER, [1, self.output_dim], Init::Zeros)?;
        let sharpness = r.t.scalar(SCALARS[1])?;
        let loss = r.t.layer("loss", |t| self.compared(t, [student, teacher, center], sharpness))?;
        Ok(loss.into())
    }

    fn after_update(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<()> {
        let keep = r.t.scalar(SCALARS[0])?;
        r.follow(TEACHER, keep)
    }

    fn group(&self) -> Option<Group> {
        Some(Group::Held { layer: LAST_LAYER, scalar: SCALARS[2] })
    }

    fn scalars(&self, at: Progress) -> Vec<(&'static str, f32)> {
        let keep = 1.0 - (1.0 - self.momentum) * ((PI * at.share()).cos() + 1.0) / 2.0;
        let sharpness = 1.0 / self.teacher_temperature_of(at.epoch);
        let hold = u8::from(at.epoch < self.freeze_last_layer_epochs);
        vec![(SCALARS[0], keep as f32), (SCALARS[1], sharpness as f32), (SCALARS[2], f32::from(hold))]
    }

    fn size_key(&self, parameter: &str, _: Type) -> Option<(&'static str, String)> {
        let outputs = |part| (part, "output_dim", self.output_dim.to_string());
        let projection = ("projection.", "projection_dims", format!("{:?}", self.projection_dims));
        head_key(parameter, [outputs(LAST_LAYER), outputs(CENTER), projection])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::device::gpu::for_test;
    use crate::tape::{Feed, Options, Plan, Schedule, State};

    fn method(more: &str) -> Dino {
        let table: toml::Table = toml::from_str(ENTRY.overlay).unwrap();
        let mut own = table["pretraining"]["dino"].as_table().unwrap().clone();
        for key in ["lr_scaling", "optimizer", "augmentation"] {
            own.remove(key).unwrap();
        }
        own.extend(toml::from_str::<toml::Table>(more).unwrap());
        own.try_into().unwrap()
    }

    const ROWS: usize = 6;
    const K: usize = 5;

    /// Equations 1 to 4 in f64: the loss, and the center after the step.
    fn twin(of: &Dino, student: &[f64], teacher: &[f64], center: &[f64], temperature: f64) -> (f64, Vec<f64>) {
        let softmax = |logits: Vec<f64>| {
            let most = logits.iter().fold(f64::MIN, |most, x| most.max(*x));
            let sum: f64 = logits.iter().map(|x| (x - most).exp()).sum();
            logits.iter().map(|x| (x - most).exp() / sum).collect::<Vec<f64>>()
        };
        let (mut loss, mut mean) = (0.0, vec![0.0; K]);
        for (s, t) in student.chunks(K).zip(teacher.chunks(K)) {
            let p_s = softmax(s.iter().map(|z| z / of.student_temperature).collect());
            let p_t = softmax(t.iter().zip(center).map(|(z, c)| (z - c) / temperature).collect());
            loss -= p_t.iter().zip(&p_s).map(|(t, s)| t * s.ln()).sum::<f64>() / ROWS as f64;
            mean.iter_mut().zip(t).for_each(|(m, z)| *m += z / ROWS as f64);
        }
        let m = of.center_momentum;
        (loss, center.iter().zip(&mean).map(|(c, z)| m * c + (1.0 - m) * z).collect())
    }

    #[test]
    fn the_loss_and_the_center_are_those_of_the_equations() {
        let Some(gpu) = for_test() else { return };
        let dino = method("output_dim = 5\nteacher_temperature = 0.07\ncenter_momentum = 0.6");
        let mut rng = Rng::new(1, 2, 3);
        let mut draw = |n: usize| (0..n).map(|_| rng.normal() * 0.3).collect::<Vec<f32>>();
        let (student, teacher, center) = (draw(ROWS * K), draw(ROWS * K), draw(K));
        let mut t = Tape::new();
        let inputs = ["student", "teacher"].map(|name| t.input(name, Type::f32([ROWS, K])).unwrap());
        let c = t.state(CENTER, Type::f32([1, K])).unwrap();
        let sharpness = t.scalar(SCALARS[1]).unwrap();
        let loss = dino.compared(&mut t, [inputs[0], inputs[1], c], sharpness).unwrap();
        let found = t.gradient(loss, &inputs).unwrap();
        assert!(found[1].is_none(), "no gradient reaches the teacher");
        t.output("loss", loss);
        t.output("slope", found[0].unwrap());
        let mut state = State::new();
        state.insert(&gpu, CENTER, Type::f32([1, K]), Some(bytemuck::cast_slice(&center))).unwrap();
        let plan = Plan::new(&gpu, Schedule::new(&t, &Options::new(gpu.caps())).unwrap(), &state).unwrap();
        let at = Progress { seed: 0, epoch: 0, epochs: 2, step: 0, steps: 1, repeat: 0, before: 0 };
        let scalars = dino.scalars(at);
        let feed = Feed::new().input("student", &student).input("teacher", &teacher).scalar(SCALARS[1], scalars[1].1);
        plan.run(&gpu, &feed).unwrap();

        let double = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
        let (s, tt, c) = (double(&student), double(&teacher), double(&center));
        let (due, moved) = twin(&dino, &s, &tt, &c, 0.07);
        let got = f64::from(plan.read_f32(&gpu, "loss").unwrap()[0]);
        assert!((got - due).abs() < 1e-5 * due, "{got} {due}");
        for (got, due) in state.read_f32(&gpu, CENTER).unwrap().iter().zip(&moved) {
            assert!((f64::from(*got) - due).abs() < 1e-6, "{got} {due}");
        }
        for (i, got) in plan.read_f32(&gpu, "slope").unwrap().iter().enumerate() {
            let at = |by: f64| {
                let moved: Vec<f64> = s.iter().enumerate().map(|(j, x)| x + if i == j { by } else { 0.0 }).collect();
                twin(&dino, &moved, &tt, &c, 0.07).0
            };
            let due = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((f64::from(*got) - due).abs() < 1e-5, "{i}: {got} {due}");
        }
    }

    #[test]
    fn what_moves_follows_the_authors_schedules() {
        let dino = method("momentum = 0.9\nteacher_temperature = 0.07\nwarmup_teacher_temperature_epochs = 4");
        let of = |epoch| {
            let at = Progress { seed: 0, epoch, epochs: 8, step: 0, steps: 3, repeat: 0, before: 0 };
            dino.scalars(at).into_iter().map(|s| f64::from(s.1)).collect::<Vec<f64>>()
        };
        // numpy.linspace(0.04, 0.07, 4), then 0.07.
        for (epoch, due) in [(0, 0.04), (1, 0.05), (2, 0.06), (3, 0.07), (7, 0.07)] {
            assert!((1.0 / of(epoch)[1] - due).abs() < 1e-7, "{epoch}");
        }
        let keep = [0, 4].map(|epoch| of(epoch)[0]);
        assert!((keep[0] - 0.9).abs() < 1e-7 && (keep[1] - 0.95).abs() < 1e-7, "{keep:?}");
        assert_eq!([0, 1].map(|epoch| of(epoch)[2]), [1.0, 0.0]);
        let one = method("teacher_temperature = 0.07\nwarmup_teacher_temperature_epochs = 1");
        assert_eq!([0, 1].map(|epoch| one.teacher_temperature_of(epoch)), [0.04, 0.07]);
    }

    #[test]
    fn values_out_of_range_and_large_parameters_are_named() {
        assert_eq!(method("").check(), Ok(()));
        for (settings, key) in [
            ("student_temperature = 0", "student_temperature"),
            ("center_momentum = 1.5", "center_momentum"),
            ("output_dim = 1", "output_dim"),
            ("projection_dims = [0, 4]", "projection_dims"),
        ] {
            assert_eq!(method(settings).check().unwrap_err().0, key);
        }
        let key = |name| method("").size_key(name, Type::f32([1])).map(|found| found.0);
        assert_eq!(key("teacher.last_layer.weight_v"), Some("output_dim"));
        assert_eq!(key("projection.2.weight"), Some("projection_dims"));
        assert_eq!(key("backbone.conv1.weight"), None);
    }
}

//! kl_div: KL(t ‖ s) between two distributions given as logits, t = softmax(teacher_i / τ), s = softmax(student_i / τ):
//! loss_i = Σ_k t_k (log t_k − log s_k). No factor τ²: where distillation (Hinton et al. 2015, arXiv:1503.02531, 2.1)
//! wants it, scale the loss. The weighted mean over rows is PyTorch's `batchmean`.
//! dstudent_ik = f_i (s_k − t_k) / τ, dteacher_ik = f_i t_k (log t_k − log s_k − loss_i) / τ; detach the teacher where it
//! is not trained. Shaders: shaders/losses/kl_div/, shaders/core/row_loss/.

use crate::base::{Error, Result};
use crate::kernels::row_loss::{Formula, Names, RowLoss, Rule, Walk, names, pair, pair_case};
use crate::kernels::{Case, Fill};
use crate::tape::{Tape, Type, Var};
use crate::{params, piece};

/// (student [N, K], teacher [N, K], weights [N]) -> (loss, losses, …).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct KlDiv {
    /// τ, what both are divided by.
    pub temperature: f32,
}

params! {
    pub(crate) struct Params { rows: u32, vectors: u32, inverse_temperature: f32 }
}

static RULE: Rule = Rule {
    sources: 2,
    slopes: 2,
    flops: 12,
    pieces: &[piece!("core/row_loss/unmarked.wgsl"), piece!("losses/kl_div/row.wgsl")],
    ..Rule::LOGITS
};

impl Tape {
    /// KL(softmax(teacher / τ) ‖ softmax(student / τ)) of logits [N, K] under weights [N]: [loss [1], losses [N]].
    pub fn kl_div(&mut self, student: Var, teacher: Var, weights: Var, temperature: f32) -> Result<[Var; 2]> {
        self.row_loss(KlDiv { temperature }, &[student, teacher, weights])
    }
}

impl Formula for KlDiv {
    type Params = Params;
    const NAMES: Names = names!("kl_div");

    fn walk(&self, x: &[Type]) -> Result<Walk> {
        let [rows, columns] = pair("kl_div", x, ["student", "teacher"])?;
        if self.temperature <= 0.0 || !self.temperature.is_finite() {
            return Err(Error::shape("kl_div", format!("the temperature is {} and must be above 0", self.temperature)));
        }
        Ok(Walk { rule: &RULE, rows, columns })
    }

    fn params(&self, _x: &[Type], w: &Walk) -> Params {
        let inverse_temperature = 1.0 / self.temperature;
        Params { rows: w.rows as u32, vectors: w.vectors() as u32, inverse_temperature }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n, k, reach: f32, temperature| {
        let fills = [Fill::Uniform(-reach, reach), Fill::Uniform(-reach, reach)];
        pair_case(name, RowLoss(KlDiv { temperature }), n, k, fills)
    };
    vec![
        case("one row", 1, 2, 2.0, 1.0),
        case("one class", 3, 1, 2.0, 1.0),
        case("prime", 7, 5, 2.0, 4.0),
        case("whole vec4", 13, 8, 2.0, 0.5),
        case("exp would overflow", 13, 3, 120.0, 1.0),
        case("more than a workgroup", 65, 260, 2.0, 2.0),
    ]
}

//! kl_gaussian: KL of a diagonal Gaussian from the standard normal (Kingma & Welling 2013, arXiv:1312.6114, appendix B):
//! loss_i = ½ Σ_k (μ_ik² + exp(v_ik) − 1 − v_ik), v the log-variance, summed over a row, the mean over weighted rows.
//! dμ_ik = f_i μ_ik, dv_ik = ½ f_i expm1(v_ik). Shaders: shaders/losses/kl_gaussian/, shaders/core/row_loss/.

use crate::base::Result;
use crate::kernels::row_loss::{Formula, Names, RowLoss, Rule, Walk, names, pair, pair_case};
use crate::kernels::{Case, Fill};
use crate::tape::{Tape, Type, Var};
use crate::{params, piece};

/// (mean [N, K], log-variance [N, K], weights [N]) -> (loss, losses, …).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct KlGaussian;

params! {
    pub(crate) struct Params { rows: u32, vectors: u32 }
}

static RULE: Rule = Rule {
    sources: 0,
    keeps: false,
    slopes: 2,
    flops: 8,
    pieces: &[
        piece!("common/exact.wgsl"),
        piece!("core/row_loss/unmarked.wgsl"),
        piece!("losses/kl_gaussian/row.wgsl"),
    ],
    ..Rule::LOGITS
};

impl Tape {
    /// KL(N(mean, exp(log_variance)) ‖ N(0, 1)), both [N, K], under weights [N]: [loss [1], losses [N]].
    pub fn kl_gaussian(&mut self, mean: Var, log_variance: Var, weights: Var) -> Result<[Var; 2]> {
        self.row_loss(KlGaussian, &[mean, log_variance, weights])
    }
}

impl Formula for KlGaussian {
    type Params = Params;
    const NAMES: Names = names!("kl_gaussian");

    fn walk(&self, x: &[Type]) -> Result<Walk> {
        let [rows, columns] = pair("kl_gaussian", x, ["mean", "log_variance"])?;
        Ok(Walk { rule: &RULE, rows, columns })
    }

    fn params(&self, _x: &[Type], w: &Walk) -> Params {
        Params { rows: w.rows as u32, vectors: w.vectors() as u32 }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n, k, reach: f32| {
        pair_case(name, RowLoss(KlGaussian), n, k, [Fill::Normal, Fill::Uniform(-reach, reach)])
    };
    vec![
        case("one", 1, 1, 1.0),
        case("prime", 7, 13, 3.0),
        case("near the standard normal", 9, 64, 0.1),
        case("more than a workgroup", 67, 260, 2.0),
    ]
}

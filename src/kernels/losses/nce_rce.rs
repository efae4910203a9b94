//! nce_rce, an active-passive loss of Ma et al. 2020 (arXiv:2006.13554, eq. 10) against noisy labels:
//! loss_i = α nce_i + β rce_i, nce_i = log p_label / Σ_k log p_k the normalized cross-entropy (eq. 6), rce_i the reverse
//! cross-entropy as in `sce`, with its clamp of p at 1e-7 and log 0 = A.
//! dx_ik = f_i (α (([k = label] − nce_i) − p_k (1 − K nce_i)) / Σ_j log p_j − β A p_k (g_k − Σ_j g_j p_j)).
//! Shaders: shaders/losses/nce_rce/, shaders/core/row_loss/.

use crate::base::{Error, Result};
use crate::kernels::row_loss::{Formula, Names, RowLoss, Rule, Walk, labelled, labelled_case, names};
use crate::kernels::{Case, Fill};
use crate::tape::{Tape, Type, Var};
use crate::{params, piece};

/// (logits [N, K], labels u32 [N], weights [N]) -> (loss, losses, …).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct NceRce {
    /// α, of the normalized cross-entropy.
    pub alpha: f32,
    /// β, of the reverse cross-entropy.
    pub beta: f32,
    /// A, what log 0 stands for: ln 1e-4 in the authors' code.
    pub log_zero: f32,
}

params! {
    pub(crate) struct Params { rows: u32, vectors: u32, classes: u32, alpha: f32, reverse: f32 }
}

static RULE: Rule = Rule {
    flops: 10,
    pieces: &[
        piece!("core/row_loss/logits.wgsl"),
        piece!("core/row_loss/labels.wgsl"),
        piece!("core/row_loss/at_label.wgsl"),
        piece!("core/row_loss/reverse.wgsl"),
        piece!("losses/nce_rce/row.wgsl"),
    ],
    ..Rule::LOGITS
};

impl Tape {
    /// Normalized plus reverse cross-entropy of logits [N, K], K at least 2, against labels u32 [N] under weights [N]:
    /// [loss [1], losses [N]].
    pub fn nce_rce(&mut self, logits: Var, labels: Var, weights: Var, op: NceRce) -> Result<[Var; 2]> {
        self.row_loss(op, &[logits, labels, weights])
    }
}

impl Formula for NceRce {
    type Params = Params;
    const NAMES: Names = names!("nce_rce");

    fn walk(&self, x: &[Type]) -> Result<Walk> {
        let [rows, columns] = labelled("nce_rce", x)?;
        if columns < 2 {
            let what =
                format!("logits are {}: with one class the normalized loss is 0 / 0; give two or more", x[0].shape);
            return Err(Error::shape("nce_rce", what));
        }
        Ok(Walk { rule: &RULE, rows, columns })
    }

    fn params(&self, _x: &[Type], w: &Walk) -> Params {
        let (rows, vectors, classes) = (w.rows as u32, w.vectors() as u32, w.columns as u32);
        Params { rows, vectors, classes, alpha: self.alpha, reverse: -self.beta * self.log_zero }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n, k, logits, alpha, beta| {
        labelled_case(name, RowLoss(NceRce { alpha, beta, log_zero: -9.210_34 }), n, k, logits)
    };
    vec![
        case("one row", 1, 2, Fill::Normal, 1.0, 1.0),
        case("prime", 7, 5, Fill::Normal, 1.0, 0.1),
        case("whole vec4", 13, 8, Fill::Normal, 10.0, 0.1),
        case("clamped", 13, 3, Fill::Uniform(-60.0, 60.0), 1.0, 1.0),
        case("unlikely labels", 13, 4, Fill::Uniform(-8.0, 8.0), 1.0, 1.0),
        case("more than a workgroup", 65, 260, Fill::Normal, 5.0, 0.5),
    ]
}

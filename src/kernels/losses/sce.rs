//! sce, the symmetric cross-entropy of Wang et al. 2019 (arXiv:1908.06112, eq. 9) against noisy labels:
//! loss_i = α ce_i + β rce_i, ce the cross-entropy, rce_i = −Σ_k p_k log y_k with log 0 = A, so −A Σ_{k ≠ label} p_k.
//! As the authors' code has it, p is clamped from below at 1e-7 in rce and no gradient passes where it is.
//! dx_ik = f_i (α (p_k − [k = label]) − β A p_k (g_k − Σ_j g_j p_j)), g_k = 1 where k ≠ label and p_k ≥ 1e-7, else 0.
//! Shaders: shaders/losses/sce/, shaders/core/row_loss/.

use crate::base::Result;
use crate::kernels::row_loss::{Formula, Names, RowLoss, Rule, Walk, labelled, labelled_case, names};
use crate::kernels::{Case, Fill};
use crate::tape::{Tape, Type, Var};
use crate::{params, piece};

/// (logits [N, K], labels u32 [N], weights [N]) -> (loss, losses, …).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Sce {
    /// α, of the cross-entropy.
    pub alpha: f32,
    /// β, of the reverse cross-entropy.
    pub beta: f32,
    /// A, what log 0 stands for: −4 in the paper, ln 1e-4 in the authors' code.
    pub log_zero: f32,
}

params! {
    pub(crate) struct Params { rows: u32, vectors: u32, classes: u32, alpha: f32, reverse: f32 }
}

static RULE: Rule = Rule {
    flops: 9,
    pieces: &[
        piece!("core/row_loss/logits.wgsl"),
        piece!("core/row_loss/labels.wgsl"),
        piece!("core/row_loss/at_label.wgsl"),
        piece!("core/row_loss/reverse.wgsl"),
        piece!("losses/sce/row.wgsl"),
    ],
    ..Rule::LOGITS
};

impl Tape {
    /// Symmetric cross-entropy of logits [N, K] against labels u32 [N] under weights [N]: [loss [1], losses [N]].
    pub fn sce(&mut self, logits: Var, labels: Var, weights: Var, op: Sce) -> Result<[Var; 2]> {
        self.row_loss(op, &[logits, labels, weights])
    }
}

impl Formula for Sce {
    type Params = Params;
    const NAMES: Names = names!("sce");

    fn walk(&self, x: &[Type]) -> Result<Walk> {
        let [rows, columns] = labelled("sce", x)?;
        Ok(Walk { rule: &RULE, rows, columns })
    }

    fn params(&self, _x: &[Type], w: &Walk) -> Params {
        let (rows, vectors, classes) = (w.rows as u32, w.vectors() as u32, w.columns as u32);
        Params { rows, vectors, classes, alpha: self.alpha, reverse: -self.beta * self.log_zero }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n, k, logits, [alpha, beta, log_zero]: [f32; 3]| {
        labelled_case(name, RowLoss(Sce { alpha, beta, log_zero }), n, k, logits)
    };
    vec![
        case("one row", 1, 2, Fill::Normal, [0.1, 1.0, -4.0]),
        case("one class", 3, 1, Fill::Normal, [0.1, 1.0, -4.0]),
        case("prime", 7, 5, Fill::Normal, [6.0, 0.1, -4.0]),
        case("whole vec4, as in the code", 13, 8, Fill::Normal, [0.1, 1.0, -9.210_34]),
        case("clamped", 13, 3, Fill::Uniform(-60.0, 60.0), [0.1, 1.0, -4.0]),
        case("unlikely labels", 13, 4, Fill::Uniform(-8.0, 8.0), [0.1, 1.0, -9.210_34]),
        case("more than a workgroup", 65, 260, Fill::Normal, [1.0, 0.5, -4.0]),
    ]
}

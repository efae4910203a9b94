//! gce, the generalized cross-entropy of Zhang & Sabuncu 2018 (arXiv:1805.07836, eq. 6) against noisy labels:
//! loss_i = (1 − p_label^q) / q, p = softmax(x_i): cross-entropy for q → 0, the mean absolute error for q = 1.
//! dx_ik = f_i p_label^q (p_k − [k = label]). The truncated form of the paper is a weight of 0 for the pruned samples.
//! Shaders: shaders/losses/gce/, shaders/core/row_loss/.

use crate::base::{Error, Result};
use crate::kernels::row_loss::{Formula, Names, RowLoss, Rule, Walk, labelled, labelled_case, names};
use crate::kernels::{Case, Fill};
use crate::tape::{Tape, Type, Var};
use crate::{params, piece};

/// (logits [N, K], labels u32 [N], weights [N]) -> (loss, losses, …).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Gce {
    /// q, above 0 and at most 1; the paper uses 0.7.
    pub q: f32,
}

params! {
    pub(crate) struct Params { rows: u32, vectors: u32, classes: u32, q: f32 }
}

static RULE: Rule = Rule {
    terms: false,
    flops: 4,
    pieces: &[
        piece!("common/exact.wgsl"),
        piece!("core/row_loss/logits.wgsl"),
        piece!("core/row_loss/labels.wgsl"),
        piece!("core/row_loss/at_label.wgsl"),
        piece!("losses/gce/row.wgsl"),
    ],
    ..Rule::LOGITS
};

impl Tape {
    /// Generalized cross-entropy of logits [N, K] against labels u32 [N] under weights [N]: [loss [1], losses [N]].
    pub fn gce(&mut self, logits: Var, labels: Var, weights: Var, q: f32) -> Result<[Var; 2]> {
        self.row_loss(Gce { q }, &[logits, labels, weights])
    }
}

impl Formula for Gce {
    type Params = Params;
    const NAMES: Names = names!("gce");

    fn walk(&self, x: &[Type]) -> Result<Walk> {
        let [rows, columns] = labelled("gce", x)?;
        if !(self.q > 0.0 && self.q <= 1.0) {
            return Err(Error::shape("gce", format!("q is {} and must be above 0 and at most 1", self.q)));
        }
        Ok(Walk { rule: &RULE, rows, columns })
    }

    fn params(&self, _x: &[Type], w: &Walk) -> Params {
        Params { rows: w.rows as u32, vectors: w.vectors() as u32, classes: w.columns as u32, q: self.q }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n, k, logits, q| labelled_case(name, RowLoss(Gce { q }), n, k, logits);
    vec![
        case("one row", 1, 2, Fill::Normal, 0.7),
        case("one class", 3, 1, Fill::Normal, 0.7),
        case("prime", 7, 5, Fill::Normal, 0.7),
        case("nearly cross-entropy", 7, 5, Fill::Normal, 0.01),
        case("mean absolute error", 13, 8, Fill::Normal, 1.0),
        case("exp would overflow", 13, 3, Fill::Uniform(-120.0, 120.0), 0.7),
        case("more than a workgroup", 65, 260, Fill::Normal, 0.5),
    ]
}

//! bce_with_logits: loss_i = Σ_k ((1 − t) softplus(x) + c t softplus(−x)) / K, t the targets, c the weight of positives:
//! PyTorch's `binary_cross_entropy_with_logits` with `pos_weight`, the mean over columns and then over weighted rows.
//! dx_ik = f_i ((1 − t) σ(x) − c t σ(−x)) / K; targets have no gradient. Shaders: shaders/losses/bce_with_logits/,
//! shaders/core/row_loss/.

use crate::base::{DType, Error, Result};
use crate::kernels::row_loss::{Formula, Names, RowLoss, Rule, Walk, names, pair};
use crate::kernels::{Case, Fill};
use crate::tape::{Tape, Type, Var};
use crate::{params, piece};

/// (logits [N, K], targets [N, K], pos_weight [K]?, weights [N]) -> (loss, losses, …).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BceWithLogits;

params! {
    pub(crate) struct Params { rows: u32, vectors: u32, inverse_columns: f32 }
}

static EVEN: Rule = Rule {
    sources: 0,
    keeps: false,
    flops: 12,
    pieces: &[
        piece!("common/exact.wgsl"),
        piece!("core/row_loss/unmarked.wgsl"),
        piece!("losses/bce_with_logits/even.wgsl"),
        piece!("losses/bce_with_logits/row.wgsl"),
    ],
    ..Rule::LOGITS
};
static WEIGHTED: Rule = Rule {
    sources: 0,
    keeps: false,
    flops: 13,
    pieces: &[
        piece!("common/exact.wgsl"),
        piece!("core/row_loss/unmarked.wgsl"),
        piece!("losses/bce_with_logits/pos_weight.wgsl"),
        piece!("losses/bce_with_logits/row.wgsl"),
    ],
    ..Rule::LOGITS
};

impl Tape {
    /// Binary cross-entropy of logits [N, K] against targets f32 [N, K] in [0, 1] under weights [N]; `pos_weight` [K]
    /// multiplies what positives add. [loss [1], losses [N]].
    pub fn bce_with_logits(
        &mut self,
        logits: Var,
        targets: Var,
        weights: Var,
        pos_weight: Option<Var>,
    ) -> Result<[Var; 2]> {
        let inputs: Vec<Var> = [logits, targets].into_iter().chain(pos_weight).chain([weights]).collect();
        self.row_loss(BceWithLogits, &inputs)
    }
}

impl Formula for BceWithLogits {
    type Params = Params;
    const NAMES: Names = names!("bce_with_logits");

    fn walk(&self, x: &[Type]) -> Result<Walk> {
        let [rows, columns] = pair("bce_with_logits", x, ["logits", "targets"])?;
        if x.len() < 3 {
            return Ok(Walk { rule: &EVEN, rows, columns });
        }
        x[2].expect_dtype("bce_with_logits", "pos_weight", DType::F32)?;
        if x[2].shape.vector("bce_with_logits", "pos_weight")? != columns {
            let need = "pos_weight must have one element for each column";
            return Err(Error::shapes("bce_with_logits", ("pos_weight", x[2].shape), ("logits", x[0].shape), need));
        }
        Ok(Walk { rule: &WEIGHTED, rows, columns })
    }

    fn params(&self, _x: &[Type], w: &Walk) -> Params {
        Params { rows: w.rows as u32, vectors: w.vectors() as u32, inverse_columns: 1.0 / w.columns as f32 }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, k: usize, logits, positives: bool| {
        let ty = Type::f32([n, k]);
        let mut x = vec![(ty, logits), (ty, Fill::Uniform(0.0, 1.0))];
        if positives {
            x.push((Type::f32([k]), Fill::Uniform(0.5, 3.0)));
        }
        x.push((Type::f32([n]), Fill::Weights));
        Case::new(name, RowLoss(BceWithLogits), x)
    };
    vec![
        case("one", 1, 1, Fill::Normal, false),
        case("prime", 7, 13, Fill::Normal, true),
        case("whole vec4", 9, 64, Fill::Normal, true),
        case("exp would overflow", 13, 3, Fill::Uniform(-120.0, 120.0), false),
        case("more than a workgroup", 67, 260, Fill::Normal, false),
    ]
}

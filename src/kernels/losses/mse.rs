//! mse: loss_i = Σ_k (x_ik − y_ik)² / K, the mean squared error of a row; PyTorch's `mse_loss` where all weights are one.
//! dx_ik = 2 f_i (x_ik − y_ik) / K, dy_ik = −dx_ik. Shaders: shaders/losses/mse/, shaders/core/row_loss/.

use crate::base::Result;
use crate::kernels::row_loss::{Formula, Names, RowLoss, Rule, Walk, names, pair, pair_case};
use crate::kernels::{Case, Fill};
use crate::tape::{Tape, Type, Var};
use crate::{params, piece};

/// (x [N, K], y [N, K], weights [N]) -> (loss, losses, …).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Mse;

params! {
    pub(crate) struct Params { rows: u32, vectors: u32, inverse_columns: f32 }
}

static RULE: Rule = Rule {
    sources: 0,
    keeps: false,
    slopes: 2,
    flops: 3,
    pieces: &[piece!("core/row_loss/unmarked.wgsl"), piece!("losses/mse/row.wgsl")],
    ..Rule::LOGITS
};

impl Tape {
    /// Mean squared error of x [N, K] against y [N, K] under weights [N]: [loss [1], losses [N]].
    pub fn mse(&mut self, x: Var, y: Var, weights: Var) -> Result<[Var; 2]> {
        self.row_loss(Mse, &[x, y, weights])
    }
}

impl Formula for Mse {
    type Params = Params;
    const NAMES: Names = names!("mse");

    fn walk(&self, x: &[Type]) -> Result<Walk> {
        let [rows, columns] = pair("mse", x, ["x", "y"])?;
        Ok(Walk { rule: &RULE, rows, columns })
    }

    fn params(&self, _x: &[Type], w: &Walk) -> Params {
        Params { rows: w.rows as u32, vectors: w.vectors() as u32, inverse_columns: 1.0 / w.columns as f32 }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n, k| pair_case(name, RowLoss(Mse), n, k, [Fill::Normal, Fill::Normal]);
    vec![
        case("one", 1, 1),
        case("prime", 7, 13),
        case("whole vec4", 9, 64),
        case("more than a workgroup", 67, 260),
        case("long rows", 3, 1031),
    ]
}

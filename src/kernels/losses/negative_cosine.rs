//! negative_cosine: loss_i = −⟨a_i, b_i⟩ / (max(‖a_i‖, eps) max(‖b_i‖, eps)): the loss of SimSiam (Chen & He 2020,
//! arXiv:2011.10566, eq. 1) and, as 2 + 2 · loss, of BYOL (Grill et al. 2020, arXiv:2006.07733, eq. 2). Detach the target.
//! With a' = a / max(‖a‖, eps), b' likewise, c = ⟨a', b'⟩: da_i = f_i (c a' − b') / max(‖a‖, eps), the first part only where
//! ‖a‖ ≥ eps; db likewise. Shaders: shaders/losses/negative_cosine/, shaders/core/row_loss/.

use crate::base::Result;
use crate::kernels::row_loss::{Formula, Names, RowLoss, Rule, Walk, names, pair, pair_case};
use crate::kernels::{Case, Fill};
use crate::tape::{Tape, Type, Var};
use crate::{params, piece};

/// (a [N, D], b [N, D], weights [N]) -> (loss, losses, …).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct NegativeCosine {
    /// The least length; PyTorch's `cosine_similarity` has 1e-8.
    pub eps: f32,
}

params! {
    pub(crate) struct Params { rows: u32, vectors: u32, eps: f32 }
}

static RULE: Rule = Rule {
    sources: 0,
    slopes: 2,
    flops: 6,
    pieces: &[piece!("core/row_loss/unmarked.wgsl"), piece!("losses/negative_cosine/row.wgsl")],
    ..Rule::LOGITS
};

impl Tape {
    /// Negative cosine similarity of the rows of a and b, both [N, D], under weights [N]: [loss [1], losses [N]].
    pub fn negative_cosine(&mut self, a: Var, b: Var, weights: Var, eps: f32) -> Result<[Var; 2]> {
        self.row_loss(NegativeCosine { eps }, &[a, b, weights])
    }
}

impl Formula for NegativeCosine {
    type Params = Params;
    const NAMES: Names = names!("negative_cosine");

    fn walk(&self, x: &[Type]) -> Result<Walk> {
        let [rows, columns] = pair("negative_cosine", x, ["a", "b"])?;
        Ok(Walk { rule: &RULE, rows, columns })
    }

    fn params(&self, _x: &[Type], w: &Walk) -> Params {
        Params { rows: w.rows as u32, vectors: w.vectors() as u32, eps: self.eps }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case =
        |name, n, d, eps, fill: Fill| pair_case(name, RowLoss(NegativeCosine { eps }), n, d, [fill, Fill::Normal]);
    vec![
        case("one", 1, 1, 1e-8, Fill::AwayFromZero),
        case("prime", 7, 13, 1e-8, Fill::Normal),
        case("whole vec4", 9, 64, 1e-8, Fill::Normal),
        case("one side below eps", 5, 8, 1.0, Fill::Uniform(-0.1, 0.1)),
        case("more than a workgroup", 67, 260, 1e-8, Fill::Normal),
    ]
}

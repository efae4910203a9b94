//! barlow_twins (Zbontar et al. 2021, arXiv:2103.03230, eq. 1): with both views standardised over the batch and
//! c = ẑ₁ᵀ ẑ₂ / N [D, D], loss = Σ_i (c_ii − 1)² + λ Σ_i Σ_{j ≠ i} c_ij². The standardisation is a batch norm without scale
//! and shift, eps 1e-5, as in the authors' code. Samples mix, so there are no weights: drop a batch with padding.
//! dC_ij = 2 dy (c_ij − [i = j]) / N, times λ off the diagonal, C = ẑ₁ᵀ ẑ₂. Shaders: shaders/losses/barlow_twins/,
//! shaders/core/row_loss/.

use crate::base::Result;
use crate::kernels::row_loss::{Formula, Names, RowLoss, Rule, Walk, names, same_pair, square};
use crate::kernels::{Case, Fill};
use crate::tape::{Tape, Type, Var};
use crate::{params, piece};

/// products C [D, D] = ẑ₁ᵀ ẑ₂ -> (loss [1], losses of its rows [D]).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BarlowTwins {
    /// N, what C is divided by.
    pub samples: usize,
    /// λ, what decorrelation weighs; the paper uses 5e-3.
    pub lambda: f32,
}

params! {
    pub(crate) struct Params { rows: u32, vectors: u32, inverse_count: f32, lambda: f32 }
}

static RULE: Rule = Rule {
    sources: 0,
    keeps: false,
    flops: 5,
    pieces: &[piece!("core/row_loss/diagonal.wgsl"), piece!("losses/barlow_twins/row.wgsl")],
    ..Rule::LOGITS
};

impl Tape {
    /// The loss [1] of two views' projections, both f32 [N, D] with N at least 2.
    pub fn barlow_twins(&mut self, views: [Var; 2], lambda: f32) -> Result<Var> {
        let [samples, d] = same_pair(self, "barlow_twins", views)?;
        let (one, zero) = (self.fill([d], 1.0)?, self.fill([d], 0.0)?);
        let a = self.batch_norm(views[0], one, zero, 1e-5)?[0];
        let b = self.batch_norm(views[1], one, zero, 1e-5)?[0];
        let products = self.matmul(a, b, true, false)?;
        Ok(self.row_loss(BarlowTwins { samples, lambda }, &[products])?[0])
    }
}

impl Formula for BarlowTwins {
    type Params = Params;
    const WEIGHTED: bool = false;
    const NAMES: Names = names!("barlow_twins");

    fn walk(&self, x: &[Type]) -> Result<Walk> {
        let d = square("barlow_twins", x)?;
        Ok(Walk { rule: &RULE, rows: d, columns: d })
    }

    fn params(&self, _x: &[Type], w: &Walk) -> Params {
        let inverse_count = 1.0 / self.samples as f32;
        Params { rows: w.rows as u32, vectors: w.vectors() as u32, inverse_count, lambda: self.lambda }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, d: usize, samples, lambda| {
        Case::new(name, RowLoss(BarlowTwins { samples, lambda }), vec![(Type::f32([d, d]), Fill::Normal)])
    };
    vec![
        case("one", 1, 4, 0.1),
        case("prime", 13, 7, 5e-3),
        case("whole vec4", 64, 16, 0.1),
        case("more than a workgroup", 260, 3, 5e-3),
    ]
}

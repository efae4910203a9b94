//! vicreg (Bardes et al. 2022, arXiv:2105.04906, eq. 6), normalised as in the authors' code:
//! loss = invariance · mse(x, y) + Σ over both views of
//! (variance/(2D) Σ_j max(0, 1 − √(var_j + 1e-4)) + covariance/D Σ_{j ≠ k} cov_jk²), var and cov unbiased, over the batch.
//! The two parts of a view are rows losses of their own, so that each can be told: C is read twice.
//! One matrix C = x̃ᵀ x̃, x̃ the centred view, serves both: cov = C / (N − 1), and its diagonal is var. Samples mix, so there
//! are no weights: drop a batch with padding.
//! dC_jk = 2 dy covariance/D cov_jk / (N − 1) off the diagonal, −dy variance/(4D √(var_j + 1e-4)) / (N − 1) on it where
//! the hinge is open. Shaders: shaders/losses/vicreg/, shaders/core/row_loss/.

use crate::base::{Error, Result};
use crate::kernels::row_loss::{Formula, Names, RowLoss, Rule, Walk, names, same_pair, square};
use crate::kernels::{Case, Fill};
use crate::tape::{Tape, Type, Var};
use crate::{params, piece};

/// What the three parts of the loss weigh; the paper uses 25, 25 and 1.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Vicreg {
    /// Of the distance of the views.
    pub invariance: f32,
    /// Of the hinge that keeps deviations at 1.
    pub variance: f32,
    /// Of the squares off the diagonal of the covariance.
    pub covariance: f32,
}

/// products C [D, D] = x̃ᵀ x̃ of one view -> (loss [1], losses of its rows [D]).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct VicregView {
    /// N.
    pub samples: usize,
    /// What Σ max(0, 1 − deviation) is multiplied by.
    pub variance: f32,
    /// What Σ cov² is multiplied by.
    pub covariance: f32,
}

params! {
    pub(crate) struct Params { rows: u32, vectors: u32, inverse_count: f32, variance: f32, covariance: f32 }
}

static RULE: Rule = Rule {
    sources: 0,
    flops: 6,
    pieces: &[piece!("core/row_loss/diagonal.wgsl"), piece!("losses/vicreg/row.wgsl")],
    ..Rule::LOGITS
};

impl Tape {
    /// The loss of two views' projections, both f32 [N, D] with N at least 2, and the three parts that it is the sum of,
    /// weighted: [loss, invariance, variance, covariance], each [1].
    pub fn vicreg(&mut self, views: [Var; 2], op: Vicreg) -> Result<[Var; 4]> {
        let [samples, d] = same_pair(self, "vicreg", views)?;
        if samples < 2 {
            let what = format!("the views are {}: one sample has no variance; give two or more", self.shape(views[0]));
            return Err(Error::shape("vicreg", what));
        }
        let weights = self.fill([samples], 1.0)?;
        let distance = self.mse(views[0], views[1], weights)?[0];
        let invariance = self.scale(distance, op.invariance)?;
        let mut parts = Vec::new();
        for view in views {
            let x = self.center(view)?;
            let products = self.matmul(x, x, true, false)?;
            let (variance, covariance) = (op.variance / (2 * d) as f32, op.covariance / d as f32);
            parts.push([
                self.row_loss(VicregView { samples, variance, covariance: 0.0 }, &[products])?[0],
                self.row_loss(VicregView { samples, variance: 0.0, covariance }, &[products])?[0],
            ]);
        }
        let [variance, covariance] = [self.add(parts[0][0], parts[1][0])?, self.add(parts[0][1], parts[1][1])?];
        let spread = self.add(variance, covariance)?;
        Ok([self.add(invariance, spread)?, invariance, variance, covariance])
    }
}

impl Formula for VicregView {
    type Params = Params;
    const WEIGHTED: bool = false;
    const NAMES: Names = names!("vicreg");

    fn walk(&self, x: &[Type]) -> Result<Walk> {
        let d = square("vicreg", x)?;
        Ok(Walk { rule: &RULE, rows: d, columns: d })
    }

    fn params(&self, _x: &[Type], w: &Walk) -> Params {
        let inverse_count = 1.0 / (self.samples as f32 - 1.0);
        let (rows, vectors) = (w.rows as u32, w.vectors() as u32);
        Params { rows, vectors, inverse_count, variance: self.variance, covariance: self.covariance }
    }
}

/// Named cases; the products are positive, as those of a view are on their diagonal.
pub fn cases() -> Vec<Case> {
    let case = |name, d: usize, samples, reach| {
        let op = VicregView { samples, variance: 12.5, covariance: 0.5 };
        Case::new(name, RowLoss(op), vec![(Type::f32([d, d]), Fill::Uniform(0.05, reach))])
    };
    vec![
        case("one", 1, 4, 2.0),
        case("prime", 13, 7, 2.0),
        case("some hinges shut", 23, 5, 9.0),
        case("whole vec4", 64, 16, 9.0),
        case("more than a workgroup", 260, 3, 1.0),
    ]
}

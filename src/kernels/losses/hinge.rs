//! hinge: the losses of a GAN (Lim & Ye 2017, arXiv:1705.02894), each the mean of a row's scores:
//! max(0, 1 − x) of real ones, max(0, 1 + x) of generated ones, −x for the generator, which ends at the least f32.
//! dx_ik = ∓f_i / K where the hinge is open, 0 at its edge and beyond (PyTorch's relu). Shaders: shaders/losses/hinge/,
//! shaders/core/row_loss/.

use crate::base::{DType, Result};
use crate::kernels::row_loss::{Formula, Names, RowLoss, Rule, Walk, names};
use crate::kernels::{Case, Fill};
use crate::tape::{Tape, Type, Var};
use crate::{params, piece};

/// Whose loss it is. (scores [N, K], weights [N]) -> (loss, losses, …).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub enum Hinge {
    /// The discriminator's, of real samples: max(0, 1 − x).
    Real,
    /// The discriminator's, of generated samples: max(0, 1 + x).
    Fake,
    /// The generator's: −x.
    Generator,
}

params! {
    pub(crate) struct Params { rows: u32, vectors: u32, margin: f32, sign: f32, floor: f32, inverse_columns: f32 }
}

static RULE: Rule = Rule {
    sources: 0,
    keeps: false,
    flops: 4,
    pieces: &[piece!("core/row_loss/unmarked.wgsl"), piece!("losses/hinge/row.wgsl")],
    ..Rule::LOGITS
};

impl Tape {
    /// Hinge loss of scores [N, K] (K scores a sample: 1, or one for each patch) under weights [N]:
    /// [loss [1], losses [N]].
    pub fn hinge(&mut self, scores: Var, weights: Var, of: Hinge) -> Result<[Var; 2]> {
        self.row_loss(of, &[scores, weights])
    }
}

impl Formula for Hinge {
    type Params = Params;
    const NAMES: Names = names!("hinge");

    fn walk(&self, x: &[Type]) -> Result<Walk> {
        x[0].expect_dtype("hinge", "scores", DType::F32)?;
        let [rows, columns] = x[0].shape.matrix("hinge", "scores")?;
        Ok(Walk { rule: &RULE, rows, columns })
    }

    fn params(&self, _x: &[Type], w: &Walk) -> Params {
        let (margin, sign, floor) = match self {
            Hinge::Real => (1.0, 1.0, 0.0),
            Hinge::Fake => (1.0, -1.0, 0.0),
            Hinge::Generator => (0.0, 1.0, f32::MIN),
        };
        let (rows, vectors) = (w.rows as u32, w.vectors() as u32);
        Params { rows, vectors, margin, sign, floor, inverse_columns: 1.0 / w.columns as f32 }
    }
}

/// Named cases; scores stay away from the kinks.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, k: usize, of| {
        let scores = Fill::Values(vec![0.25, -1.5, 2.0, 0.9, -0.7, 1.75, -3.0]);
        Case::new(name, RowLoss(of), vec![(Type::f32([n, k]), scores), (Type::f32([n]), Fill::Weights)])
    };
    vec![
        case("one", 1, 1, Hinge::Real),
        case("one score a sample, real", 13, 1, Hinge::Real),
        case("one score a sample, fake", 13, 1, Hinge::Fake),
        case("patches, fake", 5, 36, Hinge::Fake),
        case("patches, generator", 67, 9, Hinge::Generator),
        case("more than a workgroup", 3, 260, Hinge::Real),
    ]
}

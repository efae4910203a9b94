//! The elements of activations: f32, or f16 as a mode of training (Micikevicius et al. 2017, arXiv:1710.03740).
//!
//! In f16 a network's activations and their gradients are halves. Parameters, their gradients, statistics, losses and what
//! optimizers remember stay f32, and so do all sums: a weight is rounded once a step, where products read it, and the loss
//! is scaled ([`LOSS_SCALE`]) so that small gradients do not vanish. Images become halves once they are normalized,
//! features become f32 before heads and losses. Evaluation runs in f32.

use super::backbone::Backbone;
use crate::base::{DType, Error, Result};
use crate::kernels::cast::Cast;
use crate::kernels::loss_scale::LossScale;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The elements of activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits.
    F16,
}

/// How a loss is scaled in f16: PyTorch's defaults.
pub const LOSS_SCALE: LossScale = LossScale { initial: 65536.0, interval: 2000 };

impl Precision {
    /// The element type of activations.
    pub const fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::F16 => DType::F16,
        }
    }

    /// How a loss is scaled in this precision.
    pub fn loss_scale(self) -> Option<LossScale> {
        (self == Precision::F16).then_some(LOSS_SCALE)
    }

    /// It is an error if the backbone has no form in this precision.
    pub fn expect_taken(self, backbone: &dyn Backbone) -> Result<()> {
        if self == Precision::F32 || backbone.takes_f16() {
            return Ok(());
        }
        Err(Error::Usage(format!("{backbone} has no f16 form yet; use precision = \"f32\"")))
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
        })
    }
}

/// A parameter as products of elements `dtype` read it: rounded to halves once in a recording, whoever reads it, or as it
/// is.
pub(crate) fn weight_as(t: &mut Tape, weight: Var, dtype: DType) -> Result<Var> {
    match dtype {
        DType::F16 => t.layer("weights", |t| t.apply_once(Cast::F16, &[weight])),
        _ => Ok(weight),
    }
}

//! The projection head of contrastive methods: Linear–ReLU–Linear (Chen et al. 2020, section 2.1), no batch norm.

use super::init::Params;
use super::resnet::linear;
use crate::base::Result;
use crate::tape::{Tape, Var};

/// x [N, D] gives [N, out] through a hidden layer; parameters are `<prefix>0.*` and `<prefix>2.*`, the names of
/// PyTorch's Sequential(Linear, ReLU, Linear).
pub fn projection(t: &mut Tape, params: &mut Params, prefix: &str, x: Var, hidden: usize, out: usize) -> Result<Var> {
    let y = linear(t, params, &format!("{prefix}0"), x, hidden)?;
    let y = t.relu(y)?;
    linear(t, params, &format!("{prefix}2"), y, out)
}

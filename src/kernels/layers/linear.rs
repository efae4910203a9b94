//! linear: y = x·wᵀ + b, recorded as a matmul and an add_bias: it has no kernels, gradient or cases of its own;
//! kernels-tests/facts.rs holds its values and gradients to the formula.

use crate::base::Result;
use crate::tape::{Tape, Var};

impl Tape {
    /// x·wᵀ + b: x f32 [M, K], w f32 [N, K], b f32 [N] or none; y is [M, N].
    pub fn linear(&mut self, x: Var, w: Var, b: Option<Var>) -> Result<Var> {
        let y = self.matmul(x, w, false, true)?;
        match b {
            Some(b) => self.add_bias(y, b),
            None => Ok(y),
        }
    }
}

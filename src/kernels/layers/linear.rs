//! linear: y = x·wᵀ + b, recorded as a matmul and an add_bias: it has no kernels, gradient or cases of its own;
//! kernels-tests/facts.rs holds its values and gradients to the formula.

use crate::base::{DType, Result};
use crate::tape::{Tape, Var};

impl Tape {
    /// x·wᵀ + b: x [M, K] and w [N, K] both f32 or both f16, b f32 [N] or none; y is f32 [M, N].
    pub fn linear(&mut self, x: Var, w: Var, b: Option<Var>) -> Result<Var> {
        self.linear_as(x, w, b, DType::F32)
    }

    /// The same with y of the elements `result`, f32 or f16.
    pub fn linear_as(&mut self, x: Var, w: Var, b: Option<Var>, result: DType) -> Result<Var> {
        let y = self.matmul_as(x, w, false, true, result)?;
        match b {
            Some(b) => self.add_bias(y, b),
            None => Ok(y),
        }
    }
}

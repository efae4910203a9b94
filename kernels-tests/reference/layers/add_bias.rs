//! add_bias: one rounding of x + b, b repeated for each row.

use crate::reference::{Answer, Expected, Tensor};
use wgslab::tape::Op;

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    let n = x[0].dim(1);
    let y = x[0].f.iter().enumerate().map(|(i, v)| v + x[1].f[i % n]).collect();
    Answer::new(vec![Expected::exact(y)]).gradient(&[0, 1], &[0])
}

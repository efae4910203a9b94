//! scale: one rounding of factor·x.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::scale::Scale;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let factor = cast::<Scale>(op).factor as f64;
    Answer::new(vec![Expected::exact(x[0].f.iter().map(|v| factor * v).collect())]).gradient(&[0], &[0])
}

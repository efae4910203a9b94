//! relu: max(x, 0).

use super::{Answer, Expected, Tensor};
use wgslab::tape::Op;

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    Answer::new(vec![Expected::exact(x[0].f.iter().map(|v| v.max(0.0)).collect())]).gradient(&[0], &[0])
}

//! found_inf: the flag becomes 1 where an element of a tensor is infinite or NaN. Otherwise it stays as it was.

use crate::reference::{Answer, Expected, Tensor};
use wgslab::tape::Op;

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    let bad = x[1..].iter().any(|x| x.f.iter().any(|v| !v.is_finite()));
    Answer::new(vec![Expected::Words(if bad { vec![1] } else { x[0].u.clone() })])
}

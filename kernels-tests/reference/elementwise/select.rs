//! select: the elements of a where the mask is not 0, of b elsewhere.

use crate::reference::{Answer, Expected, Tensor};
use wgslab::tape::Op;

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    let chosen = |i: usize| if !x[0].f.is_empty() { x[0].f[i] != 0.0 } else { x[0].u[i] != 0 };
    let source = |i: usize| if chosen(i) { &x[1] } else { &x[2] };
    let n = x[0].shape.numel();
    match x[1].f.is_empty() {
        true => Answer::new(vec![Expected::Words((0..n).map(|i| source(i).u[i]).collect())]),
        false => Answer::new(vec![Expected::exact((0..n).map(|i| source(i).f[i]).collect())]).gradient(&[1, 2], &[0]),
    }
}

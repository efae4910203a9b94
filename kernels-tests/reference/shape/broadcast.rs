//! broadcast: each element of y is the element of x with the same indices. An index is 0 where x's dimension is 1 or
//! missing.

use crate::reference::{Answer, Expected, HALF_ULP, Tensor, cast};
use wgslab::base::Shape;
use wgslab::kernels::broadcast::Broadcast;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let y = cast::<Broadcast>(op).shape;
    let from = |i: usize| source(i, x[0].shape, y);
    if x[0].f.is_empty() {
        return Answer::new(vec![Expected::Words((0..y.numel()).map(|i| x[0].u[from(i)]).collect())]);
    }
    // A gradient adds up K standard normals. Each addition rounds a partial sum of about √K, and the errors are a
    // random walk of K steps: √K·√K·2⁻²⁴, and at most four times that. It matters where the terms cancel.
    let repeats = (y.numel() / x[0].shape.numel()) as f64;
    let copies = Expected::exact((0..y.numel()).map(|i| x[0].f[from(i)]).collect());
    Answer::new(vec![copies]).gradient(&[0], &[0]).floor(4.0 * repeats * HALF_ULP)
}

/// The index of the element of x that element i of y copies.
fn source(mut i: usize, x: Shape, y: Shape) -> usize {
    let (mut at, mut stride) = (0, 1);
    for d in 1..=y.rank() {
        let index = i % y.dim(y.rank() - d);
        i /= y.dim(y.rank() - d);
        if d <= x.rank() {
            let size = x.dim(x.rank() - d);
            at += if size == 1 { 0 } else { index * stride };
            stride *= size;
        }
    }
    at
}

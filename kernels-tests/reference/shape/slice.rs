//! slice: `start .. start + length` of an axis.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::slice::Slice;
use wgslab::tape::Op;

/// The elements of `x` at these places, of any type.
pub fn picked(x: &Tensor, at: &[usize]) -> Expected {
    if x.u.is_empty() {
        return Expected::exact(at.iter().map(|&i| x.f[i]).collect());
    }
    Expected::Words(at.iter().map(|&i| x.u[i]).collect())
}

/// The coordinates of element `i` of a tensor.
pub fn coordinates(mut i: usize, dims: &[u32]) -> Vec<usize> {
    let mut c = vec![0; dims.len()];
    for (c, &d) in c.iter_mut().zip(dims).rev() {
        (*c, i) = (i % d as usize, i / d as usize);
    }
    c
}

/// The element of a tensor at these coordinates.
pub fn element(c: &[usize], dims: &[u32]) -> usize {
    c.iter().zip(dims).fold(0, |at, (c, &d)| at * d as usize + c)
}

/// Adds a gradient where the elements are floats.
pub fn moved(x: &[Tensor], answer: Answer) -> Answer {
    let all: Vec<usize> = (0..x.len()).filter(|&i| !x[i].f.is_empty()).collect();
    if all.is_empty() { answer } else { answer.gradient(&all, &[0]) }
}

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Slice>(op);
    let dims = x[0].shape.dims();
    let inside = |i: &usize| {
        let c = coordinates(*i, dims)[op.axis as usize];
        c >= op.start as usize && c < (op.start + op.length) as usize
    };
    let at: Vec<usize> = (0..x[0].shape.numel()).filter(inside).collect();
    moved(x, Answer::new(vec![picked(&x[0], &at)]))
}

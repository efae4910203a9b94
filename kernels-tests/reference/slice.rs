//! slice: rows `start .. start + length` of the first dimension.

use super::{Answer, Expected, Tensor, cast};
use wgslab::kernels::slice::Slice;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Slice>(op);
    let row = x[0].f.len() / x[0].dim(0);
    let (start, length) = (op.start as usize, op.length as usize);
    Answer::new(vec![Expected::exact(x[0].f[start * row..(start + length) * row].to_vec())]).gradient(&[0], &[0])
}

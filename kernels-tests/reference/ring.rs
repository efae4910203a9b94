//! ring: the value goes into the row that the scalar names, into the op's column, whatever the guard says.

use super::{Answer, Expected, Tensor, cast};
use wgslab::kernels::ring::Ring;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Ring>(op);
    let mut ring = x[0].f.clone();
    let row = x[2].f[op.slot as usize] as usize % op.slots as usize;
    ring[row * op.columns as usize + op.column as usize] = x[1].f[0];
    Answer::new(vec![Expected::exact(ring)])
}

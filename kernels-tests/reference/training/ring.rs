//! ring: the values are written into the row that the scalar names, whatever the guard is.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::ring::Ring;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Ring>(op);
    let mut ring = x[0].f.clone();
    let (row, columns) = (x[1].f[op.slot as usize] as usize, x[0].dim(1));
    for (column, value) in x[2..].iter().enumerate() {
        let bits = |u: &u32| f32::from_bits(*u) as f64;
        ring[row * columns + column] = value.u.first().map_or_else(|| value.f[0], bits);
    }
    Answer::new(vec![Expected::exact(ring)])
}

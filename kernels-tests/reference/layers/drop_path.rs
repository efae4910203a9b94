//! drop_path: sample n is x/keep where the n-th uniform number of the host's generator is below keep, else 0.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::drop_path::DropPath;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<DropPath>(op);
    let mut rng = op.stream.rng(x[1].f[op.stream.counter as usize] as u32);
    let keep = op.keep.value(&x[1].f);
    let mut y = Vec::new();
    for sample in x[0].f.chunks(x[0].f.len() / x[0].dim(0)) {
        let factor = if f64::from(rng.uniform()) < keep { 1.0 / keep } else { 0.0 };
        y.extend(sample.iter().map(|v| (factor * v, (factor * v).abs())));
    }
    Answer::new(vec![Expected::sums(y, 1).ulps(2.5)]).gradient(&[0], &[0])
}

//! dropout: element i is x/keep where the i-th uniform number of the host's generator is below keep, else 0.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::dropout::Dropout;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Dropout>(op);
    let mut rng = op.stream.rng(x[1].f[op.stream.counter as usize] as u32);
    let keep = op.keep.value(&x[1].f);
    let y =
        x[0].f.iter().map(|v| if f64::from(rng.uniform()) < keep { (v / keep, (v / keep).abs()) } else { (0.0, 0.0) });
    Answer::new(vec![Expected::sums(y.collect(), 1).ulps(2.5)]).gradient(&[0], &[0])
}

//! normalize: (x − mean) / std per channel.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::normalize::Normalize;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Normalize>(op);
    let plane = x[0].dim(2) * x[0].dim(3);
    let pair = |(i, v): (usize, &f64)| {
        let c = i / plane % x[0].dim(1);
        let (mean, std) = (op.mean[c] as f64, op.std[c] as f64);
        ((v - mean) / std, (v.abs() + mean.abs()) / std)
    };
    Answer::new(vec![Expected::sums(x[0].f.iter().enumerate().map(pair).collect(), 1).ulps(2.5)])
}

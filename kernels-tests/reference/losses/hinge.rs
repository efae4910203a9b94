//! hinge: the mean over a row of max(0, 1 − x), max(0, 1 + x) or −x.

use crate::reference::row_loss::{mean, row};
use crate::reference::{Answer, Tensor, cast};
use wgslab::kernels::hinge::Hinge;
use wgslab::kernels::row_loss::RowLoss;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let of = cast::<RowLoss<Hinge>>(op).0;
    let (n, k) = (x[0].dim(0), x[0].dim(1));
    let each = |x: f64| match of {
        Hinge::Real => (1.0 - x).max(0.0),
        Hinge::Fake => (1.0 + x).max(0.0),
        Hinge::Generator => -x,
    };
    let loss = |i: usize| {
        let sums = row(&x[0], i).iter().fold((0.0, 0.0), |a, x| (a.0 + each(*x), a.1 + 1.0 + x.abs()));
        (sums.0 / k as f64, sums.1 / k as f64)
    };
    Answer::new(mean((0..n).map(loss).collect(), &x[1], k, 2.5, |_| 1.0)).gradient(&[0], &[0, 1])
}

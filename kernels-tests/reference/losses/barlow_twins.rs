//! barlow_twins, from the products C: l_i = (c_ii − 1)² + λ Σ_{k ≠ i} c_ik², c = C / N.

use crate::reference::row_loss::{plain_sum, row};
use crate::reference::{Answer, Tensor, cast};
use wgslab::kernels::barlow_twins::BarlowTwins;
use wgslab::kernels::row_loss::RowLoss;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = &cast::<RowLoss<BarlowTwins>>(op).0;
    let d = x[0].dim(0);
    let loss = |i: usize| {
        row(&x[0], i).iter().enumerate().fold((0.0, 0.0), |a, (k, c)| {
            let c = c / op.samples as f64;
            let (away, size, strength) =
                if k == i { (c - 1.0, c.abs() + 1.0, 1.0) } else { (c, c.abs(), op.lambda as f64) };
            (a.0 + strength * away * away, a.1 + strength * size * size)
        })
    };
    Answer::new(plain_sum((0..d).map(loss).collect(), d, 2.5)).gradient(&[0], &[0, 1])
}

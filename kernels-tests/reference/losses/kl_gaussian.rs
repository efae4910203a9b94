//! kl_gaussian: l_i = ½ Σ_k (μ² + exp(v) − 1 − v).

use crate::reference::row_loss::{mean, row};
use crate::reference::{Answer, Tensor};
use wgslab::tape::Op;

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    let (n, k) = (x[0].dim(0), x[0].dim(1));
    let loss = |i: usize| {
        row(&x[0], i).iter().zip(row(&x[1], i)).fold((0.0, 0.0), |a, (m, v)| {
            (a.0 + 0.5 * (m * m + v.exp_m1() - v), a.1 + 0.5 * (m * m + v.exp() + v.abs()))
        })
    };
    Answer::new(mean((0..n).map(loss).collect(), &x[2], k, 9.0, |_| 1.0)).gradient(&[0, 1], &[0, 1])
}

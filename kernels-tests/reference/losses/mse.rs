//! mse: l_i = Σ_k (x_ik − y_ik)² / K.

use crate::reference::row_loss::{mean, row};
use crate::reference::{Answer, Tensor};
use wgslab::tape::Op;

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    let (n, k) = (x[0].dim(0), x[0].dim(1));
    let loss = |i: usize| {
        let pairs = row(&x[0], i).iter().zip(row(&x[1], i));
        let sums = pairs.fold((0.0, 0.0), |a, (x, y)| {
            (a.0 + (x - y).powi(2), a.1 + (x - y).powi(2) + 2.0 * (x - y).abs() * (x.abs() + y.abs()))
        });
        (sums.0 / k as f64, sums.1 / k as f64)
    };
    Answer::new(mean((0..n).map(loss).collect(), &x[2], k, 2.5, |_| 1.0)).gradient(&[0, 1], &[0, 1])
}

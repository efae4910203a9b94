//! info_nce: l_i = log(exp(s_i) + Σ_j exp(n_ij)) − s_i, s_i = ⟨query_i, key_i⟩ / τ, n_ij = ⟨query_i, queue_j⟩ / τ.

use crate::reference::row_loss::{mean, row};
use crate::reference::{Answer, Expected, Tensor, cast, cross_entropy::lse};
use wgslab::kernels::info_nce::InfoNce;
use wgslab::tape::Op;

/// As in nt_xent.
const ULPS: f64 = 13.5;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let temperature = cast::<InfoNce>(op).temperature as f64;
    let (n, k, d) = (x[0].dim(0), x[2].dim(0), x[0].dim(1));
    let (mut losses, mut lses) = (Vec::new(), Vec::new());
    for i in 0..n {
        let keys = std::iter::once(row(&x[1], i)).chain((0..k).map(|j| row(&x[2], j)));
        let query = row(&x[0], i);
        let dots: Vec<(f64, f64)> = keys
            .map(|key| {
                let products = query.iter().zip(key).map(|(a, b)| a * b / temperature);
                (products.clone().sum(), products.map(f64::abs).sum())
            })
            .collect();
        let (value, terms) = lse(dots.iter().map(|d| d.0));
        let terms = terms + dots.iter().map(|d| d.1).fold(0.0, f64::max);
        losses.push((value - dots[0].0, terms + dots[0].1));
        lses.push((value, terms));
    }
    let mut outputs = mean(losses, &x[3], k + d, ULPS, |_| 1.0);
    outputs.push(Expected::sums(lses, k + d).ulps(ULPS));
    Answer::new(outputs).gradient(&[0, 1], &[0, 1])
}

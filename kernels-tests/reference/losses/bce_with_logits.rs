//! bce_with_logits: l_i = −Σ_k (c_k·t log σ(x) + (1 − t) log(1 − σ(x))) / K.

use crate::reference::row_loss::{mean, row};
use crate::reference::{Answer, Tensor};
use wgslab::tape::Op;

/// log(1 + exp x) without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    let (n, k) = (x[0].dim(0), x[0].dim(1));
    let positive = |c: usize| if x.len() > 3 { x[2].f[c] } else { 1.0 };
    let loss = |i: usize| {
        let sum: f64 = (0..k)
            .map(|c| {
                let (x, t) = (row(&x[0], i)[c], row(&x[1], i)[c]);
                (1.0 - t) * softplus(x) + positive(c) * t * softplus(-x)
            })
            .sum();
        (sum / k as f64, sum / k as f64)
    };
    // exp of at most 0 is granted 3 + 2|x| ulps; weighted by exp itself that is at most 4. There are two divisions.
    Answer::new(mean((0..n).map(loss).collect(), &x[x.len() - 1], k, 9.0, |_| 1.0)).gradient(&[0], &[0, 1])
}

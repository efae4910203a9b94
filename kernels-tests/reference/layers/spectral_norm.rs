//! spectral_norm: the weight divided by sigma = Σ u_m·W_mk·v_k, with u and v given.

use crate::reference::{Answer, Expected, Tensor};
use wgslab::tape::Op;

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    let k = x[0].dim(1);
    let term = |i: usize| x[1].f[i / k] * x[0].f[i] * x[2].f[i % k];
    let n = x[0].f.len();
    let sigma: f64 = (0..n).map(term).sum();
    let size: f64 = (0..n).map(|i| term(i).abs()).sum();
    let y = x[0].f.iter().map(|w| (w / sigma, (w / sigma).abs() * size / sigma.abs())).collect();
    let outputs = vec![Expected::sums(y, n).ulps(2.5), Expected::sums(vec![(sigma, size)], n)];
    Answer::new(outputs).gradient(&[0], &[0])
}

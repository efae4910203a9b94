//! center: x minus the mean of its column.

use crate::reference::{Answer, Expected, Tensor};
use wgslab::tape::Op;

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    let (n, d) = (x[0].dim(0), x[0].dim(1));
    let mean = |j: usize, f: &dyn Fn(f64) -> f64| (0..n).map(|i| f(x[0].f[i * d + j])).sum::<f64>() / n as f64;
    let y = x[0].f.iter().enumerate().map(|(i, v)| (v - mean(i % d, &|v| v), v.abs() + mean(i % d, &f64::abs)));
    Answer::new(vec![Expected::sums(y.collect(), n).ulps(2.5)]).gradient(&[0], &[0])
}

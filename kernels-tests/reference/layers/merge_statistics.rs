//! merge_statistics: mean and biased variance of the union of parts, from those of each part and its count.

use crate::reference::{Answer, Expected, Tensor};
use wgslab::tape::Op;

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    let (parts, channels) = (x[0].dim(0), x[0].dim(1));
    let total: f64 = x[2].f.iter().sum();
    let (mut means, mut variances) = (Vec::new(), Vec::new());
    for c in 0..channels {
        let over = |f: &dyn Fn(usize, usize) -> f64| match total {
            0.0 => 0.0,
            _ => (0..parts).map(|s| x[2].f[s] / total * f(s, s * channels + c)).sum::<f64>(),
        };
        let mean = over(&|_, i| x[0].f[i]);
        let size = over(&|_, i| x[0].f[i].abs());
        means.push((mean, size));
        let variance = over(&|_, i| x[1].f[i] + (x[0].f[i] - mean).powi(2));
        let off = over(&|_, i| 2.0 * (x[0].f[i] - mean).abs() * (x[0].f[i].abs() + size));
        variances.push((variance, variance + off));
    }
    let outputs = vec![Expected::sums(means, parts).ulps(2.5), Expected::sums(variances, parts).ulps(2.5)];
    Answer::new(outputs).gradient(&[0, 1], &[0, 1])
}

//! group_norm: y = (x − mean) / √(var + eps) · weight + bias. Mean and biased variance are those of a group of channels
//! of one sample.

use crate::reference::batch_norm::{ULPS, statistics};
use crate::reference::{Answer, Expected, HALF_ULP, Tensor, cast};
use wgslab::kernels::group_norm::GroupNorm;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<GroupNorm>(op);
    let (n, c) = (x[0].dim(0), x[0].dim(1));
    let (count, plane) = (x[0].f.len() / (n * op.groups), x[0].f.len() / (n * c));
    let (mut y, mut means, mut variances, mut steepest) = (Vec::new(), Vec::new(), Vec::new(), 0.0f64);
    for group in 0..n * op.groups {
        let at: Vec<usize> = (group * count..(group + 1) * count).collect();
        let [(mean, size), variance] = statistics(&x[0].f, &at, |_| 1.0);
        means.push((mean, size));
        variances.push(variance);
        for i in at {
            let (v, weight, bias) = (x[0].f[i], x[1].f[i / plane % c], x[2].f[i / plane % c]);
            let scale = weight / (variance.0 + op.eps as f64).sqrt();
            steepest = steepest.max(scale.abs());
            y.push(((v - mean) * scale + bias, (v.abs() + size) * scale.abs() + bias.abs()));
        }
    }
    let outputs = vec![
        Expected::sums(y, count).ulps(ULPS),
        Expected::sums(means, count).ulps(2.5),
        Expected::sums(variances, count).ulps(2.5),
    ];
    // As in batch_norm: with few elements only rounding is left.
    let rounded = 4.0 * HALF_ULP * (count as f64).sqrt() * steepest * 4.0;
    Answer::new(outputs).gradient(&[0, 1, 2], &[0]).floor(rounded)
}

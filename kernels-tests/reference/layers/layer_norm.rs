//! layer_norm: y = (x − mean) / √(var + eps) · weight + bias for each row, with mean and biased variance of the row.

use crate::reference::batch_norm::{ULPS, statistics};
use crate::reference::{Answer, Expected, HALF_ULP, Tensor, cast};
use wgslab::kernels::layer_norm::LayerNorm;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let (eps, d) = (cast::<LayerNorm>(op).eps as f64, x[0].dim(1));
    let (mut y, mut means, mut rstds, mut steepest) = (Vec::new(), Vec::new(), Vec::new(), 0.0f64);
    for row in 0..x[0].dim(0) {
        let at: Vec<usize> = (row * d..(row + 1) * d).collect();
        let [(mean, size), (variance, terms)] = statistics(&x[0].f, &at, |_| 1.0);
        let rstd = 1.0 / (variance + eps).sqrt();
        means.push((mean, size));
        // d rstd = −rstd³/2 · d variance
        rstds.push((rstd, rstd + rstd.powi(3) / 2.0 * terms));
        for (k, i) in at.into_iter().enumerate() {
            let (v, scale, bias) = (x[0].f[i], rstd * x[1].f[k], x[2].f[k]);
            steepest = steepest.max(scale.abs());
            y.push(((v - mean) * scale + bias, (v.abs() + size) * scale.abs() + bias.abs()));
        }
    }
    let outputs =
        vec![Expected::sums(y, d).ulps(ULPS), Expected::sums(means, d).ulps(2.5), Expected::sums(rstds, d).ulps(ULPS)];
    // As in batch_norm: with few elements only rounding is left.
    let rounded = 4.0 * HALF_ULP * (d as f64).sqrt() * steepest * 4.0;
    Answer::new(outputs).gradient(&[0, 1, 2], &[0]).floor(rounded)
}

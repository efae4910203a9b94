//! batch_norm: y = (x − mean) / √(var + eps) · weight + bias for each channel. In training, mean and biased variance
//! are those of the batch or of each of its parts, with each sample counted by its weight. In evaluation they are
//! given.

use crate::reference::{Answer, Expected, HALF_ULP, Tensor};
use std::any::Any;
use wgslab::kernels::batch_norm::{BatchNorm, BatchNormEval};
use wgslab::tape::Op;

/// 1/√ is granted 2 ulps, √ 4.5 and division 2.5.
pub const ULPS: f64 = 7.0;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let any: &dyn Any = op;
    match (any.downcast_ref::<BatchNorm>(), any.downcast_ref::<BatchNormEval>()) {
        (Some(op), _) => train(op, x),
        (_, Some(op)) => eval(op.eps as f64, x),
        _ => panic!("the reference does not know the op {op:?}"),
    }
}

/// For each part and channel, the indices of its elements.
pub fn channels(x: &Tensor, parts: usize) -> Vec<Vec<usize>> {
    let (n, c) = (x.dim(0), x.dim(1));
    let plane = x.f.len() / (n * c);
    let mut of = vec![Vec::new(); parts * c];
    (0..x.f.len()).for_each(|i| of[i / (plane * c) / (n / parts) * c + i / plane % c].push(i));
    of
}

/// Mean and biased variance of the elements `at` of x with the given weights, with Σ|terms| of both.
pub fn statistics(x: &[f64], at: &[usize], weight: impl Fn(usize) -> f64) -> [(f64, f64); 2] {
    let total = at.iter().map(|&i| weight(i)).sum::<f64>();
    if total == 0.0 {
        return [(0.0, 0.0); 2];
    }
    let average = |f: &dyn Fn(f64) -> f64| at.iter().map(|&i| weight(i) * f(x[i])).sum::<f64>() / total;
    let (mean, size) = (average(&|v| v), average(&|v| v.abs()));
    let variance = average(&|v| (v - mean).powi(2));
    // An error δ of the mean adds δ² to the variance.
    let off = 4.0 * HALF_ULP * (at.len() as f64).sqrt() * size;
    [(mean, size), (variance, variance + off * off / HALF_ULP)]
}

fn train(op: &BatchNorm, x: &[Tensor]) -> Answer {
    let (eps, c) = (op.eps as f64, x[0].dim(1));
    let sample = x[0].f.len() / x[0].dim(0);
    let weight = |i: usize| x.get(3).map_or(1.0, |w| w.f[i / sample]);
    let mut y = vec![(0.0, 0.0); x[0].f.len()];
    let (mut means, mut variances, mut count, mut steepest) = (Vec::new(), Vec::new(), 1, 0.0f64);
    for (channel, at) in channels(&x[0], op.splits).iter().enumerate() {
        count = at.len();
        let [(mean, size), variance] = statistics(&x[0].f, at, weight);
        means.push((mean, size));
        variances.push(variance);
        let scale = x[1].f[channel % c] / (variance.0 + eps).sqrt();
        steepest = steepest.max(scale.abs());
        for &i in at {
            let (v, bias) = (x[0].f[i], x[2].f[channel % c]);
            y[i] = ((v - mean) * scale + bias, (v.abs() + size) * scale.abs() + bias.abs());
        }
    }
    let outputs = vec![
        Expected::sums(y, count).ulps(ULPS),
        Expected::sums(means, count).ulps(2.5),
        Expected::sums(variances, count).ulps(2.5),
    ];
    // dx is scale · (dy − its part along 1 − its part along x̂). With two elements only rounding is left of it. 4 is
    // about the largest of the cotangents.
    let rounded = 4.0 * HALF_ULP * (count as f64).sqrt() * steepest * 4.0;
    Answer::new(outputs).gradient(&[0, 1, 2], &[0, 1, 2]).floor(rounded)
}

fn eval(eps: f64, x: &[Tensor]) -> Answer {
    let mut y = vec![(0.0, 0.0); x[0].f.len()];
    for (c, at) in channels(&x[0], 1).iter().enumerate() {
        let (mean, scale) = (x[3].f[c], x[1].f[c] / (x[4].f[c] + eps).sqrt());
        for &i in at {
            let v = x[0].f[i];
            y[i] = ((v - mean) * scale + x[2].f[c], (v.abs() + mean.abs()) * scale.abs() + x[2].f[c].abs());
        }
    }
    Answer::new(vec![Expected::sums(y, 1).ulps(ULPS)]).gradient(&[0, 1, 2, 3, 4], &[0])
}

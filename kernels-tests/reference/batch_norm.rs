//! batch_norm: y = (x − mean) / √(var + eps) · weight + bias for each channel, mean and biased variance of the batch
//! (train) or given (eval).

use super::{Answer, Expected, HALF_ULP, Tensor};
use std::any::Any;
use wgslab::kernels::batch_norm::{BatchNorm, BatchNormEval};
use wgslab::tape::Op;

/// 1/√ is granted 2 ulps, √ and division 4.5 and 2.5.
const ULPS: f64 = 7.0;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let any: &dyn Any = op;
    match (any.downcast_ref::<BatchNorm>(), any.downcast_ref::<BatchNormEval>()) {
        (Some(op), _) => train(op.eps as f64, x),
        (_, Some(op)) => eval(op.eps as f64, x),
        _ => panic!("the reference does not know the op {op:?}"),
    }
}

/// Of each channel: its elements' indices.
fn channels(x: &Tensor) -> Vec<Vec<usize>> {
    let (c, plane) = (x.dim(1), x.f.len() / (x.dim(0) * x.dim(1)));
    let mut of = vec![Vec::new(); c];
    (0..x.f.len()).for_each(|i| of[i / plane % c].push(i));
    of
}

fn train(eps: f64, x: &[Tensor]) -> Answer {
    let mut y = vec![(0.0, 0.0); x[0].f.len()];
    let (mut means, mut variances, mut count, mut steepest) = (Vec::new(), Vec::new(), 1, 0.0f64);
    for (c, at) in channels(&x[0]).iter().enumerate() {
        count = at.len();
        let average = |f: &dyn Fn(f64) -> f64| at.iter().map(|&i| f(x[0].f[i])).sum::<f64>() / count as f64;
        let (mean, size) = (average(&|v| v), average(&|v| v.abs()));
        let variance = average(&|v| (v - mean).powi(2));
        means.push((mean, size));
        // A mean that is off by δ adds δ² to the variance.
        let off = 4.0 * HALF_ULP * (count as f64).sqrt() * size;
        variances.push((variance, variance + off * off / HALF_ULP));
        let scale = x[1].f[c] / (variance + eps).sqrt();
        steepest = steepest.max(scale.abs());
        for &i in at {
            let v = x[0].f[i];
            y[i] = ((v - mean) * scale + x[2].f[c], (v.abs() + size) * scale.abs() + x[2].f[c].abs());
        }
    }
    let outputs = vec![
        Expected::sums(y, count).ulps(ULPS),
        Expected::sums(means, count).ulps(2.5),
        Expected::sums(variances, count).ulps(2.5),
    ];
    // dx is scale · (dy − its part along 1 − its part along x̂): of two elements nothing is left but what was rounded.
    // 4 is about the largest of the cotangents.
    let rounded = 4.0 * HALF_ULP * (count as f64).sqrt() * steepest * 4.0;
    Answer::new(outputs).gradient(&[0, 1, 2], &[0, 1, 2]).floor(rounded)
}

fn eval(eps: f64, x: &[Tensor]) -> Answer {
    let mut y = vec![(0.0, 0.0); x[0].f.len()];
    for (c, at) in channels(&x[0]).iter().enumerate() {
        let (mean, scale) = (x[3].f[c], x[1].f[c] / (x[4].f[c] + eps).sqrt());
        for &i in at {
            let v = x[0].f[i];
            y[i] = ((v - mean) * scale + x[2].f[c], (v.abs() + mean.abs()) * scale.abs() + x[2].f[c].abs());
        }
    }
    Answer::new(vec![Expected::sums(y, 1).ulps(ULPS)]).gradient(&[0, 1, 2], &[0])
}

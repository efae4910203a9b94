//! softmax: y_k = exp(x_k / T) / Σ_j exp(x_j / T), or its logarithm.

use crate::reference::{Answer, Expected, HALF_ULP, Tensor, cast};
use wgslab::kernels::softmax::Softmax;
use wgslab::tape::Op;

/// A driver may flush any smaller number to 0.
const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Softmax>(op);
    let k = x[0].dim(x[0].shape.rank() - 1);
    let mut y = Vec::new();
    for row in x[0].f.chunks(k) {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let a = row.iter().map(|v| if *v == f64::NEG_INFINITY { *v } else { (v - top) / op.temperature as f64 });
        let sum: f64 = a.clone().map(f64::exp).sum();
        // The argument of exp is rounded first, so the error has the size of the argument and that of the result.
        y.extend(a.map(|a| match (op.log, a.exp()) {
            (true, _) => (a - sum.ln(), a.abs() + sum.ln() + 1.0),
            (false, e) if e < SMALLEST => (e, SMALLEST / HALF_ULP),
            (false, e) => (e / sum, e / sum * (1.0 + a.abs()) + SMALLEST / HALF_ULP),
        }));
    }
    let answer = Answer::new(vec![Expected::sums(y, k).ulps(11.0)]);
    // dx is a difference of terms of up to dy / T, of which almost nothing is left where y is near 0 or 1.
    let answer = answer.floor(16.0 * HALF_ULP / op.temperature as f64);
    // Central differences fail at an infinity and between numbers near the largest f32.
    let finite = x[0].f.iter().all(|v| v.abs() < 1e30);
    if finite { answer.gradient(&[0], &[0]) } else { answer }
}

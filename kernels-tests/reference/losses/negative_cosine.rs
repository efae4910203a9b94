//! negative_cosine: l_i = −⟨a, b⟩ / (max(‖a‖, eps) max(‖b‖, eps)).

use crate::reference::row_loss::{mean, row, stats};
use crate::reference::{Answer, HALF_ULP, Tensor, cast};
use wgslab::kernels::negative_cosine::NegativeCosine;
use wgslab::kernels::row_loss::RowLoss;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let eps = cast::<RowLoss<NegativeCosine>>(op).0.eps as f64;
    let (n, d) = (x[0].dim(0), x[0].dim(1));
    let (mut losses, mut kept, mut steepest) = (Vec::new(), Vec::new(), 0.0f64);
    for i in 0..n {
        let (a, b) = (row(&x[0], i), row(&x[1], i));
        let length = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let (la, lb) = (length(a), length(b));
        let divisor = la.max(eps) * lb.max(eps);
        let (dot, size) = a.iter().zip(b).fold((0.0, 0.0), |s, (a, b)| (s.0 + a * b, s.1 + (a * b).abs()));
        let (cosine, size) = (dot / divisor, size / divisor);
        losses.push((-cosine, size));
        let inverse = |l: f64| (1.0 / l.max(eps), 1.0 / l.max(eps));
        let unless = |l: f64| if l < eps { (0.0, 0.0) } else { (cosine, size) };
        steepest = steepest.max(inverse(la).0).max(inverse(lb).0);
        kept.push([inverse(la), inverse(lb), unless(la), unless(lb)]);
    }
    // There are two roots and two divisions.
    let mut outputs = mean(losses, &x[2], d, 14.0, |_| 1.0);
    outputs.push(stats(kept, d, 14.0));
    // A slope is the part of b' that is orthogonal to a', divided by ‖a‖. In one dimension only rounding is left of it.
    // 4 is about the largest of the cotangents.
    let rounded = 4.0 * HALF_ULP * (d as f64).sqrt() * steepest * 4.0;
    Answer::new(outputs).gradient(&[0, 1], &[0, 1]).floor(rounded)
}

//! gce: l_i = (1 − p_label^q) / q.

use crate::reference::row_loss::{NOTHING, Softmax, ULPS, label, mean, row, stats};
use crate::reference::{Answer, Tensor, cast};
use wgslab::kernels::gce::Gce;
use wgslab::kernels::row_loss::RowLoss;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let q = cast::<RowLoss<Gce>>(op).0.q as f64;
    let (n, k) = (x[0].dim(0), x[0].dim(1));
    let (mut losses, mut kept) = (Vec::new(), Vec::new());
    for i in 0..n {
        let softmax = Softmax::new(row(&x[0], i).iter().copied());
        let (ce, terms) = softmax.cross_entropy(label(&x[1], i, k));
        let power = (-q * ce).exp();
        // Where q·ce is near 0, the cancellation leaves nothing of p^q. The loss is then nearly ce, and so is its
        // error.
        losses.push(((1.0 - power) / q, power * terms + (1.0 - power) / q));
        kept.push([softmax.lse, (power, power * (1.0 + q * terms)), NOTHING, NOTHING]);
    }
    let mut outputs = mean(losses, &x[2], k, ULPS + 2.5, |_| 1.0);
    outputs.push(stats(kept, k, ULPS));
    // Central differences of a loss of up to 1/q have an error of their own in f64: 4 roundings divided by the step. A
    // gradient of saturated rows is smaller than that.
    Answer::new(outputs).gradient(&[0], &[0, 1]).floor(4.0 * f64::EPSILON / q / 1e-5)
}

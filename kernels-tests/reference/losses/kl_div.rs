//! kl_div: l_i = Σ_k t_k (log t_k − log s_k), where t and s are the softmax of teacher and student over the
//! temperature.

use crate::reference::row_loss::{NOTHING, Softmax, ULPS, mean, row, stats};
use crate::reference::{Answer, HALF_ULP, Tensor, cast};
use wgslab::kernels::kl_div::KlDiv;
use wgslab::kernels::row_loss::RowLoss;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let temperature = cast::<RowLoss<KlDiv>>(op).0.temperature as f64;
    let (n, k) = (x[0].dim(0), x[0].dim(1));
    let (mut losses, mut kept, mut largest) = (Vec::new(), Vec::new(), 0.0f64);
    for i in 0..n {
        let [s, t] = [0, 1].map(|j| Softmax::new(row(&x[j], i).iter().map(|v| v / temperature)));
        let loss = (0..k).fold(NOTHING, |a, c| {
            let (p, gap) = (t.p(c), t.log[c].0 - s.log[c].0);
            (a.0 + p.0 * gap, a.1 + p.1 * gap.abs() + p.0 * (t.log[c].1 + s.log[c].1))
        });
        largest = largest.max(loss.1);
        losses.push(loss);
        kept.push([s.lse, t.lse, loss, NOTHING]);
    }
    let mut outputs = mean(losses, &x[2], k, ULPS, |_| 1.0);
    outputs.push(stats(kept, k, ULPS));
    // The teacher's slope is t_k (log t_k − log s_k − loss_i). Where t_k is nearly 1, only rounding is left of it. 4 is
    // about the largest of the cotangents.
    let rounded = 4.0 * HALF_ULP * largest / temperature * 4.0;
    Answer::new(outputs).gradient(&[0, 1], &[0, 1]).floor(rounded)
}

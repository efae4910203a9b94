//! cross_entropy: l_i = −Σ_k T_ik log softmax(x_i)_k, T_ik = c_k ((1 − ε) t_ik + ε / K). loss = Σ w_i·l_i / Σ w_i;
//! where labels have class weights, loss = Σ w_i·l_i / Σ w_i·c_label.

use crate::reference::row_loss::{NOTHING, Softmax, ULPS, label, mean, row, stats};
use crate::reference::{Answer, Tensor, cast};
use wgslab::kernels::cross_entropy::CrossEntropy;
use wgslab::kernels::row_loss::RowLoss;
use wgslab::tape::Op;

/// log Σ exp and its Σ|terms|.
pub fn lse(row: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    Softmax::new(row).lse
}

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let smoothing = cast::<RowLoss<CrossEntropy>>(op).0.label_smoothing as f64;
    let (n, k) = (x[0].dim(0), x[0].dim(1));
    let of_labels = x[1].f.is_empty();
    let class = |c: usize| if x.len() > 3 { x[2].f[c] } else { 1.0 };
    let (mut losses, mut kept) = (Vec::new(), Vec::new());
    for i in 0..n {
        let softmax = Softmax::new(row(&x[0], i).iter().copied());
        let (mut loss, mut weight) = (NOTHING, 0.0);
        for c in 0..k {
            let hit = if of_labels { f64::from(u8::from(c == label(&x[1], i, k))) } else { x[1].f[i * k + c] };
            let t = class(c) * ((1.0 - smoothing) * hit + smoothing / k as f64);
            loss = (loss.0 - t * softmax.log[c].0, loss.1 + t * softmax.log[c].1);
            weight += t;
        }
        losses.push(loss);
        kept.push([softmax.lse, (weight, weight), NOTHING, NOTHING]);
    }
    let by_class = of_labels && x.len() > 3;
    let count = |i: usize| if by_class { class(label(&x[1], i, k)) } else { 1.0 };
    let mut outputs = mean(losses, &x[x.len() - 1], k, ULPS, count);
    outputs.push(stats(kept, k, ULPS));
    Answer::new(outputs).gradient(&[0], &[0, 1])
}

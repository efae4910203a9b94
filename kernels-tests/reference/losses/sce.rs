//! sce: l_i = α·ce_i − β·A Σ_{k ≠ label} max(p_k, 1e-7).

use crate::reference::row_loss::{NOTHING, Softmax, ULPS, label, mean, row, stats, sum};
use crate::reference::{Answer, Tensor, cast};
use wgslab::kernels::row_loss::RowLoss;
use wgslab::kernels::sce::Sce;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = &cast::<RowLoss<Sce>>(op).0;
    let (n, k) = (x[0].dim(0), x[0].dim(1));
    let (mut losses, mut kept) = (Vec::new(), Vec::new());
    for i in 0..n {
        let softmax = Softmax::new(row(&x[0], i).iter().copied());
        let y = label(&x[1], i, k);
        let [reverse, free, held] = softmax.reverse(y);
        let factor = -(op.beta as f64) * op.log_zero as f64;
        losses.push(sum(op.alpha as f64, softmax.cross_entropy(y), factor, reverse));
        kept.push([softmax.lse, free, held, NOTHING]);
    }
    let mut outputs = mean(losses, &x[2], k, ULPS, |_| 1.0);
    outputs.push(stats(kept, k, ULPS));
    Answer::new(outputs).gradient(&[0], &[0, 1])
}

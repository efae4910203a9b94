//! nce_rce: l_i = α log p_label / Σ_k log p_k − β·A Σ_{k ≠ label} max(p_k, 1e-7).

use crate::reference::row_loss::{Softmax, ULPS, label, mean, row, stats, sum};
use crate::reference::{Answer, Tensor, cast};
use wgslab::kernels::nce_rce::NceRce;
use wgslab::kernels::row_loss::RowLoss;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = &cast::<RowLoss<NceRce>>(op).0;
    let (n, k) = (x[0].dim(0), x[0].dim(1));
    let (mut losses, mut kept) = (Vec::new(), Vec::new());
    for i in 0..n {
        let softmax = Softmax::new(row(&x[0], i).iter().copied());
        let y = label(&x[1], i, k);
        let [reverse, free, held] = softmax.reverse(y);
        let all = softmax.log.iter().fold((0.0, 0.0), |a, l| (a.0 + l.0, a.1 + l.1));
        let (ce, terms) = softmax.cross_entropy(y);
        let nce = (-ce / all.0, terms / all.0.abs() + ce * all.1 / (all.0 * all.0));
        let factor = -(op.beta as f64) * op.log_zero as f64;
        losses.push(sum(op.alpha as f64, nce, factor, reverse));
        // The smaller of the two, and the sign says which. The kernel may choose the other where they differ by a rounding, which no
        // case here does.
        let holds = held.0 < free.0;
        kept.push([softmax.lse, if holds { held } else { free }, nce, if holds { (-all.0, all.1) } else { all }]);
    }
    let mut outputs = mean(losses, &x[2], k, ULPS + 2.5, |_| 1.0);
    outputs.push(stats(kept, k, ULPS + 2.5));
    Answer::new(outputs).gradient(&[0], &[0, 1])
}

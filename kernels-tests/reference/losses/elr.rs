//! elr: l_i = ce_i + λ log(1 − ⟨p, t⟩), where p is the softmax clamped to [1e-4, 1 − 1e-4] and t the row of the table
//! that index i names. elr_targets: t = β·t + (1 − β)·p/Σp for the named rows. The last row with an index counts; a row
//! of weight 0 never does.

use crate::reference::row_loss::{NOTHING, Softmax, ULPS, label, mean, row, stats};
use crate::reference::{Answer, Expected, Tensor, cast, raised};
use std::any::Any;
use wgslab::kernels::elr::{Elr, ElrTargets};
use wgslab::kernels::row_loss::RowLoss;
use wgslab::tape::Op;

fn clamped((p, terms): (f64, f64)) -> (f64, f64) {
    (p.clamp(1e-4, 1.0 - 1e-4), terms.min(1.0))
}

fn sample(indices: &Tensor, table: &Tensor, i: usize) -> usize {
    (indices.u[i] as usize).min(table.dim(0) - 1)
}

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let any: &dyn Any = op;
    if let Some(op) = any.downcast_ref::<ElrTargets>() {
        return targets(op.keep as f64, x);
    }
    let lambda = cast::<RowLoss<Elr>>(op).0.lambda as f64;
    let (n, k) = (x[0].dim(0), x[0].dim(1));
    let (mut losses, mut kept) = (Vec::new(), Vec::new());
    for i in 0..n {
        let softmax = Softmax::new(row(&x[0], i).iter().copied());
        let t = row(&x[3], sample(&x[2], &x[3], i));
        let (mut along, mut free) = (NOTHING, NOTHING);
        for (c, t) in t.iter().enumerate() {
            let (p, inside) = (softmax.p(c), clamped(softmax.p(c)));
            along = (along.0 + t * inside.0, along.1 + t * inside.1);
            if p.0 == inside.0 {
                free = (free.0 + t * p.0, free.1 + t * p.1);
            }
        }
        let rest = 1.0 - along.0;
        let (ce, terms) = softmax.cross_entropy(label(&x[1], i, k));
        losses.push((ce + lambda * rest.ln(), terms + lambda * (1.0 + rest.ln().abs() + (1.0 + along.1) / rest)));
        let strength = (lambda / rest, lambda / rest * (1.0 + (1.0 + along.1) / rest));
        kept.push([softmax.lse, strength, free, NOTHING]);
    }
    let mut outputs = mean(losses, &x[4], k, ULPS, |_| 1.0);
    outputs.push(stats(kept, k, ULPS));
    Answer::new(outputs).gradient(&[0], &[0, 1])
}

fn targets(keep: f64, x: &[Tensor]) -> Answer {
    let k = x[0].dim(1);
    let mut table: Vec<(f64, f64)> = x[0].f.iter().map(|&v| (v, 0.0)).collect();
    for i in (0..x[1].dim(0)).filter(|&i| x[3].f[i] != 0.0 && !raised(x, 4)) {
        let softmax = Softmax::new(row(&x[1], i).iter().copied());
        let p: Vec<(f64, f64)> = (0..k).map(|c| clamped(softmax.p(c))).collect();
        let total = p.iter().fold((0.0, 0.0), |a, p| (a.0 + p.0, a.1 + p.1));
        let at = sample(&x[2], &x[0], i) * k;
        for (c, p) in p.iter().enumerate() {
            let (old, new) = (keep * x[0].f[at + c], (1.0 - keep) * p.0 / total.0);
            table[at + c] = (old + new, old.abs() + (1.0 - keep) * (p.1 + p.0 * total.1 / total.0) / total.0);
        }
    }
    Answer::new(vec![Expected::sums(table, k).ulps(ULPS + 2.5)])
}

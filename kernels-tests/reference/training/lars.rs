//! lars, as the code of Barlow Twins writes it: d = g + weight_decay·p; q = eta·‖p‖/‖d‖ where both norms are positive,
//! else 1 (clipped: min(q/lr, 1)); mu = momentum·mu + q·d; p −= lr·mu.

use crate::reference::{Answer, Expected, Tensor, cast, each, raised};
use wgslab::kernels::lars::Lars;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    each::<Lars>(op, x, one)
}

fn one(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Lars>(op);
    if raised(x, 4) {
        return Answer::new([0, 2].map(|i| Expected::exact(x[i].f.clone())).into());
    }
    let (momentum, decay, lr) = (op.momentum as f64, op.weight_decay as f64, x[3].f[op.lr as usize]);
    let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    let d: Vec<f64> = x[0].f.iter().zip(&x[1].f).map(|(p, g)| g + decay * p).collect();
    let (p_norm, d_norm) = (norm(&x[0].f), norm(&d));
    let mut q = 1.0;
    if p_norm > 0.0 && d_norm > 0.0 {
        q = op.eta as f64 * p_norm / d_norm;
        if op.clip {
            q = (q / lr).min(1.0);
        }
    }
    let (mut params, mut velocities) = (Vec::new(), Vec::new());
    for ((&p, &g), &v) in x[0].f.iter().zip(&x[1].f).zip(&x[2].f) {
        let (d, d_terms) = (g + decay * p, g.abs() + (decay * p).abs());
        let (v, v_terms) = (momentum * v + q * d, (momentum * v).abs() + q * d_terms);
        params.push((p - lr * v, p.abs() + lr * v_terms));
        velocities.push((v, v_terms));
    }
    // q has two roots of sums of n squares, and two divisions.
    let n = x[0].f.len() + 4;
    Answer::new(vec![Expected::sums(params, n).ulps(14.0), Expected::sums(velocities, n).ulps(14.0)])
}

//! sgd, as PyTorch writes it: g += weight_decay·p; v = momentum·v + g; p −= lr·v, or lr·(g + momentum·v) with Nesterov.

use crate::reference::{Answer, Expected, Tensor, cast, each, raised};
use wgslab::kernels::sgd::Sgd;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    each::<Sgd>(op, x, one)
}

fn one(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Sgd>(op);
    if raised(x, 4) {
        return Answer::new([0, 2].map(|i| Expected::exact(x[i].f.clone())).into());
    }
    let (momentum, decay, lr) = (op.momentum as f64, op.weight_decay as f64, x[3].f[op.lr as usize]);
    let (mut params, mut velocities) = (Vec::new(), Vec::new());
    for ((&p, &g), &v) in x[0].f.iter().zip(&x[1].f).zip(&x[2].f) {
        let (g, g_terms) = (g + decay * p, g.abs() + (decay * p).abs());
        let (v, v_terms) = (momentum * v + g, (momentum * v).abs() + g_terms);
        let (step, terms) = match op.nesterov {
            true => (g + momentum * v, g_terms + momentum * v_terms),
            false => (v, v_terms),
        };
        params.push((p - lr * step, p.abs() + lr * terms));
        velocities.push((v, v_terms));
    }
    Answer::new(vec![Expected::sums(params, 4), Expected::sums(velocities, 3)])
}

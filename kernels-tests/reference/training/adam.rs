//! adam, as PyTorch writes it: g += weight_decay·p; m = β₁·m + (1 − β₁)·g; v = β₂·v + (1 − β₂)·g²; p −= lr·(m / (1 −
//! β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + eps), where t is the count of steps, this one included. AdamW: p *= 1 − lr·weight_decay
//! instead of the first.

use crate::reference::{Answer, Expected, Tensor, cast, each, raised};
use wgslab::kernels::adam::Adam;
use wgslab::tape::Op;

/// The step has two powers, three divisions and a root.
const ULPS: f64 = 20.0;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    each::<Adam>(op, x, one)
}

fn one(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Adam>(op);
    if raised(x, 6) {
        return Answer::new([0, 2, 3].map(|i| Expected::exact(x[i].f.clone())).into());
    }
    let [b1, b2, eps, decay] = [op.beta1, op.beta2, op.eps, op.weight_decay].map(|v| v as f64);
    let decoupled = f64::from(u8::from(op.decoupled));
    let (t, lr) = (x[4].f[0], x[5].f[op.lr as usize]);
    let (mut params, mut firsts, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..x[0].f.len() {
        let (p, m, v) = (x[0].f[i], x[2].f[i], x[3].f[i]);
        let penalty = (1.0 - decoupled) * decay * p;
        let (g, g_terms) = (x[1].f[i] + penalty, x[1].f[i].abs() + penalty.abs());
        let p = p * (1.0 - decoupled * lr * decay);
        let (m, m_terms) = (b1 * m + (1.0 - b1) * g, (b1 * m).abs() + (1.0 - b1) * g_terms);
        let (v, v_terms) = (b2 * v + (1.0 - b2) * g * g, b2 * v + (1.0 - b2) * g_terms * g_terms);
        let step = |m: f64| lr * (m / (1.0 - b1.powf(t))) / ((v / (1.0 - b2.powf(t))).sqrt() + eps);
        params.push((p - step(m), p.abs() + step(m_terms)));
        firsts.push((m, m_terms));
        seconds.push((v, v_terms));
    }
    Answer::new(vec![Expected::sums(params, 4).ulps(ULPS), Expected::sums(firsts, 3), Expected::sums(seconds, 4)])
}

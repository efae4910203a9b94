//! cross_entropy: l_i = log Σ_k exp(x_ik) − x_i,label; loss = Σ w_i·l_i / Σ w_i.

use super::{Answer, Expected, Tensor};
use wgslab::tape::Op;

/// log 3, and exp 3 + 2·|x| weighted by exp(x) itself: at most 8 where it matters.
const ULPS: f64 = 11.0;

/// log Σ exp and its Σ|terms|; the 1 is what log may be off near 1, in absolute terms.
pub fn lse(row: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let max = row.clone().fold(f64::NEG_INFINITY, f64::max);
    let log = row.map(|v| (v - max).exp()).sum::<f64>().ln();
    (max + log, max.abs() + log.abs() + 1.0)
}

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    let (n, k) = (x[0].dim(0), x[0].dim(1));
    let (mut losses, mut lses) = (Vec::new(), Vec::new());
    for i in 0..n {
        let row = &x[0].f[i * k..(i + 1) * k];
        let (lse, terms) = lse(row.iter().copied());
        let at_label = row[(x[1].u[i] as usize).min(k - 1)];
        losses.push((lse - at_label, terms + at_label.abs()));
        lses.push((lse, terms));
    }
    let weight: f64 = x[2].f.iter().sum();
    let mean = |f: &dyn Fn(&(f64, f64)) -> f64| match weight {
        0.0 => 0.0,
        _ => losses.iter().zip(&x[2].f).map(|(l, w)| w * f(l)).sum::<f64>() / weight,
    };
    let loss = vec![(mean(&|l| l.0), mean(&|l| l.1))];
    let outputs = vec![
        Expected::sums(loss, n + k).ulps(ULPS + 2.5),
        Expected::sums(losses, k).ulps(ULPS),
        Expected::sums(lses, k).ulps(ULPS),
    ];
    Answer::new(outputs).gradient(&[0], &[0, 1])
}

//! What the references of losses over rows share: the softmax of a row, how labels are read, and the weighted mean. A
//! pair is (value, Σ|terms|).

use crate::reference::{Expected, Tensor};

/// log is granted 3. exp is granted 3 + 2·|x|, weighted by exp(x) itself, which is at most 8 where it matters. The
/// error of |x| itself is in the terms.
pub const ULPS: f64 = 11.0;

/// The log-probabilities of a row, each with its terms.
pub struct Softmax {
    /// The log softmax.
    pub log: Vec<(f64, f64)>,
    /// log Σ exp.
    pub lse: (f64, f64),
}

impl Softmax {
    /// The softmax of a row of logits. The 1 in the terms is the absolute error that log may have near 1.
    pub fn new(row: impl Iterator<Item = f64> + Clone) -> Self {
        let max = row.clone().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = row.clone().map(|v| (v - max).exp()).sum::<f64>().ln();
        let terms = max.abs() + log_sum.abs() + 1.0;
        let lse = (max + log_sum, terms);
        Softmax { log: row.map(|v| (v - lse.0, v.abs() + terms)).collect(), lse }
    }

    /// Probability k.
    pub fn p(&self, k: usize) -> (f64, f64) {
        let (log, terms) = self.log[k];
        (log.exp(), log.exp() * (1.0 + terms))
    }

    /// The cross-entropy at a label.
    pub fn cross_entropy(&self, label: usize) -> (f64, f64) {
        (-self.log[label].0, self.log[label].1)
    }

    /// Σ_{k ≠ label} max(p_k, 1e-7), Σ p_k of those that are not clamped, and Σ p_k of the label and the clamped.
    pub fn reverse(&self, label: usize) -> [(f64, f64); 3] {
        let all = (0..self.log.len()).map(|k| (k == label, self.p(k)));
        let sum = |f: &dyn Fn((bool, (f64, f64))) -> (f64, f64)| {
            all.clone().map(f).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1))
        };
        let raised = |(own, p): (bool, (f64, f64))| if own { NOTHING } else { (p.0.max(1e-7), p.1.max(1e-7)) };
        let free = |(own, p): (bool, (f64, f64))| if own || p.0 < 1e-7 { (0.0, 1e-7) } else { p };
        // What is below the least normal number may be 0: that is within the rounding of 1e-30.
        let held = |(own, p): (bool, (f64, f64))| if own || p.0 < 1e-7 { (p.0, p.1 + 1e-30) } else { NOTHING };
        [sum(&raised), sum(&free), sum(&held)]
    }
}

/// Row i of a matrix.
pub fn row(x: &Tensor, i: usize) -> &[f64] {
    let k = x.dim(1);
    &x.f[i * k..(i + 1) * k]
}

/// The label of row i. A label past the last class counts as the last class.
pub fn label(labels: &Tensor, i: usize, classes: usize) -> usize {
    (labels.u[i] as usize).min(classes - 1)
}

/// a·x + b·y of pairs.
pub fn sum(a: f64, x: (f64, f64), b: f64, y: (f64, f64)) -> (f64, f64) {
    (a * x.0 + b * y.0, a.abs() * x.1 + b.abs() * y.1)
}

/// The outputs loss, losses and shares from the rows' losses. The loss is the weighted mean, in which row i counts
/// `count(i)` times.
pub fn mean(
    losses: Vec<(f64, f64)>,
    weights: &Tensor,
    columns: usize,
    ulps: f64,
    count: impl Fn(usize) -> f64,
) -> Vec<Expected> {
    let w = &weights.f;
    let total: f64 = w.iter().enumerate().map(|(i, w)| w * count(i)).sum();
    let share = |w: f64| if total == 0.0 { 0.0 } else { w / total };
    let mean = losses.iter().zip(w).fold((0.0, 0.0), |a, (l, &w)| (a.0 + share(w) * l.0, a.1 + share(w) * l.1));
    let shares = w.iter().map(|&w| (share(w), share(w))).collect();
    let n = losses.len();
    vec![
        Expected::sums(vec![mean], n + columns).ulps(ulps + 2.5),
        Expected::sums(losses, columns).ulps(ulps),
        Expected::sums(shares, n).ulps(2.5),
    ]
}

/// The outputs loss and losses where the loss is the plain sum.
pub fn plain_sum(losses: Vec<(f64, f64)>, columns: usize, ulps: f64) -> Vec<Expected> {
    let total = losses.iter().fold((0.0, 0.0), |a, l| (a.0 + l.0, a.1 + l.1));
    let n = losses.len();
    vec![Expected::sums(vec![total], n + columns).ulps(ulps), Expected::sums(losses, columns).ulps(ulps)]
}

/// The last output: four numbers for each row.
pub fn stats(rows: Vec<[(f64, f64); 4]>, columns: usize, ulps: f64) -> Expected {
    Expected::sums(rows.into_iter().flatten().collect(), columns).ulps(ulps)
}

/// The zero of a pair.
pub const NOTHING: (f64, f64) = (0.0, 0.0);

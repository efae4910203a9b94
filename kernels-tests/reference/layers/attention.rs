//! attention: y_i = Σ_j P_ij·v_j, P_ij = exp(s_ij − lse_i), s_ij = scale·⟨q_i, k_j⟩ over the keys j that query i sees.
//! These are the keys before the sample's length and, where causal, not after i. A query that sees no key has y 0 and
//! lse −1e30. Packed, the last axis of one tensor holds the heads of q, then those of k, then those of v.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::base::Shape;
use wgslab::kernels::attention::Attention;
use wgslab::tape::Op;

/// Division is granted 2.5. exp is granted 3 + 2·|x|, weighted by exp(x) itself, which is at most 8 where it matters.
/// log is granted 3.
const ULPS: f64 = 13.5;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Attention>(op);
    let Some(heads) = op.packed else {
        let (y, lses, bounds) = of_three(op, x);
        return Answer::new(vec![y, lses]).gradient(&[0, 1, 2], &[0]).half_floors(&bounds);
    };
    let [b, t, row] = [0, 1, 2].map(|i| x[0].dim(i));
    let e = row / (3 * heads);
    let places = |[p, q, r, s]: [usize; 4]| {
        (0..p * q * r * s).map(move |i| [i / (q * r * s), i / (r * s) % q, i / s % r, i % s])
    };
    let part = |i: usize| {
        let f = places([b, heads, t, e]).map(|[n, h, j, d]| x[0].f[(((n * t + j) * 3 + i) * heads + h) * e + d]);
        Tensor { shape: Shape::from([b, heads, t, e]), f: f.collect(), u: Vec::new() }
    };
    let apart = [&[part(0), part(1), part(2)], &x[1..]].concat();
    let (mut y, lses, bounds) = of_three(op, &apart);
    if let Expected::Floats { value, terms, .. } = &mut y {
        for list in [value, terms] {
            *list = places([b, t, heads, e]).map(|[n, j, h, d]| list[((n * heads + h) * t + j) * e + d]).collect();
        }
    }
    Answer::new(vec![y, lses]).gradient(&[0], &[0]).half_floors(&[bounds[0].max(bounds[1])])
}

/// y, lse, and how far the rounding of y to f16 may move dq and dk.
fn of_three(op: &Attention, x: &[Tensor]) -> (Expected, Expected, [f64; 2]) {
    let [b, h, t, e] = [0, 1, 2, 3].map(|i| x[0].dim(i));
    let s = x[1].dim(2);
    let scale = op.scale.map_or(1.0 / (e as f64).sqrt(), |v| v as f64);
    let (mut y, mut lses, mut rounded) = (Vec::new(), Vec::new(), Rounded::new(x[1].f.len()));
    for row in 0..b * h * t {
        let (sample, head, i) = (row / (h * t), row / t, row % t);
        let length = x.get(3).map_or(s, |l| (l.u[sample] as usize).min(s));
        let seen = if op.causal { length.min(i + 1) } else { length };
        if seen == 0 {
            y.extend(vec![(0.0, 0.0); e]);
            lses.push((-1e30f32 as f64, 0.0));
            continue;
        }
        let q = &x[0].f[row * e..(row + 1) * e];
        let at = |x: &Tensor, j: usize, d: usize| x.f[(head * s + j) * e + d];
        let score = |j: usize| (0..e).map(|d| scale * q[d] * at(&x[1], j, d)).sum::<f64>();
        let size = |j: usize| (0..e).map(|d| (scale * q[d] * at(&x[1], j, d)).abs()).sum::<f64>();
        let scores: Vec<f64> = (0..seen).map(score).collect();
        let top = scores.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v));
        let total = scores.iter().map(|v| (v - top).exp()).sum::<f64>();
        let shares: Vec<f64> = scores.iter().map(|v| (v - top).exp() / total).collect();
        // An error δ of a score changes its exp by a factor of 1 + δ. The error of the sum changes all of them so.
        let off: f64 = (0..seen).map(|j| shares[j] * (1.0 + size(j) + (scores[j] - top).abs())).sum();
        let first = y.len();
        for d in 0..e {
            let value = (0..seen).map(|j| shares[j] * at(&x[2], j, d)).sum::<f64>();
            let own = (0..seen).map(|j| shares[j] * at(&x[2], j, d).abs() * (1.0 + size(j) + (scores[j] - top).abs()));
            y.push((value, own.sum::<f64>() + value.abs() * off));
        }
        lses.push((top + total.ln(), top.abs() + total.ln().abs() + off));
        rounded.row(&y[first..], &shares, scale, |d, j| (q[d], at(&x[1], j, d), (head * s + j) * e + d));
    }
    let [y, lses] = [y, lses].map(|sums| Expected::sums(sums, s.max(e)).ulps(ULPS));
    (y, lses, rounded.bounds())
}

/// What the rounding of y to f16 does to dq and dk, through D_i = ⟨dy_i, y_i⟩: an element of y is off by up to 2⁻¹¹ of its
/// size, evenly distributed, and those of dy are standard normal, so that D_i has a deviation of up to ‖y_i‖·2⁻¹¹/√3. dq_i is
/// off by scale·Σ_j P_ij·k_j times D_i's error, and dk_j by the sum of scale·P_ij·q_i times it over i. Six deviations are
/// allowed, of the element that has most.
struct Rounded {
    dq: f64,
    /// Squares of the deviations.
    dk: Vec<f64>,
}

impl Rounded {
    fn new(keys: usize) -> Self {
        Rounded { dq: 0.0, dk: vec![0.0; keys] }
    }

    /// Counts a query. `of` gives q_id, k_jd, and where dk_jd lies, for (d, j).
    fn row(&mut self, y: &[(f64, f64)], shares: &[f64], scale: f64, of: impl Fn(usize, usize) -> (f64, f64, usize)) {
        let deviation = y.iter().map(|y| y.0 * y.0).sum::<f64>().sqrt() * 2f64.powi(-11) / 3f64.sqrt();
        for d in 0..y.len() {
            let mean = shares.iter().enumerate().map(|(j, share)| share * of(d, j).1).sum::<f64>();
            self.dq = self.dq.max(scale * mean.abs() * deviation);
            for (j, share) in shares.iter().enumerate() {
                let (q, _, at) = of(d, j);
                self.dk[at] += (scale * share * q * deviation).powi(2);
            }
        }
    }

    /// Of dq and dk. dv is found from dy alone.
    fn bounds(&self) -> [f64; 2] {
        [self.dq, self.dk.iter().map(|v| v.sqrt()).fold(0.0, f64::max)].map(|deviation| 6.0 * deviation)
    }
}

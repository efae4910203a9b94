//! nt_xent: the mean over the 2N rows of log Σ_{j ≠ i} exp(s_ij) − s_ip, where s_ij = ⟨z_i, z_j⟩ / temperature and p is
//! the other view of i.

use crate::reference::cross_entropy::lse;
use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::nt_xent::NtXent;
use wgslab::tape::Op;

/// As in cross_entropy, with a division by the temperature.
const ULPS: f64 = 13.5;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let temperature = cast::<NtXent>(op).temperature as f64;
    let (rows, d) = (x[0].dim(0), x[0].dim(1));
    let z = |i: usize| &x[0].f[i * d..(i + 1) * d];
    let (mut lses, mut loss) = (Vec::new(), (0.0, 0.0));
    for i in 0..rows {
        let dot = |j: usize| z(i).iter().zip(z(j)).map(|(a, b)| a * b / temperature).sum::<f64>();
        let size = |j: usize| z(i).iter().zip(z(j)).map(|(a, b)| (a * b).abs() / temperature).sum::<f64>();
        let similar: Vec<f64> = (0..rows).map(dot).collect();
        let others = (0..rows).filter(|j| *j != i);
        let (lse, terms) = lse(others.clone().map(|j| similar[j]));
        let terms = terms + others.map(size).fold(0.0, f64::max);
        let pair = (i + rows / 2) % rows;
        lses.push((lse, terms));
        loss.0 += (lse - similar[pair]) / rows as f64;
        loss.1 += (terms + size(pair)) / rows as f64;
    }
    let outputs = vec![Expected::sums(vec![loss], rows + d).ulps(ULPS), Expected::sums(lses, rows + d).ulps(ULPS)];
    Answer::new(outputs).gradient(&[0], &[0])
}

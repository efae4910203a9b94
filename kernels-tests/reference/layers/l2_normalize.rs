//! l2_normalize: each row divided by max(its length, eps).

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::l2_normalize::L2Normalize;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let eps = cast::<L2Normalize>(op).eps as f64;
    let d = x[0].dim(1);
    let (mut y, mut norms) = (Vec::new(), Vec::new());
    for row in x[0].f.chunks(d) {
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        y.extend(row.iter().map(|v| v / norm.max(eps)).map(|v| (v, v.abs())));
        norms.push((norm, norm));
    }
    let outputs = vec![Expected::sums(y, d).ulps(7.0), Expected::sums(norms, d).ulps(4.5)];
    Answer::new(outputs).gradient(&[0], &[0])
}

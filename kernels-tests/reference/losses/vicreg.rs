//! vicreg, from the products C of one view: l_i = covariance Σ_{k ≠ i} c_ik² + variance max(0, 1 − √(c_ii + 1e-4)), c =
//! C / (N − 1).

use crate::reference::row_loss::{NOTHING, plain_sum, row, stats};
use crate::reference::{Answer, Tensor, cast};
use wgslab::kernels::row_loss::RowLoss;
use wgslab::kernels::vicreg::VicregView;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = &cast::<RowLoss<VicregView>>(op).0;
    let d = x[0].dim(0);
    let (covariance, variance) = (op.covariance as f64, op.variance as f64);
    let (mut losses, mut kept) = (Vec::new(), Vec::new());
    for i in 0..d {
        let c: Vec<f64> = row(&x[0], i).iter().map(|c| c / (op.samples as f64 - 1.0)).collect();
        let squares: f64 = c.iter().enumerate().filter(|(k, _)| *k != i).map(|(_, c)| c * c).sum();
        let deviation = (c[i] + 1e-4).sqrt();
        let hinge = variance * (1.0 - deviation).max(0.0);
        losses.push((covariance * squares + hinge, covariance * squares + variance * (1.0 + deviation)));
        let slope = if deviation < 1.0 { 0.5 * variance / deviation } else { 0.0 };
        kept.push([(-slope, slope), NOTHING, NOTHING, NOTHING]);
    }
    let mut outputs = plain_sum(losses, d, 9.5);
    outputs.push(stats(kept, d, 9.5));
    Answer::new(outputs).gradient(&[0], &[0, 1])
}

//! scatter_add: each row of x is added to the row of y that its index names. An index past the end counts as the last
//! row.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::scatter_add::ScatterAdd;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let rows = cast::<ScatterAdd>(op).rows as usize;
    let row = x[0].f.len() / x[0].dim(0);
    let mut y = vec![(0.0, 0.0); rows * row];
    for (x, &index) in x[0].f.chunks(row).zip(&x[1].u) {
        let at = (index as usize).min(rows - 1) * row;
        for (y, x) in y[at..at + row].iter_mut().zip(x) {
            *y = (y.0 + x, y.1 + x.abs());
        }
    }
    Answer::new(vec![Expected::sums(y, x[0].dim(0))]).gradient(&[0], &[0])
}

//! gather: row n of y is row index_n of the table. An index past the end counts as the last row.

use crate::reference::slice::picked;
use crate::reference::{Answer, Tensor};
use wgslab::tape::Op;

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    let rows = x[0].dim(0);
    let row = x[0].shape.numel() / rows;
    let from = |&i: &u32| (0..row).map(move |k| (i as usize).min(rows - 1) * row + k);
    let at: Vec<usize> = x[1].u.iter().flat_map(from).collect();
    let answer = Answer::new(vec![picked(&x[0], &at)]);
    if x[0].f.is_empty() { answer } else { answer.gradient(&[0], &[0]) }
}

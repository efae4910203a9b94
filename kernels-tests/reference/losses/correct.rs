//! correct: the sum of the weights of rows in which the first of the largest logits is at the label.

use crate::reference::{Answer, Expected, Tensor};
use wgslab::tape::Op;

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    let (n, k) = (x[0].dim(0), x[0].dim(1));
    let mut count = 0.0;
    for i in 0..n {
        let row = &x[0].f[i * k..(i + 1) * k];
        let first = (0..k).fold(0, |best, j| if row[j] > row[best] { j } else { best });
        if first == x[1].u[i] as usize {
            count += x[2].f[i];
        }
    }
    Answer::new(vec![Expected::sums(vec![(count, count)], n)])
}

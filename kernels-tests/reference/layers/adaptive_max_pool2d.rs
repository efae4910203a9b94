//! adaptive_max_pool2d: the largest element of each of PyTorch's adaptive windows, and its place.

use crate::reference::adaptive_avg_pool2d::windows;
use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::adaptive_max_pool2d::AdaptiveMaxPool2d;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let plane = x[0].dim(2) * x[0].dim(3);
    // Of equal elements the first in row order counts, so a later one must be larger.
    let largest = |w: Vec<usize>| w.into_iter().reduce(|a, b| if x[0].f[b] > x[0].f[a] { b } else { a });
    let picks: Vec<usize> = windows(&x[0], cast::<AdaptiveMaxPool2d>(op).out)
        .into_iter()
        .map(|w| largest(w).expect("no window is empty"))
        .collect();
    let y = picks.iter().map(|&i| x[0].f[i]).collect();
    let argmax = picks.iter().map(|i| (i % plane) as u32).collect();
    Answer::new(vec![Expected::exact(y), Expected::Words(argmax)]).gradient(&[0], &[0]).picks(picks)
}

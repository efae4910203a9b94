//! adaptive_avg_pool2d: the mean of each of PyTorch's adaptive windows, ⌊o·size/out⌋ to ⌈(o + 1)·size/out⌉.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::adaptive_avg_pool2d::AdaptiveAvgPool2d;
use wgslab::tape::Op;

/// For each output element, the indices of its window.
pub fn windows(x: &Tensor, out: [u32; 2]) -> Vec<Vec<usize>> {
    let ([n, c, h, w], [oh, ow]) = ([0, 1, 2, 3].map(|i| x.dim(i)), out.map(|o| o as usize));
    let range = |o: usize, size: usize, out: usize| o * size / out..((o + 1) * size).div_ceil(out);
    let window = |at: usize| {
        let (plane, i, j) = (at / (oh * ow), at / ow % oh, at % ow);
        range(i, h, oh).flat_map(|r| range(j, w, ow).map(move |s| (plane * h + r) * w + s)).collect()
    };
    (0..n * c * oh * ow).map(window).collect()
}

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let windows = windows(&x[0], cast::<AdaptiveAvgPool2d>(op).out);
    let mean = |w: &Vec<usize>| {
        let sum = |f: &dyn Fn(f64) -> f64| w.iter().map(|&i| f(x[0].f[i])).sum::<f64>() / w.len() as f64;
        (sum(&|v| v), sum(&f64::abs))
    };
    let longest = windows.iter().map(Vec::len).max().unwrap_or(1);
    Answer::new(vec![Expected::sums(windows.iter().map(mean).collect(), longest).ulps(2.5)]).gradient(&[0], &[0])
}

//! max_pool2d: the largest element of each window, and its place. Of equal elements the first in row order counts.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::max_pool2d::MaxPool2d;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<MaxPool2d>(op);
    let (kernel, stride, padding) = (op.kernel as usize, op.stride as usize, op.padding as usize);
    let [n, c, h, w] = [0, 1, 2, 3].map(|i| x[0].dim(i));
    let (oh, ow) = ((h + 2 * padding - kernel) / stride + 1, (w + 2 * padding - kernel) / stride + 1);
    let (mut y, mut argmax, mut picks) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..n * c * oh * ow {
        let (plane, i, j) = (at / (oh * ow), at / ow % oh, at % ow);
        let mut best: Option<usize> = None;
        for row in (i * stride..i * stride + kernel).filter(|r| *r >= padding && r - padding < h) {
            for column in (j * stride..j * stride + kernel).filter(|c| *c >= padding && c - padding < w) {
                let here = (plane * h + row - padding) * w + column - padding;
                if best.is_none_or(|b| x[0].f[here] > x[0].f[b]) {
                    best = Some(here);
                }
            }
        }
        let best = best.expect("a window touches its plane");
        y.push(x[0].f[best]);
        argmax.push((best % (h * w)) as u32);
        picks.push(best);
    }
    Answer::new(vec![Expected::exact(y), Expected::Words(argmax)]).gradient(&[0], &[0]).picks(picks)
}

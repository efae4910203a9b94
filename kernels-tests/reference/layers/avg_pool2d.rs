//! avg_pool2d: the mean of each window, including the zeros of the border.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::avg_pool2d::AvgPool2d;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<AvgPool2d>(op);
    let [kernel, stride, padding] = [op.kernel, op.stride, op.padding].map(|v| v.map(|v| v as usize));
    let [n, c, h, w] = [0, 1, 2, 3].map(|i| x[0].dim(i));
    let size = |length: usize, axis: usize| (length + 2 * padding[axis] - kernel[axis]) / stride[axis] + 1;
    let (oh, ow) = (size(h, 0), size(w, 1));
    let area = kernel[0] * kernel[1];
    let mut y = Vec::with_capacity(n * c * oh * ow);
    for at in 0..n * c * oh * ow {
        let (plane, i, j) = (at / (oh * ow), at / ow % oh, at % ow);
        let (mut sum, mut terms) = (0.0, 0.0);
        for a in 0..area {
            let (row, column) = (i * stride[0] + a / kernel[1], j * stride[1] + a % kernel[1]);
            if row < padding[0] || column < padding[1] || row - padding[0] >= h || column - padding[1] >= w {
                continue;
            }
            let v = x[0].f[(plane * h + row - padding[0]) * w + column - padding[1]];
            sum += v;
            terms += v.abs();
        }
        y.push((sum / area as f64, terms / area as f64));
    }
    Answer::new(vec![Expected::sums(y, area).ulps(2.5)]).gradient(&[0], &[0])
}

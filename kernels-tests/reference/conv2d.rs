//! conv2d: y[n, k, i, j] = Σ_{c, r, s} x[n, c, i·stride + r − padding, j·stride + s − padding]·w[k, c, r, s].

use super::{Answer, Expected, Tensor, cast};
use wgslab::kernels::conv2d::Conv2d;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Conv2d>(op);
    let (stride, padding) = (op.stride as usize, op.padding as usize);
    let [n, c, h, w] = [0, 1, 2, 3].map(|i| x[0].dim(i));
    let [k, _, r, s] = [0, 1, 2, 3].map(|i| x[1].dim(i));
    let (oh, ow) = ((h + 2 * padding - r) / stride + 1, (w + 2 * padding - s) / stride + 1);
    let mut y = Vec::with_capacity(n * k * oh * ow);
    for at in 0..n * k * oh * ow {
        let (image, filter, i, j) = (at / (k * oh * ow), at / (oh * ow) % k, at / ow % oh, at % ow);
        let (mut sum, mut terms) = (0.0, 0.0);
        for channel in 0..c {
            for a in 0..r {
                for b in 0..s {
                    let (row, column) = (i * stride + a, j * stride + b);
                    if row < padding || column < padding || row - padding >= h || column - padding >= w {
                        continue;
                    }
                    let v = x[0].f[((image * c + channel) * h + row - padding) * w + column - padding];
                    let t = v * x[1].f[((filter * c + channel) * r + a) * s + b];
                    sum += t;
                    terms += t.abs();
                }
            }
        }
        y.push((sum, terms));
    }
    Answer::new(vec![Expected::sums(y, c * r * s)]).gradient(&[0, 1], &[0])
}

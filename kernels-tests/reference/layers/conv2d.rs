//! conv2d: y[n, k, i, j] = Σ_{c, r, s} x[n, c, i·stride + r·dilation − padding, …]·w[k, c, r, s], c within k's group.

use crate::reference::{Answer, Expected, Outputs, Tensor, cast, winograd_terms};
use wgslab::kernels::conv2d::Conv2d;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Conv2d>(op);
    let [stride, padding, dilation, groups] = [op.stride, op.padding, op.dilation, op.groups].map(|v| v as usize);
    let [n, channels, h, w] = [0, 1, 2, 3].map(|i| x[0].dim(i));
    let [k, c, r, s] = [0, 1, 2, 3].map(|i| x[1].dim(i));
    let out = |len: usize, window: usize| (len + 2 * padding - dilation * (window - 1) - 1) / stride + 1;
    let (oh, ow) = (out(h, r), out(w, s));
    let mut y = Vec::with_capacity(n * k * oh * ow);
    for at in 0..n * k * oh * ow {
        let (image, filter, i, j) = (at / (k * oh * ow), at / (oh * ow) % k, at / ow % oh, at % ow);
        let first = filter / (k / groups) * c;
        let (mut sum, mut terms) = (0.0, 0.0);
        for channel in 0..c {
            for a in 0..r {
                for b in 0..s {
                    let (row, column) = (i * stride + a * dilation, j * stride + b * dilation);
                    if row < padding || column < padding || row - padding >= h || column - padding >= w {
                        continue;
                    }
                    let v = x[0].f[((image * channels + first + channel) * h + row - padding) * w + column - padding];
                    let t = v * x[1].f[((filter * c + channel) * r + a) * s + b];
                    sum += t;
                    terms += t.abs();
                }
            }
        }
        y.push((sum, terms));
    }
    let mut answer = Answer::new(vec![Expected::sums(y, c * r * s)]).gradient(&[0, 1], &[0]);
    if (r, s, stride, dilation, groups) == (3, 3, 1, 1, 1) {
        answer.other_terms = winograd_of(winograd::<2>, winograd::<4>);
    }
    answer
}

/// Which variants sum the terms of F(2×2, 3×3), and which those of F(4×4, 3×3), by the beginnings of their names.
pub fn winograd_of(two: Outputs, four: Outputs) -> Vec<(&'static str, Outputs)> {
    vec![("winograd", two), ("winograd_4x4", four)]
}

/// The same values, with the terms that Winograd's F(M×M, 3×3) sums.
pub fn winograd<const M: usize>(op: &dyn Op, x: &[Tensor]) -> Vec<Expected> {
    let outputs = reference(op, x).outputs;
    let Expected::Floats { value, .. } = &outputs[0] else { return outputs };
    let of = if M == 2 { winograd_terms::F2 } else { winograd_terms::F4 };
    let terms = of.terms(x, cast::<Conv2d>(op).padding as usize);
    vec![Expected::sums(value.iter().copied().zip(terms).collect(), of.places() * x[1].dim(1))]
}

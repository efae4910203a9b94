//! conv_transpose2d: every input pixel adds its value times the weight's window to the output.

use crate::reference::{Answer, Expected, Tensor, cast, conv2d};
use wgslab::base::Shape;
use wgslab::kernels::conv2d::{Conv2d, GradInput};
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let GradInput { conv, x: made } = cast::<GradInput>(op);
    let [stride, padding, dilation, groups] =
        [conv.stride, conv.padding, conv.dilation, conv.groups].map(|v| v as usize);
    let [n, k, h, w] = [0, 1, 2, 3].map(|i| made.shape.dim(i));
    let (weight, input) = (&x[0], &x[1]);
    let [c, p, q] = [1, 2, 3].map(|i| input.dim(i));
    let [of_group, r, s] = [1, 2, 3].map(|i| weight.dim(i));
    let mut y = vec![(0.0, 0.0); n * k * h * w];
    for (at, v) in input.f.iter().enumerate() {
        let (image, channel, i, j) = (at / (c * p * q), at / (p * q) % c, at / q % p, at % q);
        for tap in 0..of_group * r * s {
            let (o, a, b) = (tap / (r * s), tap / s % r, tap % s);
            let (row, column) = (i * stride + a * dilation, j * stride + b * dilation);
            if row < padding || column < padding || row - padding >= h || column - padding >= w {
                continue;
            }
            let out = channel / (c / groups) * of_group + o;
            let t = v * weight.f[(channel * of_group + o) * r * s + a * s + b];
            let y = &mut y[((image * k + out) * h + row - padding) * w + column - padding];
            *y = (y.0 + t, y.1 + f64::abs(t));
        }
    }
    let mut answer = Answer::new(vec![Expected::sums(y, c / groups * r * s)]).gradient(&[0, 1], &[0]);
    if (r, s, stride, dilation, groups) == (3, 3, 1, 1, 1) && padding <= 2 {
        answer.other_terms = conv2d::winograd_of(winograd::<2>, winograd::<4>);
    }
    answer
}

/// With stride 1 this is the convolution with the filters rotated by 180°, input and output channels exchanged, and a
/// border of 2 − padding.
fn winograd<const M: usize>(op: &dyn Op, x: &[Tensor]) -> Vec<Expected> {
    let [c, k] = [0, 1].map(|i| x[0].dim(i));
    let turned = |i: usize| x[0].f[((i / 9 % c) * k + i / (9 * c)) * 9 + 8 - i % 9];
    let filters = Tensor { shape: Shape::from([k, c, 3, 3]), f: (0..9 * c * k).map(turned).collect(), u: Vec::new() };
    let forward = Conv2d::new(1, 2 - cast::<GradInput>(op).conv.padding);
    conv2d::winograd::<M>(&forward, &[x[1].clone(), filters])
}

//! conv2d: y[n, k, i, j] = Σ_{c, r, s} x[n, c, i·stride + r·dilation − padding, …]·w[k, c, r, s], c within k's group.

use crate::reference::{Answer, Expected, Tensor, cast};
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
        answer.other_terms = Some(("winograd", winograd));
    }
    answer
}

/// The same values, with the terms that Winograd's F(2×2, 3×3) sums.
pub fn winograd(op: &dyn Op, x: &[Tensor]) -> Vec<Expected> {
    let outputs = reference(op, x).outputs;
    let Expected::Floats { value, .. } = &outputs[0] else { return outputs };
    let terms = winograd_terms(x, cast::<Conv2d>(op).padding as usize);
    vec![Expected::sums(value.iter().copied().zip(terms).collect(), 9 * x[1].dim(1))]
}

/// Σ|terms| as Winograd's F(2×2, 3×3) sums them: |Aᵀ|·[Σ_c (|G|·|g|·|Gᵀ|) ⊙ (|Bᵀ|·|d|·|B|)]·|A| of each window of four
/// by four inputs. Nine places of 16 enter an output, with C terms each.
fn winograd_terms(x: &[Tensor], padding: usize) -> Vec<f64> {
    const G: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0.0, 0.0, 1.0]];
    const B: [[f64; 4]; 4] = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]];
    const A: [[f64; 4]; 2] = [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0]];
    let [n, channels, h, w] = [0, 1, 2, 3].map(|i| x[0].dim(i));
    let (filters, oh, ow) = (x[1].dim(0), h + 2 * padding - 2, w + 2 * padding - 2);
    let input = |image: usize, c: usize, row: usize, column: usize| {
        let inside = row >= padding && column >= padding && row - padding < h && column - padding < w;
        let at = || ((image * channels + c) * h + row - padding) * w + column - padding;
        if inside { x[0].f[at()].abs() } else { 0.0 }
    };
    let mut terms = vec![0.0; n * filters * oh * ow];
    for (image, i, j) in (0..n * oh * ow).map(|at| (at / (oh * ow), at / ow % oh, at % ow)) {
        let (top, left) = (i / 2 * 2, j / 2 * 2);
        for filter in 0..filters {
            let mut sum = 0.0;
            for c in 0..channels {
                let weight = |a: usize, b: usize| x[1].f[(filter * channels + c) * 9 + a * 3 + b].abs();
                for (u, v) in (0..16).map(|z| (z / 4, z % 4)).filter(|(u, v)| A[i % 2][*u] * A[j % 2][*v] > 0.0) {
                    let g: f64 = (0..9).map(|t| G[u][t / 3] * G[v][t % 3] * weight(t / 3, t % 3)).sum();
                    let of = |t: usize| B[u][t / 4] * B[v][t % 4];
                    let d: f64 = (0..16).map(|t| of(t) * input(image, c, top + t / 4, left + t % 4)).sum();
                    sum += g * d;
                }
            }
            terms[((image * filters + filter) * oh + i) * ow + j] = sum;
        }
    }
    terms
}

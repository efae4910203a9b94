//! batch_norm_relu: y = max(b + residual, 0), b the batch norm of x in training. The references of the parts run one after
//! the other, and each passes its errors on to the next. Its gradient is checked as an op of its own, too, where y is
//! read twice: no case of the op alone has two cotangents.

use crate::reference::fuse::{plus, values};
use crate::reference::{Answer, Expected, Tensor, batch_norm, cast};
use std::any::Any;
use wgslab::kernels::batch_norm::BatchNorm;
use wgslab::kernels::batch_norm_relu::{BatchNormRelu, BatchNormReluGrad, Mask};
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let any: &dyn Any = op;
    match any.downcast_ref::<BatchNormReluGrad>() {
        Some(grad) => gradient(grad, x),
        None => forward(cast(op), x),
    }
}

fn forward(&BatchNormRelu { eps, splits, residual }: &BatchNormRelu, x: &[Tensor]) -> Answer {
    let of_norm: Vec<Tensor> = x[..3].iter().chain(&x[3 + usize::from(residual)..]).cloned().collect();
    let norm = batch_norm::reference(&BatchNorm { eps, splits }, &of_norm);
    let mut y = values(&norm.outputs[0]);
    if residual {
        y.iter_mut().zip(&x[3].f).for_each(|(v, r)| *v = plus(*v, *r));
    }
    let y = y.into_iter().map(|(v, error)| (v.max(0.0), error)).collect();
    let outputs = vec![Expected::within(y), norm.outputs[1].clone(), norm.outputs[2].clone()];
    let wrt: &[usize] = if residual { &[0, 1, 2, 3] } else { &[0, 1, 2] };
    Answer::new(outputs).gradient(wrt, &[0, 1, 2]).floor(norm.gradient_floor)
}

/// (x, weight, mean, variance, dy, dy of another reader, bias or y) of a whole batch of samples that count alike.
fn gradient(op: &BatchNormReluGrad, x: &[Tensor]) -> Answer {
    let all = &x[0].f;
    let mut g: Vec<(f64, f64)> = x[4].f.iter().zip(&x[5].f).map(|(a, b)| (a + b, a.abs() + b.abs())).collect();
    let (mut dx, mut affine, mut count) = (vec![(0.0, 0.0); all.len()], [Vec::new(), Vec::new()], 0);
    for (c, at) in batch_norm::channels(&x[0], 1).iter().enumerate() {
        let (weight, mean) = (x[1].f[c], x[2].f[c]);
        let rstd = 1.0 / (x[3].f[c] + op.eps as f64).sqrt();
        let before = |i: usize| match op.mask {
            Mask::Recomputed => (all[i] - mean) * rstd * weight + x[6].f[c],
            Mask::Kept => x[6].f[i],
        };
        at.iter().filter(|i| before(**i) <= 0.0).for_each(|&i| g[i] = (0.0, 0.0));
        count = at.len();
        let sum = |of: &dyn Fn(usize) -> (f64, f64)| {
            at.iter().map(|&i| of(i)).fold((0.0, 0.0), |(v, t), (value, terms)| (v + value, t + terms))
        };
        let plain = sum(&|i| g[i]);
        let crossed = sum(&|i| (g[i].0 * (all[i] - mean), g[i].1 * (all[i].abs() + mean.abs())));
        affine[0].push((rstd * crossed.0, rstd * crossed.1));
        affine[1].push(plain);
        for &i in at {
            let (m, from_dy) = (count as f64, weight * rstd);
            let through = |centred: f64, [a, b]: [f64; 2]| from_dy * (a + rstd * rstd * centred * b) / m;
            let value = from_dy * g[i].0 - through(all[i] - mean, [plain.0, crossed.0]);
            let terms = from_dy * g[i].1 + through(all[i].abs() + mean.abs(), [plain.1, crossed.1]);
            dx[i] = (value, terms);
        }
    }
    let [dweight, dbias] = affine;
    let sums = [dx, dweight, dbias].map(|pairs| Expected::sums(pairs, count).ulps(3.0 * batch_norm::ULPS));
    let passed = (op.mask == Mask::Kept).then(|| Expected::sums(g, 2));
    Answer::new(sums.into_iter().chain(passed).collect())
}

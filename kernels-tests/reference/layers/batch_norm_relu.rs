//! batch_norm_relu: y = max(b + residual, 0), b the batch norm of x in training. The references of the parts run one after
//! the other, and each passes its errors on to the next.

use crate::reference::fuse::{plus, values};
use crate::reference::{Answer, Expected, Tensor, batch_norm, cast};
use wgslab::kernels::batch_norm::BatchNorm;
use wgslab::kernels::batch_norm_relu::BatchNormRelu;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let &BatchNormRelu { eps, splits, residual } = cast(op);
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

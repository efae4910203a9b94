//! clip_grad_norm: √Σg² over all gradients, divided by the loss scale; min(1, max_norm/(norm + 1e-6)) / scale.

use crate::reference::{Answer, Expected, Tensor, cast, each};
use std::any::Any;
use wgslab::kernels::clip_grad_norm::{ApplyCoefficient, GradNorm};
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let any: &dyn Any = op;
    match any.downcast_ref::<GradNorm>() {
        Some(op) => norm(op, x),
        None => each::<ApplyCoefficient>(op, x, apply),
    }
}

fn apply(op: &dyn Op, x: &[Tensor]) -> Answer {
    cast::<ApplyCoefficient>(op);
    let scaled = x[0].f.iter().map(|g| (g * x[1].f[0], (g * x[1].f[0]).abs())).collect();
    Answer::new(vec![Expected::sums(scaled, 1)])
}

fn norm(op: &GradNorm, x: &[Tensor]) -> Answer {
    let (grads, scale) = match op.scaled {
        true => (&x[..x.len() - 1], x[x.len() - 1].f[0]),
        false => (x, 1.0),
    };
    let all: Vec<f64> = grads.iter().flat_map(|g| g.f.iter().copied()).collect();
    let norm = all.iter().map(|g| g * g).sum::<f64>().sqrt() / scale;
    let coefficient = (op.max_norm as f64 / (norm + 1e-6)).min(1.0) / scale;
    let expected = |v: f64| Expected::sums(vec![(v, v)], all.len());
    Answer::new(vec![expected(norm).ulps(7.0), expected(coefficient).ulps(12.0)])
}

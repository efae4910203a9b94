//! mixup: λ·x + (1 − λ)·x of the partner. For labels, the same of their one-hot rows.

use crate::reference::{Answer, Expected, Tensor};
use std::any::Any;
use wgslab::kernels::mixup::MixTargets;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let any: &dyn Any = op;
    let n = x[0].dim(0);
    let rows: Vec<Vec<f64>> = match any.downcast_ref::<MixTargets>() {
        Some(op) => {
            let classes = op.classes as usize;
            let hot = |label: u32| {
                (0..classes).map(|k| f64::from(u8::from(k == (label as usize).min(classes - 1)))).collect()
            };
            x[0].u.iter().map(|&label| hot(label)).collect()
        }
        None => x[0].f.chunks(x[0].f.len() / n).map(<[f64]>::to_vec).collect(),
    };
    let mut pairs = Vec::new();
    for (i, own) in rows.iter().enumerate() {
        let (other, lambda) = (&rows[(x[1].u[i] as usize).min(n - 1)], x[2].f[i]);
        pairs.extend(own.iter().zip(other).map(|(a, b)| {
            let (a, b) = (lambda * a, (1.0 - lambda) * b);
            (a + b, a.abs() + b.abs())
        }));
    }
    let answer = Answer::new(vec![Expected::sums(pairs, 2)]);
    if any.is::<MixTargets>() { answer } else { answer.gradient(&[0], &[0]) }
}

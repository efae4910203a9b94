//! ema: keep·target + (1 − keep)·factor·x. Under a raised guard the target stays as it was.

use crate::reference::{Answer, Expected, Tensor, cast, each, raised};
use wgslab::kernels::ema::Ema;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    each::<Ema>(op, x, one)
}

fn one(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Ema>(op);
    if raised(x, if op.slot.is_some() { 3 } else { 2 }) {
        return Answer::new(vec![Expected::exact(x[0].f.clone())]);
    }
    let keep = op.slot.map_or(op.keep as f64, |s| x[2].f[s as usize]);
    let moved = x[0].f.iter().zip(&x[1].f).map(|(old, new)| {
        let (a, b) = (keep * old, (1.0 - keep) * op.factor as f64 * new);
        (a + b, a.abs() + b.abs())
    });
    Answer::new(vec![Expected::sums(moved.collect(), 2)])
}

//! enqueue: rows are written into the queue from the pointer on and wrap around its end. The pointer moves by their
//! number.

use crate::reference::{Answer, Expected, Tensor, raised};
use std::any::Any;
use wgslab::kernels::enqueue::{AdvancePointer, Enqueue};
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let any: &dyn Any = op;
    if let Some(op) = any.downcast_ref::<AdvancePointer>() {
        let by = if raised(x, 1) { 0 } else { op.by };
        return Answer::new(vec![Expected::Words(vec![(x[0].u[0] + by) % op.modulo])]);
    }
    assert!(any.is::<Enqueue>(), "the reference does not know the op {op:?}");
    let mut queue = x[0].f.clone();
    let (k, d) = (x[0].dim(0), x[0].dim(1));
    if !raised(x, 3) {
        for (i, row) in x[1].f.chunks(d).enumerate() {
            let at = (x[2].u[0] as usize + i) % k * d;
            queue[at..at + d].copy_from_slice(row);
        }
    }
    Answer::new(vec![Expected::exact(queue)])
}

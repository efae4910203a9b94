//! crop: each output is equal, to the bit, to the element that it names.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::crop::Crop;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Crop>(op);
    let ([n, c, h, w], [oh, ow]) = ([0, 1, 2, 3].map(|i| x[0].dim(i)), op.out.map(|v| v as usize));
    let mut y = Vec::new();
    for plane in 0..n * c {
        // The product and its floor are computed in f32. An f64 product could lie on the other side of a whole number.
        let begin = |i: usize, last: usize| {
            let share = (x[1].f[2 * (plane / c) + i] as f32).max(0.0);
            ((share * (last + 1) as f32) as usize).min(last)
        };
        let (top, left) = (begin(0, h - oh), begin(1, w - ow));
        for at in 0..oh * ow {
            y.push(x[0].f[(plane * h + top + at / ow) * w + left + at % ow]);
        }
    }
    Answer::new(vec![Expected::exact(y)])
}

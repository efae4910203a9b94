//! cutout: around a uniform (y, x), the rows y − side/2 to y + side/2 and the same columns get the value.

use crate::reference::{Answer, Expected, Tensor, cast};
use std::ops::Range;
use wgslab::base::rng::unit;
use wgslab::kernels::cutout::Cutout;
use wgslab::tape::Op;

/// The rows or columns of a box of `size` around the place among `n` that a word draws. The box is cut at both ends.
pub fn around(word: u32, size: usize, n: usize) -> Range<usize> {
    let at = ((word as u64 * n as u64) >> 32) as usize;
    at.saturating_sub(size / 2)..(at + size.div_ceil(2)).min(n)
}

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Cutout>(op);
    let [batch, channels, height, width] = [0, 1, 2, 3].map(|i| x[0].dim(i));
    let (epoch, side) = (x[2].f[op.draws.epoch as usize] as u32, op.side as usize);
    let mut y = x[0].f.clone();
    for b in 0..batch {
        let words = op.draws.words(0, x[1].u[b], epoch);
        if unit(words[0]) >= op.probability {
            continue;
        }
        for (c, i) in (0..channels).flat_map(|c| around(words[1], side, height).map(move |i| (c, i))) {
            for j in around(words[2], side, width) {
                y[((b * channels + c) * height + i) * width + j] = op.value as f64;
            }
        }
    }
    Answer::new(vec![Expected::exact(y)])
}

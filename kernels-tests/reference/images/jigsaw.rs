//! jigsaw: tile t of y is tile table[r, t] of x, where r is drawn for the sample.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::jigsaw::Jigsaw;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Jigsaw>(op);
    let [batch, channels, height, width] = [0, 1, 2, 3].map(|i| x[0].dim(i));
    let (side, epoch) = (op.side as usize, x[2].f[op.draws.epoch as usize] as u32);
    let (high, wide, rows) = (height / side, width / side, x[3].dim(0));
    let (mut y, mut chosen) = (Vec::new(), Vec::new());
    for b in 0..batch {
        let row = ((op.draws.words(0, x[1].u[b], epoch)[0] as u64 * rows as u64) >> 32) as usize;
        chosen.push(row as u32);
        let order = &x[3].u[row * side * side..(row + 1) * side * side];
        for at in 0..channels * height * width {
            let (c, i, j) = (at / (height * width), at / width % height, at % width);
            let from = (order[i / high * side + j / wide] as usize).min(side * side - 1);
            let (i, j) = (from / side * high + i % high, from % side * wide + j % wide);
            y.push(x[0].f[((b * channels + c) * height + i) * width + j]);
        }
    }
    Answer::new(vec![Expected::exact(y), Expected::Words(chosen)])
}

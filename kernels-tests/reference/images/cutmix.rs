//! cutmix, as in the authors' code: cuts √(1 − λ) of each side around a uniform place, clipped at the border; λ' = 1 −
//! area / (H·W).

use crate::reference::cutout::around;
use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::cutmix::Cutmix;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Cutmix>(op);
    let [batch, channels, height, width] = [0, 1, 2, 3].map(|i| x[0].dim(i));
    let epoch = x[2].f[op.draws.epoch as usize] as u32;
    let (mut y, mut kept) = (x[0].f.clone(), Vec::new());
    for b in 0..batch {
        let words = op.draws.words(0, x[1].u[b], epoch);
        let other = (x[3].u[b] as usize).min(batch - 1);
        let cut = |n: usize| ((1.0 - x[4].f[b].clamp(0.0, 1.0)).sqrt() * n as f64).round_ties_even() as usize;
        let (rows, columns) = (around(words[0], cut(height), height), around(words[1], cut(width), width));
        let own = 1.0 - (rows.len() * columns.len()) as f64 / (height * width) as f64;
        kept.push((own, own));
        for (c, i) in (0..channels).flat_map(|c| rows.clone().map(move |i| (c, i))) {
            for j in columns.clone() {
                let at = |b: usize| ((b * channels + c) * height + i) * width + j;
                y[at(b)] = x[0].f[at(other)];
            }
        }
    }
    Answer::new(vec![Expected::exact(y), Expected::sums(kept, 1).ulps(2.5)])
}

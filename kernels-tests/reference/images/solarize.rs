//! solarize: in the drawn samples, values of at least the threshold become 1 − x.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::base::rng::unit;
use wgslab::kernels::solarize::Solarize;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Solarize>(op);
    let epoch = x[2].f[op.draws.epoch as usize] as u32;
    let (mut y, mut told) = (Vec::new(), Vec::new());
    for (b, sample) in x[0].f.chunks(x[0].f.len() / x[0].dim(0)).enumerate() {
        let (view, index) = (b / x[1].dim(0), x[1].u[b % x[1].dim(0)]);
        let apply = unit(op.draws.after(view as u32).words(0, index, epoch)[0]) < op.probability[view];
        told.push(f64::from(u8::from(apply)));
        let turned = |v: f64| apply && v >= op.threshold as f64;
        y.extend(sample.iter().map(|&v| if turned(v) { (1.0 - v, 1.0) } else { (v, 0.0) }));
    }
    let told = op.told.then(|| Expected::exact(told));
    Answer::new([Expected::sums(y, 1)].into_iter().chain(told).collect())
}

//! resize: torch.nn.functional.interpolate without antialias, corners not aligned, in f64.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::resize::{Filter, Resize};
use wgslab::tape::Op;

/// The taps of output o of `out` over `n` inputs: (input, weight).
fn taps(o: usize, n: usize, out: usize, filter: Filter) -> Vec<(usize, f64)> {
    match filter {
        Filter::Nearest => vec![(o * n / out, 1.0)],
        Filter::Bilinear => {
            let s = ((o as f64 + 0.5) * n as f64 / out as f64 - 0.5).max(0.0);
            let (low, part) = (s.floor() as usize, s - s.floor());
            vec![(low, 1.0 - part), ((low + 1).min(n - 1), part)]
        }
    }
}

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Resize>(op);
    let ([n, c, h, w], [oh, ow]) = ([0, 1, 2, 3].map(|i| x[0].dim(i)), op.out.map(|o| o as usize));
    let mut pairs = Vec::new();
    for at in 0..n * c * oh * ow {
        let (plane, i, j) = (at / (oh * ow), at / ow % oh, at % ow);
        let (mut sum, mut terms) = (0.0, 0.0);
        for (r, a) in taps(i, h, oh, op.filter) {
            for (s, b) in taps(j, w, ow, op.filter) {
                let v = a * b * x[0].f[(plane * h + r) * w + s];
                sum += v;
                terms += v.abs();
            }
        }
        pairs.push((sum, terms));
    }
    let y = match op.filter {
        Filter::Bilinear => Expected::sums(pairs, 4).ulps(5.0),
        Filter::Nearest => Expected::exact(pairs.into_iter().map(|p| p.0).collect()),
    };
    Answer::new(vec![y]).gradient(&[0], &[0])
}

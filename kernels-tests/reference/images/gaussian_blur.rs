//! gaussian_blur: the full square of (2r + 1)² weights over mirrored places, in f64.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::base::rng::unit;
use wgslab::kernels::gaussian_blur::GaussianBlur;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<GaussianBlur>(op);
    let [batch, channels, height, width] = [0, 1, 2, 3].map(|i| x[0].dim(i) as i64);
    let (radius, epoch) = (op.radius as i64, x[2].f[op.draws.epoch as usize] as u32);
    let mirrored = |i: i64, n: i64| {
        let i = i.abs();
        if i < n { i } else { 2 * (n - 1) - i }
    };
    let (mut pairs, mut told) = (Vec::new(), Vec::new());
    for b in 0..batch {
        let (view, index) = (b as usize / x[1].dim(0), x[1].u[b as usize % x[1].dim(0)]);
        let (words, probability) = (op.draws.after(view as u32).words(0, index, epoch), op.probability[view]);
        let [low, high] = op.sigma.map(f64::from);
        let sigma = low + (high - low) * unit(words[1]) as f64;
        told.push((f64::from(u8::from(unit(words[0]) < probability)), 0.0));
        told.push((sigma, high));
        let weight = |d: i64| (-0.5 * (d as f64 / sigma).powi(2)).exp();
        let total: f64 = (-radius..=radius).map(weight).sum();
        for c in 0..channels {
            let pixel = |i: i64, j: i64| x[0].f[(((b * channels + c) * height + i) * width + j) as usize];
            for (i, j) in (0..height).flat_map(|i| (0..width).map(move |j| (i, j))) {
                if unit(words[0]) >= probability {
                    pairs.push((pixel(i, j), 0.0)); // a copy, to the bit
                    continue;
                }
                let mut sum = 0.0;
                for (di, dj) in (-radius..=radius).flat_map(|di| (-radius..=radius).map(move |dj| (di, dj))) {
                    let w = weight(di) * weight(dj) / (total * total);
                    sum += w * pixel(mirrored(i + di, height), mirrored(j + dj, width));
                }
                pairs.push((sum, sum));
            }
        }
    }
    // exp at −x is exact to 3 + 2x ulps and has the weight e⁻ˣ, so at most 3 count. There is one exp for each
    // direction, and two divisions.
    let blurred = Expected::sums(pairs, (2 * radius as usize + 1).pow(2)).ulps(2.0 * (3.0 + 2.5));
    Answer::new([blurred].into_iter().chain(op.told.then(|| Expected::sums(told, 1))).collect())
}

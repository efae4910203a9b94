//! color_jitter: torchvision's ColorJitter (hue through HSV, as there) and RandomGrayscale, in f64.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::base::rng::unit;
use wgslab::kernels::color_jitter::ColorJitter;
use wgslab::tape::Op;

type Image = Vec<[f64; 3]>;

fn gray(p: [f64; 3], channels: usize) -> f64 {
    if channels == 1 { p[0] } else { 0.2989 * p[0] + 0.587 * p[1] + 0.114 * p[2] }
}

fn blend(image: &mut Image, factor: f64, other: impl Fn([f64; 3]) -> f64) {
    for p in image {
        let o = other(*p);
        *p = p.map(|v| (factor * v + (1.0 - factor) * o).clamp(0.0, 1.0));
    }
}

fn turn_hue([r, g, b]: [f64; 3], turn: f64) -> [f64; 3] {
    let (high, low) = (r.max(g).max(b), r.min(g).min(b));
    if high == low {
        return [r, g, b];
    }
    let range = high - low;
    let saturation = range / high;
    let [rc, gc, bc] = [r, g, b].map(|v| (high - v) / range);
    let h = if r == high {
        bc - gc
    } else if g == high {
        2.0 + rc - bc
    } else {
        4.0 + gc - rc
    };
    let h = (h / 6.0 + 1.0 + turn).rem_euclid(1.0) * 6.0;
    let f = h - h.floor();
    let p = high * (1.0 - saturation);
    let q = high * (1.0 - saturation * f);
    let t = high * (1.0 - saturation * (1.0 - f));
    match h.floor() as usize % 6 {
        0 => [high, t, p],
        1 => [q, high, p],
        2 => [p, high, t],
        3 => [p, q, high],
        4 => [t, p, high],
        _ => [high, p, q],
    }
}

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<ColorJitter>(op);
    let [batch, channels, height, width] = [0, 1, 2, 3].map(|i| x[0].dim(i));
    let (plane, epoch) = (height * width, x[2].f[op.draws.epoch as usize] as u32);
    let (mut pairs, mut told) = (vec![(0.0, 0.0); batch * channels * plane], Vec::new());
    for b in 0..batch {
        let at = |c: usize, i: usize| (b * channels + c) * plane + i;
        let (draws, index) = (op.draws.after((b / x[1].dim(0)) as u32), x[1].u[b % x[1].dim(0)]);
        let words = |block| draws.words(block, index, epoch);
        let mut image: Image = (0..plane).map(|i| [0, 1, 2].map(|c| x[0].f[at(c.min(channels - 1), i)])).collect();
        // How far a rounding error can grow: each stage scales its input and what the input is blended with.
        let mut growth = 1.0;
        let apply = unit(words(0)[0]) < op.probability;
        let mut order = [0, 1, 2, 3];
        let choice = ((24 * words(0)[2] as u64) >> 32) as usize;
        order.swap(3, choice / 6);
        order.swap(2, choice % 6 / 2);
        order.swap(1, choice % 2);
        let factor = |k: usize, strength: f32| {
            let (s, u) = (strength as f64, unit(words(1)[k]) as f64);
            let low = (1.0 - s).max(0.0);
            low + (1.0 + s - low) * u
        };
        let turn = op.hue as f64 * (2.0 * unit(words(1)[3]) as f64 - 1.0);
        let to_gray = channels == 3 && unit(words(0)[1]) < op.grayscale;
        told.push((f64::from(u8::from(apply)), 0.0));
        told.extend(order.map(|stage| (stage as f64, 0.0)));
        let strengths = [op.brightness, op.contrast, op.saturation];
        told.extend([0, 1, 2].map(|k| (factor(k, strengths[k]), 2.0)));
        told.extend([(turn, op.hue as f64), (f64::from(u8::from(to_gray)), 0.0)]);
        if apply {
            for stage in order {
                let f = strengths.get(stage).map(|s| factor(stage, *s));
                match (stage, f) {
                    (0, Some(f)) => blend(&mut image, f, |_| 0.0),
                    (1, Some(f)) => {
                        let mean = image.iter().map(|p| gray(*p, channels)).sum::<f64>() / plane as f64;
                        blend(&mut image, f, |_| mean);
                    }
                    (2, Some(f)) if channels == 3 => blend(&mut image, f, |p| gray(p, channels)),
                    (3, None) if channels == 3 && op.hue > 0.0 => {
                        image.iter_mut().for_each(|p| *p = turn_hue(*p, turn));
                    }
                    _ => {}
                }
                // The hue is a ratio of differences, and a circle has six units of it.
                growth *= f.map_or(6.0, |f| f + (1.0 - f).abs()).max(1.0);
            }
        }
        for (i, p) in image.into_iter().enumerate() {
            for c in 0..channels {
                pairs[at(c, i)] = (if to_gray { gray(p, channels) } else { p[c] }, growth);
            }
        }
    }
    // Copied images are allowed a rounding too: their growth is 1, and the number of terms does not matter.
    let told = op.told.then(|| Expected::sums(told, 1));
    Answer::new([Expected::sums(pairs, 1).ulps(5.0)].into_iter().chain(told).collect())
}

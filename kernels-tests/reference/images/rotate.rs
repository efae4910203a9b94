//! rotate: PyTorch's grid_sample over a rotated grid, in f64: bilinear, and outside the image zero or mirrored at the
//! edge.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::base::rng::unit;
use wgslab::kernels::rotate::{Angle, Border, Rotate};
use wgslab::tape::Op;

fn mirrored(at: f64, n: usize) -> f64 {
    let n = n as f64;
    let around = (at + 0.5).rem_euclid(2.0 * n);
    (around.min(2.0 * n - around) - 0.5).clamp(0.0, n - 1.0)
}

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Rotate>(op);
    let [batch, channels, height, width] = [0, 1, 2, 3].map(|i| x[0].dim(i));
    let mut pairs = vec![(0.0, 0.0); x[0].f.len()];
    for b in 0..batch {
        let degrees = match op.angle {
            Angle::Given => x[1].f[b],
            Angle::Random { draws, probability, degrees } => {
                let words = draws.words(0, x[1].u[b], x[2].f[draws.epoch as usize] as u32);
                let [low, high] = degrees.map(f64::from);
                if unit(words[0]) < probability { low + (high - low) * unit(words[1]) as f64 } else { 0.0 }
            }
        };
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (cx, cy) = ((width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0);
        for (c, i, j) in (0..channels).flat_map(|c| (0..height).flat_map(move |i| (0..width).map(move |j| (c, i, j)))) {
            let plane = (b * channels + c) * height * width;
            if degrees == 0.0 {
                pairs[plane + i * width + j] = (x[0].f[plane + i * width + j], 0.0); // a copy, to the bit
                continue;
            }
            let (dx, dy) = (j as f64 - cx, i as f64 - cy);
            let (mut sx, mut sy) = (cx + cos * dx - sin * dy, cy + sin * dx + cos * dy);
            if op.border == Border::Reflect {
                (sx, sy) = (mirrored(sx, width), mirrored(sy, height));
            }
            let mut sum = 0.0;
            for (r, s) in [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)] {
                let (y, x_at) = (sy.floor() + r, sx.floor() + s);
                let inside = y >= 0.0 && x_at >= 0.0 && y < height as f64 && x_at < width as f64;
                if inside {
                    let weight = (1.0 - (sy - y).abs()) * (1.0 - (sx - x_at).abs());
                    sum += weight * x[0].f[plane + y as usize * width + x_at as usize];
                }
            }
            // Values are at most 1. The precision of a place is that of f32 at the size of the sides and of the angle,
            // in turns.
            let scale = (height + width) as f64 * (1.0 + (degrees / 360.0).abs() * std::f64::consts::TAU);
            pairs[plane + i * width + j] = (sum, scale);
        }
    }
    Answer::new(vec![Expected::sums(pairs, 4).ulps(3.0)])
}

//! The tools with which the phantoms draw: poses, distances to shapes, soft edges, noise, and conversion to bytes.
//! Coordinates run from -1 to 1, x to the right and y down.

use crate::base::rng::Rng;

/// Red, green, blue in [0, 1]; gray modalities use three equal values.
pub type Rgb = [f32; 3];

/// Evaluates `f` at every pixel centre.
pub fn paint(size: usize, mut f: impl FnMut(f32, f32) -> Rgb) -> Vec<Rgb> {
    let at = |i: usize| (i as f32 + 0.5) * 2.0 / size as f32 - 1.0;
    (0..size * size).map(|i| f(at(i % size), at(i / size))).collect()
}

/// [`paint`] for one gray value.
pub fn paint_gray(size: usize, mut f: impl FnMut(f32, f32) -> f32) -> Vec<Rgb> {
    paint(size, |x, y| [f(x, y); 3])
}

/// Averages blocks of factor × factor pixels into size × size × channels bytes.
pub fn to_bytes(painted: &[Rgb], size: usize, factor: usize, channels: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(size * size * channels);
    for i in 0..size * size {
        let (top, left) = (i / size * factor, i % size * factor);
        let mut sum = [0.0; 3];
        for (dy, dx) in (0..factor).flat_map(|dy| (0..factor).map(move |dx| (dy, dx))) {
            let pixel = painted[(top + dy) * size * factor + left + dx];
            (0..3).for_each(|c| sum[c] += pixel[c]);
        }
        let mean = sum.map(|s| s / (factor * factor) as f32);
        let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        match channels {
            1 => out.push(byte(0.2126 * mean[0] + 0.7152 * mean[1] + 0.0722 * mean[2])),
            _ => out.extend(mean.map(byte)),
        }
    }
    out
}

/// Adds independent gray noise to every pixel.
pub fn add_grain(painted: &mut [Rgb], sigma: f32, rng: &mut Rng) {
    for pixel in painted {
        // The sum of three uniform numbers is close to normal and much cheaper.
        let n = (rng.uniform() + rng.uniform() + rng.uniform() - 1.5) * 2.0 * sigma;
        pixel.iter_mut().for_each(|v| *v += n);
    }
}

/// A uniform number in lo..hi.
pub fn between(rng: &mut Rng, lo: f32, hi: f32) -> f32 {
    lo + (hi - lo) * rng.uniform()
}

/// True with probability `p`.
pub fn chance(rng: &mut Rng, p: f32) -> bool {
    rng.uniform() < p
}

/// 0 below `a`, 1 above `b`, smooth in between. `a` may be larger than `b`.
pub fn smooth(a: f32, b: f32, x: f32) -> f32 {
    let t = ((x - a) / (b - a)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// 1 inside a shape (negative distance), 0 outside, with an edge of width `w`.
pub fn inside(distance: f32, w: f32) -> f32 {
    smooth(w, -w, distance)
}

/// A bump of width `w` around 0.
pub fn bump(x: f32, w: f32) -> f32 {
    (-(x / w) * (x / w)).exp()
}

/// Mixes from `a` to `b` by the share `t`.
pub fn mix(a: Rgb, b: Rgb, t: f32) -> Rgb {
    std::array::from_fn(|c| a[c] + (b[c] - a[c]) * t)
}

/// The distance to an axis-aligned ellipse, exact enough for soft edges.
pub fn ellipse(x: f32, y: f32, cx: f32, cy: f32, rx: f32, ry: f32) -> f32 {
    let (u, v) = ((x - cx) / rx, (y - cy) / ry);
    ((u * u + v * v).sqrt() - 1.0) * rx.min(ry)
}

/// The distance to the segment a–b, and the place along it from 0 to 1.
pub fn segment(x: f32, y: f32, a: (f32, f32), b: (f32, f32)) -> (f32, f32) {
    let (ex, ey) = (b.0 - a.0, b.1 - a.1);
    let (px, py) = (x - a.0, y - a.1);
    let t = ((px * ex + py * ey) / (ex * ex + ey * ey).max(1e-9)).clamp(0.0, 1.0);
    let (dx, dy) = (px - ex * t, py - ey * t);
    ((dx * dx + dy * dy).sqrt(), t)
}

/// The pose of an object: turned, scaled, shifted, perhaps mirrored.
pub struct Pose {
    cos: f32,
    sin: f32,
    scale: f32,
    shift: (f32, f32),
    mirror: f32,
}

impl Pose {
    /// A random pose: up to `turn` radians either way, scaled in `scale`, shifted up to `shift`.
    pub fn random(rng: &mut Rng, turn: f32, scale: (f32, f32), shift: f32) -> Self {
        let angle = between(rng, -turn, turn);
        let scale = between(rng, scale.0, scale.1);
        let shift = (between(rng, -shift, shift), between(rng, -shift, shift));
        let mirror = if chance(rng, 0.5) { -1.0 } else { 1.0 };
        Pose { cos: angle.cos(), sin: angle.sin(), scale, shift, mirror }
    }

    /// A point of the picture in the object's own coordinates.
    pub fn own(&self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = ((x - self.shift.0) / self.scale, (y - self.shift.1) / self.scale);
        ((self.cos * x + self.sin * y) * self.mirror, -self.sin * x + self.cos * y)
    }
}

/// Smooth noise in [0, 1] on a lattice of period one.
#[derive(Clone, Copy)]
pub struct Noise(u32);

/// The result of [`Noise::cell`]: distances to the nearest and second nearest seed, and the number of the nearest seed.
pub struct Cell {
    /// The distance to the nearest seed.
    pub near: f32,
    /// The distance to the second nearest seed.
    pub second: f32,
    /// The vector from the nearest seed to the point.
    pub offset: (f32, f32),
    /// A random number in [0, 1) that belongs to the seed.
    pub id: f32,
}

impl Noise {
    /// New noise, drawn from `rng`.
    pub fn new(rng: &mut Rng) -> Self {
        Noise(rng.word())
    }

    fn hash(self, x: i32, y: i32) -> u32 {
        let mut h = self.0 ^ (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
        h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
        h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
        h ^ (h >> 15)
    }

    fn lattice(self, x: i32, y: i32) -> f32 {
        (self.hash(x, y) >> 8) as f32 / 16_777_216.0
    }

    /// One octave at a point.
    pub fn at(self, x: f32, y: f32) -> f32 {
        let (fx, fy) = (x.floor(), y.floor());
        let (ix, iy) = (fx as i32, fy as i32);
        let (u, v) = (smooth(0.0, 1.0, x - fx), smooth(0.0, 1.0, y - fy));
        let top = self.lattice(ix, iy) * (1.0 - u) + self.lattice(ix + 1, iy) * u;
        let bottom = self.lattice(ix, iy + 1) * (1.0 - u) + self.lattice(ix + 1, iy + 1) * u;
        top * (1.0 - v) + bottom * v
    }

    /// Octaves with halving size and weight, stretched to fill [0, 1].
    pub fn cloud(self, x: f32, y: f32, octaves: u32) -> f32 {
        let (mut sum, mut weight, mut scale) = (0.0, 0.5, 1.0);
        for k in 0..octaves {
            let shift = 17.3 * k as f32;
            sum += weight * self.at(x * scale + shift, y * scale - shift);
            (weight, scale) = (weight * 0.5, scale * 2.0);
        }
        let mean = sum / (1.0 - 0.5f32.powi(octaves as i32));
        ((mean - 0.5) * 1.5 + 0.5).clamp(0.0, 1.0)
    }

    /// The nearest of the seeds, of which each lattice cell has one. `jitter` is from 0 (a grid) to 1.
    pub fn cell(self, x: f32, y: f32, jitter: f32) -> Cell {
        let (ix, iy) = (x.floor() as i32, y.floor() as i32);
        let mut best = Cell { near: 9.0, second: 9.0, offset: (0.0, 0.0), id: 0.0 };
        for (jx, jy) in (-1..=1).flat_map(|b| (-1..=1).map(move |a| (ix + a, iy + b))) {
            let h = self.hash(jx, jy);
            let place = |bits: u32| 0.5 + jitter * ((bits & 0xFF) as f32 / 255.0 - 0.5);
            let (dx, dy) = (x - jx as f32 - place(h), y - jy as f32 - place(h >> 8));
            let d = (dx * dx + dy * dy).sqrt();
            if d < best.near {
                best = Cell { near: d, second: best.near, offset: (dx, dy), id: (h >> 16) as f32 / 65_536.0 };
            } else if d < best.second {
                best.second = d;
            }
        }
        best
    }
}

//! Photographs of skin: eight rashes and lesions on skin of any tone, under uneven light, some with hairs. Classes
//! overlap on purpose. This is the hardest phantom.

use super::Modality;
use super::canvas::{Noise, Pose, Rgb, add_grain, between, bump, chance, inside, mix, paint, segment, smooth};
use crate::base::rng::Rng;

pub(super) const MODALITY: Modality = Modality {
    name: "dermnet",
    classes: &["acne", "eczema", "melanoma", "nevus", "psoriasis", "tinea", "urticaria", "vesicles"],
    paint: |class, size, rng| {
        let skin = Skin::random(rng);
        let mut rashes = vec![Rash::random(class, (0.5, 1.3), 0.28, rng)];
        // A small mark of another kind may be beside the lesion of the class.
        if chance(rng, 0.4) {
            let other = rng.below(MODALITY.classes.len());
            rashes.push(Rash::random(other, (0.22, 0.35), 0.75, rng));
        }
        let mut painted = paint(size, |x, y| skin.show(x, y, &rashes));
        add_grain(&mut painted, 0.02, rng);
        painted
    },
};

/// The changes by lesions, each in [0, 1].
#[derive(Default)]
struct Change {
    red: f32,
    brown: f32,
    pale: f32,
    dark: f32,
}

/// A bent line between two ends.
struct Hair {
    a: (f32, f32),
    b: (f32, f32),
    bend: f32,
}

struct Skin {
    tone: Rgb,
    light: (f32, f32, f32),
    pores: Noise,
    hairs: Vec<Hair>,
}

impl Skin {
    fn random(rng: &mut Rng) -> Self {
        let depth = rng.uniform().powf(1.5);
        let tone = mix([0.9, 0.71, 0.6], [0.48, 0.31, 0.22], depth);
        let warmth = between(rng, -0.05, 0.05);
        let mut hairs = Vec::new();
        if chance(rng, 0.35) {
            for _ in 0..2 + rng.below(6) {
                let (x, y, a) = (between(rng, -1.0, 1.0), between(rng, -1.0, 1.0), between(rng, -0.6, 0.6) + 0.8);
                let half = between(rng, 0.3, 0.7);
                let (dx, dy) = (half * a.cos(), half * a.sin());
                hairs.push(Hair { a: (x - dx, y - dy), b: (x + dx, y + dy), bend: between(rng, -0.3, 0.3) });
            }
        }
        Skin {
            tone: [tone[0] + warmth, tone[1], tone[2] - warmth],
            light: (between(rng, -0.14, 0.14), between(rng, -0.14, 0.14), between(rng, 0.82, 1.12)),
            pores: Noise::new(rng),
            hairs,
        }
    }

    fn show(&self, x: f32, y: f32, rashes: &[Rash]) -> Rgb {
        let mut c = Change::default();
        for more in rashes.iter().map(|r| r.at(x, y)) {
            c.red = c.red.max(more.red);
            c.brown = c.brown.max(more.brown);
            c.pale = c.pale.max(more.pale);
            c.dark = c.dark.max(more.dark);
        }
        let mottle = self.pores.cloud(x * 3.0, y * 3.0, 2) - 0.5;
        let pores = self.pores.at(x * 18.0, y * 18.0) - 0.5;
        let red = (c.red + 0.12 * mottle.max(0.0)).min(1.0);
        let mut rgb = self.tone;
        rgb = [rgb[0] * (1.0 - 0.12 * red), rgb[1] * (1.0 - 0.52 * red), rgb[2] * (1.0 - 0.45 * red)];
        rgb = mix(rgb, [0.33 * rgb[0] + 0.06, 0.2 * rgb[1] + 0.05, 0.16 * rgb[2] + 0.04], c.brown.min(1.0));
        rgb = mix(rgb, [0.94, 0.88, 0.82], c.pale.min(1.0));
        rgb = mix(rgb, [0.13, 0.09, 0.09], c.dark.min(1.0));
        let mut light = self.light.2 + self.light.0 * x + self.light.1 * y + 0.09 * mottle + 0.07 * pores;
        for &Hair { a, b, bend } in &self.hairs {
            let (d, t) = segment(x + bend * (y - a.1) * (y - b.1), y, a, b);
            light *= 1.0 - 0.6 * inside(d - 0.012 * (1.0 - t), 0.02);
        }
        rgb.map(|v| v * light)
    }
}

/// A round spot: centre, radius and a random number of its own.
struct Spot {
    at: (f32, f32),
    radius: f32,
    own: f32,
}

struct Rash {
    class: usize,
    pose: Pose,
    shape: Noise,
    texture: Noise,
    strength: f32,
    /// Random numbers in [0, 1).
    u: [f32; 6],
    spots: Vec<Spot>,
}

impl Rash {
    fn random(class: usize, scale: (f32, f32), shift: f32, rng: &mut Rng) -> Self {
        let pose = Pose::random(rng, 3.1, scale, shift);
        let (count, spread, radius) = match class {
            0 => (5 + rng.below(8), 0.8, (0.05, 0.13)),
            6 => (3 + rng.below(4), 0.65, (0.16, 0.34)),
            7 => (7 + rng.below(8), 0.38, (0.06, 0.12)),
            _ => (0, 0.0, (0.1, 0.2)),
        };
        let mut spots: Vec<Spot> = Vec::new();
        for _ in 0..count * 6 {
            let at = (between(rng, -spread, spread), between(rng, -spread, spread));
            let radius = between(rng, radius.0, radius.1);
            let apart = |s: &Spot| (s.at.0 - at.0).hypot(s.at.1 - at.1) > 0.85 * (s.radius + radius);
            if spots.len() < count && spots.iter().all(apart) {
                spots.push(Spot { at, radius, own: rng.uniform() });
            }
        }
        let u = std::array::from_fn(|_| rng.uniform());
        let strength = between(rng, 0.4, 0.95);
        Rash { class, pose, shape: Noise::new(rng), texture: Noise::new(rng), strength, u, spots }
    }

    fn at(&self, x: f32, y: f32) -> Change {
        let (x, y) = self.pose.own(x, y);
        let mut c = match self.class {
            0 => self.acne(x, y),
            1 => self.eczema(x, y),
            2 => self.melanoma(x, y),
            3 => self.nevus(x, y),
            4 => self.psoriasis(x, y),
            5 => self.tinea(x, y),
            6 => self.urticaria(x, y),
            _ => self.vesicles(x, y),
        };
        c.red *= self.strength;
        c.pale *= self.strength;
        c.brown *= 0.3 + 0.7 * self.strength;
        c.dark *= 0.3 + 0.7 * self.strength;
        c
    }

    /// The distance to a patch of about `radius` whose outline varies by `rough`.
    fn patch(&self, x: f32, y: f32, radius: f32, rough: f32) -> f32 {
        let wander = self.shape.cloud(x * 2.2 + 5.0, y * 2.2, 3) - 0.5;
        (x * x + y * y * (1.0 + 0.8 * self.u[5])).sqrt() - radius + rough * wander
    }

    fn nearest(&self, x: f32, y: f32) -> Option<(f32, &Spot)> {
        let distance = |s: &Spot| (x - s.at.0).hypot(y - s.at.1) - s.radius;
        self.spots.iter().map(|s| (distance(s), s)).min_by(|a, b| a.0.total_cmp(&b.0))
    }

    fn acne(&self, x: f32, y: f32) -> Change {
        let Some((d, spot)) = self.nearest(x, y) else { return Change::default() };
        let head = if spot.own < 0.55 { inside(d + 0.65 * spot.radius, 0.03) } else { 0.0 };
        let plug = if spot.own > 0.85 { inside(d + 0.7 * spot.radius, 0.03) } else { 0.0 };
        Change {
            red: 0.85 * inside(d, 0.06) + 0.2 * bump(d.max(0.0), 0.15),
            pale: 0.7 * head,
            dark: 0.7 * plug,
            brown: 0.0,
        }
    }

    fn eczema(&self, x: f32, y: f32) -> Change {
        let d = self.patch(x, y, 0.5 + 0.3 * self.u[0], 0.9);
        let grain = self.texture.cloud(x * 9.0, y * 9.0, 2);
        let cracks = 1.0 - 2.0 * (self.texture.cloud(x * 4.0, y * 4.0, 2) - 0.5).abs();
        let area = inside(d, 0.28);
        let red = area * (0.35 + 0.6 * grain);
        Change {
            red,
            pale: 0.25 * area * smooth(0.65, 0.85, grain),
            dark: 0.18 * area * smooth(0.9, 1.0, cracks),
            brown: 0.12 * area,
        }
    }

    fn melanoma(&self, x: f32, y: f32) -> Change {
        let d = self.patch(x, y, 0.42 + 0.2 * self.u[0], 0.75);
        let tones = self.texture.cloud(x * 3.2, y * 3.2, 2);
        let area = inside(d, 0.06);
        let veil = smooth(0.6, 0.8, self.texture.cloud(x * 2.5 + 7.0, y * 2.5, 2));
        Change {
            red: 0.3 * bump(d, 0.12) + 0.4 * area * veil,
            brown: area * (0.5 + 0.45 * tones),
            dark: 0.65 * area * smooth(0.35, 0.85, tones),
            pale: 0.3 * area * veil * (1.0 - tones),
        }
    }

    fn nevus(&self, x: f32, y: f32) -> Change {
        let d = self.patch(x, y, 0.28 + 0.25 * self.u[0], 0.16);
        let net = 1.0 - 2.0 * (self.texture.at(x * 8.0, y * 8.0) - 0.5).abs();
        let area = inside(d, 0.07);
        let centre = smooth(0.0, -0.3, d);
        Change {
            brown: area * (0.5 + 0.3 * centre + 0.15 * net),
            dark: 0.25 * area * centre * self.u[1],
            ..Change::default()
        }
    }

    fn psoriasis(&self, x: f32, y: f32) -> Change {
        let d = self.patch(x, y, 0.45 + 0.25 * self.u[0], 0.6);
        let area = inside(d, 0.05);
        let cell = self.texture.cell(x * 8.0, y * 8.0, 0.9);
        let crust = smooth(0.3, 0.65, self.texture.cloud(x * 2.5, y * 2.5, 2));
        let scale = crust * (0.35 + 0.65 * smooth(0.0, 0.3, cell.second - cell.near)) * (0.5 + 0.5 * cell.id);
        Change { red: area * 0.9, pale: 0.85 * inside(d + 0.1, 0.06) * scale, ..Change::default() }
    }

    fn tinea(&self, x: f32, y: f32) -> Change {
        let d = self.patch(x, y, 0.5 + 0.2 * self.u[0], 0.4);
        let beads = 0.55 + 0.6 * self.texture.cloud(x * 7.0, y * 7.0, 2);
        let ring = bump(d, 0.09 + 0.05 * self.u[1]);
        let flakes = smooth(0.7, 0.85, self.texture.cloud(x * 8.0 + 3.0, y * 8.0, 2));
        Change {
            red: ring * beads + 0.15 * inside(d, 0.1),
            pale: 0.4 * flakes * bump(d + 0.12, 0.08),
            brown: 0.08 * inside(d, 0.1),
            dark: 0.0,
        }
    }

    fn urticaria(&self, x: f32, y: f32) -> Change {
        let (wx, wy) = (self.shape.cloud(x * 2.0, y * 2.0, 2) - 0.5, self.shape.cloud(x * 2.0 + 9.0, y * 2.0, 2) - 0.5);
        let Some((d, _)) = self.nearest(x + 0.4 * wx, y + 0.4 * wy) else { return Change::default() };
        let raised = inside(d + 0.09, 0.06);
        Change {
            red: 0.75 * bump((d + 0.01).max(0.0), 0.12) * (1.0 - 0.6 * raised),
            pale: 0.3 * raised,
            ..Change::default()
        }
    }

    fn vesicles(&self, x: f32, y: f32) -> Change {
        let base = inside(self.patch(x, y, 0.55, 0.5), 0.2);
        let Some((d, spot)) = self.nearest(x, y) else { return Change::default() };
        let blister = inside(d + 0.02, 0.03);
        // Light from above makes a blister bright at its top and dark at its bottom.
        let lit = ((spot.at.1 - y) / spot.radius).clamp(-1.0, 1.0);
        let crust = if spot.own > 0.75 { 0.5 } else { 0.0 };
        Change {
            red: 0.65 * base + 0.3 * bump(d, 0.05),
            pale: blister * (0.35 + 0.35 * lit) * (1.0 - crust),
            dark: 0.25 * bump(d, 0.03) * smooth(0.0, -1.0, lit) + 0.3 * crust * blister,
            brown: crust * blister,
        }
    }
}

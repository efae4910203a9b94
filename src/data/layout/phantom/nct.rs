//! Colorectal tissue stained with haematoxylin and eosin: nine kinds that differ in texture. Stains are mixed as
//! optical densities, as in real slides. This is the easiest phantom.

use super::Modality;
use super::canvas::{Noise, Pose, Rgb, add_grain, between, bump, chance, paint, smooth};
use crate::base::rng::Rng;

pub(super) const MODALITY: Modality = Modality {
    name: "nct-crc",
    classes: &["adipose", "background", "debris", "lymphocytes", "mucus", "muscle", "normal", "stroma", "tumour"],
    paint: |class, size, rng| {
        let slide = Slide::random(class, rng);
        let mut painted = paint(size, |x, y| slide.show(x, y));
        add_grain(&mut painted, 0.012, rng);
        painted
    },
};

/// The optical density of each stain in red, green and blue: the reference of Macenko's stain normalisation, which was
/// applied to the original patches.
const HAEMATOXYLIN: Rgb = [0.56, 0.72, 0.41];
const EOSIN: Rgb = [0.22, 0.80, 0.56];

struct Slide {
    class: usize,
    pose: Pose,
    noise: [Noise; 3],
    /// The strength of the two stains on this slide.
    stain: (f32, f32),
    lamp: f32,
    /// Random numbers in [0, 1).
    u: [f32; 4],
}

impl Slide {
    fn random(class: usize, rng: &mut Rng) -> Self {
        Slide {
            class,
            pose: Pose::random(rng, 3.1, (0.8, 1.25), 0.5),
            noise: [Noise::new(rng), Noise::new(rng), Noise::new(rng)],
            stain: (between(rng, 0.6, 1.5), between(rng, 0.55, 1.5)),
            lamp: if chance(rng, 0.3) { between(rng, 0.78, 0.9) } else { between(rng, 0.9, 0.97) },
            u: std::array::from_fn(|_| rng.uniform()),
        }
    }

    fn show(&self, x: f32, y: f32) -> Rgb {
        let (x, y) = self.pose.own(x, y);
        let (h, e) = match self.class {
            0 => self.adipose(x, y),
            1 => self.background(x, y),
            2 => self.debris(x, y),
            3 => self.lymphocytes(x, y),
            4 => self.mucus(x, y),
            5 => self.muscle(x, y),
            6 => self.normal(x, y),
            7 => self.stroma(x, y),
            _ => self.tumour(x, y),
        };
        let (h, e) = (h * self.stain.0, e * self.stain.1);
        std::array::from_fn(|c| self.lamp * (-(h * HAEMATOXYLIN[c] + e * EOSIN[c])).exp())
    }

    /// Round nuclei: `density` sites across half the picture, of which the share `fill` has a nucleus. 1 in a nucleus,
    /// 0 elsewhere.
    fn nuclei(&self, which: usize, x: f32, y: f32, density: f32, radius: f32, fill: f32) -> f32 {
        let cell = self.noise[which].cell(x * density, y * density, 0.75);
        if cell.id > fill {
            return 0.0;
        }
        let r = radius * (0.8 + 0.4 * (cell.id * 37.0).fract());
        smooth(r + 0.08, r - 0.08, cell.near)
    }

    fn adipose(&self, x: f32, y: f32) -> (f32, f32) {
        let warp = 0.25 * (self.noise[1].at(x * 2.0, y * 2.0) - 0.5);
        let density = 1.7 + 0.9 * self.u[0];
        let cell = self.noise[0].cell((x + warp) * density, (y - warp) * density, 0.8);
        let wall = bump(cell.second - cell.near, 0.09);
        (0.25 * wall * self.noise[2].at(x * 6.0, y * 6.0), 0.03 + 0.6 * wall)
    }

    fn background(&self, x: f32, y: f32) -> (f32, f32) {
        let haze = self.noise[0].cloud(x * 1.5, y * 1.5, 2);
        let speck = self.nuclei(1, x, y, 2.5, 0.08, 0.12);
        (0.02 * haze + 0.3 * speck, 0.02 + 0.04 * haze + 0.1 * speck)
    }

    fn debris(&self, x: f32, y: f32) -> (f32, f32) {
        let cloud = self.noise[0].cloud(x * 2.5, y * 2.5, 4);
        let grit = self.noise[1].cloud(x * 10.0, y * 10.0, 2);
        let dust = self.nuclei(2, x, y, 6.5, 0.22, 0.4);
        (0.1 + 0.35 * cloud * grit + 0.55 * dust * grit, 0.2 + 0.55 * cloud + 0.25 * grit)
    }

    fn lymphocytes(&self, x: f32, y: f32) -> (f32, f32) {
        let nucleus = self.nuclei(0, x, y, 6.5, 0.36, 0.92);
        let chromatin = self.noise[1].at(x * 22.0, y * 22.0);
        (0.2 + nucleus * (0.85 + 0.4 * chromatin), 0.28 + 0.15 * self.noise[2].cloud(x * 3.0, y * 3.0, 2))
    }

    fn mucus(&self, x: f32, y: f32) -> (f32, f32) {
        let (wx, wy) = (self.noise[1].cloud(x * 1.2, y * 1.2, 2), self.noise[1].cloud(x * 1.2 + 5.0, y * 1.2, 2));
        let strand = 1.0 - 2.0 * (self.noise[0].cloud(x * 1.6 + 2.0 * wx, y * 4.0 + 2.0 * wy, 3) - 0.5).abs();
        let floating = self.nuclei(2, x, y, 3.5, 0.14, 0.12);
        (0.1 + 0.28 * strand.max(0.0).powi(3) + 0.7 * floating, 0.06 + 0.1 * wx)
    }

    fn muscle(&self, x: f32, y: f32) -> (f32, f32) {
        let bend = 0.25 * (self.noise[1].at(x * 1.3, y * 1.3) - 0.5);
        let fibre = self.noise[0].at(x * 1.2, (y + bend) * 9.0);
        let split = smooth(0.82, 0.95, self.noise[0].at(x * 0.8 + 31.0, (y + bend) * 5.0));
        let nucleus = self.nuclei(2, x * 0.36, y + bend, 5.0, 0.16, 0.5);
        (0.08 + 0.85 * nucleus, (0.6 + 0.4 * fibre) * (1.0 - 0.75 * split))
    }

    fn stroma(&self, x: f32, y: f32) -> (f32, f32) {
        let (wx, wy) = (self.noise[1].cloud(x * 1.3, y * 1.3, 2), self.noise[1].cloud(x * 1.3 + 8.0, y * 1.3, 2));
        let (sx, sy) = (x + 0.9 * wx, y + 0.9 * wy);
        let wave = 0.5 + 0.5 * (sy * 13.0 + 3.0 * self.noise[0].at(sx * 2.0, sy * 2.0)).sin();
        let gap = smooth(0.6, 0.85, self.noise[0].cloud(sx * 2.0, sy * 4.0, 2));
        let spindle = self.nuclei(2, sx * 0.5, sy, 4.0, 0.18, 0.45);
        (0.06 + 0.75 * spindle, (0.2 + 0.4 * wave) * (1.0 - 0.7 * gap))
    }

    /// Crypts: a pale lumen, a ring of goblet cells, and nuclei in a row around them.
    fn normal(&self, x: f32, y: f32) -> (f32, f32) {
        let density = 1.25 + 0.45 * self.u[0];
        let cell = self.noise[0].cell(x * density, y * density, 0.35);
        let r = cell.near;
        let angle = cell.offset.1.atan2(cell.offset.0);
        let lumen = smooth(0.14, 0.07, r);
        let goblet = bump(r - 0.24, 0.07) * smooth(-0.2, 0.7, (angle * 9.0 + 20.0 * cell.id).sin());
        let row = bump(r - 0.38, 0.045) * smooth(-0.7, 0.3, (angle * 15.0 + 9.0 * cell.id).sin());
        let between = smooth(0.42, 0.5, r);
        let stray = between * self.nuclei(1, x, y, 6.0, 0.22, 0.5);
        let pale = (1.0 - 0.9 * lumen) * (1.0 - 0.7 * goblet);
        (0.12 * pale + 0.95 * row + 0.75 * stray, (0.38 + 0.1 * between) * pale)
    }

    /// Crowded large nuclei of unequal size with clumped chromatin, in sheets with clefts.
    fn tumour(&self, x: f32, y: f32) -> (f32, f32) {
        let warp = 0.5 * (self.noise[1].cloud(x * 3.0, y * 3.0, 2) - 0.5);
        let cell = self.noise[0].cell((x + warp) * 3.6, (y - warp) * 3.6, 0.9);
        let r = 0.24 + 0.22 * cell.id;
        let nucleus = smooth(r + 0.07, r - 0.07, cell.near);
        let chromatin = self.noise[2].at(x * 16.0, y * 16.0);
        let nucleolus = bump(cell.near, 0.1);
        let cleft = smooth(0.68, 0.85, self.noise[1].cloud(x * 1.4 + 4.0, y * 1.4, 2));
        let h = 0.22 + nucleus * (0.3 + 0.45 * chromatin + 0.35 * nucleolus + 0.25 * bump(cell.near - r, 0.06));
        (h * (1.0 - 0.85 * cleft), 0.42 * (1.0 - 0.85 * cleft))
    }
}

//! Chest X-rays: normal lungs, hazy patches at the edges of both lungs (COVID-19), or one dense lobe (other pneumonia).

use super::Modality;
use super::canvas::{Noise, add_grain, between, bump, chance, ellipse, inside, paint_gray, segment, smooth};
use crate::base::rng::Rng;

pub(super) const MODALITY: Modality = Modality {
    name: "covid",
    classes: &["covid-19", "non-covid", "normal"],
    paint: |class, size, rng| {
        let chest = Chest::random(class, rng);
        let mut painted = paint_gray(size, |x, y| chest.density(x, y));
        add_grain(&mut painted, 0.025, rng);
        painted
    },
};

/// An opacity of the lung: an ellipse with a soft edge.
struct Opacity {
    at: (f32, f32),
    radius: (f32, f32),
    rim: f32,
    amount: f32,
}

struct Chest {
    scale: f32,
    shift: (f32, f32),
    tilt: f32,
    exposure: f32,
    gamma: f32,
    lung: f32,
    lung_width: f32,
    diaphragm: f32,
    heart: f32,
    rib_count: f32,
    rib_phase: f32,
    breast: f32,
    vessels: Noise,
    mottle: Noise,
    opacities: Vec<Opacity>,
    dense: bool,
}

impl Chest {
    fn random(class: usize, rng: &mut Rng) -> Self {
        let opacities = match class {
            0 => hazy(rng),
            1 => lobar(rng),
            _ => Vec::new(),
        };
        Chest {
            scale: between(rng, 0.88, 1.12),
            shift: (between(rng, -0.08, 0.08), between(rng, -0.08, 0.08)),
            tilt: between(rng, -0.08, 0.08),
            exposure: between(rng, 0.95, 1.3),
            gamma: between(rng, 0.8, 1.25),
            lung: between(rng, 0.5, 0.66),
            lung_width: between(rng, 0.35, 0.42),
            diaphragm: between(rng, 0.4, 0.6),
            heart: between(rng, 0.8, 1.2),
            rib_count: between(rng, 15.0, 19.0),
            rib_phase: between(rng, 0.0, 6.3),
            breast: if chance(rng, 0.4) { between(rng, 0.03, 0.1) } else { 0.0 },
            vessels: Noise::new(rng),
            mottle: Noise::new(rng),
            opacities,
            dense: class == 1,
        }
    }

    fn density(&self, x: f32, y: f32) -> f32 {
        let (x, y) = ((x - self.shift.0) / self.scale, (y - self.shift.1) / self.scale);
        let (x, y) = (x + self.tilt * y, y - self.tilt * x);
        let side = x.abs();
        // The trunk fills the film below the shoulders, which slope down from the neck.
        let shoulders = (-0.86 + 0.12 * side + 0.5 * (side - 0.62).max(0.0) - y).max(side - 1.02);
        let neck = side - 0.26 - 0.1 * (y + 0.9).max(0.0);
        let body = inside(shoulders.min(neck), 0.06);
        let soft = 0.56 + 0.06 * self.vessels.cloud(x * 2.0, y * 2.0, 2);
        let lung = self.lungs(x, y);
        let mut v = soft * (1.0 - lung * self.lung);
        if lung > 0.0 {
            v += lung * self.inner(x, y);
        }
        v += self.bones(x, y, lung);
        v += self.breast * bump(ellipse(side, y, 0.5, 0.35, 0.3, 0.25).max(0.0), 0.15);
        let middle = inside(side - 0.1, 0.08).max(inside(self.heart_edge(x, y), 0.1));
        v += 0.14 * middle * smooth(-1.0, -0.4, y) + 0.12 * smooth(0.45, 0.8, y) * (1.0 - side * side);
        (body * v * self.exposure).max(0.0).powf(self.gamma) + 0.03
    }

    /// 1 in the air of either lung, 0 elsewhere.
    fn lungs(&self, x: f32, y: f32) -> f32 {
        let side = x.abs();
        let taper = 1.0 - 0.3 * smooth(0.1, -0.75, y);
        let outline = ellipse(side, y, 0.47, 0.0, self.lung_width * taper, 0.8);
        let dome = self.diaphragm + if x > 0.0 { 0.05 } else { 0.0 } + 0.5 * (side - 0.4) * (side - 0.4);
        inside(outline, 0.07) * inside(y - dome, 0.03) * smooth(-0.03, 0.07, self.heart_edge(x, y))
    }

    /// The distance to the heart: a tilted oval that leans to the right of the picture and widens downwards.
    fn heart_edge(&self, x: f32, y: f32) -> f32 {
        let (px, py) = (x - 0.12 - 0.35 * (y - 0.2), y - 0.28);
        ellipse(px, py, 0.0, 0.0, 0.27 * self.heart, 0.34)
    }

    /// Vessels from the hilum, and the disease of the lung.
    fn inner(&self, x: f32, y: f32) -> f32 {
        let side = x.abs();
        let hilum = ((side - 0.2).powi(2) + y * y * 0.6).sqrt();
        let ridge = 1.0 - 2.0 * (self.vessels.cloud(x * 4.5, y * 4.5, 2) - 0.5).abs();
        let mut v = 0.2 * ridge.max(0.0).powi(4) * smooth(0.7, 0.1, hilum) + 0.12 * bump(hilum, 0.14);
        let mottle = self.mottle.cloud(x * 7.0, y * 7.0, 2);
        let mut haze = 0.0;
        for o in &self.opacities {
            let d = ellipse(x, y, o.at.0, o.at.1, o.radius.0, o.radius.1);
            let texture = if self.dense { 0.85 + 0.3 * mottle } else { 0.25 + 1.2 * mottle };
            haze += o.amount * inside(d, o.rim) * texture;
        }
        // Air-filled bronchi stay dark within a dense lobe.
        if self.dense {
            haze *= 1.0 - 0.5 * smooth(0.75, 0.95, ridge);
        }
        v += haze.min(0.34);
        v
    }

    fn bones(&self, x: f32, y: f32, lung: f32) -> f32 {
        let side = x.abs();
        let arc = y - 0.75 * (side - 0.05).max(0.0) * (0.95 - side) + 0.2 * side;
        let rib = smooth(0.1, 0.9, (arc * self.rib_count + self.rib_phase).sin());
        let (collar, _) = segment(side, y, (0.1, -0.66), (0.8, -0.8));
        let spine = inside(side - 0.07, 0.03) * (0.5 + 0.5 * (y * 24.0).sin());
        rib * (0.03 + 0.085 * lung) * smooth(1.0, 0.8, side) + 0.13 * inside(collar - 0.035, 0.025) + 0.05 * spine
    }
}

/// Ground-glass patches: several, in both lungs, low and near the edge.
fn hazy(rng: &mut Rng) -> Vec<Opacity> {
    let per_side = 2 + rng.below(3);
    let mut out = Vec::new();
    for i in 0..2 * per_side {
        let side = if i % 2 == 0 { 1.0 } else { -1.0 };
        let at = (side * between(rng, 0.5, 0.72), between(rng, -0.35, 0.5));
        let radius = (between(rng, 0.1, 0.2), between(rng, 0.12, 0.24));
        out.push(Opacity { at, radius, rim: between(rng, 0.05, 0.1), amount: between(rng, 0.13, 0.26) });
    }
    out
}

/// Consolidation: dense, mostly one lobe of one lung, with a clear edge.
fn lobar(rng: &mut Rng) -> Vec<Opacity> {
    let side = if chance(rng, 0.5) { 1.0 } else { -1.0 };
    let mut out = Vec::new();
    for _ in 0..1 + rng.below(2) {
        let at = (side * between(rng, 0.3, 0.52), between(rng, -0.45, 0.4));
        let radius = (between(rng, 0.2, 0.32), between(rng, 0.15, 0.28));
        out.push(Opacity { at, radius, rim: between(rng, 0.03, 0.06), amount: between(rng, 0.18, 0.32) });
    }
    out
}

//! Fetal ultrasound planes: a speckled fan that shows the head, abdomen, thorax, femur or cervix.

use super::Modality;
use super::canvas::{Noise, Pose, between, bump, ellipse, inside, paint_gray, segment, smooth};
use crate::base::rng::Rng;

pub(super) const MODALITY: Modality = Modality {
    name: "fetal",
    classes: &["abdomen", "brain", "cervix", "femur", "thorax", "other"],
    paint: |class, size, rng| {
        let fan = Fan::random(rng);
        let scene = Scene::random(class, rng);
        let px = 2.0 / size as f32;
        paint_gray(size, |x, y| fan.show(x, y, px, |x, y| scene.echo(x, y)))
    },
};

/// The sector that the probe sees, with its speckle.
struct Fan {
    apex: f32,
    half_angle: f32,
    near: f32,
    far: f32,
    gain: f32,
    fade: f32,
    speckle: [Noise; 2],
}

impl Fan {
    fn random(rng: &mut Rng) -> Self {
        let apex = between(rng, -1.7, -1.25);
        Fan {
            apex,
            half_angle: between(rng, 0.52, 0.72),
            near: -0.98 - apex,
            far: between(rng, 0.9, 1.0) - apex,
            gain: between(rng, 0.75, 1.3),
            fade: between(rng, 0.1, 0.45),
            speckle: [Noise::new(rng), Noise::new(rng)],
        }
    }

    fn show(&self, x: f32, y: f32, px: f32, echo: impl Fn(f32, f32) -> f32) -> f32 {
        let (dx, dy) = (x, y - self.apex);
        let (r, angle) = ((dx * dx + dy * dy).sqrt(), dx.atan2(dy));
        let mask = inside((angle.abs() - self.half_angle) * r, px)
            * inside(r - self.far, px)
            * smooth(self.near - px, self.near + px, r);
        if mask <= 0.0 {
            return 0.01;
        }
        // Speckle is the length of a random phasor, fine along the beam and coarse across it.
        let grain = |n: &Noise| n.at(r * 26.0, angle * 30.0) - 0.5;
        let (a, b) = (grain(&self.speckle[0]), grain(&self.speckle[1]));
        let speckle = (a * a + b * b).sqrt() * 3.0;
        let depth = ((r - self.near) / (self.far - self.near)).clamp(0.0, 1.0);
        let v = echo(x, y) * (0.35 + 0.65 * speckle) * (1.0 - self.fade * depth) * self.gain;
        mask * v.max(0.0).powf(0.75)
    }
}

/// The contents of the fan.
struct Scene {
    class: usize,
    pose: Pose,
    tissue: Noise,
    tissue_scale: f32,
    aspect: f32,
    /// The contrast of the organs with the tissue.
    clarity: f32,
    /// Random numbers in [0, 1) that place the organs.
    u: [f32; 8],
    bone: ((f32, f32), (f32, f32)),
}

impl Scene {
    fn random(class: usize, rng: &mut Rng) -> Self {
        let (turn, scale) = match class {
            1 => (1.2, (0.5, 0.78)),
            2 => (0.35, (0.85, 1.15)),
            3 => (0.0, (1.0, 1.0)),
            _ => (3.1, (0.5, 0.75)),
        };
        let pose = Pose::random(rng, turn, scale, 0.2);
        let u = std::array::from_fn(|_| rng.uniform());
        let (angle, half) = (between(rng, -0.6, 0.6), between(rng, 0.3, 0.5));
        let (cx, cy) = (between(rng, -0.15, 0.15), between(rng, -0.25, 0.25));
        let (ex, ey) = (half * angle.cos(), half * angle.sin());
        let aspect = if class == 1 { between(rng, 1.22, 1.4) } else { between(rng, 1.0, 1.16) };
        let tissue_scale = between(rng, 2.0, 4.5);
        Scene {
            class,
            pose,
            tissue: Noise::new(rng),
            tissue_scale,
            aspect,
            clarity: between(rng, 0.6, 1.0),
            u,
            bone: ((cx - ex, cy - ey), (cx + ex, cy + ey)),
        }
    }

    fn echo(&self, x: f32, y: f32) -> f32 {
        let cloud = self.tissue.cloud(x * self.tissue_scale, y * self.tissue_scale, 3);
        let base = 0.12 + 0.42 * cloud * cloud;
        let (ox, oy) = self.pose.own(x, y);
        let organs = match self.class {
            0 => self.abdomen(ox, oy, base),
            1 => self.brain(ox, oy, base),
            2 => self.cervix(ox, oy, base),
            3 => self.femur(x, y, base),
            4 => self.thorax(ox, oy, base),
            _ => self.other(ox, oy, base),
        };
        base + self.clarity * (organs - base)
    }

    /// The outline of a body: dark fluid outside, an edge of brightness `rim`, `inner` times the tissue inside.
    fn body(&self, x: f32, y: f32, base: f32, rim: f32, inner: f32) -> (f32, f32) {
        let d = ellipse(x, y, 0.0, 0.0, self.aspect, 1.0);
        let fluid = 0.45 * bump(d - 0.16, 0.12);
        let v = base * (1.0 - fluid) * (1.0 + (inner - 1.0) * inside(d, 0.05));
        (v + rim * bump(d, 0.055), d)
    }

    fn brain(&self, x: f32, y: f32, base: f32) -> f32 {
        let (v, d) = self.body(x, y, base, 0.95, 0.5);
        let gap = 0.35 + 0.25 * self.u[0];
        let cavum = bump(x - gap, 0.13);
        // The midline echo opens around the cavum into two short lines.
        let line = bump(y, 0.035) * (1.0 - cavum) + 0.8 * cavum * bump(y.abs() - 0.09, 0.03);
        let ventricle = ellipse(x, y.abs(), -0.3, 0.32, 0.3, 0.1);
        let plexus = ellipse(x, y.abs(), -0.38, 0.33, 0.16, 0.08);
        let v = v * (1.0 - 0.7 * inside(ventricle, 0.04)) + 0.4 * inside(plexus, 0.05);
        v + 0.65 * line * inside(d + 0.12, 0.05)
    }

    fn abdomen(&self, x: f32, y: f32, base: f32) -> f32 {
        let (v, d) = self.body(x, y, base, 0.42, 0.95);
        let (sx, sy) = (0.35 + 0.15 * self.u[0], -0.25 + 0.3 * self.u[1]);
        let stomach = ellipse(x, y, sx, sy, 0.2 + 0.08 * self.u[2], 0.15);
        let (vein, along) = segment(x, y + 0.25 * x * x, (-0.45, -0.05), (0.05, 0.1 - 0.2 * self.u[3]));
        let v =
            v * (1.0 - 0.92 * inside(stomach, 0.04)) * (1.0 - 0.8 * inside(vein - 0.06, 0.03) * (1.0 - 0.3 * along));
        // Three ossification centres of the spine, with a shadow outwards.
        let spine = [(-0.1, 0.72), (0.1, 0.72), (0.0, 0.6)].map(|(a, b)| bump(ellipse(x, y, a, b, 0.05, 0.05), 0.05));
        let shadow = inside(x.abs() - 0.16, 0.06) * smooth(0.74, 0.86, y);
        v * (1.0 - 0.7 * shadow) + 0.8 * spine.iter().sum::<f32>() * inside(d, 0.1)
    }

    fn thorax(&self, x: f32, y: f32, base: f32) -> f32 {
        let (v, d) = self.body(x, y, base, 0.0, 1.0);
        let ribs = smooth(0.1, 0.7, (y.atan2(x) * (6.0 + 3.0 * self.u[0])).sin());
        let (hx, hy) = (0.18 * self.u[1], -0.1 - 0.15 * self.u[2]);
        let (c, s) = ((0.6f32).cos(), (0.6f32).sin());
        let (px, py) = (c * (x - hx) + s * (y - hy), -s * (x - hx) + c * (y - hy));
        let heart = ellipse(px, py, 0.0, 0.0, 0.52, 0.42);
        // Four dark chambers leave a bright cross between them.
        let chamber = ellipse(px.abs(), py.abs(), 0.23, 0.17, 0.19, 0.13);
        let v = v + 0.75 * ribs * bump(d + 0.06, 0.07) + 0.35 * bump(heart, 0.05);
        (v + 0.2 * inside(heart, 0.03)) * (1.0 - 0.9 * inside(chamber, 0.035))
    }

    fn femur(&self, x: f32, y: f32, base: f32) -> f32 {
        let ((ax, ay), (bx, by)) = self.bone;
        let bow = 0.1 * (self.u[0] - 0.5);
        let along = ((x - ax) / (bx - ax)).clamp(0.0, 1.0);
        let curve = bow * 4.0 * along * (1.0 - along);
        let (d, t) = segment(x, y - curve, (ax, ay), (bx, by));
        let thick = 0.045 + 0.03 * smooth(0.3, 0.5, (t - 0.5).abs());
        let line = ay + (by - ay) * along + curve;
        let shadow = smooth(0.0, 0.08, x - ax) * smooth(0.0, 0.08, bx - x) * smooth(0.03, 0.15, y - line);
        let thigh = bump(d - 0.3, 0.06) * 0.25;
        (base + thigh) * (1.0 - 0.75 * shadow) + 1.1 * inside(d - thick, 0.03)
    }

    fn cervix(&self, x: f32, y: f32, base: f32) -> f32 {
        let warp = 0.12 * (self.tissue.at(x * 1.5 + 9.0, y * 1.5) - 0.5);
        let layers = 0.5 + 0.5 * ((y + 0.35 * x + warp) * (9.0 + 5.0 * self.u[0])).sin();
        let v = base * (0.55 + 0.7 * layers);
        let bladder = ellipse(x, y, -0.35 - 0.2 * self.u[1], -0.45, 0.42, 0.17 + 0.1 * self.u[2]);
        let (canal, _) = segment(x, y + 0.15 * x * x, (-0.2, 0.1), (0.75, 0.3 + 0.25 * self.u[3]));
        let fluid = ellipse(x, y, -0.6, 0.35, 0.35, 0.3);
        let v = v * (1.0 - 0.9 * inside(bladder, 0.04)) * (1.0 - 0.85 * inside(fluid, 0.06));
        (v + 0.35 * bump(canal - 0.1, 0.035)) * (1.0 - 0.8 * inside(canal - 0.03, 0.02)) + 0.3 * bump(bladder, 0.03)
    }

    /// Limbs, cord, placenta: small rings or lumps without the landmarks of the other planes.
    fn other(&self, x: f32, y: f32, base: f32) -> f32 {
        let u = &self.u;
        let placenta = smooth(0.0, 0.4, y + 0.5 * self.tissue.at(x * 2.0, 3.0) - 0.3 * u[0]);
        let mut v = base * (0.35 + 0.9 * placenta);
        let count = 1 + (u[1] * 3.0) as usize;
        for k in 0..count {
            let (cx, cy) = (1.6 * (u[k + 2] - 0.5), 1.6 * (u[k + 3] - 0.5));
            let d = ellipse(x, y, cx, cy, 0.22 + 0.25 * u[k + 4], 0.2 + 0.15 * u[7]);
            let ring = if u[7] > 0.5 { 0.5 } else { 0.15 };
            v = v * (1.0 - 0.6 * inside(d, 0.05)) + ring * bump(d, 0.05) + 0.5 * ring * bump(d + 0.18, 0.06);
        }
        v
    }
}

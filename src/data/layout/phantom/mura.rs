//! Radiographs of the upper limb: seven body parts as bones in soft tissue on black.

use super::Modality;
use super::canvas::{Noise, Pose, add_grain, between, chance, inside, paint_gray, segment, smooth};
use crate::base::rng::Rng;

pub(super) const MODALITY: Modality = Modality {
    name: "mura",
    classes: &["elbow", "finger", "forearm", "hand", "humerus", "shoulder", "wrist"],
    paint: |class, size, rng| {
        let film = Film::random(class, rng);
        let px = 2.0 / size as f32;
        let mut painted = paint_gray(size, |x, y| film.density(x, y, px));
        add_grain(&mut painted, 0.02, rng);
        painted
    },
};

type Point = (f32, f32);

/// A bone: a capsule that is wider at its ends. `flesh` is the soft tissue around it.
struct Bone {
    a: Point,
    b: Point,
    shaft: f32,
    ends: (f32, f32),
    flesh: f32,
    weight: f32,
}

impl Bone {
    fn new(a: Point, b: Point, shaft: f32, ends: (f32, f32), flesh: f32) -> Self {
        Bone { a, b, shaft, ends, flesh, weight: 1.0 }
    }

    fn ball(at: Point, radius: f32, flesh: f32) -> Self {
        Bone::new(at, (at.0 + 0.01, at.1), radius, (radius, radius), flesh)
    }

    /// The distance to the outline, and the radius at that place.
    fn distance(&self, x: f32, y: f32) -> (f32, f32) {
        let (d, t) = segment(x, y, self.a, self.b);
        let end = if t < 0.5 { self.ends.0 } else { self.ends.1 };
        let radius = self.shaft + (end - self.shaft) * smooth(0.24, 0.5, (t - 0.5).abs());
        (d - radius, radius)
    }
}

struct Film {
    pose: Pose,
    bones: Vec<Bone>,
    marrow: Noise,
    exposure: f32,
    flesh: f32,
    fog: f32,
    /// The half sizes of the lit field, and its rotation.
    field: (f32, f32, Pose),
    marker: Option<Point>,
}

impl Film {
    fn random(class: usize, rng: &mut Rng) -> Self {
        let pose = Pose::random(rng, 1.3, (0.8, 1.5), 0.3);
        let mut bones = match class {
            0 => elbow(rng),
            1 => finger(rng),
            2 => forearm(rng),
            3 => hand(rng),
            4 => humerus(rng),
            5 => shoulder(rng),
            _ => wrist(rng),
        };
        for bone in &mut bones {
            bone.weight *= between(rng, 0.85, 1.15);
        }
        let field = (between(rng, 0.75, 1.3), between(rng, 0.85, 1.4), Pose::random(rng, 0.15, (1.0, 1.0), 0.05));
        let side = if chance(rng, 0.5) { 1.0 } else { -1.0 };
        let marker = chance(rng, 0.5).then(|| (side * between(rng, 0.6, 0.85), between(rng, -0.85, 0.85)));
        Film {
            pose,
            bones,
            marrow: Noise::new(rng),
            exposure: between(rng, 0.75, 1.35),
            flesh: between(rng, 0.15, 0.3),
            fog: between(rng, 0.0, 0.08),
            field,
            marker,
        }
    }

    fn density(&self, x: f32, y: f32, px: f32) -> f32 {
        let (ox, oy) = self.pose.own(x, y);
        let trabeculae = self.marrow.cloud(ox * 12.0, oy * 12.0, 2);
        let (mut sum, mut flesh) = (0.0, 9.0f32);
        for bone in &self.bones {
            let (d, radius) = bone.distance(ox, oy);
            flesh = flesh.min(d - bone.flesh);
            let within = inside(d, px);
            if within > 0.0 {
                // The wall is dense, the marrow within it is less dense.
                let wall = smooth(-0.6 * radius.min(0.16), 0.0, d);
                sum += bone.weight * within * (0.42 + 0.4 * wall + 0.3 * (trabeculae - 0.5));
            }
        }
        let tissue = self.flesh * smooth(0.05, -0.18, flesh) * (0.8 + 0.4 * self.marrow.at(ox * 2.0, oy * 2.0));
        // X-rays weaken exponentially, so overlapping bones do not simply add up.
        let v = 1.0 - (-(sum * 1.15 + tissue) * self.exposure).exp();
        let (fx, fy) = self.field.2.own(x, y);
        let lit = inside((fx.abs() - self.field.0).max(fy.abs() - self.field.1), px);
        let marker = self.marker.map_or(0.0, |(mx, my)| inside((x - mx).abs().max((y - my).abs() * 0.7) - 0.05, px));
        ((v + self.fog) * lit + 0.02).max(0.9 * marker)
    }
}

fn jitter(rng: &mut Rng, p: Point, by: f32) -> Point {
    (p.0 + between(rng, -by, by), p.1 + between(rng, -by, by))
}

/// The point at `length` from `from`, at `angle` from the upward direction.
fn ahead(from: Point, angle: f32, length: f32) -> Point {
    (from.0 + length * angle.sin(), from.1 - length * angle.cos())
}

fn elbow(rng: &mut Rng) -> Vec<Bone> {
    let bend = between(rng, 0.3, 1.7);
    let joint = (between(rng, -0.2, 0.0), between(rng, -0.05, 0.15));
    let upper = ahead(joint, -0.1, 1.6);
    let fore = std::f32::consts::PI - bend;
    let (radius_start, ulna_start) = (ahead(joint, fore - 0.9, 0.24), ahead(joint, fore + 0.75, 0.14));
    vec![
        Bone::new(upper, ahead(joint, -0.1, 0.12), 0.14, (0.14, 0.27), 0.24),
        Bone::new(radius_start, ahead(radius_start, fore, 1.7), 0.085, (0.14, 0.1), 0.2),
        Bone::new(ulna_start, ahead(ulna_start, fore + 0.05, 1.7), 0.1, (0.2, 0.1), 0.2),
    ]
}

/// Adds phalanges in a line from `from`. Gives the end of the line.
fn digit(rng: &mut Rng, bones: &mut Vec<Bone>, from: Point, angle: f32, lengths: &[f32], width: f32, flesh: f32) {
    let (mut at, mut angle) = (from, angle);
    for (k, &length) in lengths.iter().enumerate() {
        angle += between(rng, -0.06, 0.06);
        let w = width * (1.0 - 0.16 * k as f32);
        let end = ahead(at, angle, length);
        bones.push(Bone::new(at, end, 0.62 * w, (w, 0.82 * w), flesh));
        at = ahead(end, angle, 1.9 * w + 0.01);
    }
}

fn finger(rng: &mut Rng) -> Vec<Bone> {
    let mut bones = Vec::new();
    let angle = between(rng, -0.1, 0.1);
    digit(rng, &mut bones, (0.0, 1.3), angle, &[0.45, 0.68, 0.4, 0.24], 0.19, 0.17);
    if chance(rng, 0.5) {
        // Part of the neighbouring finger, at the edge of the film.
        digit(rng, &mut bones, (0.78, 1.3), angle + 0.12, &[0.45, 0.64, 0.4], 0.18, 0.16);
    }
    bones
}

fn forearm(rng: &mut Rng) -> Vec<Bone> {
    let (gap, cross) = (between(rng, 0.17, 0.26), between(rng, -0.06, 0.1));
    vec![
        Bone::new((-gap + cross, -0.95), (-gap, 0.95), 0.09, (0.12, 0.17), 0.16),
        Bone::new((gap, -1.0), (gap - cross, 0.92), 0.08, (0.17, 0.1), 0.16),
        Bone::ball((0.05, -1.25), 0.25, 0.2),
        Bone::ball((-0.1, 1.2), 0.12, 0.2),
        Bone::ball((0.14, 1.2), 0.12, 0.2),
    ]
}

/// Two rows of small round bones around `at`.
fn carpals(rng: &mut Rng, bones: &mut Vec<Bone>, at: Point, size: f32) {
    for (row, count) in [(0.5, 4), (-0.5, 4)] {
        for k in 0..count {
            let place = (at.0 + (k as f32 - 1.5) * size * 1.75, at.1 + row * size * 1.9);
            let place = jitter(rng, place, 0.2 * size);
            bones.push(Bone::ball(place, size * between(rng, 0.8, 1.08), 0.12));
        }
    }
}

fn hand(rng: &mut Rng) -> Vec<Bone> {
    let mut bones = Vec::new();
    let (spread, wrist) = (between(rng, 0.13, 0.23), (0.0, 0.72));
    carpals(rng, &mut bones, wrist, 0.075);
    bones.push(Bone::new((-0.12, 0.98), (-0.14, 1.5), 0.09, (0.13, 0.09), 0.12));
    bones.push(Bone::new((0.14, 1.0), (0.14, 1.5), 0.06, (0.08, 0.06), 0.12));
    for k in 0..4 {
        let angle = (k as f32 - 1.3) * spread;
        let from = ((k as f32 - 1.5) * 0.14, 0.5);
        let long = 1.0 - 0.08 * (k as f32 - 1.4).abs();
        let lengths = [0.4 * long, 0.27 * long, 0.15 * long, 0.09 * long];
        digit(rng, &mut bones, from, angle, &lengths, 0.062, 0.055);
    }
    let thumb = between(rng, -1.0, -0.6);
    digit(rng, &mut bones, (-0.28, 0.58), thumb, &[0.27, 0.2, 0.13], 0.068, 0.06);
    bones
}

fn humerus(rng: &mut Rng) -> Vec<Bone> {
    let head = (between(rng, 0.05, 0.16), -0.82);
    let mut bones = vec![
        Bone::new((0.0, -0.7), (0.0, 0.92), 0.115, (0.17, 0.2), 0.28),
        Bone::ball(head, 0.2, 0.3),
        Bone::ball((between(rng, -0.2, -0.12), 0.98), 0.1, 0.2),
    ];
    if chance(rng, 0.6) {
        bones.push(Bone::new((0.5, -1.1), (0.42, -0.6), 0.07, (0.07, 0.1), 0.15));
    }
    bones
}

fn shoulder(rng: &mut Rng) -> Vec<Bone> {
    let head = (-0.28 + between(rng, -0.05, 0.05), -0.12 + between(rng, -0.05, 0.05));
    let arm = between(rng, -0.25, 0.1);
    let shaft = ahead(head, std::f32::consts::PI - arm, 1.5);
    let mut bones = vec![
        Bone::ball(head, 0.27, 0.2),
        Bone::new(ahead(head, std::f32::consts::PI - arm, 0.15), shaft, 0.14, (0.21, 0.14), 0.22),
        Bone::new((0.08, -0.05), (0.14, 0.25), 0.09, (0.11, 0.08), 0.3),
        Bone::new((0.14, 0.1), (0.5, 0.95), 0.1, (0.12, 0.06), 0.3),
        Bone::new((-0.25, -0.55), (1.2, -0.62), 0.065, (0.09, 0.08), 0.2),
        Bone::new((-0.35, -0.48), (0.4, -0.3), 0.06, (0.1, 0.06), 0.2),
    ];
    for k in 0..4 {
        let y = -0.35 + 0.33 * k as f32;
        let mut rib = Bone::new((0.5 + 0.04 * k as f32, y), (1.4, y + 0.28), 0.05, (0.05, 0.05), 0.25);
        rib.weight = 0.55;
        bones.push(rib);
    }
    bones
}

fn wrist(rng: &mut Rng) -> Vec<Bone> {
    let mut bones = Vec::new();
    let gap = between(rng, 0.2, 0.25);
    bones.push(Bone::new((-gap, 1.3), (-gap + 0.02, 0.34), 0.13, (0.13, 0.25), 0.16));
    bones.push(Bone::new((gap + 0.03, 1.3), (gap + 0.05, 0.38), 0.09, (0.09, 0.13), 0.16));
    carpals(rng, &mut bones, (0.0, -0.1), 0.125);
    let fan = between(rng, 0.1, 0.18);
    for k in 0..4 {
        let from = ((k as f32 - 1.5) * 0.22, -0.48);
        bones.push(Bone::new(from, ahead(from, (k as f32 - 1.5) * fan, 0.9), 0.07, (0.11, 0.1), 0.1));
    }
    let thumb = between(rng, -0.9, -0.6);
    bones.push(Bone::new((-0.48, -0.3), ahead((-0.48, -0.3), thumb, 0.6), 0.075, (0.11, 0.1), 0.1));
    bones
}

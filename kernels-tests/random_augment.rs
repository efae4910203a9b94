//! Random cases of augmentation for property tests. Seeds, epochs, samples, probabilities, strengths and sizes are
//! drawn. The reference draws the same numbers from the host's generator. Images are small, so that references are
//! quick.

use crate::properties::Generator;
use wgslab::base::DType;
use wgslab::base::rng::Rng;
use wgslab::kernels::color_jitter::ColorJitter;
use wgslab::kernels::crop_resize::{CropResize, RandomCrop};
use wgslab::kernels::cutmix::Cutmix;
use wgslab::kernels::cutout::Cutout;
use wgslab::kernels::draw::Draws;
use wgslab::kernels::gaussian_blur::GaussianBlur;
use wgslab::kernels::jigsaw::Jigsaw;
use wgslab::kernels::magnify::Magnify;
use wgslab::kernels::mixup::{MixTargets, Mixup};
use wgslab::kernels::normalize::Normalize;
use wgslab::kernels::rotate::{Angle, Border, Rotate};
use wgslab::kernels::solarize::Solarize;
use wgslab::kernels::{Case, Fill};
use wgslab::tape::Type;
use wgslab::tape::record::SCALARS;

/// All generators.
pub const GENERATORS: &[(&str, Generator)] = &[
    ("color_jitter", color_jitter),
    ("crop_resize", crop_resize),
    ("cutmix", cutmix),
    ("cutout", cutout),
    ("gaussian_blur", gaussian_blur),
    ("jigsaw", jigsaw),
    ("magnify", magnify),
    ("mixup", mixup),
    ("normalize", normalize),
    ("rotate", rotate),
    ("solarize", solarize),
];

/// A number in low..high.
fn between(rng: &mut Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.uniform()
}

/// A whole number in low..=high.
fn within(rng: &mut Rng, low: usize, high: usize) -> usize {
    low + rng.below(high - low + 1)
}

/// Never, always, or sometimes.
fn probability(rng: &mut Rng) -> f32 {
    [0.0, 1.0, 1.0, rng.uniform()][rng.below(4)]
}

fn draws(rng: &mut Rng) -> Draws {
    let seed = (rng.word() as u64) << 32 | rng.word() as u64;
    Draws {
        seed,
        stream: rng.below(1 << 16) as u32,
        view: rng.below((1 << 16) - 1) as u32,
        epoch: rng.below(SCALARS) as u32,
    }
}

/// A few images of one or three channels. No side is below `least`; sometimes one is wider than a tile of 64 lanes.
fn shape(rng: &mut Rng, least: usize) -> [usize; 4] {
    let (images, channels) = (within(rng, 1, 4), [1, 3][rng.below(2)]);
    let width = if rng.below(16) == 0 { within(rng, 65, 140) } else { within(rng, least, 20) };
    [images, channels, within(rng, least, 20), width]
}

/// As [`sampled`], in one view or in two, one below the other.
fn viewed(rng: &mut Rng, [images, c, h, w]: [usize; 4]) -> Vec<(Type, Fill)> {
    let mut x = sampled(rng, [images, c, h, w]);
    x[0].0 = Type::f32([images * within(rng, 1, 2), c, h, w]);
    x
}

/// Images in [0, 1], the numbers of their samples, and scalars that hold an epoch.
fn sampled(rng: &mut Rng, shape: [usize; 4]) -> Vec<(Type, Fill)> {
    let epoch = rng.below(1 << 20) as f32;
    vec![
        (Type::f32(shape), Fill::Uniform(0.0, 1.0)),
        (Type::u32([shape[0]]), Fill::Below(100_000)),
        (Type::f32([SCALARS]), Fill::Values(vec![epoch])),
    ]
}

fn color_jitter(rng: &mut Rng) -> Case {
    let mut strength = |most: f32| if rng.below(4) == 0 { 0.0 } else { most * rng.uniform() };
    let [brightness, contrast, saturation, hue] = [0.9, 0.9, 0.9, 0.5].map(&mut strength);
    let (probability, grayscale, told) = (probability(rng), probability(rng), rng.below(2) == 0);
    let op = ColorJitter { draws: draws(rng), probability, brightness, contrast, saturation, hue, grayscale, told };
    let shape = shape(rng, 1);
    Case::new("random", op, viewed(rng, shape))
}

fn crop_resize(rng: &mut Rng) -> Case {
    let (size, channels, out) = (within(rng, 1, 24) as u32, [1, 3][rng.below(2)], within(rng, 1, 24) as u32);
    let (count, images_per_page) = (within(rng, 1, 6), within(rng, 1, 4));
    let crop = (rng.below(4) > 0).then(|| {
        let (scale, ratio) = ([between(rng, 0.05, 0.8), 1.0], [between(rng, 0.5, 1.0), between(rng, 1.0, 2.0)]);
        RandomCrop { draws: draws(rng), scale, ratio, flip: probability(rng) }
    });
    let told = crop.is_some() && rng.below(2) == 0;
    let views = 1 + u32::from(crop.is_some() && rng.below(2) == 0);
    let op =
        CropResize { crop, views, size, channels, out, images_per_page: images_per_page as u32, told, held: false };
    // Sometimes one index is past the end. It must be clamped, not read.
    let mut x = vec![(Type::u32([within(rng, 1, 5)]), Fill::Below(count as u32 + 1))];
    for first in (0..count).step_by(images_per_page) {
        x.push((Type::u32([images_per_page.min(count - first) * op.words()]), Fill::Bytes));
    }
    if crop.is_some() {
        x.push((Type::f32([SCALARS]), Fill::Values(vec![rng.below(1 << 20) as f32])));
    }
    Case::new("random", op, x)
}

fn cutmix(rng: &mut Rng) -> Case {
    let (op, shape) = (Cutmix { draws: draws(rng) }, shape(rng, 1));
    let per = |dtype, fill| (Type { shape: [shape[0]].into(), dtype }, fill);
    let mut x = sampled(rng, shape);
    x.push(per(DType::U32, Fill::Below(shape[0] as u32 + 1)));
    x.push(per(DType::F32, Fill::Uniform(0.0, 1.0)));
    Case::new("random", op, x)
}

fn cutout(rng: &mut Rng) -> Case {
    let shape = shape(rng, 1);
    let op = Cutout { draws: draws(rng), probability: probability(rng), side: within(rng, 1, 24) as u32, value: 0.5 };
    Case::new("random", op, sampled(rng, shape))
}

fn gaussian_blur(rng: &mut Rng) -> Case {
    let radius = within(rng, 1, 5);
    let shape = shape(rng, radius + 1);
    let low = between(rng, 0.1, 1.0);
    let sigma = [low, low + rng.uniform()];
    let op = GaussianBlur {
        draws: draws(rng),
        probability: [(); 2].map(|()| probability(rng)),
        sigma,
        radius: radius as u32,
        told: rng.below(2) == 0,
    };
    Case::new("random", op, viewed(rng, shape))
}

fn jigsaw(rng: &mut Rng) -> Case {
    let (side, rows) = (within(rng, 1, 4), within(rng, 1, 5));
    let (images, channels) = (within(rng, 1, 4), [1, 3][rng.below(2)]);
    let shape = [images, channels, side * within(rng, 1, 6), side * within(rng, 1, 30)];
    let mut x = sampled(rng, shape);
    // Sometimes one tile is past the end. It must be clamped, not read.
    x.push((Type::u32([rows, side * side]), Fill::Below((side * side) as u32 + 1)));
    Case::new("random", Jigsaw { draws: draws(rng), side: side as u32 }, x)
}

fn magnify(rng: &mut Rng) -> Case {
    let magnifications = (0..within(rng, 1, 3)).map(|_| between(rng, 1.0, 8.0)).collect();
    let out = [within(rng, 1, 16) as u32, within(rng, 1, 16) as u32];
    Case::new("random", Magnify { magnifications, out }, vec![(Type::f32(shape(rng, 1)), Fill::Uniform(0.0, 1.0))])
}

fn mixup(rng: &mut Rng) -> Case {
    let n = within(rng, 1, 9);
    let mixing = [(Type::u32([n]), Fill::Below(n as u32 + 1)), (Type::f32([n]), Fill::Uniform(0.0, 1.0))];
    if rng.below(3) == 0 {
        let classes = within(rng, 1, 12) as u32;
        let mut x = vec![(Type::u32([n]), Fill::Below(classes + 1))];
        x.extend(mixing);
        return Case::new("random", MixTargets { classes }, x);
    }
    let mut x = vec![(Type::f32([n, within(rng, 1, 40)]), Fill::Normal)];
    x.extend(mixing);
    Case::new("random", Mixup, x)
}

fn normalize(rng: &mut Rng) -> Case {
    let mean = [(); 3].map(|()| rng.uniform());
    let std = [(); 3].map(|()| between(rng, 0.1, 1.0));
    Case::new("random", Normalize { mean, std }, vec![(Type::f32(shape(rng, 1)), Fill::Uniform(0.0, 1.0))])
}

fn rotate(rng: &mut Rng) -> Case {
    let (shape, border) = (shape(rng, 1), [Border::Zero, Border::Reflect][rng.below(2)]);
    let mut x = sampled(rng, shape);
    if rng.below(2) == 0 {
        x.truncate(1);
        x.push((Type::f32([shape[0]]), Fill::Uniform(-180.0, 180.0)));
        return Case::new("random", Rotate { angle: Angle::Given, border }, x);
    }
    let degrees = [-between(rng, 0.0, 180.0), between(rng, 0.0, 180.0)];
    let angle = Angle::Random { draws: draws(rng), probability: probability(rng), degrees };
    Case::new("random", Rotate { angle, border }, x)
}

fn solarize(rng: &mut Rng) -> Case {
    let shape = shape(rng, 1);
    let op = Solarize {
        draws: draws(rng),
        probability: [(); 2].map(|()| probability(rng)),
        threshold: rng.uniform(),
        told: rng.below(2) == 0,
    };
    Case::new("random", op, viewed(rng, shape))
}

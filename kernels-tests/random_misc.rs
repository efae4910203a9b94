//! Random cases of pooling, resize and dropout for property tests, with sizes, strides and paddings that fit each
//! other. There are few sides and strides, so that cases share pipelines and references are quick.

use crate::properties::Generator;
use wgslab::base::rng::Rng;
use wgslab::kernels::adaptive_avg_pool2d::AdaptiveAvgPool2d;
use wgslab::kernels::adaptive_max_pool2d::AdaptiveMaxPool2d;
use wgslab::kernels::avg_pool2d::AvgPool2d;
use wgslab::kernels::draw::{Keep, Stream};
use wgslab::kernels::drop_path::DropPath;
use wgslab::kernels::dropout::Dropout;
use wgslab::kernels::max_pool2d::MaxPool2d;
use wgslab::kernels::resize::{Filter, Resize};
use wgslab::kernels::{Case, Fill};
use wgslab::tape::Type;
use wgslab::tape::record::SCALARS;

/// All generators.
pub const GENERATORS: &[(&str, Generator)] = &[
    ("adaptive_avg_pool2d", adaptive_avg_pool2d),
    ("adaptive_max_pool2d", adaptive_max_pool2d),
    ("avg_pool2d", avg_pool2d),
    ("drop_path", drop_path),
    ("dropout", dropout),
    ("max_pool2d", max_pool2d),
    ("resize", resize),
];

/// A whole number in low..=high.
fn within(rng: &mut Rng, low: usize, high: usize) -> usize {
    low + rng.below(high - low + 1)
}

/// The longest side, except of wide images.
const SIDE: usize = 8;

/// A few small images. No side is below `least`; sometimes one is wider than 64 lanes.
fn images(rng: &mut Rng, least: usize) -> [usize; 4] {
    let (images, channels, height) = (within(rng, 1, 2), within(rng, 1, 3), within(rng, least, SIDE));
    match rng.below(32) {
        0 => [1, 1, height, within(rng, 65, 80)],
        _ => [images, channels, height, within(rng, least, SIDE)],
    }
}

/// Kernel, stride and padding. The largest stride is more than one invocation of a gradient handles.
fn window(rng: &mut Rng) -> [u32; 3] {
    let kernel = within(rng, 1, 4) as u32;
    [kernel, [1, 2, 3, 5][rng.below(4)], rng.below(kernel as usize / 2 + 1) as u32]
}

fn max_pool2d(rng: &mut Rng) -> Case {
    let [kernel, stride, padding] = window(rng);
    let shape = images(rng, kernel as usize);
    Case::new("random", MaxPool2d { kernel, stride, padding }, vec![(Type::f32(shape), Fill::Distinct)])
}

fn avg_pool2d(rng: &mut Rng) -> Case {
    let (rows, columns) = (window(rng), window(rng));
    let [kernel, stride, padding] = [0, 1, 2].map(|i| [rows[i], columns[i]]);
    let shape = images(rng, kernel[0].max(kernel[1]) as usize);
    Case::new("random", AvgPool2d { kernel, stride, padding }, vec![(Type::f32(shape), Fill::Normal)])
}

fn size(rng: &mut Rng) -> [u32; 2] {
    [within(rng, 1, SIDE + 1) as u32, within(rng, 1, SIDE + 1) as u32]
}

fn adaptive_avg_pool2d(rng: &mut Rng) -> Case {
    let out = size(rng);
    Case::new("random", AdaptiveAvgPool2d { out }, vec![(Type::f32(images(rng, 1)), Fill::Normal)])
}

fn adaptive_max_pool2d(rng: &mut Rng) -> Case {
    let out = size(rng);
    Case::new("random", AdaptiveMaxPool2d { out }, vec![(Type::f32(images(rng, 1)), Fill::Distinct)])
}

fn resize(rng: &mut Rng) -> Case {
    let filter = if rng.below(3) == 0 { Filter::Nearest } else { Filter::Bilinear };
    let out = size(rng);
    Case::new("random", Resize { out, filter }, vec![(Type::f32(images(rng, 1)), Fill::Normal)])
}

/// The share to keep, the stream of random words, and the scalars that may hold both.
fn kept(rng: &mut Rng) -> (Keep, Stream, (Type, Fill)) {
    let keep = if rng.below(2) == 0 { Keep::Slot(1) } else { Keep::Fraction(rng.uniform()) };
    let stream = Stream { seed: u64::from(rng.word()) << 20, stream: rng.word(), counter: 2 };
    let scalars = vec![9.0, rng.uniform(), rng.below(1 << 24) as f32];
    (keep, stream, (Type::f32([SCALARS]), Fill::Values(scalars)))
}

fn dropout(rng: &mut Rng) -> Case {
    let (keep, stream, scalars) = kept(rng);
    let x = Type::f32([within(rng, 1, 12), within(rng, 1, 25)]);
    Case::new("random", Dropout { keep, stream }, vec![(x, Fill::Normal), scalars])
}

fn drop_path(rng: &mut Rng) -> Case {
    let (keep, stream, scalars) = kept(rng);
    let x = Type::f32([within(rng, 1, 12), within(rng, 1, 25)]);
    Case::new("random", DropPath { keep, stream }, vec![(x, Fill::Normal), scalars])
}

//! Random cases of attention and the normalizations for property tests, with sizes, alignments and forms that no named
//! case has.

use crate::properties::Generator;
use wgslab::base::Shape;
use wgslab::base::rng::Rng;
use wgslab::kernels::attention::Attention;
use wgslab::kernels::batch_norm::{BatchNorm, BatchNormEval};
use wgslab::kernels::batch_norm_relu::BatchNormRelu;
use wgslab::kernels::group_norm::GroupNorm;
use wgslab::kernels::layer_norm::LayerNorm;
use wgslab::kernels::merge_statistics::MergeStatistics;
use wgslab::kernels::spectral_norm::SpectralNorm;
use wgslab::kernels::{Case, Fill};
use wgslab::tape::Type;

/// For each op its name in the list of ops, and its generator.
pub const GENERATORS: &[(&str, Generator)] = &[
    ("attention", attention),
    ("batch_norm", batch_norm),
    ("batch_norm_relu", batch_norm_relu),
    ("group_norm", group_norm),
    ("layer_norm", layer_norm),
    ("merge_statistics", merge_statistics),
    ("spectral_norm", spectral_norm),
];

/// A number between the two, both included.
fn between(rng: &mut Rng, low: usize, high: usize) -> usize {
    low + rng.below(high - low + 1)
}

fn coin(rng: &mut Rng) -> bool {
    rng.below(2) == 0
}

fn attention(rng: &mut Rng) -> Case {
    let [b, h, t, s] = [3, 3, 70, 70].map(|most| between(rng, 1, most));
    // Half of the heads are whole vec4. Most are small, so that few kernels are built.
    let e = if coin(rng) { 4 * between(rng, 1, 8) } else { between(rng, 1, 33) };
    let (q, k) = (Type::f32([b, h, t, e]), Type::f32([b, h, s, e]));
    let mut inputs = vec![(q, Fill::Normal), (k, Fill::Normal), (k, Fill::Normal)];
    if coin(rng) {
        inputs.push((Type::u32([b]), Fill::Below(s as u32 + 2)));
    }
    let halved: &[usize] = if rng.below(3) == 0 { &[0, 1, 2] } else { &[] };
    let (causal, scale) = (coin(rng), None);
    if coin(rng) {
        inputs.splice(..3, [(Type::f32([b, t, 3 * h * e]), Fill::Normal)]);
        return Case::new("random", Attention { causal, scale, packed: Some(h) }, inputs)
            .halved(&halved[..halved.len() / 3]);
    }
    Case::new("random", Attention { causal, scale, packed: None }, inputs).halved(halved)
}

/// x of two or four dimensions, weight and bias.
fn affine(rng: &mut Rng, images: usize, channels: usize) -> Vec<(Type, Fill)> {
    let [h, w] = [9, 9].map(|most| between(rng, 1, most));
    let x = if coin(rng) { Shape::from([images, channels]) } else { Shape::from([images, channels, h, w]) };
    let vector = Type::f32([channels]);
    vec![(Type::f32(x), Fill::Normal), (vector, Fill::Uniform(0.5, 1.5)), (vector, Fill::Normal)]
}

fn batch_norm(rng: &mut Rng) -> Case {
    let (splits, channels) = (between(rng, 1, 3), between(rng, 1, 40));
    // At least eight samples: of two elements the gradient is only rounding, which the named cases test.
    let images = splits * between(rng, 8, 30);
    let mut inputs = affine(rng, images, channels);
    let vector = Type::f32([channels]);
    match rng.below(3) {
        0 => {
            inputs.extend([(vector, Fill::Normal), (vector, Fill::Uniform(0.5, 1.5))]);
            return Case::new("random", BatchNormEval { eps: 1e-5 }, inputs);
        }
        1 => inputs.push((Type::f32([images]), Fill::Uniform(0.5, 1.5))),
        _ => {}
    }
    Case::new("random", BatchNorm { eps: 1e-5, splits }, inputs)
}

/// The residual is larger than the norm can be, so that no sum is near 0, where relu has a kink. How the mask follows from
/// x is for the named cases.
fn batch_norm_relu(rng: &mut Rng) -> Case {
    let (splits, channels) = (between(rng, 1, 3), between(rng, 1, 40));
    let images = splits * between(rng, 8, 30);
    let mut inputs = affine(rng, images, channels);
    inputs.push((inputs[0].0, Fill::Values(vec![60.0, -55.0, 70.0, 50.0, -65.0])));
    if coin(rng) {
        inputs.push((Type::f32([images]), Fill::Uniform(0.5, 1.5)));
    }
    Case::new("random", BatchNormRelu { eps: 1e-5, splits, residual: true }, inputs)
}

fn group_norm(rng: &mut Rng) -> Case {
    let (groups, images) = (between(rng, 1, 5), between(rng, 1, 6));
    let channels = groups * between(rng, 4, 9);
    Case::new("random", GroupNorm { groups, eps: 1e-5 }, affine(rng, images, channels))
}

fn layer_norm(rng: &mut Rng) -> Case {
    let (n, d) = (between(rng, 1, 300), between(rng, 4, 200));
    let vector = Type::f32([d]);
    let inputs = vec![(Type::f32([n, d]), Fill::Normal), (vector, Fill::Uniform(0.5, 1.5)), (vector, Fill::Normal)];
    let halved: &[usize] = if rng.below(3) == 0 { &[0] } else { &[] };
    Case::new("random", LayerNorm { eps: 1e-5 }, inputs).halved(halved)
}

fn merge_statistics(rng: &mut Rng) -> Case {
    let (parts, channels) = (between(rng, 1, 9), between(rng, 1, 200));
    let each = Type::f32([parts, channels]);
    let counts = (Type::f32([parts]), Fill::Weights);
    Case::new("random", MergeStatistics, vec![(each, Fill::Normal), (each, Fill::Uniform(0.5, 1.5)), counts])
}

fn spectral_norm(rng: &mut Rng) -> Case {
    let (m, k, positive) = (between(rng, 1, 90), between(rng, 1, 300), Fill::Uniform(0.2, 1.0));
    let inputs = [Type::f32([m, k]), Type::f32([m]), Type::f32([k])].map(|ty| (ty, positive.clone()));
    Case::new("random", SpectralNorm, inputs.to_vec())
}

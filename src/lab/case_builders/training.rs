//! Optimizers and the augmentation of images.

use super::super::case_fields::CaseFields;
use super::{BuiltCase, Input, made, normal, scalars};
use crate::base::Result;
use crate::kernels::Fill;
use crate::kernels::adam::Adam;
use crate::kernels::color_jitter::ColorJitter;
use crate::kernels::crop_resize::{CropResize, RandomCrop};
use crate::kernels::draw::Draws;
use crate::kernels::gaussian_blur::GaussianBlur;
use crate::kernels::lars::Lars;
use crate::kernels::normalize::Normalize;
use crate::kernels::sgd::Sgd;
use crate::tape::Type;

// Optimizers. Their state starts at arbitrary values and moves on from sample to sample.

fn parameter(f: &mut CaseFields<'_>, rest: &[&'static str]) -> Result<Vec<Input>> {
    let n = f.count("param")?;
    Ok(["param", "grad"].iter().chain(rest).map(|name| normal(name, [n])).collect())
}

pub(super) fn sgd(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (momentum, weight_decay) = (f.real("momentum", 0.9)?, f.real("weight_decay", 1e-4)?);
    let mut inputs = parameter(f, &["velocity"])?;
    inputs.push(scalars(1e-6));
    made(Sgd { momentum, nesterov: f.flag("nesterov")?, weight_decay, lr: 0 }, inputs)
}

pub(super) fn adam(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (weight_decay, decoupled) = (f.real("weight_decay", 0.0)?, f.flag("decoupled")?);
    let mut inputs = parameter(f, &["mean"])?;
    let n = inputs[0].1.shape;
    inputs.push(("square", Type::f32(n), Fill::Uniform(0.1, 2.0))); // a mean square is not negative
    inputs.push(("step", Type::f32([1]), Fill::Values(vec![100.0])));
    inputs.push(scalars(1e-6));
    made(Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay, decoupled, lr: 0 }, inputs)
}

pub(super) fn lars(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (momentum, weight_decay) = (f.real("momentum", 0.9)?, f.real("weight_decay", 1e-6)?);
    let mut inputs = parameter(f, &["velocity"])?;
    inputs.push(scalars(1e-6));
    made(Lars { momentum, weight_decay, eta: 1e-3, clip: false, lr: 0 }, inputs)
}

// Images

fn draws(stream: u32) -> Draws {
    Draws { seed: 1, stream, view: 0, epoch: 0 }
}

/// Images, an index for each and the scalars.
fn images(f: &mut CaseFields<'_>) -> Result<Vec<Input>> {
    let [n, c, h, w] = f.shape_of("x", "N C H W")?;
    let indices = ("indices", Type::u32([n]), Fill::Below(1000));
    Ok(vec![("x", Type::f32([n, c, h, w]), Fill::Uniform(0.0, 1.0)), indices, scalars(1.0)])
}

pub(super) fn crop_resize(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (count, batch) = (f.count("images")?, f.count("batch")?);
    let (size, channels, out) = (f.count("size")? as u32, f.count("channels")? as u32, f.count("out")? as u32);
    let crop = RandomCrop { draws: draws(7), scale: [0.2, 1.0], ratio: [0.75, 4.0 / 3.0], flip: 0.5 };
    let op = CropResize {
        crop: Some(crop),
        views: 1,
        size,
        channels,
        out,
        images_per_page: count as u32,
        told: false,
        held: false,
    };
    let page = ("images", Type::u32([count * op.words()]), Fill::Bytes);
    made(op, vec![("indices", Type::u32([batch]), Fill::Below(count as u32)), page, scalars(3.0)])
}

pub(super) fn color_jitter(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let [probability, grayscale] = [f.real("probability", 0.8)?, f.real("grayscale", 0.2)?];
    let strength = f.real("strength", 0.8)?;
    let [brightness, contrast, saturation, hue] = [strength, strength, strength, strength / 4.0];
    let op =
        ColorJitter { draws: draws(8), probability, brightness, contrast, saturation, hue, grayscale, told: false };
    made(op, images(f)?)
}

pub(super) fn gaussian_blur(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (probability, radius) = (f.real("probability", 0.5)?, f.count("radius")? as u32);
    made(
        GaussianBlur { draws: draws(9), probability: [probability; 2], sigma: [0.1, 2.0], radius, told: false },
        images(f)?,
    )
}

pub(super) fn normalize(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let x = f.shape("x")?;
    let op = Normalize { mean: [0.49, 0.48, 0.44], std: [0.25, 0.24, 0.26] };
    made(op, vec![("x", Type::f32(x), Fill::Uniform(0.0, 1.0))])
}

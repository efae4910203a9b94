//! Compares augmentation with torchvision (golden/images.py). Compares ops that are one line of PyTorch, or that update
//! something in place, with PyTorch (golden/steps.py).

use crate::golden::{Tensors, compare, gradients, read};
use crate::harness::quick::{Input, Vars};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeSet;
use wgslab::base::Result as BaseResult;
use wgslab::kernels::color_jitter::ColorJitter;
use wgslab::kernels::conv2d::Conv2d;
use wgslab::kernels::crop_resize::{CropResize, RandomCrop};
use wgslab::kernels::cutmix::Cutmix;
use wgslab::kernels::cutout::Cutout;
use wgslab::kernels::draw::Draws;
use wgslab::kernels::ema::Ema;
use wgslab::kernels::enqueue::Enqueue;
use wgslab::kernels::gaussian_blur::GaussianBlur;
use wgslab::kernels::increment::Increment;
use wgslab::kernels::jigsaw::Jigsaw;
use wgslab::kernels::ring::Ring;
use wgslab::kernels::solarize::Solarize;
use wgslab::tape::record::SCALARS;
use wgslab::tape::{Tape, Var};

/// Records the op. Gives its results by the names in the file. The first result is differentiated where the file holds
/// gradients.
type Build = fn(&mut Tape, &Vars) -> BaseResult<Vec<(&'static str, Var)>>;

/// The draws of golden/images.py.
const DRAWS: Draws = Draws { seed: 11, stream: 3, view: 0, epoch: 0 };

/// The scalars of a step in its epoch.
fn scalars(t: &mut Tape) -> BaseResult<Var> {
    t.fill([SCALARS], 5.0)
}

fn y(v: Var) -> BaseResult<Vec<(&'static str, Var)>> {
    Ok(vec![("y", v)])
}

const IMAGES: &[(&str, Build)] = &[
    ("color_jitter/all", |t, v| {
        let [brightness, contrast, saturation, hue, grayscale] = [0.4, 0.5, 0.6, 0.2, 0.3];
        let op = ColorJitter {
            draws: DRAWS,
            probability: 1.0,
            brightness,
            contrast,
            saturation,
            hue,
            grayscale,
            told: false,
        };
        let scalars = scalars(t)?;
        y(t.color_jitter(op, v["x"], v["indices"], scalars)?)
    }),
    ("crop_resize/larger", |t, v| {
        let crop = RandomCrop { draws: DRAWS, scale: [1.0, 1.0], ratio: [1.0, 1.0], flip: 1.0 };
        let op = CropResize {
            crop: Some(crop),
            views: 1,
            size: 6,
            channels: 1,
            out: 11,
            images_per_page: 3,
            told: false,
            held: false,
        };
        let scalars = scalars(t)?;
        y(t.crop_resize(op, v["indices"], &[v["pages"]], Some(scalars))?)
    }),
    ("crop_resize/smaller", |t, v| {
        let op = CropResize {
            crop: None,
            views: 1,
            size: 12,
            channels: 3,
            out: 5,
            images_per_page: 3,
            told: false,
            held: false,
        };
        y(t.crop_resize(op, v["indices"], &[v["pages"]], None)?)
    }),
    ("cutmix/four", |t, v| {
        let scalars = scalars(t)?;
        let [mixed, kept] = t.cutmix(Cutmix { draws: DRAWS }, [v["x"], v["indices"], v["pair"], v["mix"]], scalars)?;
        Ok(vec![("y", mixed), ("kept", kept)])
    }),
    ("cutout/side4", |t, v| {
        let (op, scalars) = (Cutout { draws: DRAWS, probability: 1.0, side: 4, value: 0.25 }, scalars(t)?);
        y(t.cutout(op, v["x"], v["indices"], scalars)?)
    }),
    ("gaussian_blur/r1s0.7", |t, v| blurred(t, v, 1, 0.7)),
    ("gaussian_blur/r3s1.9", |t, v| blurred(t, v, 3, 1.9)),
    ("jigsaw/nine", |t, v| {
        let scalars = scalars(t)?;
        let [x, row] = t.jigsaw(Jigsaw { draws: DRAWS, side: 3 }, v["x"], v["indices"], v["table"], scalars)?;
        Ok(vec![("y", x), ("row", row)])
    }),
    ("crop/windows", |t, v| y(t.crop(v["x"], v["shares"], [4, 5])?)),
    ("magnify/three", |t, v| y(t.magnify(v["x"], &[1.0, 2.0, 4.0], [5, 7])?)),
    ("normalize_images/rgb", |t, v| y(t.normalize(v["x"], [0.49, 0.48, 0.44], [0.25, 0.24, 0.26])?)),
    ("solarize/t0.6", |t, v| {
        let (op, scalars) =
            (Solarize { draws: DRAWS, probability: [1.0; 2], threshold: 0.6, told: false }, scalars(t)?);
        y(t.solarize(op, v["x"], v["indices"], scalars)?)
    }),
];

fn blurred(t: &mut Tape, v: &Vars, radius: u32, sigma: f32) -> BaseResult<Vec<(&'static str, Var)>> {
    let op = GaussianBlur { draws: DRAWS, probability: [1.0; 2], sigma: [sigma, sigma], radius, told: false };
    let scalars = scalars(t)?;
    y(t.gaussian_blur(op, v["x"], v["indices"], scalars)?)
}

const STEPS: &[(&str, Build)] = &[
    ("add_bias/n9d6", |t, v| y(t.add_bias(v["x"], v["bias"])?)),
    ("center/n11d5", |t, v| y(t.center(v["x"])?)),
    ("conv_transpose2d/dilated", |t, v| transposed(t, v, Conv2d { dilation: 2, ..Conv2d::new(1, 0) }, 0)),
    ("conv_transpose2d/doubling", |t, v| transposed(t, v, Conv2d::new(2, 1), 0)),
    ("conv_transpose2d/groups", |t, v| transposed(t, v, Conv2d { groups: 3, ..Conv2d::new(2, 1) }, 1)),
    ("conv_transpose2d/padded", |t, v| transposed(t, v, Conv2d::new(2, 1), 1)),
    ("correct/n13k4", |t, v| y(t.correct(v["logits"], v["labels"], v["weights"])?)),
    // Momentum 0.1. 24 elements have 23 degrees of freedom.
    ("ema/running", |t, v| y(t.apply1(Ema { keep: 0.9, slot: None, factor: 24.0 / 23.0 }, &[v["target"], v["x"]])?)),
    ("ema/teacher", |t, v| y(t.apply1(Ema { keep: 0.97, slot: None, factor: 1.0 }, &[v["target"], v["x"]])?)),
    ("enqueue/inside", |t, v| y(t.apply1(Enqueue, &[v["queue"], v["rows"], v["pointer"]])?)),
    ("enqueue/round", |t, v| y(t.apply1(Enqueue, &[v["queue"], v["rows"], v["pointer"]])?)),
    ("fill/n6", |t, _| y(t.fill([2, 3], 0.1)?)),
    ("increment/one", |t, v| y(t.apply1(Increment, &[v["x"]])?)),
    ("ring/row2", |t, v| {
        let row = t.fill([SCALARS], 2.0)?;
        y(t.apply1(Ring { slots: 4, slot: 0 }, &[v["ring"], row, v["a"], v["b"]])?)
    }),
    ("scale/n35", |t, v| y(t.scale(v["x"], -0.3)?)),
];

fn transposed(t: &mut Tape, v: &Vars, conv: Conv2d, more: u32) -> BaseResult<Vec<(&'static str, Var)>> {
    y(t.conv_transpose2d(v["x"], v["weight"], conv, more)?)
}

const FILES: [(&str, &[(&str, Build)]); 2] = [("images", IMAGES), ("steps", STEPS)];

/// The results of an op. All other tensors of a file are its inputs.
const RESULTS: [&str; 3] = ["y", "kept", "row"];

/// The gradients in a file, each with its input.
const GRADS: [(&str, &str); 3] = [("grad_x", "x"), ("grad_weight", "weight"), ("grad_bias", "bias")];

/// One trial for each op and case.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (file, cases) in FILES {
        trials.push(Trial::test(format!("T1 golden {file} has a test for every case"), move || {
            every_case(file, cases).map_err(Failed::from)
        }));
        trials.extend(cases.iter().map(|&(case, build)| {
            Trial::test(format!("T1 golden {case}"), move || one(file, case, build).map_err(Failed::from))
        }));
    }
    trials
}

fn every_case(file: &str, cases: &[(&str, Build)]) -> Result<(), String> {
    let keys = read(file)?;
    let there: BTreeSet<&str> = keys.keys().filter_map(|k| k.rsplit_once('/')).map(|k| k.0).collect();
    let tested: BTreeSet<&str> = cases.iter().map(|c| c.0).collect();
    if there == tested { Ok(()) } else { Err(format!("the file holds {there:?}, but {tested:?} are tested")) }
}

fn one(file: &str, case: &str, build: Build) -> Result<(), String> {
    let prefix = format!("{case}/");
    let mut tensors = Tensors::new();
    for (key, value) in read(file)? {
        if let Some(name) = key.strip_prefix(&prefix) {
            tensors.insert(name.to_string(), Input { name: name.to_string(), ..value });
        }
    }
    let grad = |name: &str| GRADS.iter().any(|g| g.0 == name);
    let given: Vec<&str> = tensors.keys().map(String::as_str).filter(|n| !RESULTS.contains(n) && !grad(n)).collect();
    compare(&tensors, &given, |t, v| {
        let mut out = build(t, v)?;
        if let Some(dy) = v.get("grad_y") {
            let wrt: Vec<_> = GRADS.iter().filter(|g| tensors.contains_key(g.0)).map(|g| (g.0, v[g.1])).collect();
            out.extend(gradients(t, out[0].1, Some(*dy), &wrt)?);
        }
        Ok(out)
    })
}

//! What views draw follows the intended distributions: 100,000 draws of each parameter by the kernels that use them, of 500
//! images, two views and 100 epochs, beside the exact distributions of torchvision's RandomResizedCrop, ColorJitter,
//! GaussianBlur and of independent choices. An error planted in a shader must be seen.
//!
//! Continuous numbers: the Kolmogorov–Smirnov distance to the exact distribution function. Whole numbers become continuous
//! first: a place within a step of the function is drawn. Choices: chi-square. Shares: normal approximation. Independence: the
//! correlation of each pair of parameters, and of each parameter with itself in the next image, the next epoch and the other
//! view. Each of these about 170 tests fails by chance once in a million times. The draws are the same each time.

use crate::harness::{device, text};
use crate::tree::{edited, open};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeMap;
use wgslab::base::Result as BaseResult;
use wgslab::base::rng::Rng;
use wgslab::data::augment::Augmentation;
use wgslab::data::store::ImageStore;
use wgslab::device::Gpu;
use wgslab::nn::Recipe;
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type};

const IMAGES: usize = 500;
const VIEWS: usize = 2;
const EPOCHS: usize = 100;
/// Of a run with a planted error.
const FEW_EPOCHS: usize = 10;
/// Side of an image.
const SIZE: usize = 24;

/// Two-sided and one-sided bound of a standard normal number at 10⁻⁶.
const Z: f64 = 4.8916;
const Z_ABOVE: f64 = 4.7534;
/// Bound of √n times the Kolmogorov–Smirnov distance at 10⁻⁶: 2·exp(−2λ²).
const KOLMOGOROV: f64 = 2.6934;

const USUAL: Recipe = Recipe {
    off: false,
    crop_scale: [0.2, 1.0],
    crop_ratio: [0.75, 4.0 / 3.0],
    flip_probability: 0.5,
    jitter_probability: 0.8,
    jitter: [0.8, 0.6, 0.4, 0.2],
    grayscale_probability: 0.2,
    blur_probability: 0.5,
    blur_sigma: [0.1, 2.0],
    solarize_probability: 0.3,
};

/// Few windows of this recipe fit, so that more tries are needed and some images take the whole.
const WIDE: Recipe = Recipe { crop_scale: [0.9, 1.0], crop_ratio: [0.3, 3.5], ..USUAL };

/// Errors: the piece, what it says, what it says instead, and a test that must see it.
const PLANTED: [[&str; 4]; 11] = [
    // The ratio is uniform instead of its logarithm.
    [CROP, "exp(0.5 * between(p.log_ratio_low, p.log_ratio_high, d.y))", RATIO, "ratio"],
    // The side is uniform instead of the area.
    [
        CROP,
        "sqrt(between(p.scale_low, p.scale_high, d.x))",
        "between(sqrt(p.scale_low), sqrt(p.scale_high), d.x)",
        "area",
    ],
    [CROP, "mulhi(d.w, p.size - width + 1u)", "mulhi(d.w, p.size - width)", "left"],
    [CROP, "mulhi(d.w,", "mulhi(d.z,", "left with top"],
    [CROP, "t < 10u", "t < 2u", "window"],
    [CROP, "draw_of(10u, sample, view)", "draw_of(0u, sample, view)", "area with flip"],
    [JITTER, "choice / 6u);", "choice / 8u);", "order"],
    [JITTER, "(1.0 + strength - low)", "(1.0 - low)", "factor 0"],
    [DRAW, "(high - low) * unit(word)", "(high - low) * unit(word) * unit(word)", "sigma"],
    [DRAW, "u32(scalars[p.epoch])", "0u", "sigma with the next epoch's"],
    [DRAW, "p.stream + (more << 16u)", "(p.stream & 0xffffu) + (more << 16u)", "sigma with the other view's"],
];
const CROP: &str = "images/crop_resize/random.wgsl";
const JITTER: &str = "images/color_jitter/stages.wgsl";
const DRAW: &str = "common/draw.wgsl";
const RATIO: &str = "sqrt(between(exp(p.log_ratio_low), exp(p.log_ratio_high), d.y))";

/// The trials.
pub fn trials() -> Vec<Trial> {
    let right = |name: &str, recipe: Recipe| {
        Trial::test(format!("T1 draws of {name}"), move || {
            let faults = faults(&*device::gpu(true)?, &recipe, EPOCHS).map_err(text)?;
            if faults.is_empty() { Ok(()) } else { Err(Failed::from(format!("{faults:#?}"))) }
        })
    };
    let mut trials = vec![right("the usual recipe", USUAL), right("windows that seldom fit", WIDE)];
    trials.extend(PLANTED.map(|planted| {
        let [piece, _, instead, _] = planted;
        Trial::test(format!("T1 draws see an error in {piece}: {instead}"), move || Ok(seen(planted)?))
    }));
    trials
}

/// An error unless the named test sees the edit.
fn seen([piece, from, to, test]: [&str; 4]) -> Result<(), String> {
    let gpu = open(edited(piece, from, to)?)?;
    let recipe = if test == "window" { WIDE } else { USUAL };
    let faults = faults(&gpu, &recipe, FEW_EPOCHS).map_err(text)?;
    match faults.contains_key(test) {
        true => Ok(()),
        false => Err(format!("{test} does not see it; these do: {:?}", faults.keys())),
    }
}

/// Each parameter of all draws: of all images of view 0 of epoch 0, then of view 1, then of the next epoch.
type Columns = BTreeMap<String, Vec<f64>>;

fn draws(gpu: &Gpu, recipe: &Recipe, epochs: usize) -> BaseResult<Columns> {
    let augmentation = Augmentation { recipe: recipe.clone(), mean: [0.5; 3], std: [0.5; 3] };
    let mut state = State::new();
    let pixels = vec![100u8; IMAGES * SIZE * SIZE * 3];
    let store = ImageStore::upload(gpu, &mut state, "train", &pixels, [SIZE, 3], None)?;
    let (mut t, mut told) = (Tape::new(), Vec::new());
    let indices = t.input("indices", Type::u32([IMAGES]))?;
    for view in 0..VIEWS {
        told.push(augmentation.told_view(&mut t, &store, indices, (view as u32, 5), 2)?.1);
        for (i, op) in told[view].iter().enumerate() {
            t.output(&format!("{view} {i}"), op.values);
        }
    }
    let plan = Plan::new(gpu, Schedule::new(&t, &Options::new(gpu.caps()))?, &state)?;
    let ids: Vec<u32> = (0..IMAGES as u32).collect();
    let mut all = Columns::new();
    for epoch in 0..epochs {
        plan.run(gpu, &Feed::new().input("indices", &ids).scalar("epoch", epoch as f32))?;
        for (view, told) in told.iter().enumerate() {
            for (i, op) in told.iter().enumerate() {
                let values = plan.read_f32(gpu, &format!("{view} {i}"))?;
                let names = op.columns.iter().flat_map(|&(name, n)| (0..n).map(move |i| (name, n, i)));
                for (column, (name, n, i)) in names.enumerate() {
                    let name = if n == 1 { name.to_string() } else { format!("{name}{i}") };
                    let of = values.iter().skip(column).step_by(values.len() / IMAGES).map(|v| f64::from(*v));
                    all.entry(name).or_default().extend(of);
                }
            }
        }
    }
    Ok(all)
}

/// The tests that fail, by name: what was measured, and its bound.
type Faults = BTreeMap<String, String>;

fn check(faults: &mut Faults, name: &str, measured: f64, bound: f64) {
    if measured.is_nan() || measured > bound {
        faults.insert(name.to_string(), format!("{measured:.3}, and at most {bound:.3} is allowed"));
    }
}

fn faults(gpu: &Gpu, recipe: &Recipe, epochs: usize) -> BaseResult<Faults> {
    let all = draws(gpu, recipe, epochs)?;
    let (mut faults, mut rng) = (Faults::new(), Rng::new(1, 2, 3));
    // Every parameter as a number that should be uniform from 0 to 1, or a share.
    let mut uniform = windows(&all, recipe, &mut faults, &mut rng);
    for (i, strength) in recipe.jitter.into_iter().enumerate() {
        let [low, high] = if i == 3 { [-strength, strength] } else { [(1.0 - strength).max(0.0), 1.0 + strength] };
        let column = all[&format!("jitter_factors{i}")].iter();
        uniform.push((format!("factor {i}"), column.map(|v| (v - low) / (high - low)).collect()));
    }
    let [low, high] = recipe.blur_sigma;
    uniform.push(("sigma".into(), all["blur_sigma"].iter().map(|v| (v - low) / (high - low)).collect()));
    for (name, values) in &uniform {
        check(&mut faults, name, kolmogorov(values), KOLMOGOROV);
    }
    uniform.push(("order".into(), orders(&all, &mut faults, &mut rng)));
    for (name, share) in [
        ("flip", recipe.flip_probability),
        ("jitter", recipe.jitter_probability),
        ("grayscale", recipe.grayscale_probability),
        ("blur", recipe.blur_probability),
        ("solarize", recipe.solarize_probability),
    ] {
        let (n, values) = (all[name].len() as f64, &all[name]);
        assert!(values.iter().all(|v| *v == 0.0 || *v == 1.0), "{name} is a choice");
        let off = values.iter().sum::<f64>() - n * share;
        check(&mut faults, name, off.abs() / (n * share * (1.0 - share)).sqrt(), Z);
        uniform.push((name.into(), values.clone()));
    }
    independent(&uniform, &mut faults);
    Ok(faults)
}

/// Correlations that should be none.
fn independent(series: &[(String, Vec<f64>)], faults: &mut Faults) {
    let round = VIEWS * IMAGES;
    for (i, (a, x)) in series.iter().enumerate() {
        for (b, y) in &series[i + 1..] {
            check(faults, &format!("{a} with {b}"), correlation(x, y), Z);
        }
        let two = |lag: usize| (&x[..x.len() - lag], &x[lag..]);
        let ((this, next), (epoch, later)) = (two(1), two(round));
        check(faults, &format!("{a} with the next image's"), correlation(this, next), Z);
        check(faults, &format!("{a} with the next epoch's"), correlation(epoch, later), Z);
        let view = |view: usize| -> Vec<f64> {
            x.chunks(round).flat_map(|epoch| epoch[view * IMAGES..][..IMAGES].to_vec()).collect()
        };
        check(faults, &format!("{a} with the other view's"), correlation(&view(0), &view(1)), Z);
    }
}

/// √n times the correlation without its sign: of a standard normal distribution where there is none.
fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len() as f64;
    let mean = |v: &[f64]| v.iter().sum::<f64>() / n;
    let (mx, my) = (mean(x), mean(y));
    let sum = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(a, b)| f(a - mx, b - my)).sum::<f64>();
    (n.sqrt() * sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()).abs()
}

/// √n times the greatest distance between the distribution of `values` and the uniform one.
fn kolmogorov(values: &[f64]) -> f64 {
    let (mut sorted, n) = (values.to_vec(), values.len() as f64);
    sorted.sort_by(f64::total_cmp);
    let off = |(i, v): (usize, &f64)| ((i + 1) as f64 / n - v).max(v - i as f64 / n);
    n.sqrt() * sorted.iter().enumerate().map(off).fold(0.0, f64::max)
}

/// Chi-square of counts against expected ones as a standard normal number (Wilson and Hilferty 1931). What is expected less
/// than ten times is counted together.
fn chi_square(counts: &[(f64, f64)]) -> f64 {
    let (large, small): (Vec<_>, Vec<_>) = counts.iter().copied().partition(|c| c.1 >= 10.0);
    let rest = small.iter().fold((0.0, 0.0), |sum, c| (sum.0 + c.0, sum.1 + c.1));
    let bins: Vec<(f64, f64)> = large.into_iter().chain((rest.0 + rest.1 > 0.0).then_some(rest)).collect();
    let chi: f64 = bins.iter().map(|(count, due)| (count - due).powi(2) / due.max(1e-9)).sum();
    let df = (bins.len() - 1) as f64;
    ((chi / df).cbrt() - (1.0 - 2.0 / (9.0 * df))) / (2.0 / (9.0 * df)).sqrt()
}

/// The orders of the four stages: each of the 24 as often. As numbers from 0 to 1.
fn orders(all: &Columns, faults: &mut Faults, rng: &mut Rng) -> Vec<f64> {
    let column = |i: usize| &all[&format!("jitter_order{i}")];
    let n = column(0).len();
    let (mut counts, mut places) = (BTreeMap::<[u8; 4], f64>::new(), Vec::new());
    for i in 0..n {
        let order = [0, 1, 2, 3].map(|stage| column(stage)[i] as u8);
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3], "each stage once");
        *counts.entry(order).or_default() += 1.0;
        // The number of an order: how many of the stages behind a place are smaller, in mixed radix.
        let behind = |at: usize| order[at + 1..].iter().filter(|s| **s < order[at]).count();
        let number = (behind(0) * 3 + behind(1)) * 2 + behind(2);
        places.push((number as f64 + f64::from(rng.uniform())) / 24.0);
    }
    let mut bins: Vec<(f64, f64)> = counts.into_values().map(|count| (count, n as f64 / 24.0)).collect();
    bins.resize(24, (0.0, n as f64 / 24.0));
    check(faults, "order", chi_square(&bins), Z_ABOVE);
    places
}

/// Tests the windows as a whole, and gives area, ratio, left and top as numbers that should be uniform from 0 to 1.
fn windows(all: &Columns, recipe: &Recipe, faults: &mut Faults, rng: &mut Rng) -> Vec<(String, Vec<f64>)> {
    let due = sides(recipe);
    let column = |i: usize| all[&format!("crop{i}")].iter().map(|v| *v as usize).collect::<Vec<_>>();
    let [left, top, width, height] = [0, 1, 2, 3].map(column);
    let n = left.len();
    let mut counts = vec![0.0; SIZE * SIZE];
    width.iter().zip(&height).for_each(|(w, h)| counts[(w - 1) * SIZE + h - 1] += 1.0);
    let bins: Vec<(f64, f64)> = counts.into_iter().zip(&due).map(|(count, share)| (count, share * n as f64)).collect();
    check(faults, "window", chi_square(&bins), Z_ABOVE);
    let mut within = |value: fn(usize, usize) -> f64| -> Vec<f64> {
        // Sides of one value are one step of its distribution function.
        let mut steps: Vec<(f64, f64)> =
            (0..SIZE * SIZE).map(|i| (value(i / SIZE + 1, i % SIZE + 1), due[i])).collect();
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let place = |(w, h): (&usize, &usize)| {
            let at = value(*w, *h);
            let (first, end) = (steps.partition_point(|s| s.0 < at), steps.partition_point(|s| s.0 <= at));
            let sum = |steps: &[(f64, f64)]| steps.iter().map(|s| s.1).sum::<f64>();
            sum(&steps[..first]) + f64::from(rng.uniform()) * sum(&steps[first..end])
        };
        width.iter().zip(&height).map(place).collect()
    };
    let (area, ratio) = (within(|w, h| (w * h) as f64), within(|w, h| w as f64 / h as f64));
    let mut place = |at: &[usize], side: &[usize]| -> Vec<f64> {
        let one = |(at, side): (&usize, &usize)| (*at as f64 + f64::from(rng.uniform())) / (SIZE - side + 1) as f64;
        at.iter().zip(side).map(one).collect()
    };
    let (left, top) = (place(&left, &width), place(&top, &height));
    vec![("area".into(), area), ("ratio".into(), ratio), ("left".into(), left), ("top".into(), top)]
}

/// The probability of each width and height, (width − 1)·SIZE + height − 1. An area and a log-ratio that are uniform make
/// unrounded sides x and y whose density is even, 2 over both ranges, where xy is an allowed area and x / y an allowed ratio.
/// A try whose rounded sides do not fit is followed by another, nine times at most; then the whole image is taken, which has
/// an allowed ratio here.
fn sides(recipe: &Recipe) -> Vec<f64> {
    const PARTS: usize = 64;
    let [least, most] = recipe.crop_scale.map(|s| s * (SIZE * SIZE) as f64);
    let [thin, wide] = recipe.crop_ratio;
    let density = 2.0 / ((most - least) * (wide / thin).ln());
    let cell = |w: usize, h: usize| -> f64 {
        let strip = |part: usize| {
            let x = w as f64 - 0.5 + (part as f64 + 0.5) / PARTS as f64;
            let low = (h as f64 - 0.5).max(least / x).max(x / wide);
            (((h as f64 + 0.5).min(most / x).min(x / thin)) - low).max(0.0)
        };
        (0..PARTS).map(strip).sum::<f64>() / PARTS as f64 * density
    };
    let one: Vec<f64> = (0..SIZE * SIZE).map(|i| cell(i / SIZE + 1, i % SIZE + 1)).collect();
    let fits: f64 = one.iter().sum();
    let never = (1.0 - fits).max(0.0).powi(10);
    let mut all: Vec<f64> = one.iter().map(|p| p * (1.0 - never) / fits).collect();
    all[SIZE * SIZE - 1] += never;
    all
}

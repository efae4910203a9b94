//! Whole views beside torchvision's: what is drawn for an image, and the pixels that are made with it (golden/views.py). An
//! error planted in a shader must be seen.

use crate::golden::{Tensors, floats, read};
use crate::harness::{device, text};
use crate::tree::{edited, open};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeSet;
use wgslab::base::Result as BaseResult;
use wgslab::data::augment::Augmentation;
use wgslab::data::store::ImageStore;
use wgslab::device::Gpu;
use wgslab::nn::Recipe;
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type};

/// How far a value of a view may be from torchvision's, as a share of the range of a pixel before it is normalized: a
/// hundredth of one level of 255, where the promise is one level.
const ALLOWED: f64 = 0.01 / 255.0;
/// Drawn numbers are f32 here and f64 there; sides, orders and choices must be equal.
const DRAWN: f64 = 1e-6;

const CASES: [&str; 4] = ["colour_larger", "colour_smaller", "five_taps", "gray_smaller"];

/// Errors: the piece, what it says, what it says instead. Each moves a pixel by a level at least in one of the cases.
const PLANTED: [[&str; 3]; 8] = [
    ["images/crop_resize/forward.wgsl", "select(column, p.out - 1u - column, w.mirror)", "column"],
    ["common/triangle.wgsl", "max(f32(n) / f32(out), 1.0)", "1.0"],
    ["images/color_jitter/stages.wgsl", "vec3<f32>(0.2989, 0.587, 0.114)", "vec3<f32>(0.3333, 0.3334, 0.3333)"],
    ["images/color_jitter/stages.wgsl", "sixth / 6.0 + turn", "sixth / 6.0 - turn"],
    ["images/color_jitter/stages.wgsl", "to_contrast) { break; }", "to_contrast) { continue; }"],
    ["images/color_jitter/stages.wgsl", "after = true;", "after = false;"],
    ["images/gaussian_blur/forward.wgsl", "exp(-0.5 *", "exp(-0.6 *"],
    ["images/solarize/forward.wgsl", "V(1.0) - v", "V(0.99) - v"],
];

/// The trials.
pub fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("T1 golden views have a test for every case", || {
        let there: BTreeSet<String> = read("views")?.keys().filter_map(|k| Some(k.split_once('/')?.0.into())).collect();
        if there.iter().eq(CASES) { Ok(()) } else { Err(Failed::from(format!("the file holds {there:?}"))) }
    })];
    trials.extend(CASES.map(|case| {
        Trial::test(format!("T1 golden view {case}"), move || {
            let off = apart(&*device::gpu(true)?, &read("views")?, case)?;
            println!("{case}: {:.4} levels of 255 apart", 255.0 * off);
            if off <= ALLOWED { Ok(()) } else { Err(Failed::from(format!("{} levels of 255 apart", 255.0 * off))) }
        })
    }));
    trials.extend(PLANTED.map(|planted| {
        let [piece, _, instead] = planted;
        Trial::test(format!("T1 golden views see an error in {piece}: {instead}"), move || Ok(seen(planted)?))
    }));
    trials
}

/// An error unless a case is more than one level off with this edit.
fn seen([piece, from, to]: [&str; 3]) -> Result<(), String> {
    let (gpu, tensors) = (open(edited(piece, from, to)?)?, read("views")?);
    let mut most = 0f64;
    for case in CASES {
        most = most.max(apart(&gpu, &tensors, case)?);
        if most > 1.0 / 255.0 {
            break;
        }
    }
    println!("{:.1} levels of 255 apart", 255.0 * most);
    if most > 1.0 / 255.0 { Ok(()) } else { Err(format!("all cases are within {:.4} levels", 255.0 * most)) }
}

/// How far the values of a case are apart at most. An error where other numbers are drawn.
fn apart(gpu: &Gpu, tensors: &Tensors, case: &str) -> Result<f64, String> {
    let made = views(gpu, tensors, case).map_err(text)?;
    let key = |name: &str| format!("{case}/{name}");
    let prefix = key("drawn/");
    let due: BTreeSet<&str> = tensors.keys().filter_map(|k| k.strip_prefix(&prefix)).collect();
    let told: BTreeSet<&str> = made.drawn.iter().map(|d| d.0).collect();
    if due != told {
        return Err(format!("the view tells {told:?}, and the file holds {due:?}"));
    }
    for (name, values) in &made.drawn {
        let due = floats(&tensors[&key(&format!("drawn/{name}"))]);
        let near = |(a, b): (&f32, &f32)| f64::from((a - b).abs()) <= DRAWN * f64::from(b.abs().max(1.0));
        if values.len() != due.len() || !values.iter().zip(&due).all(near) {
            return Err(format!("{name} is {values:?}, and in the file {due:?}"));
        }
    }
    let (want, std) = (floats(&tensors[&key("y")]), floats(&tensors[&key("std")]));
    if made.values.len() != want.len() {
        return Err(format!("there are {} values, and {} in the file", made.values.len(), want.len()));
    }
    let plane = made.out * made.out;
    let off = |(i, (a, b)): (usize, (&f32, &f32))| {
        let off = f64::from((a - b).abs()) * f64::from(std[i / plane % made.channels]);
        if off.is_nan() { f64::INFINITY } else { off }
    };
    Ok(made.values.iter().zip(&want).enumerate().map(off).fold(0.0, f64::max))
}

/// The views of a case.
struct Made {
    channels: usize,
    out: usize,
    values: Vec<f32>,
    drawn: Vec<(&'static str, Vec<f32>)>,
}

fn views(gpu: &Gpu, tensors: &Tensors, case: &str) -> BaseResult<Made> {
    let words = |name: &str| &tensors[&format!("{case}/{name}")].words;
    let recipe = |name: &str| -> Vec<f64> {
        floats(&tensors[&format!("{case}/recipe/{name}")]).into_iter().map(f64::from).collect()
    };
    let (one, two) = (|name: &str| recipe(name)[0], |name: &str| [recipe(name)[0], recipe(name)[1]]);
    let three = |name: &str| [0, 1, 2].map(|i| floats(&tensors[&format!("{case}/{name}")])[i]);
    let augmentation = Augmentation {
        recipe: Recipe {
            off: false,
            crop_scale: two("crop_scale"),
            crop_ratio: two("crop_ratio"),
            flip_probability: one("flip_probability"),
            jitter_probability: one("jitter_probability"),
            jitter: [0, 1, 2, 3].map(|i| recipe("jitter")[i]),
            grayscale_probability: one("grayscale_probability"),
            blur_probability: one("blur_probability"),
            blur_sigma: two("blur_sigma"),
            solarize_probability: one("solarize_probability"),
        },
        mean: three("mean"),
        std: three("std"),
    };
    let [count, size, _, channels] = [0, 1, 2, 3].map(|i| words("shape")[i] as usize);
    let [seed, epoch, view] = [0, 1, 2].map(|i| words("key")[i]);
    let out = tensors[&format!("{case}/y")].ty.shape.dim(3);
    let bytes: Vec<u8> = words("bytes").iter().flat_map(|w| w.to_le_bytes()).collect();
    let mut state = State::new();
    let pixels = &bytes[..count * size * size * channels];
    let store = ImageStore::upload(gpu, &mut state, "train", pixels, [size, channels], None)?;
    let mut t = Tape::new();
    let indices = t.input("indices", Type::u32([count]))?;
    let (y, told) = augmentation.told_view(&mut t, &store, indices, (view, u64::from(seed)), out as u32)?;
    let same = augmentation.view(&mut t, &store, indices, view, u64::from(seed), out as u32)?;
    t.output("y", y);
    t.output("same", same);
    told.iter().enumerate().for_each(|(i, told)| t.output(&format!("told{i}"), told.values));
    let plan = Plan::new(gpu, Schedule::new(&t, &Options::new(gpu.caps()))?, &state)?;
    let ids: Vec<u32> = (0..count as u32).collect();
    plan.run(gpu, &Feed::new().input("indices", &ids).scalar("epoch", epoch as f32))?;
    assert_eq!(plan.read(gpu, "y")?, plan.read(gpu, "same")?, "a view that tells what it drew has other bits");
    let mut drawn = Vec::new();
    for (i, told) in told.iter().enumerate() {
        let values = plan.read_f32(gpu, &format!("told{i}"))?;
        let mut from = 0;
        for (name, columns) in told.columns {
            let rows = values.chunks(values.len() / count).flat_map(|row| row[from..from + columns].to_vec());
            drawn.push((*name, rows.collect()));
            from += columns;
        }
    }
    Ok(Made { channels, out, values: plan.read_f32(gpu, "y")?, drawn })
}

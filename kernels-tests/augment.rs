//! T1 for images on the device: pages of the image store, and views. A view must depend only on (seed, epoch,
//! sample, view).

use crate::harness::{Named, device, ensure, named};
use libtest_mimic::Trial;
use wgslab::base::{Result as BaseResult, rng::Rng};
use wgslab::data::Paged;
use wgslab::data::augment::{Augmentation, StoreViews};
use wgslab::data::store::ImageStore;
use wgslab::device::Gpu;
use wgslab::nn::{Recipe, Views};
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type};

const SIZE: usize = 13;
const OUT: u32 = 12;
const COUNT: usize = 11;

const AUGMENTATION: Augmentation = Augmentation {
    recipe: Recipe {
        off: false,
        crop_scale: [0.2, 1.0],
        crop_ratio: [0.75, 4.0 / 3.0],
        flip_probability: 0.5,
        jitter_probability: 0.8,
        jitter: [0.4, 0.4, 0.4, 0.1],
        grayscale_probability: 0.2,
        blur_probability: 0.5,
        blur_sigma: [0.1, 2.0],
        solarize_probability: 0.0,
    },
    mean: [0.5, 0.4, 0.3],
    std: [0.2, 0.3, 0.4],
};

/// The trials.
pub fn device_trials() -> Vec<Trial> {
    let list: [Named; 8] = [
        ("a view does not depend on the place in the batch", places),
        ("a view depends on epoch, view and seed", keys),
        ("views made in one pass have the bits of each", one_pass),
        ("pages do not matter", pages),
        ("streamed images are those that the device holds", streamed),
        ("plain images are the bytes", plain),
        ("a view is the plain image where augmentation is off", off),
        ("images that fit no page or size are refused", refused),
    ];
    named("T1 augment", list)
}

fn pixels() -> Vec<u8> {
    let mut rng = Rng::new(3, 0, 0);
    (0..COUNT * SIZE * SIZE * 3).map(|_| rng.word() as u8).collect()
}

/// With `off`, and with a recipe whose every key changes nothing, resized or not; other views are no plain images.
fn off() -> Result<(), String> {
    for (recipe, same) in [
        (Recipe { off: true, ..AUGMENTATION.recipe }, true),
        (nothing_else(), true),
        (Recipe { crop_scale: [0.5, 0.5], ..nothing_else() }, false),
    ] {
        for out in [SIZE as u32, OUT, 20] {
            let augmentation = Augmentation { recipe: recipe.clone(), ..AUGMENTATION };
            let gpu = device::gpu(true)?;
            let equal = both(&gpu, &augmentation, out).map_err(|e| e.to_string())?;
            ensure(equal == same, format!("{recipe:?} at {out} pixels: the plain image is {equal}"))?;
        }
    }
    Ok(())
}

fn nothing_else() -> Recipe {
    Recipe { off: false, ..Recipe::PLAIN }
}

/// Whether a view has the bits of the plain image.
fn both(gpu: &Gpu, augmentation: &Augmentation, out: u32) -> BaseResult<bool> {
    let mut state = State::new();
    let store = ImageStore::upload(gpu, &mut state, "train", &pixels(), [SIZE, 3], None)?;
    let mut t = Tape::new();
    let indices = t.input("indices", Type::u32([COUNT]))?;
    t.scalar("epoch")?;
    let view = augmentation.view(&mut t, &store, indices, 1, 7, out)?;
    let plain = augmentation.plain(&mut t, &store, indices, out)?;
    t.output("view", view);
    t.output("plain", plain);
    let plan = Plan::new(gpu, Schedule::new(&t, &Options::new(gpu.caps()))?, &state)?;
    let ids: Vec<u32> = (0..COUNT as u32).collect();
    plan.run(gpu, &Feed::new().input("indices", &ids).scalar("epoch", 3.0))?;
    Ok(plan.read(gpu, "view")? == plan.read(gpu, "plain")?)
}

/// Runs a view, or returns the plain images where `view` is none. Gives each image's values.
fn run(ids: &[u32], page_bytes: Option<u64>, view: Option<(u32, u64, f32)>) -> Result<Vec<Vec<u32>>, String> {
    let gpu = device::gpu(true)?;
    run_on(&gpu, ids, page_bytes, view).map_err(|e| e.to_string())
}

fn run_on(gpu: &Gpu, ids: &[u32], page_bytes: Option<u64>, view: Option<(u32, u64, f32)>) -> BaseResult<Vec<Vec<u32>>> {
    let mut state = State::new();
    let store = ImageStore::upload(gpu, &mut state, "train", &pixels(), [SIZE, 3], page_bytes)?;
    let mut t = Tape::new();
    let indices = t.input("indices", Type::u32([ids.len()]))?;
    let y = match view {
        Some((view, seed, _)) => AUGMENTATION.view(&mut t, &store, indices, view, seed, OUT)?,
        None => AUGMENTATION.plain(&mut t, &store, indices, SIZE as u32)?,
    };
    t.output("y", y);
    let plan = Plan::new(gpu, Schedule::new(&t, &Options::new(gpu.caps()))?, &state)?;
    let feed = Feed::new().input("indices", ids);
    let feed = match view {
        Some((_, _, epoch)) => feed.scalar("epoch", epoch),
        None => feed, // plain images do not depend on the epoch
    };
    plan.run(gpu, &feed)?;
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(&plan.read(gpu, "y")?);
    Ok(words.chunks(words.len() / ids.len()).map(<[u32]>::to_vec).collect())
}

fn places() -> Result<(), String> {
    let key = Some((1, 9, 4.0));
    let one = run(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], None, key)?;
    let ids = [7, 7, 3, 10, 0];
    for (id, image) in ids.iter().zip(run(&ids, None, key)?) {
        ensure(image == one[*id as usize], format!("the image of sample {id} changes with its place in the batch"))?;
    }
    Ok(())
}

fn keys() -> Result<(), String> {
    let ids = [0, 1, 2, 3, 4, 5];
    let base = run(&ids, None, Some((0, 9, 4.0)))?;
    for (what, key) in [("view", (1, 9, 4.0)), ("seed", (0, 10, 4.0)), ("epoch", (0, 9, 5.0))] {
        let other = run(&ids, None, Some(key))?;
        let same = base.iter().zip(&other).filter(|(a, b)| a == b).count();
        ensure(same == 0, format!("{same} of {} images are the same under another {what}", ids.len()))?;
    }
    Ok(())
}

/// With one recipe for both views, with two that one pass can make, and with two that it cannot.
fn one_pass() -> Result<(), String> {
    let recipe = Recipe { solarize_probability: 0.2, ..AUGMENTATION.recipe };
    let other = Recipe { blur_probability: 0.0, solarize_probability: 0.9, ..recipe.clone() };
    let far = Recipe { crop_scale: [0.1, 0.3], ..recipe.clone() };
    for (pair, ops) in [([&recipe, &recipe], 5), ([&recipe, &other], 5), ([&other, &recipe], 5), ([&recipe, &far], 11)]
    {
        let gpu = device::gpu(true)?;
        one_pass_of(&gpu, pair, ops).map_err(|e| e.to_string())??;
    }
    Ok(())
}

fn one_pass_of(gpu: &Gpu, recipes: [&Recipe; 2], ops: usize) -> BaseResult<Result<(), String>> {
    let mut state = State::new();
    let store = ImageStore::upload(gpu, &mut state, "train", &pixels(), [SIZE, 3], Some(1023))?;
    let views = StoreViews { store: &store, seed: 9, out: OUT, mean: AUGMENTATION.mean, std: AUGMENTATION.std };
    let mut t = Tape::new();
    let indices = t.input("indices", Type::u32([COUNT]))?;
    let both = views.both(&mut t, indices, 2, recipes)?;
    let made = t.len();
    t.output("both", both);
    for (name, i) in [("first", 0), ("second", 1)] {
        let view = views.view(&mut t, indices, 2 + i, recipes[i as usize])?;
        t.output(name, view);
    }
    let plan = Plan::new(gpu, Schedule::new(&t, &Options::new(gpu.caps()))?, &state)?;
    let ids: Vec<u32> = (0..COUNT as u32).rev().collect();
    plan.run(gpu, &Feed::new().input("indices", &ids).scalar("epoch", 3.0))?;
    let apart = [plan.read(gpu, "first")?, plan.read(gpu, "second")?].concat();
    let told = format!("{recipes:?}");
    Ok(ensure(plan.read(gpu, "both")? == apart, told.clone())
        .and_then(|()| ensure(made == ops, format!("{told}: {made} ops"))))
}

fn pages() -> Result<(), String> {
    let ids = [10, 0, 3, 4, 7, 8, 2];
    // Two images have 507 bytes each and each begins at a whole word, so they fit 1023 bytes.
    let (one, many) = (run(&ids, None, Some((0, 1, 2.0)))?, run(&ids, Some(1023), Some((0, 1, 2.0)))?);
    ensure(one == many, "images differ between one page and several")
}

/// In the order of the step's images and turned round, in one page and in several, with an image twice.
fn streamed() -> Result<(), String> {
    let gpu = device::gpu(true)?;
    let ids = [10, 0, 3, 4, 10, 8, 2];
    for page_bytes in [None, Some(1023)] {
        let held = turned(&gpu, &ids, page_bytes, false).map_err(|e| e.to_string())?;
        let streamed = turned(&gpu, &ids, page_bytes, true).map_err(|e| e.to_string())?;
        ensure(held == streamed, format!("streamed images differ with pages of {page_bytes:?} bytes"))?;
        ensure(held[0].1 != held[1].1, "a view of the images turned round is another one")?;
    }
    Ok(())
}

/// The bits of two views and of the plain images.
fn turned(gpu: &Gpu, ids: &[u32], page_bytes: Option<u64>, streams: bool) -> BaseResult<Vec<(&'static str, Vec<u8>)>> {
    let (mut state, folder, stride) = (State::new(), tempfile::tempdir().unwrap(), SIZE * SIZE * 3);
    let (dims, all) = ([SIZE, 3], pixels());
    let store = match streams {
        true => {
            let image = move |i: usize| all[i * stride..(i + 1) * stride].to_vec();
            let pages = Paged::made(&folder.path().join("p"), (COUNT, stride), image)?;
            ImageStore::streaming(gpu, "train", (&pages, COUNT), dims, page_bytes)?
        }
        false => ImageStore::upload(gpu, &mut state, "train", &all, dims, page_bytes)?,
    };
    let mut t = Tape::new();
    let indices = t.input("indices", Type::u32([ids.len()]))?;
    let order = t.input("order", Type::u32([ids.len()]))?;
    let other = t.gather(indices, order)?;
    let views = [("a", indices, 0), ("b", other, 0)];
    for (name, indices, view) in views {
        let view = AUGMENTATION.view(&mut t, &store, indices, view, 5, OUT)?;
        t.output(name, view);
    }
    let plain = AUGMENTATION.plain(&mut t, &store, other, OUT)?;
    t.output("plain", plain);
    let plan = Plan::new(gpu, Schedule::new(&t, &Options::new(gpu.caps()))?, &state)?;
    let reversed: Vec<u32> = (0..ids.len() as u32).rev().collect();
    let images = store.steps(std::iter::once(ids.to_vec()))?.next(&|note| panic!("{note}"))?;
    let mut feed = Feed::new().input("indices", ids).input("order", &reversed).scalar("epoch", 2.0);
    images.iter().for_each(|images| images.feed(&mut feed, 0..ids.len(), &|_| true));
    plan.run(gpu, &feed)?;
    ["a", "b", "plain"].into_iter().map(|name| Ok((name, plan.read(gpu, name)?))).collect()
}

fn plain() -> Result<(), String> {
    let (ids, pixels) = ([9, 2], pixels());
    for (id, image) in ids.iter().zip(run(&ids, Some(600), None)?) {
        for (i, got) in image.iter().enumerate() {
            let (c, at) = (i / (SIZE * SIZE), i % (SIZE * SIZE));
            let byte = pixels[(*id as usize * SIZE * SIZE + at) * 3 + c] as f32;
            let want = (byte / 255.0 - AUGMENTATION.mean[c]) / AUGMENTATION.std[c];
            let got = f32::from_bits(*got);
            ensure((got - want).abs() <= 2e-6, format!("image {id}, value {i} is {got} and must be {want}"))?;
        }
    }
    Ok(())
}

fn refused() -> Result<(), String> {
    let gpu = device::gpu(true)?;
    let upload = |bytes: usize, page_bytes| {
        ImageStore::upload(&gpu, &mut State::new(), "train", &pixels()[..bytes], [SIZE, 3], page_bytes)
    };
    for (bytes, page_bytes, word) in
        [(0, None, "or none"), (SIZE * SIZE, None, "whole number"), (507, Some(500), "store_size")]
    {
        let e = upload(bytes, page_bytes).err().map(|e| e.to_string()).unwrap_or_default();
        ensure(e.starts_with("train: ") && e.contains(word), format!("'{e}' must name the split and say {word}"))?;
    }
    Ok(())
}

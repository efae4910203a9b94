//! Compares a vision transformer with PyTorch: the logits, the loss and the gradient of every parameter of one training
//! step from the same weights. `golden/README.md` says what each key holds.

use crate::golden::{floats, read};
use crate::golden_resnet::{same_names, share, store};
use crate::harness::quick::near;
use crate::harness::recording::chooser;
use crate::harness::{device::gpu, text};
use libtest_mimic::{Failed, Trial};
use wgslab::base::{Error, Result as BaseResult};
use wgslab::kernels::fuse;
use wgslab::nn::{Backbone, GlobalPool, Params, Vit};
use wgslab::tape::rewrite::Rule;
use wgslab::tape::{Feed, Options, Plan, Schedule, Tape, Type};

const MODEL: Vit = Vit {
    patch: 4,
    width: 12,
    depth: 2,
    heads: 3,
    in_channels: 2,
    registers: 0,
    layer_scale: false,
    global_pool: GlobalPool::Token,
};
/// What the features are, and the file of each.
const FILES: [(GlobalPool, &str); 2] = [(GlobalPool::Token, "vit"), (GlobalPool::Avg, "vit_avg")];
const CLASSES: usize = 5;

/// How far these numbers may lie from PyTorch's, as a share of the largest value of a tensor. Both round to f32 and sum
/// in different orders. Seen on a software adapter: 2e-6. The bound is ten times that, because Vulkan allows other
/// drivers some units in the last place for exp and division.
const ALLOWED: f64 = 2e-5;

/// The trials, each run unfused and fused. The name is the variant to take where an op offers it. No op has a variant
/// "first", so there each op takes its own first variant.
pub fn trials() -> Vec<Trial> {
    let trial = |family: &'static str, (pool, file)| {
        Trial::test(format!("T1 golden {file}::{family}"), move || {
            against_pytorch(family, Vit { global_pool: pool, ..MODEL }, file).map_err(Failed::from)
        })
    };
    let families = ["first", "naive", "groups", "tiles"];
    let mut trials: Vec<Trial> = FILES.iter().flat_map(|of| families.map(|family| trial(family, *of))).collect();
    trials.push(Trial::test("T1 golden vit::what does not fit", || misfits().map_err(Failed::from)));
    trials
}

fn against_pytorch(family: &'static str, model: Vit, file: &str) -> Result<(), String> {
    let (gpu, tensors) = (gpu(true)?, read(file)?);
    let record = || {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let x = t.input("input", tensors["input"].ty)?;
        let labels = t.input("labels", tensors["labels"].ty)?;
        let weights = t.input("weights", Type::f32(tensors["labels"].ty.shape))?;
        let features = model.forward(&mut t, &mut params, "", x, wgslab::nn::Mode::Train)?;
        let logits = model.classify(&mut t, &mut params, "", features, CLASSES)?;
        let [loss, _, _] = t.cross_entropy(logits, labels, weights)?;
        t.output("train/logits", logits);
        t.output("train/loss", loss);
        let mut vars = Vec::new();
        for p in params.list() {
            vars.push(t.state(&p.name, p.ty)?);
        }
        let gradients = t.gradient(loss, &vars)?;
        for (p, g) in params.list().iter().zip(gradients) {
            let g = g.ok_or_else(|| Error::Failed(format!("{} has no gradient", p.name)))?;
            t.output(&format!("grad/{}", p.name), g);
        }
        BaseResult::Ok((t, params))
    };
    let (tape, params) = record().map_err(text)?;
    same_names(&params, &tensors)?;
    let state = store(&gpu, &tensors, "", &tape.state_types()).map_err(text)?;
    let choose = chooser(family);
    let weights = vec![1.0f32; tensors["labels"].words.len()];
    let feed = Feed::new().input("input", &tensors["input"].words).input("labels", &tensors["labels"].words);
    let feed = feed.input("weights", &weights);
    let names: Vec<&String> = tensors.keys().filter(|k| k.starts_with("train/") || k.starts_with("grad/")).collect();
    let (mut failures, mut steps) = (Vec::new(), Vec::new());
    for fuse in [None, Some(fuse::fuse as Rule)] {
        let options = Options { choose: &choose, fuse, ..Options::new(gpu.caps()) };
        let schedule = Schedule::new(&tape, &options).map_err(text)?;
        steps.push(schedule.steps.len());
        let plan = Plan::new(&gpu, schedule, &state).map_err(text)?;
        plan.run(&gpu, &feed).map_err(text)?;
        let (mut furthest, mut of) = (0.0, "");
        for name in &names {
            let (got, want) = (plan.read_f32(&gpu, name).map_err(text)?, floats(&tensors[*name]));
            failures.extend(near(name, &got, &want, ALLOWED).err());
            if share(&got, &want) > furthest {
                (furthest, of) = (share(&got, &want), name.as_str());
            }
        }
        println!("{file}::{family}: furthest from PyTorch, as a share of the largest value: {furthest:e} of {of}");
    }
    if steps[1] >= steps[0] {
        return Err(format!("{} steps unfused, {} fused: nothing was fused", steps[0], steps[1]));
    }
    if names.len() != params.list().len() + 2 {
        return Err(format!("{} tensors were compared for {} parameters", names.len(), params.list().len()));
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

fn misfits() -> Result<(), String> {
    for (model, shape, says) in [
        (MODEL, [1, 3, 8, 8], "x has 3 channels and the network takes 2"),
        (MODEL, [1, 2, 8, 9], "patches of 4 pixels do not divide images of 8 × 9"),
        (Vit { heads: 5, ..MODEL }, [1, 2, 8, 8], "5 heads do not divide a width of 12"),
    ] {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let x = t.input("input", Type::f32(shape)).map_err(text)?;
        match model.forward(&mut t, &mut params, "", x, wgslab::nn::Mode::Train) {
            Err(e) if e.to_string().contains(says) => {}
            Err(e) => return Err(format!("the error should say '{says}', but says: {e}")),
            Ok(_) => return Err(format!("this was recorded, but should be refused: {says}")),
        }
    }
    Ok(())
}

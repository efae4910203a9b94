//! The schedule of a whole step of the study as text: what SimCLR with ResNet-18 launches on a made-up GPU, in what
//! order and in which memory. A change of an op, of fusion or of the schedule shows in the file's diff.

use super::snapshot_of;
use crate::harness::{ensure, text};
use std::collections::BTreeMap;
use wgslab::base::{Error, Result as BaseResult};
use wgslab::data::augment::StoreViews;
use wgslab::data::store::ImageStore;
use wgslab::device::{Caps, Tree};
use wgslab::kernels::{fuse, listing};
use wgslab::nn::{Backbone, Mode, Optimizer, Params, Recipe, Recorder, ResNet, Stem, Turn, Vit};
use wgslab::ssl::{Method, simclr::SimClr};
use wgslab::tape::{Options, Recording, Schedule, Tape, Type};

/// The number of images of a batch, and the side of each.
const BATCH: usize = 8;
const SIZE: usize = 32;

/// A store of colour images without pixels, because recording needs only their sizes.
fn store() -> ImageStore {
    ImageStore {
        name: "train".into(),
        count: 100,
        size: SIZE,
        channels: 3,
        images_per_page: 100,
        pages: 1,
        streamed: None,
    }
}

/// Two random views of each image, the network at an eighth of its width, NT-Xent, its gradient, Adam under a guard,
/// and the ring of losses.
pub fn step(method: &dyn Method) -> BaseResult<Tape> {
    step_of(method, &ResNet::resnet18(Stem::Small, 0.125, 3))
}

/// The same with another network.
fn step_of(method: &dyn Method, backbone: &dyn Backbone) -> BaseResult<Tape> {
    let (mut t, mut params, store) = (Tape::new(), Params::new(), store());
    let indices = t.input("indices", Type::u32([BATCH]))?;
    let recipe = Recipe {
        off: false,
        crop_scale: [0.2, 1.0],
        crop_ratio: [0.75, 4.0 / 3.0],
        flip_probability: 0.5,
        jitter_probability: 0.8,
        jitter: [0.4, 0.4, 0.2, 0.1],
        grayscale_probability: 0.2,
        blur_probability: 0.5,
        blur_sigma: [0.1, 2.0],
        solarize_probability: 0.0,
    };
    let mut r = Recorder {
        t: &mut t,
        params: &mut params,
        backbone,
        recipe: &recipe,
        batch: BATCH,
        indices,
        views: &StoreViews { store: &store, seed: 0, out: SIZE as u32, mean: [0.5; 3], std: [0.25; 3] },
        mode: Mode::Train,
    };
    let loss = method.record(&Turn::ONLY, &mut r)?.total;
    let trained = r.params.trained_by(&[""]);
    let skipped = Optimizer::adam(1e-4).minimize(r.t, loss, &trained)?;
    method.after_update(&Turn::ONLY, &mut r)?;
    let row = t.scalar("ring_row")?;
    t.ring("losses", 10, row, &[loss, skipped])?;
    Ok(t)
}

/// Of what a step writes and reads of activations around the norms, fusion leaves two thirds. It prints launches and bytes
/// by op, unfused and fused.
pub fn norms() -> Result<(), String> {
    let method = SimClr { temperature: 0.5, projection_dims: [64, 32] };
    let tape = step(&method).map_err(text)?;
    let caps = Caps::portable();
    let mut around = Vec::new();
    for options in [Options::new(&caps), fuse::options(&caps)] {
        let schedule = Schedule::new(&tape, &options).map_err(text)?;
        let mut by_op: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
        for step in &schedule.steps {
            let (launches, bytes) = by_op.entry(step.op.name()).or_default();
            (*launches, *bytes) = (*launches + step.launches.len(), *bytes + step.cost().bytes);
        }
        let all = schedule.kernels().count();
        let own = |op: &str| op.starts_with("batch_norm") || ["relu", "relu.grad", "add"].contains(&op);
        around.push(by_op.iter().filter(|(op, _)| own(op)).map(|(_, (_, bytes))| *bytes).sum::<u64>());
        println!("{all} launches, fused: {}; by op, with bytes: {by_op:?}", options.fuse.is_some());
    }
    ensure(3 * around[1] <= 2 * around[0], format!("around the norms {around:?} bytes, unfused and fused"))
}

/// Each op takes the variant that it offers first.
pub fn snapshot() -> Result<(), String> {
    let kinds = listing::kinds();
    let gpu = kinds.iter().find(|k| k.0 == "a GPU").ok_or("no kind of adapter is named 'a GPU'")?;
    let method = SimClr { temperature: 0.5, projection_dims: [64, 32] };
    let made = step(&method).and_then(|t| Schedule::new(&t, &fuse::options(&gpu.1)));
    snapshot_of("simclr_resnet18.txt", &made.map_err(|e: Error| text(e))?.to_string())
}

/// What updates all tensors of a step launches once. More dispatches than the committed numbers are a fault, fewer a reason
/// to lower them.
pub fn dispatches() -> Result<(), String> {
    let kinds = listing::kinds();
    let gpu = kinds.iter().find(|k| k.0 == "a GPU").ok_or("no kind of adapter is named 'a GPU'")?;
    let method = SimClr { temperature: 0.5, projection_dims: [64, 32] };
    let resnet = ResNet::resnet18(Stem::Small, 0.125, 3);
    let vit = Vit::tiny(8, 3);
    let subjects: [(&dyn Backbone, usize, &[&str]); 2] = [
        (&resnet, 216, &["adam.step", "ema.forward", "found_inf.forward"]),
        (&vit, 554, &["adam.step", "found_inf.forward"]),
    ];
    for (backbone, most, once) in subjects {
        let tape = step_of(&method, backbone).map_err(text)?;
        let schedule = Schedule::new(&tape, &fuse::options(&gpu.1)).map_err(text)?;
        let recording = Recording::of(&schedule, &Tree::default()).map_err(text)?;
        let count = |kernel: &str| recording.launches.iter().filter(|l| l.label.ends_with(kernel)).count();
        for kernel in once {
            ensure(count(kernel) == 1, format!("{backbone}: {} launches of {kernel}", count(kernel)))?;
        }
        let cuts = recording.cuts();
        ensure(cuts.dispatches == most, format!("{backbone}: {} dispatches, not {most}", cuts.dispatches))?;
        ensure(cuts.passes == most.div_ceil(64), format!("{backbone}: {cuts:?}"))?;
        let apart = Schedule::new(&tape, &Options { join: false, ..fuse::options(&gpu.1) }).map_err(text)?;
        let one_by_one: usize = apart.steps.iter().map(|s| s.launches.len()).sum();
        ensure(one_by_one > most + 60, format!("{backbone}: {one_by_one} dispatches one by one"))?;
    }
    Ok(())
}

//! Whole networks in f16: where a recorded step casts, how much memory its activations take, and how near its gradients
//! and its losses are to those of the same network in f32.

use crate::harness::device::gpu;
use crate::harness::{ensure, text};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use wgslab::base::rng::Rng;
use wgslab::base::{DType, Result as BaseResult};
use wgslab::device::{Caps, Gpu, Tree};
use wgslab::kernels::fuse;
use wgslab::kernels::loss_scale::LossScale;
use wgslab::nn::backbone::{ARCHS, Model};
use wgslab::nn::optimizer::Limits;
use wgslab::nn::step::TrainingStep;
use wgslab::nn::{Backbone, GlobalPool, Mode, Optimizer, Params, Precision, ResNet, Stem, Vit};
use wgslab::tape::{Feed, Plan, Recording, Schedule, State, Tape, Type, Var};

/// Trials without a device.
pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<(), String>| {
        Trial::test(format!("T0 networks in f16 {name}"), move || test().map_err(Failed::from))
    };
    vec![
        trial("cast at weights, images and features alone", casts),
        trial("round a weight once for two passes", shared),
        trial("take at most 55 % of the memory of an image", memory),
        trial("are refused where a backbone has no such form", refused),
        trial("are there for every backbone that a config can name", named),
    ]
}

/// Trials on a device.
pub fn device_trials() -> Vec<Trial> {
    let trial = |name: &str, make: fn() -> Result<Subject, String>, test: fn(&Subject) -> Result<(), String>| {
        Trial::test(format!("T1 networks in f16 {name}"), move || test(&make()?).map_err(Failed::from))
    };
    vec![
        trial("have the gradients of f32, but for rounding", Subject::resnet, gradients),
        trial("lose as f32 does, and the loss scale grows", Subject::resnet, training),
        trial("skip a step that overflows, and halve the scale", Subject::resnet, overflow),
        trial("have the gradients of f32, a ViT", Subject::vit, gradients),
        trial("have the gradients of f32, a ViT of all options", Subject::vit_of_all_options, gradients),
        trial("lose as f32 does, a ViT", Subject::vit, training),
        trial("lose as f32 does, a ViT of all options", Subject::vit_of_all_options, training),
        trial("skip a step that overflows, a ViT", Subject::vit, overflow),
    ]
}

/// Makes a step of a network, in a precision, on a number of images.
type Step = fn(Precision, usize) -> TrainingStep;

fn step_of(model: Arc<dyn Backbone>, precision: Precision, batch: usize) -> TrainingStep {
    TrainingStep { model, batch, size: 32, classes: 10, precision }
}

fn step(precision: Precision, batch: usize) -> TrainingStep {
    step_of(Arc::new(ResNet::resnet18(Stem::Small, 0.25, 3)), precision, batch)
}

fn vit_step(precision: Precision, batch: usize) -> TrainingStep {
    step_of(Arc::new(Vit::tiny(4, 3)), precision, batch)
}

fn scheduled(step: &TrainingStep) -> Result<Schedule, String> {
    let (tape, _) = step.record().map_err(text)?;
    Schedule::new(&tape, &fuse::options(&Caps::portable())).map_err(text)
}

/// ResNet-18 has 20 convolutions, and a ViT-Ti 12 blocks of 4 products, its patches' product, class token and positions. Each
/// weight is rounded once; besides, images become halves, features f32, and the features' gradient halves.
fn casts() -> Result<(), String> {
    let steps: [(Step, &str, usize); 2] = [(step, "avgpool", 20), (vit_step, "pool", 12 * 4 + 3)];
    for (step, pool, weights) in steps {
        let recording = Recording::of(&scheduled(&step(Precision::F16, 4))?, &Tree::committed()).map_err(text)?;
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for label in recording.launches.iter().map(|call| call.label.as_str()).filter(|l| l.contains("/cast.")) {
            *found.entry(label).or_default() += 1;
        }
        let (forward, backward) = (format!("{pool}/cast.forward"), format!("{pool}'/cast.forward"));
        let want = [
            (backward.as_str(), 1),
            (forward.as_str(), 1),
            ("images/cast.forward", 1),
            ("weights/cast.forward", weights),
        ];
        ensure(found == BTreeMap::from(want), format!("the step casts at {found:?}, and must at {want:?}"))?;
        let plain = Recording::of(&scheduled(&step(Precision::F32, 4))?, &Tree::committed()).map_err(text)?;
        let none = plain.launches.iter().all(|call| !call.label.contains("/cast."));
        ensure(none, "a step in f32 casts")?;
    }
    Ok(())
}

/// Two passes of a step, as those of two views, read the same halves.
fn shared() -> Result<(), String> {
    let (mut t, mut params) = (Tape::new(), Params::of(Precision::F16));
    let mut record = || {
        for name in ["a", "b"] {
            let x = t.input(name, Type::f16([2, 3, 8, 8]))?;
            let features = ResNet::resnet18(Stem::Small, 0.0625, 3).forward(&mut t, &mut params, "", x, Mode::Train)?;
            t.output(name, features);
        }
        BaseResult::Ok(())
    };
    record().map_err(text)?;
    let schedule = Schedule::new(&t, &fuse::options(&Caps::portable())).map_err(text)?;
    let casts = schedule.steps.iter().filter(|s| s.op.name() == "cast" && s.layer == "weights").count();
    ensure(casts == 20, format!("two passes of 20 convolutions round {casts} weights"))
}

/// What a step holds grows by an image's activations; weights and their gradients are the same in both precisions.
fn memory() -> Result<(), String> {
    let steps: [Step; 2] = [step, vit_step];
    for step in steps {
        let bytes = |precision, batch| Ok::<u64, String>(scheduled(&step(precision, batch))?.slab_bytes());
        let image = |precision| Ok::<u64, String>(bytes(precision, 32)? - bytes(precision, 16)?);
        let (half, single, model) = (image(Precision::F16)?, image(Precision::F32)?, step(Precision::F32, 1).model);
        println!("{model}: 16 images take {half} bytes in f16, {single} in f32: {:.3}", half as f64 / single as f64);
        let what = format!("{model}: 16 images take {half} bytes in f16 and {single} in f32, more than 55 %");
        ensure(100 * half <= 55 * single, what)?;
    }
    Ok(())
}

/// A backbone of somebody's own, which says nothing of f16.
#[derive(Debug)]
struct Own(ResNet);

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("somebody's network")
    }
}

impl Backbone for Own {
    fn in_channels(&self) -> usize {
        self.0.in_channels()
    }

    fn features(&self) -> usize {
        self.0.features()
    }

    fn forward(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, mode: Mode) -> BaseResult<Var> {
        self.0.forward(t, params, prefix, x, mode)
    }

    fn classifier(&self) -> &'static str {
        self.0.classifier()
    }

    fn classify(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, classes: usize) -> BaseResult<Var> {
        self.0.classify(t, params, prefix, x, classes)
    }

    fn usual_optimizer(&self) -> Optimizer {
        self.0.usual_optimizer()
    }
}

fn refused() -> Result<(), String> {
    let model = Arc::new(Own(ResNet::resnet18(Stem::Small, 0.25, 3)));
    let said = step_of(model, Precision::F16, 4).record().map(drop).map_err(text);
    let right = |e: &String| e.contains("somebody's network") && e.contains("f16");
    ensure(said.as_ref().is_err_and(right), format!("a backbone that says nothing of f16: {said:?}"))
}

/// So no config need be refused for its backbone's precision.
fn named() -> Result<(), String> {
    for arch in ARCHS {
        let (stem, width, patch_size) = (Some(Stem::Small), Some(1.0), Some(4));
        let model = Model { arch: arch.name.into(), stem, width, patch_size, global_pool: Some(GlobalPool::Avg) };
        let backbone = model.backbone(3).map_err(text)?;
        Precision::F16.expect_taken(backbone.as_ref()).map_err(text)?;
    }
    Ok(())
}

/// A narrow network on small images, and a batch of those.
struct Subject {
    gpu: Arc<Gpu>,
    model: Box<dyn Backbone>,
    optimizer: Optimizer,
    lr: f32,
    /// How many times the error of rounded weights and images alone the gradients may have in f16.
    times: f64,
    images: Vec<f32>,
    labels: Vec<u32>,
}

const BATCH: usize = 8;
const SIZE: usize = 12;
const CLASSES: usize = 3;

/// What a run of steps gives: the loss, whether the step was skipped, and the scale of the loss, of each.
type Run = Vec<[f32; 3]>;

impl Subject {
    fn of(model: Box<dyn Backbone>, (optimizer, lr): (Optimizer, f32), times: f64) -> Result<Self, String> {
        let mut rng = Rng::new(7, 0, 0);
        let images = (0..BATCH * 3 * SIZE * SIZE).map(|_| rng.normal()).collect();
        let labels = (0..BATCH).map(|i| (i % CLASSES) as u32).collect();
        Ok(Subject { gpu: gpu(false)?, model, optimizer, lr, times, images, labels })
    }

    /// What rounds a weight or an image moves a unit across the kink of its relu now and then, and so the gradient by far more
    /// than the rounding: √p of it where a share p of the units is moved. How much that is, the network in f32 shows whose weights
    /// and images are rounded. Beside those, f16 rounds about two activations a layer, which triples the variance of a unit, and
    /// p ∝ its deviation: √√3 = 1.3 times the error. What is rounded on the way back adds less. Twice is the bound.
    fn resnet() -> Result<Self, String> {
        let sgd = Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 };
        Self::of(Box::new(ResNet::resnet18(Stem::Small, 0.125, 3)), (sgd, 0.02), 2.0)
    }

    fn of_vit(model: Vit) -> Result<Self, String> {
        Self::of(Box::new(Vit { width: 24, depth: 2, ..model }), (Optimizer::adamw(0.0), 0.003), VIT_TIMES)
    }

    /// With 10 tokens of 3 heads of 8.
    fn vit() -> Result<Self, String> {
        Self::of_vit(Vit::tiny(4, 3))
    }

    /// With 13 tokens of 8 heads of 3: each head begins within a word.
    fn vit_of_all_options() -> Result<Self, String> {
        let options =
            Vit { heads: 8, registers: 3, layer_scale: true, global_pool: GlobalPool::Avg, ..Vit::tiny(4, 3) };
        Self::of_vit(options)
    }

    /// Records the loss.
    fn loss(&self, t: &mut Tape, params: &mut Params) -> BaseResult<wgslab::tape::Var> {
        let x = t.input("images", Type::f32([BATCH, 3, SIZE, SIZE]))?;
        let labels = t.input("labels", Type::u32([BATCH]))?;
        let x = t.cast(x, params.precision.dtype())?;
        let features = self.model.forward(t, params, "", x, Mode::Train)?;
        let logits = self.model.classify(t, params, "", features, CLASSES)?;
        let weights = t.fill([BATCH], 1.0)?;
        Ok(t.cross_entropy(logits, labels, weights)?[0])
    }

    fn plan(&self, t: &Tape, params: &Params) -> Result<(Plan, State), String> {
        let mut state = State::new();
        params.fill(&self.gpu, &mut state, 3).map_err(text)?;
        state.insert_missing(&self.gpu, &t.state_types()).map_err(text)?;
        let schedule = Schedule::new(t, &fuse::options(self.gpu.caps())).map_err(text)?;
        Ok((Plan::new(&self.gpu, schedule, &state).map_err(text)?, state))
    }

    fn feed(&self) -> Feed<'_> {
        let feed = Feed::new().input("images", bytemuck::cast_slice::<f32, u8>(&self.images));
        feed.input("labels", bytemuck::cast_slice::<u32, u8>(&self.labels))
    }

    /// The gradient of each parameter, of the loss times `scale`, divided by it. Where they are `rounded`, the images and the
    /// weights that are read as halves in f16 are halves that lie in f32.
    fn gradients(&self, precision: Precision, scale: f32, rounded: bool) -> Result<BTreeMap<String, Vec<f32>>, String> {
        let (mut t, mut params) = (Tape::new(), Params::of(precision));
        let mut record = || {
            let loss = self.loss(&mut t, &mut params)?;
            let scale = t.fill([1], scale)?;
            let names = params.trained();
            let types = t.state_types();
            let ty = |name: &String| types.iter().find(|s| s.0 == *name).map(|s| s.1).unwrap();
            let vars = names.iter().map(|n| t.state(n, ty(n))).collect::<BaseResult<Vec<_>>>()?;
            for (name, d) in names.iter().zip(t.backward(&[loss], &[Some(scale)], &vars)?) {
                let d = d.unwrap();
                assert_eq!(t.ty(d).dtype, DType::F32, "the gradient of {name}");
                t.output(name, d);
            }
            BaseResult::Ok(names)
        };
        let names = record().map_err(text)?;
        let (plan, state) = self.plan(&t, &params)?;
        let halves = |v: &[f32]| v.iter().map(|v| half::f16::from_f32(*v).to_f32()).collect::<Vec<f32>>();
        // Biases, the parameters of norms and the classifier are read in f32.
        let is_read_as_halves = |n: &str| match n.ends_with(".gamma") || n.starts_with(self.model.classifier()) {
            true => n.ends_with(".gamma"),
            false => state.ty(n).is_some_and(|ty| ty.shape.rank() > 1),
        };
        for name in names.iter().filter(|n| rounded && is_read_as_halves(n)) {
            let weights = halves(&state.read_f32(&self.gpu, name).map_err(text)?);
            state.write(&self.gpu, name, bytemuck::cast_slice(&weights)).map_err(text)?;
        }
        let images = if rounded { halves(&self.images) } else { self.images.clone() };
        let feed = Feed::new().input("images", bytemuck::cast_slice::<f32, u8>(&images));
        let feed = feed.input("labels", bytemuck::cast_slice::<u32, u8>(&self.labels));
        plan.run(&self.gpu, &feed).map_err(text)?;
        let read = |name: &String| plan.read_f32(&self.gpu, name).map_err(text);
        let of = |name: String| Ok((name.clone(), read(&name)?.into_iter().map(|v| v / scale).collect()));
        names.into_iter().map(of).collect()
    }

    /// The losses of some steps on the same batch.
    fn train(&self, precision: Precision, scale: Option<LossScale>, steps: usize) -> Result<(Run, State), String> {
        let (mut t, mut params) = (Tape::new(), Params::of(precision));
        let mut record = || {
            let loss = self.loss(&mut t, &mut params)?;
            let limits = Limits { loss_scale: scale, ..Limits::default() };
            let step = self.optimizer.minimize_within(&mut t, loss, &params.trained(), limits)?;
            let skipped = t.cast(step.skipped, DType::F32)?;
            t.output("loss", loss);
            t.output("skipped", skipped);
            step.loss_scale.iter().for_each(|&scale| t.output("scale", scale));
            BaseResult::Ok(())
        };
        record().map_err(text)?;
        let (plan, state) = self.plan(&t, &params)?;
        let mut run = Run::new();
        for _ in 0..steps {
            plan.run(&self.gpu, &self.feed().scalar("lr", self.lr)).map_err(text)?;
            let read = |name: &str| plan.read_f32(&self.gpu, name).map(|v| v[0]).map_err(text);
            run.push([read("loss")?, read("skipped")?, if scale.is_some() { read("scale")? } else { 1.0 }]);
        }
        Ok((run, state))
    }
}

/// No unit of a ViT has a kink, so that errors of f16 add up as squares. In a block the weights of 4 products are rounded, which
/// the network with rounded weights shows; in f16 so are about 8 activations besides, and as many gradients on the way back, each
/// by as much: √((4 + 16)/4) = 2.2 times the error. Thrice is the bound.
const VIT_TIMES: f64 = 3.0;

fn gradients(subject: &Subject) -> Result<(), String> {
    let single = subject.gradients(Precision::F32, 1.0, false)?;
    let rounded = subject.gradients(Precision::F32, 1.0, true)?;
    let half = subject.gradients(Precision::F16, 1024.0, false)?;
    let norm = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    let all: f64 = single.values().map(|v| norm(v)).sum();
    let off = |other: &BTreeMap<String, Vec<f32>>| {
        let of = |(name, want): (&String, &Vec<f32>)| {
            norm(&other[name].iter().zip(want).map(|(a, b)| a - b).collect::<Vec<f32>>())
        };
        (single.iter().map(of).sum::<f64>() / all).sqrt()
    };
    let (half, rounded) = (off(&half), off(&rounded));
    println!("gradients of f16 are off by {half:.4} of their norm, those of f32 with rounded weights by {rounded:.4}");
    ensure(half > 0.0 && rounded < 0.1, "the test says nothing: nothing was rounded, or all was lost")?;
    let times = subject.times;
    let what = format!("gradients of f16 are off by {half:.4} of their norm, more than {times} times {rounded:.4}");
    ensure(half <= times * rounded, what)
}

/// Ten steps on one batch: the loss falls, and follows that of f32 within 2 % of the first loss. The scale doubles after every
/// four good steps.
fn training(subject: &Subject) -> Result<(), String> {
    let scale = LossScale { initial: 256.0, interval: 4 };
    let (half, single) =
        (subject.train(Precision::F16, Some(scale), 10)?.0, subject.train(Precision::F32, None, 10)?.0);
    println!(
        "losses in f16 {:.4?} and in f32 {:.4?}",
        half.iter().map(|s| s[0]).collect::<Vec<_>>(),
        single.iter().map(|s| s[0]).collect::<Vec<_>>()
    );
    ensure(half.iter().all(|s| s[1] == 0.0), format!("a step was skipped: {half:?}"))?;
    let scales: Vec<f32> = half.iter().map(|s| s[2]).collect();
    let due = [256.0, 256.0, 256.0, 256.0, 512.0, 512.0, 512.0, 512.0, 1024.0, 1024.0];
    ensure(scales == due, format!("the scales are {scales:?}, and must be {due:?}"))?;
    ensure(half[9][0] < 0.5 * half[0][0], format!("the loss of f16 does not fall by half: {half:?}"))?;
    let first = single[0][0];
    let apart = half.iter().zip(&single).map(|(a, b)| (a[0] - b[0]).abs()).fold(0.0, f32::max);
    ensure(apart <= 0.02 * first, format!("losses are {apart} apart, more than 2 % of {first}: {half:?}, {single:?}"))
}

/// With a scale that no gradient of halves can bear, nothing moves but the scale.
fn overflow(subject: &Subject) -> Result<(), String> {
    let initial = 2f32.powi(40);
    let (run, state) = subject.train(Precision::F16, Some(LossScale { initial, interval: 4 }), 2)?;
    ensure(run[0][1] == 1.0 && run[1][1] == 1.0, format!("no step was skipped: {run:?}"))?;
    ensure(run[0][2] == initial && run[1][2] == initial / 2.0, format!("the scale did not halve: {run:?}"))?;
    ensure(run[0][0] == run[1][0], format!("the loss moved: {run:?}"))?;
    let mut params = Params::of(Precision::F16);
    subject.loss(&mut Tape::new(), &mut params).map_err(text)?;
    let mut fresh = State::new();
    params.fill(&subject.gpu, &mut fresh, 3).map_err(text)?;
    for name in params.trained() {
        let (now, before) =
            (state.read(&subject.gpu, &name).map_err(text)?, fresh.read(&subject.gpu, &name).map_err(text)?);
        ensure(now == before, format!("{name} moved in a step that was skipped"))?;
    }
    Ok(())
}

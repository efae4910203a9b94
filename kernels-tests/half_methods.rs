//! Methods of pretraining in f16 on a vision transformer: SimCLR, which reads its features, and MAE, which reads its tokens and
//! decodes them. What they cast, and how near their losses are to those in f32.

use crate::harness::device::gpu;
use crate::harness::{ensure, text};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeMap;
use std::sync::Arc;
use wgslab::base::Result as BaseResult;
use wgslab::base::rng::Rng;
use wgslab::device::{Caps, Tree};
use wgslab::kernels::fuse;
use wgslab::kernels::loss_scale::LossScale;
use wgslab::nn::optimizer::Limits;
use wgslab::nn::recorder::{Progress, Turn};
use wgslab::nn::{Mode, Optimizer, Params, Precision, Recipe, Recorder, Views, Vit};
use wgslab::ssl::{self, Method};
use wgslab::tape::{Feed, Plan, Recording, Schedule, State, Tape, Type, Var};

const BATCH: usize = 8;
const SIZE: usize = 16;
const SIMCLR: (&str, &str) = ("simclr", "temperature = 0.5\nprojection_dims = [16, 8]");
const MAE: (&str, &str) = (
    "mae",
    "mask_ratio = 0.75\nnorm_pix_loss = true\ndecoder_embed_dim = 16\ndecoder_depth = 1\ndecoder_num_heads = 2",
);

/// Trials without a device.
pub fn trials() -> Vec<Trial> {
    vec![Trial::test("T0 methods in f16 cast at weights, images, and what the loss reads", || {
        casts().map_err(Failed::from)
    })]
}

/// Trials on a device.
pub fn device_trials() -> Vec<Trial> {
    let trial = |of: (&'static str, &'static str)| {
        Trial::test(format!("T1 methods in f16 {} loses as in f32", of.0), move || training(of).map_err(Failed::from))
    };
    [SIMCLR, MAE].map(trial).into()
}

/// The images themselves are the views.
struct Given;

impl Views for Given {
    fn view(&self, t: &mut Tape, indices: Var, i: u32, _: &Recipe) -> BaseResult<Var> {
        let all = t.input(&format!("view{i}"), Type::f32([BATCH, 1, SIZE, SIZE]))?;
        t.gather(all, indices)
    }
}

/// Two blocks on 16 patches.
fn backbone() -> Vit {
    Vit { width: 24, depth: 2, ..Vit::tiny(4, 1) }
}

fn method((name, settings): (&str, &str)) -> Result<Arc<dyn Method>, String> {
    let from = toml::Deserializer::parse(settings).map_err(|e| e.to_string())?;
    let (method, _) = (ssl::method(name).map_err(text)?.read)(from).map_err(|e| e.to_string())?;
    Ok(method)
}

/// A step of the method.
fn recorded(method: &dyn Method, precision: Precision) -> BaseResult<(Tape, Params)> {
    let (mut t, mut params) = (Tape::new(), Params::of(precision));
    let indices = t.input("indices", Type::u32([BATCH]))?;
    let (views, recipe, backbone) = (&Given, &Recipe::PLAIN, &backbone());
    let (batch, mode) = (BATCH, Mode::Train);
    let mut r = Recorder { t: &mut t, params: &mut params, backbone, recipe, batch, indices, views, mode };
    let loss = method.record(&Turn::ONLY, &mut r)?;
    let loss_scale = (precision == Precision::F16).then_some(LossScale { initial: 256.0, interval: 100 });
    let limits = Limits { loss_scale, ..Limits::default() };
    Optimizer::adamw(0.0).minimize_within(&mut t, loss.total, &params.trained(), limits)?;
    t.output("loss", loss.total);
    Ok((t, params))
}

/// Two blocks of 4 products, the patches' product, class token and positions; MAE's decoder has a block, two products, a token
/// and positions besides.
fn casts() -> Result<(), String> {
    for (of, read, weights) in [(SIMCLR, "pool", 2 * 4 + 3), (MAE, "pred", 2 * 4 + 3 + 4 + 2 + 2)] {
        let method = method(of)?;
        let (tape, _) = recorded(method.as_ref(), Precision::F16).map_err(text)?;
        let schedule = Schedule::new(&tape, &fuse::options(&Caps::portable())).map_err(text)?;
        let recording = Recording::of(&schedule, &Tree::committed()).map_err(text)?;
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for label in recording.launches.iter().map(|call| call.label.as_str()).filter(|l| l.contains("/cast.")) {
            *found.entry(label).or_default() += 1;
        }
        let (forward, backward) = (format!("{read}/cast.forward"), format!("{read}'/cast.forward"));
        let want = [
            ("images/cast.forward", 1),
            (forward.as_str(), 1),
            (backward.as_str(), 1),
            ("weights/cast.forward", weights),
        ];
        ensure(found == BTreeMap::from(want), format!("{} casts at {found:?}, and must at {want:?}", of.0))?;
    }
    Ok(())
}

/// Ten steps on the same views: the loss falls, and follows that of f32 within 2 % of the first loss.
fn training(of: (&str, &str)) -> Result<(), String> {
    let (half, single) = (losses(of, Precision::F16)?, losses(of, Precision::F32)?);
    println!("{}: losses in f16 {half:.4?} and in f32 {single:.4?}", of.0);
    ensure(half[9] < 0.98 * half[0], format!("the loss of f16 does not fall: {half:?}"))?;
    let apart = half.iter().zip(&single).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let what = format!("losses are {apart} apart, more than 2 % of {}: {half:?}, {single:?}", single[0]);
    ensure(apart > 0.0 && apart <= 0.02 * single[0], what)
}

fn losses(of: (&str, &str), precision: Precision) -> Result<Vec<f32>, String> {
    let (gpu, method) = (gpu(false)?, method(of)?);
    let (tape, params) = recorded(method.as_ref(), precision).map_err(text)?;
    let mut state = State::new();
    params.fill(&gpu, &mut state, 3).map_err(text)?;
    state.insert_missing(&gpu, &tape.state_types()).map_err(text)?;
    let schedule = Schedule::new(&tape, &fuse::options(gpu.caps())).map_err(text)?;
    let plan = Plan::new(&gpu, schedule, &state).map_err(text)?;
    let mut rng = Rng::new(7, 0, 0);
    let mut view = || (0..BATCH * SIZE * SIZE).map(|_| rng.normal()).collect::<Vec<f32>>();
    let views = [view(), view()];
    let indices: Vec<u32> = (0..BATCH as u32).collect();
    let at = Progress { seed: 0, epoch: 0, epochs: 1, step: 0, steps: 1, repeat: 0, before: 0 };
    let drawn = method.inputs(at, &indices, &backbone(), [SIZE; 2]);
    let mut feed = Feed::new().scalar("lr", 0.0005).input("indices", &indices);
    let seen = if of.0 == MAE.0 { 1 } else { 2 };
    for (name, values) in ["view0", "view1"].iter().zip(&views).take(seen) {
        feed = feed.input(name, values);
    }
    for (name, bytes) in &drawn {
        feed = feed.input(name, bytes);
    }
    let mut losses = Vec::new();
    for _ in 0..10 {
        plan.run(&gpu, &feed).map_err(text)?;
        losses.push(plan.read_f32(&gpu, "loss").map_err(text)?[0]);
    }
    Ok(losses)
}

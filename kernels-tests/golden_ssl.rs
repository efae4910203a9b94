//! Compares self-supervised methods with PyTorch and lightly. Each method takes three steps from the same weights on
//! the same views. The test compares the loss of each step and the change of every weight, running statistic and queue.
//! `golden/ssl_methods.py` says what each key holds, `golden/bigbigan.py` for the method whose step has turns, and
//! `golden/ssl_vit.py` for the one that needs a vision transformer.

use crate::golden::{Tensors, floats, read};
use crate::harness::device::gpu;
use crate::harness::text;
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeMap;
use wgslab::base::{Error, Result as BaseResult};
use wgslab::device::Gpu;
use wgslab::kernels::fuse;
use wgslab::nn::init::{Param, values};
use wgslab::nn::optimizer::Limits;
use wgslab::nn::recorder::{Progress, Turn};
use wgslab::nn::{Backbone, Init, Mode, Optimizer, Params, Recipe, Recorder, ResNet, Stem, Views, Vit};
use wgslab::ssl::{self, Method};
use wgslab::tape::{Feed, Plan, Schedule, State, Tape, Type, Var};

/// `LOSS`: how far a loss may lie from PyTorch's, as a share of the loss. `UPDATE`: how far a tensor's update may lie
/// from PyTorch's, as a share of the update's length. The update is all that was added to the tensor so far. Seen on a
/// software driver: 2.7e-5 and 4.1e-5. PyTorch's own f32 lies up to 1.1e-5 and 2.3e-5 from its f64.
const LOSS: f64 = 1e-4;
const UPDATE: f64 = 1e-3;
/// What is added to a tensor is rounded to the tensor's f32. In all steps together this rounding is at most this share
/// of the tensor's length. It is allowed for, because the gradient of a bias before a batch norm is only rounding.
const ROUNDING: f64 = 2e-7;

const BATCH: usize = 8;
const STEPS: usize = 3;
/// Of residual networks, and of transformers, whose gradients are smaller.
const LR: [f32; 2] = [0.002, 0.5];
/// The rate that does not follow the schedule.
const CONSTANT_LR: f32 = 0.005;

/// Each method, with the settings that the file was made with.
const METHODS: [(&str, &str); 13] = [
    ("rotation", ""),
    ("jigsaw", "permutations = 5\ntile_share = 0.8\ntile_dim = 7\nhidden_dim = 11"),
    ("jigmag", "magnifications = [1, 2, 4]\neven_sharpness = false"),
    ("vae", "latent_dim = 5\nhidden_dim = 9\nbeta = 0.1"),
    ("simclr", "temperature = 0.2\nprojection_dims = [12, 6]"),
    ("moco", "temperature = 0.2\nmomentum = 0.9\nqueue_size = 20\nbatch_norm_splits = 2\nprojection_dims = [12, 6]"),
    (
        "barlow_twins",
        "lambda = 0.0051\nprojection_dim = 12\n[views]\nblur_probability = [0, 0]\nsolarize_probability = [0, 0]",
    ),
    (
        "byol",
        "momentum = 0.9\nprojection_dims = [12, 6]\nprediction_hidden_dim = 10\n[views]\nblur_probability = [0, 0]\n\
         solarize_probability = [0, 0]",
    ),
    ("simsiam", "projection_dim = 12\nprediction_hidden_dim = 6\nfix_prediction_lr = true"),
    (
        "vicreg",
        "invariance = 25\nvariance = 25\ncovariance = 1\nprojection_dim = 12\n[views]\nblur_probability = [0, 0]\n\
         solarize_probability = [0, 0]",
    ),
    (
        "bigbigan",
        "latent_dim = 8\ndiscriminator_steps = 2\ndropout = 0.25\nencoder_dims = [7, 6]\ngenerator_dims = [5, 4]\n\
         image_discriminator_dims = [4, 5]\nlatent_discriminator_dims = [7, 6]\njoint_discriminator_dims = [6, 5]",
    ),
    ("mae", "mask_ratio = 0.75\nnorm_pix_loss = true\ndecoder_embed_dim = 8\ndecoder_depth = 1\ndecoder_num_heads = 2"),
    (
        "dino",
        "momentum = 0.9\nstudent_temperature = 0.1\nteacher_temperature = 0.07\nwarmup_teacher_temperature = 0.04\n\
         warmup_teacher_temperature_epochs = 3\ncenter_momentum = 0.8\nfreeze_last_layer_epochs = 1\n\
         projection_dims = [12, 6]\noutput_dim = 10\n[views]\nblur_probability = [0, 0]\nsolarize_probability = [0, 0]",
    ),
];

/// The methods that need a vision transformer. Their numbers stand in a file of their own.
const OF_PATCHES: [&str; 1] = ["mae"];

/// Settings that are slightly wrong, one for each part of each loss and each moving average. The test must see each of
/// them. The errors of BigBiGAN are in its file, see [`expect_differing`].
const PLANTED: [(&str, &str, &str); 23] = [
    ("jigmag", "[1, 2, 4]", "[1, 2, 3.5]"),
    ("jigmag", "even_sharpness = false", "even_sharpness = true"),
    ("vae", "beta = 0.1", "beta = 0.101"),
    ("jigsaw", "tile_share = 0.8", "tile_share = 1.0"),
    ("simclr", "temperature = 0.2", "temperature = 0.201"),
    ("moco", "temperature = 0.2", "temperature = 0.201"),
    ("moco", "momentum = 0.9", "momentum = 0.91"),
    ("moco", "batch_norm_splits = 2", "batch_norm_splits = 1"),
    ("barlow_twins", "lambda = 0.0051", "lambda = 0.0055"),
    ("byol", "momentum = 0.9", "momentum = 0.91"),
    ("vicreg", "invariance = 25", "invariance = 25.1"),
    ("vicreg", "\nvariance = 25", "\nvariance = 25.1"),
    ("vicreg", "covariance = 1", "covariance = 1.02"),
    ("mae", "norm_pix_loss = true", "norm_pix_loss = false"),
    ("mae", "decoder_num_heads = 2", "decoder_num_heads = 1"),
    ("dino", "momentum = 0.9", "momentum = 0.91"),
    ("dino", "student_temperature = 0.1", "student_temperature = 0.101"),
    ("dino", "\nteacher_temperature = 0.07", "\nteacher_temperature = 0.071"),
    ("dino", "temperature = 0.04", "temperature = 0.041"),
    ("dino", "temperature_epochs = 3", "temperature_epochs = 2"),
    ("dino", "center_momentum = 0.8", "center_momentum = 0.81"),
    ("dino", "layer_epochs = 1", "layer_epochs = 0"),
    ("dino", "layer_epochs = 1", "layer_epochs = 2"),
];

/// The trials: one for each method, one for the planted errors, and one that no method is left out.
pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = METHODS
        .iter()
        .map(|&(name, settings)| {
            Trial::test(format!("T1 golden ssl::{name}"), move || against(name, settings).map_err(Failed::from))
        })
        .collect();
    trials.push(Trial::test("T1 golden ssl::planted errors are seen", || planted().map_err(Failed::from)));
    trials.push(Trial::test("T0 every method has golden values", || {
        let have: Vec<&str> = METHODS.iter().map(|m| m.0).collect();
        let without: Vec<&str> = ssl::methods().iter().map(|m| m.name).filter(|n| !have.contains(n)).collect();
        if without.is_empty() { Ok(()) } else { Err(Failed::from(format!("{without:?} have no golden values"))) }
    }));
    trials
}

fn planted() -> Result<(), String> {
    let mut unseen = Vec::new();
    for (name, right, wrong) in PLANTED {
        let settings = METHODS.iter().find(|m| m.0 == name).map(|m| m.1).unwrap_or_default();
        let planted = settings.replacen(right, wrong, 1);
        // An error of another kind would not show that the numbers differ.
        let seen = |why: String| why.contains(" apart") || why.starts_with("updates differ");
        if planted == settings || !against(name, &planted).is_err_and(seen) {
            unseen.push(format!("{name}: {wrong}"));
        }
    }
    if unseen.is_empty() { Ok(()) } else { Err(format!("the test does not see these wrong settings: {unseen:?}")) }
}

/// Gives the views of the file, by the indices of their images.
struct Given;

impl Views for Given {
    fn view(&self, t: &mut Tape, indices: Var, i: u32, _: &Recipe) -> BaseResult<Var> {
        let all = t.input(&format!("view{i}"), Type::f32([BATCH, 1, 16, 16]))?;
        t.gather(all, indices)
    }
}

/// The file that holds a method's values.
fn file(method: &str) -> &'static str {
    match method {
        "bigbigan" => "ssl_bigbigan",
        name if OF_PATCHES.contains(&name) => "ssl_vit",
        _ => "ssl",
    }
}

fn backbone(name: &str) -> Box<dyn Backbone> {
    match OF_PATCHES.contains(&name) {
        true => Box::new(Vit { width: 12, depth: 2, ..Vit::tiny(4, 1) }),
        false => Box::new(ResNet::resnet18(Stem::Small, 1.0 / 32.0, 1)),
    }
}

/// A recorded turn of a method.
struct Recorded {
    turn: Turn,
    tape: Tape,
    /// The parameters of this turn and those before it.
    params: Params,
    /// The names of the loss's terms, which are outputs as the loss is.
    terms: Vec<&'static str>,
}

fn turns(method: &dyn Method, backbone: &dyn Backbone) -> BaseResult<Vec<Recorded>> {
    let (mut params, mut all) = (Params::new(), Vec::new());
    for turn in method.turns() {
        let mut tape = Tape::new();
        let terms = match turn.name {
            "" => record((method, backbone), &turn, &mut tape, &mut params)?,
            name => tape.scope(name, |t| record((method, backbone), &turn, t, &mut params))?,
        };
        all.push(Recorded { turn, tape, params: params.clone(), terms });
    }
    Ok(all)
}

fn record(
    (method, backbone): (&dyn Method, &dyn Backbone),
    turn: &Turn,
    t: &mut Tape,
    params: &mut Params,
) -> BaseResult<Vec<&'static str>> {
    let indices = t.input("indices", Type::u32([BATCH]))?;
    let (views, recipe) = (&Given, &Recipe::PLAIN);
    let mut r = Recorder { t, params, backbone, recipe, batch: BATCH, indices, views, mode: Mode::Train };
    let loss = method.record(turn, &mut r)?;
    let trained = r.params.trained_by(turn.trains);
    let optimizer = Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 1e-4 };
    optimizer.minimize_within(r.t, loss.total, &trained, Limits { group: method.group(), ..Limits::default() })?;
    method.after_update(turn, &mut r)?;
    t.output("loss", loss.total);
    loss.terms.iter().for_each(|(name, term)| t.output(name, *term));
    Ok(loss.terms.iter().map(|term| term.0).collect())
}

/// The first value of each parameter. All methods share the backbone's values. A copy starts with the values of its
/// original.
fn start(params: &Params, tensors: &Tensors, method: &str) -> Result<BTreeMap<String, Vec<f32>>, String> {
    let mut all = BTreeMap::new();
    for p in params.list() {
        let name = p.copy_of.as_ref().unwrap_or(&p.name);
        let own = tensors.get(&format!("{method}/param/{name}")).or_else(|| tensors.get(&format!("param/{name}")));
        let tensor = own.ok_or_else(|| format!("{name} is not in the file"))?;
        if tensor.ty != p.ty {
            return Err(format!("{name} is {} here and {} in the file", p.ty, tensor.ty));
        }
        all.insert(p.name.clone(), floats(tensor));
    }
    Ok(all)
}

/// What is fixed at sines and cosines begins as it does in the file, which has them in f32 from f32 angles.
fn fixed(params: &Params, first: &BTreeMap<String, Vec<f32>>) -> Result<(), String> {
    for p in params.list().iter().filter(|p| matches!(p.init, Init::SineCosine { .. })) {
        let off = values(p, 0).iter().zip(&first[&p.name]).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        if p.trained || off > 1e-6 {
            return Err(format!("{} begins up to {off:e} apart and is trained: {}", p.name, p.trained));
        }
    }
    Ok(())
}

fn against(name: &str, settings: &str) -> Result<(), String> {
    let (gpu, tensors) = (&gpu(true)?, read(file(name))?);
    let from = toml::Deserializer::parse(settings).map_err(|e| e.to_string())?;
    let (method, _) = (ssl::method(name).map_err(text)?.read)(from).map_err(|e| e.to_string())?;
    let turns = turns(method.as_ref(), backbone(name).as_ref()).map_err(text)?;
    let params = turns.last().map(|t| &t.params).ok_or("no turn")?;
    let first = start(params, &tensors, name)?;
    fixed(params, &first)?;
    let mut state = State::new();
    for p in params.list() {
        state.insert(gpu, &p.name, p.ty, Some(bytemuck::cast_slice(&first[&p.name]))).map_err(text)?;
    }
    let mut plans = Vec::new();
    for turn in &turns {
        state.insert_missing(gpu, &turn.tape.state_types()).map_err(text)?;
        let schedule = Schedule::new(&turn.tape, &fuse::options(gpu.caps())).map_err(text)?;
        plans.push(Plan::new(gpu, schedule, &state).map_err(text)?);
    }
    let mut losses = Vec::new();
    for k in 0..STEPS {
        for (recorded, plan) in turns.iter().zip(&plans) {
            let others = |p: &&Param| p.trained && turns.len() > 1 && !recorded.turn.trains.contains(&p.player);
            let others: Vec<&str> = params.list().iter().filter(others).map(|p| p.name.as_str()).collect();
            let values = || others.iter().map(|p| state.read(gpu, p).map_err(text)).collect::<Result<Vec<_>, _>>();
            let before = values()?;
            for repeat in 0..recorded.turn.repeats {
                // An epoch is one step, so that what changes from epoch to epoch does from step to step.
                let at = Progress { seed: 0, epoch: k, epochs: STEPS, step: 0, steps: 1, repeat, before: 0 };
                run(gpu, (method.as_ref(), name), &tensors, plan, at)?;
                let loss = plan.read_f32(gpu, "loss").map_err(text)?[0];
                compare(&tensors, &format!("{name}/loss"), losses.len(), loss)?;
                for term in &recorded.terms {
                    let key = format!("{name}/loss/{term}");
                    if tensors.contains_key(&key) {
                        compare(&tensors, &key, losses.len(), plan.read_f32(gpu, term).map_err(text)?[0])?;
                    }
                }
                losses.push(loss);
            }
            if values()? != before {
                return Err(format!("the turn {:?} moved the weights of another player", recorded.turn.name));
            }
        }
    }
    expect_differing(&tensors, name, &losses)?;
    moved(&tensors, name, &first, |p| state.read_f32(gpu, p))
}

/// Runs a turn on the views and draws of the file.
fn run(gpu: &Gpu, of: (&dyn Method, &str), tensors: &Tensors, plan: &Plan, at: Progress) -> Result<(), String> {
    let (method, name) = of;
    let indices: Vec<u32> = (0..BATCH as u32).collect();
    let mut inputs: Vec<(String, Vec<u8>)> = vec![("indices".into(), bytemuck::cast_slice(&indices).to_vec())];
    for i in 0..2 {
        if let Some(view) = tensors.get(&format!("{name}/view{i}/{}", at.epoch)) {
            inputs.push((format!("view{i}"), bytemuck::cast_slice(&view.words).to_vec()));
        }
    }
    inputs.extend(drawn(method, name, tensors, at, &indices)?);
    let mut feed = Feed::new();
    let lr = LR[usize::from(OF_PATCHES.contains(&name))];
    for rate in &plan.schedule().scalars {
        feed = match rate.rsplit('.').next() {
            Some("lr") => feed.scalar(rate, lr),
            Some("constant_lr") => feed.scalar(rate, CONSTANT_LR),
            _ => feed,
        };
    }
    for (name, bytes) in &inputs {
        feed = feed.input(name, bytes);
    }
    for (name, value) in method.scalars(at) {
        feed = feed.scalar(name, value);
    }
    plan.run(gpu, &feed).map_err(text)?;
    Ok(())
}

/// Compares a number of the `nth` turn with the file's.
fn compare(tensors: &Tensors, key: &str, nth: usize, got: f32) -> Result<(), String> {
    let want = tensors.get(key).map(floats).and_then(|all| all.get(nth).copied());
    let want = want.ok_or_else(|| format!("{key} has no turn {nth}"))?;
    let off = apart(got, want);
    println!("{key} of turn {nth} {got}, PyTorch's {want}, {off:.1e} apart");
    if off.is_nan() || off > LOSS {
        return Err(format!("{key} of turn {nth} is {got}, PyTorch's is {want}: {off:.1e} apart"));
    }
    Ok(())
}

/// How far two losses are apart, as a share of the second.
fn apart(got: f32, want: f32) -> f64 {
    f64::from((got - want).abs()) / f64::from(want.abs()).max(0.1)
}

/// The file has the losses of wrong methods, `<method>/planted/<error>`. An error where one of them equals `losses`.
fn expect_differing(tensors: &Tensors, name: &str, losses: &[f32]) -> Result<(), String> {
    let prefix = format!("{name}/planted/");
    for (key, wrong) in tensors.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        let wrong = floats(wrong);
        let off = losses.iter().zip(&wrong).map(|(l, w)| apart(*l, *w)).fold(0.0, f64::max);
        println!("{key}: {off:.1e} apart");
        if wrong.len() != losses.len() || off <= LOSS {
            return Err(format!("the losses equal those of {key}: {off:.1e} apart"));
        }
    }
    Ok(())
}

/// Replaces what the method draws on the host by the file's numbers of the same name and size.
fn drawn(
    method: &dyn Method,
    name: &str,
    tensors: &Tensors,
    at: Progress,
    indices: &[u32],
) -> Result<Vec<(String, Vec<u8>)>, String> {
    let given = |(input, own): (&str, Vec<u8>)| {
        let repeat = if method.turns().len() > 1 { format!(".{}", at.repeat) } else { String::new() };
        let key = format!("{name}/input/{input}/{}{repeat}", at.epoch);
        let words = &tensors.get(&key).ok_or_else(|| format!("{key} is not in the file"))?.words;
        let bytes: Vec<u8> = bytemuck::cast_slice(words).to_vec();
        if bytes.len() != own.len() {
            return Err(format!("{key} has {} bytes, but the method draws {}", bytes.len(), own.len()));
        }
        Ok((input.to_string(), bytes))
    };
    let key = format!("{name}/view0/{}", at.step);
    let view = tensors.get(&key).ok_or_else(|| format!("{key} is not in the file"))?;
    let size = [2, 3].map(|axis| view.ty.shape.dim(axis));
    method.inputs(at, indices, backbone(name).as_ref(), size).into_iter().map(given).collect()
}

/// Compares what was added to each tensor with the file's values.
pub fn moved(
    tensors: &Tensors,
    method: &str,
    first: &BTreeMap<String, Vec<f32>>,
    now: impl Fn(&str) -> Result<Vec<f32>, Error>,
) -> Result<(), String> {
    let (prefix, mut worst, mut wrong) = (format!("{method}/after/"), (0.0, ""), Vec::new());
    let due: Vec<&str> = tensors.keys().filter_map(|key| key.strip_prefix(&prefix)).collect();
    if due.len() != first.len() {
        return Err(format!("the file has {} tensors, the method has {}", due.len(), first.len()));
    }
    for name in due {
        let before = first.get(name).ok_or_else(|| format!("the file has {name}, the method does not"))?;
        let (got, want) = (now(name).map_err(text)?, floats(&tensors[&format!("{prefix}{name}")]));
        let length = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
        let update = length(&mut want.iter().zip(before).map(|(w, b)| f64::from(*w) - f64::from(*b)));
        let off = length(&mut got.iter().zip(&want).map(|(g, w)| f64::from(*g) - f64::from(*w)));
        let size = length(&mut before.iter().map(|b| f64::from(*b))).max((before.len() as f64).sqrt());
        let share = (off - ROUNDING * size).max(0.0) / update.max(1e-12);
        if share > worst.0 {
            worst = (share, name);
        }
        if off.is_nan() || share > UPDATE {
            wrong.push(format!("{name} {share:.1e}"));
        }
    }
    println!("{method}: {} tensors, worst update {:.1e} {}", first.len(), worst.0, worst.1);
    if wrong.is_empty() { Ok(()) } else { Err(format!("updates differ: {}", wrong.join(", "))) }
}

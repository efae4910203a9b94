//! Ways to learn from noisy labels against PyTorch: three steps from the same weights on the same images and labels, the loss
//! of each turn and what became of every weight, running statistic and target. Three steps are an epoch of the 24 images.
//! `golden/learners.py` says what each key holds.

use crate::golden::{Tensors, floats, read};
use crate::golden_ssl::moved;
use crate::harness::device::gpu;
use crate::harness::text;
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeMap;
use std::sync::Arc;
use wgslab::base::Result as BaseResult;
use wgslab::kernels::fuse;
use wgslab::nn::recorder::{Progress, Turn};
use wgslab::nn::{Backbone, Mode, Optimizer, Params, Recipe, Recorder, ResNet, Stem, Views};
use wgslab::noise::learn::{self, Batch, Epoch, EpochPlan, Known, Learner, mixture};
use wgslab::tape::{Feed, Plan, Schedule, State, Tape, Type, Var};

/// What a loss may differ by, as a share of it.
const LOSS: f64 = 1e-4;
/// What a probability of the mixture may differ by: it is stored in f32.
const PROBABILITY: f64 = 2e-6;

const IMAGES: usize = 24;
const BATCH: usize = 8;
const STEPS: usize = 3;
const CLASSES: usize = 3;
const LR: f32 = 0.002;

/// Each case of the file: its key, its method, the settings that it was made with, and the epoch that its steps are of.
const CASES: [(&str, &str, &str, usize); 14] = [
    ("cross_entropy", "cross_entropy", "class_weights = \"none\"\nsampling = \"shuffled\"", 0),
    ("balanced", "cross_entropy", "class_weights = \"balanced\"\nsampling = \"shuffled\"", 0),
    ("label_smoothing", "label_smoothing", "label_smoothing = 0.1", 0),
    ("gce", "gce", "q = 0.7", 0),
    ("sce", "sce", "alpha = 0.3\nbeta = 0.8\nlog_zero = -4", 0),
    ("nce_rce", "nce_rce", "alpha = 2\nbeta = 0.5\nlog_zero = -4", 0),
    ("forward", "forward", "transition = \"known\"\nestimate_percentile = 97.0", 0),
    ("backward", "backward", "transition = \"known\"\nestimate_percentile = 97.0", 0),
    ("mixup", "mixup", "alpha = 1", 0),
    ("elr", "elr", "beta = 0.7\nlambda = 3", 0),
    ("co_teaching", "co_teaching", "forget_rate = 0.5\nforget_epochs = 4\nforget_exponent = 1", 2),
    ("jocor", "jocor", "co_lambda = 0.3\nforget_rate = 0.5\nforget_epochs = 4\nforget_exponent = 1", 2),
    (
        "dividemix",
        "dividemix",
        "warm_up = 1\np_threshold = 0.5\ntemperature = 0.5\nalpha = 4\nlambda_u = 25\nrampup_length = 16",
        5,
    ),
    (
        "elr_plus",
        "elr_plus",
        "beta = 0.7\nlambda = 3\ncoef_step = 10\nmixup_alpha = 1\nema_alpha = 0.9\nema_step = 8",
        1,
    ),
];

/// What is a little wrong, one for each part of each loss: each must be seen. A setting, or an input
/// or scalar that 0.01 is added to.
const PLANTED: [(&str, &str, &str); 35] = [
    ("balanced", "\"balanced\"", "\"none\""),
    ("label_smoothing", "= 0.1", "= 0.102"),
    ("gce", "q = 0.7", "q = 0.71"),
    ("sce", "alpha = 0.3", "alpha = 0.302"),
    ("sce", "beta = 0.8", "beta = 0.805"),
    ("sce", "-4", "-4.02"),
    ("nce_rce", "alpha = 2", "alpha = 2.01"),
    ("nce_rce", "beta = 0.5", "beta = 0.503"),
    ("nce_rce", "-4", "-4.02"),
    ("forward", "\"known\"", "[[0.76, 0.16, 0.08], [0.125, 0.875, 0], [0.25, 0, 0.75]]"),
    ("backward", "\"known\"", "[[0.76, 0.16, 0.08], [0.125, 0.875, 0], [0.25, 0, 0.75]]"),
    ("mixup", "input", "mixup_lambda"),
    ("elr", "beta = 0.7", "beta = 0.71"),
    ("elr", "lambda = 3", "lambda = 3.02"),
    ("co_teaching", "forget_rate = 0.5", "forget_rate = 0.25"),
    ("co_teaching", "forget_epochs = 4", "forget_epochs = 8"),
    ("co_teaching", "forget_exponent = 1", "forget_exponent = 2"),
    ("jocor", "co_lambda = 0.3", "co_lambda = 0.305"),
    ("jocor", "forget_rate = 0.5", "forget_rate = 0.25"),
    ("dividemix", "input", "clean_probability"),
    ("dividemix", "input", "clean_probability.second"),
    ("dividemix", "input", "penalty_weight"),
    ("dividemix", "p_threshold = 0.5", "p_threshold = 0.0"),
    ("dividemix", "temperature = 0.5", "temperature = 0.505"),
    ("dividemix", "lambda_u = 25", "lambda_u = 25.2"),
    ("dividemix", "rampup_length = 16", "rampup_length = 17"),
    ("elr_plus", "beta = 0.7", "beta = 0.71"),
    ("elr_plus", "lambda = 3", "lambda = 3.02"),
    ("elr_plus", "coef_step = 10", "coef_step = 11"),
    ("elr_plus", "ema_alpha = 0.9", "ema_alpha = 0.902"),
    ("elr_plus", "ema_step = 8", "ema_step = 9"),
    ("elr_plus", "input", "regularization_weight"),
    ("elr_plus", "input", "mixup_lambda"),
    ("elr_plus", "input", "mixup_lambda.second"),
    ("elr_plus", "scalar", "average_keep"),
];

/// The trials: each method, planted errors, the mixture, and that no method is left out.
pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = CASES
        .iter()
        .map(|&(case, ..)| {
            Trial::test(format!("T1 golden learners::{case}"), move || against(case, ["", ""]).map_err(Failed::from))
        })
        .collect();
    trials.push(Trial::test("T1 golden learners::planted errors are seen", || planted().map_err(Failed::from)));
    trials.push(Trial::test("T0 golden learners::mixture", || mixtures().map_err(Failed::from)));
    trials.push(Trial::test("T0 every way to learn has golden values", || {
        let have: Vec<&str> = CASES.iter().map(|m| m.1).collect();
        let without: Vec<&str> = learn::learners().iter().map(|m| m.name).filter(|n| !have.contains(n)).collect();
        if without.is_empty() { Ok(()) } else { Err(Failed::from(format!("{without:?} have none"))) }
    }));
    trials
}

fn planted() -> Result<(), String> {
    let mut unseen = Vec::new();
    for (case, right, wrong) in PLANTED {
        // An error of another kind would show nothing.
        let seen = |why: String| why.contains(" apart") || why.starts_with("updates differ");
        if !against(case, [right, wrong]).is_err_and(seen) {
            unseen.push(format!("{case}: {wrong}"));
        }
    }
    if unseen.is_empty() { Ok(()) } else { Err(format!("nothing differs with {unseen:?}")) }
}

/// The probabilities of the mixture that DivideMix fits, against scikit-learn's from the nearest of ten seeds of its k-means.
/// More that is added to variances must be seen.
fn mixtures() -> Result<(), String> {
    let (tensors, fit) = (read("learners")?, mixture::Fit { max_iter: 10, tol: 1e-2, reg_covar: 5e-4 });
    let cases: Vec<&str> = tensors.keys().filter_map(|k| k.strip_prefix("mixture/")?.strip_suffix("/clean")).collect();
    if cases.len() < 4 {
        return Err(format!("the file has the cases {cases:?}"));
    }
    for case in cases {
        let of = |what: &str| floats(&tensors[&format!("mixture/{case}/{what}")]);
        let values: Vec<f64> = of("values").into_iter().map(f64::from).collect();
        let off = |fit: mixture::Fit| {
            let got = mixture::smaller_component(&values, fit);
            let apart = |want: &[f32]| got.iter().zip(want).map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max);
            of("clean").chunks(values.len()).map(apart).fold(f64::INFINITY, f64::min)
        };
        let (right, wrong) = (off(fit), off(mixture::Fit { reg_covar: 1e-2, ..fit }));
        println!("mixture {case}: {right:.1e} apart, {wrong:.1e} with more variance");
        if !(right <= PROBABILITY && wrong > PROBABILITY) {
            return Err(format!(
                "{case}: a probability is {right:.1e} apart from scikit-learn's, {wrong:.1e} a wrong one"
            ));
        }
    }
    Ok(())
}

/// The images of the file as each view, by their indices.
struct Given;

impl Views for Given {
    fn view(&self, t: &mut Tape, indices: Var, i: u32, _: &Recipe) -> BaseResult<Var> {
        let all = t.input(&format!("view{i}"), Type::f32([IMAGES, 1, 16, 16]))?;
        t.gather(all, indices)
    }
}

/// Records each turn of a step, as a stage does, on a tape of its own.
fn record(learner: &dyn Learner) -> BaseResult<(Vec<(Turn, Tape)>, Params)> {
    let (mut params, mut tapes) = (Params::new(), Vec::new());
    let backbone = ResNet::resnet18(Stem::Small, 1.0 / 32.0, 1);
    for turn in learner.turns() {
        let mut t = Tape::new();
        let indices = t.input("indices", Type::u32([BATCH]))?;
        let (labels, weights) = (t.input("labels", Type::u32([BATCH]))?, t.input("weights", Type::f32([BATCH]))?);
        let plans = learner.plans_epochs();
        let targets = plans.then(|| t.input("targets", Type::f32([BATCH, CLASSES]))).transpose()?;
        let batch = Batch { labels, weights, targets, classes: CLASSES, images: IMAGES };
        let mut step = |t: &mut Tape| {
            let (views, recipe, backbone) = (&Given, &Recipe::PLAIN, &backbone as &dyn Backbone);
            let (params, mode) = (&mut params, Mode::Train);
            let mut r = Recorder { t, params, backbone, recipe, batch: BATCH, indices, views, mode };
            let learned = learner.record(&turn, &mut r, &batch)?;
            let trained = r.params.trained_by(turn.trains);
            let optimizer = Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 1e-4 };
            optimizer.minimize(r.t, learned.loss.total, &trained)?;
            learner.after_update(&turn, &mut r)?;
            r.t.output("loss", learned.loss.total);
            Ok(())
        };
        if turn.name.is_empty() {
            step(&mut t)?
        } else {
            t.scope(turn.name, step)?
        }
        tapes.push((turn, t));
    }
    Ok((tapes, params))
}

/// The method of a case with what it takes of the file's labels.
fn made(case: &str, planted: [&str; 2], known: &Known<'_>) -> Result<(Arc<dyn Learner>, usize), String> {
    let (_, name, settings, epoch) = CASES.iter().find(|m| m.0 == case).ok_or("no such case")?;
    let settings = match planted {
        ["" | "input" | "scalar", _] => settings.to_string(),
        [right, wrong] if settings.contains(right) => settings.replacen(right, wrong, 1),
        [right, _] => return Err(format!("{settings} has no {right}")),
    };
    let from = toml::Deserializer::parse(&settings).map_err(|e| e.to_string())?;
    let (learner, _) = (learn::learner(name).map_err(text)?.read)(from).map_err(|e| e.to_string())?;
    learner.check().map_err(|(key, what)| format!("{key} {what}"))?;
    Ok((learner.informed(known).map_err(text)?.unwrap_or(learner), *epoch))
}

/// The first value of each parameter, shared by all methods, and of what else the file has afterwards: 0.
fn start(params: &Params, tensors: &Tensors, case: &str) -> Result<BTreeMap<String, Vec<f32>>, String> {
    let mut all = BTreeMap::new();
    for p in params.list() {
        // What begins as a copy has the values of its original.
        let original = p.copy_of.as_ref().unwrap_or(&p.name);
        let tensor = tensors.get(&format!("param/{original}")).ok_or_else(|| format!("{original} is not there"))?;
        if tensor.ty != p.ty {
            return Err(format!("{} is {} here and {} in the file", p.name, p.ty, tensor.ty));
        }
        all.insert(p.name.clone(), floats(tensor));
    }
    let after = format!("{case}/after/");
    for (name, tensor) in tensors.iter().filter_map(|(key, tensor)| Some((key.strip_prefix(&after)?, tensor))) {
        all.entry(name.to_string()).or_insert_with(|| vec![0.0; tensor.words.len()]);
    }
    Ok(all)
}

/// The plan of the epoch, from the losses of the file.
fn plan_of(learner: &dyn Learner, tensors: &Tensors, case: &str, at: Progress) -> Result<Option<EpochPlan>, String> {
    let losses = |turn: &Turn| {
        let key = ["sample_loss", turn.name].join(".");
        tensors.get(&format!("{case}/{}", key.trim_end_matches('.'))).map_or(vec![0.0; IMAGES], floats)
    };
    let (losses, given) = (learner.turns().iter().map(losses).collect(), &tensors["labels/given"].words);
    let epoch = Epoch { at, losses, given, classes: CLASSES, order: (0..IMAGES).collect() };
    let plan = learner.plans_epochs().then(|| learner.before_epoch(&epoch).map_err(text)).transpose()?;
    plan.iter().try_for_each(|plan| plan.check(IMAGES, CLASSES).map_err(text))?;
    Ok(plan)
}

/// All that a step reads by name: the file's images, labels and draws, and what the method gives.
fn inputs(
    learner: &dyn Learner,
    (tensors, case): (&Tensors, &str),
    at: Progress,
    plan: Option<&EpochPlan>,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let bytes = |words: &[u32]| bytemuck::cast_slice(words).to_vec();
    let indices = &tensors[&format!("{case}/indices/{}", at.step)].words;
    let each = |of: &dyn Fn(usize) -> f32| indices.iter().map(|&i| of(i as usize).to_bits()).collect::<Vec<u32>>();
    let given = &tensors["labels/given"].words;
    let labels: Vec<u32> = indices.iter().map(|&i| given[i as usize]).collect();
    let one_hot = labels.iter().flat_map(|&l| (0..CLASSES as u32).map(move |k| u32::from(k == l) * 1f32.to_bits()));
    let mut all = BTreeMap::from([
        ("indices".to_string(), bytes(indices)),
        ("labels".to_string(), bytes(&labels)),
        ("weights".to_string(), bytes(&each(&|i| plan.map_or(1.0, |p| p.weights[i])))),
        ("targets".to_string(), bytes(&one_hot.collect::<Vec<_>>())),
    ]);
    for (name, of) in plan.iter().flat_map(|p| &p.inputs) {
        all.insert(name.to_string(), bytes(&each(&|i| of[i])));
    }
    for i in 0..4 {
        if let Some(view) = tensors.get(&format!("{case}/view{i}")) {
            all.insert(format!("view{i}"), bytes(&view.words));
        }
    }
    for (name, own) in learner.inputs(at, indices) {
        let file = tensors.get(&format!("{case}/input/{name}/{}", at.step)).map(|t| bytes(&t.words));
        if file.as_ref().is_some_and(|file| file.len() != own.len()) {
            return Err(format!("{name} has another size in the file than the method draws"));
        }
        all.insert(name.to_string(), file.unwrap_or(own));
    }
    Ok(all)
}

/// Adds 0.01 to each f32 of an input; what is a probability stays one.
fn add(bytes: &mut [u8]) {
    for word in bytes.chunks_exact_mut(4) {
        let value = f32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        let moved = if value > 0.9 && value <= 1.0 { value - 0.01 } else { value + 0.01 };
        word.copy_from_slice(&moved.to_ne_bytes());
    }
}

/// A scalar of a step: a learning rate, or one of the method's.
fn scalar(name: &str, learner: &dyn Learner, at: Progress, planted: [&str; 2]) -> Result<f32, String> {
    if name.ends_with("lr") {
        return Ok(LR);
    }
    let own = learner.scalars(at).into_iter().find(|own| own.0 == name);
    let value = own.ok_or_else(|| format!("the method gives no scalar {name}"))?.1;
    Ok(if planted == ["scalar", name] { value + 0.01 } else { value })
}

fn against(case: &str, planted: [&str; 2]) -> Result<(), String> {
    let (gpu, tensors) = (&gpu(true)?, read("learners")?);
    let [clean, given] = ["clean", "given"].map(|of| &tensors[&format!("labels/{of}")].words);
    let known = Known::of(clean, given, CLASSES).map_err(text)?;
    let (learner, epoch) = made(case, planted, &known)?;
    let (tapes, params) = record(learner.as_ref()).map_err(text)?;
    let first = start(&params, &tensors, case)?;
    let mut state = State::new();
    for p in params.list() {
        state.insert(gpu, &p.name, p.ty, Some(bytemuck::cast_slice(&first[&p.name]))).map_err(text)?;
    }
    for (_, tape) in &tapes {
        state.insert_missing(gpu, &tape.state_types()).map_err(text)?;
    }
    let compiled = |(turn, tape): (Turn, Tape)| {
        let schedule = Schedule::new(&tape, &fuse::options(gpu.caps()))?;
        Ok((turn, Plan::new(gpu, schedule, &state)?))
    };
    let plans: Vec<(Turn, Plan)> = tapes.into_iter().map(compiled).collect::<BaseResult<_>>().map_err(text)?;
    let at = Progress { seed: 0, epoch, epochs: 10, step: 0, steps: STEPS, repeat: 0, before: 0 };
    let epoch_plan = plan_of(learner.as_ref(), &tensors, case, at)?;
    for step in 0..STEPS {
        let mut all = inputs(learner.as_ref(), (&tensors, case), Progress { step, ..at }, epoch_plan.as_ref())?;
        if let ["input", name] = planted {
            add(all.get_mut(name).ok_or_else(|| format!("{case} has no input {name}"))?);
        }
        for (turn, plan) in &plans {
            let mut feed = Feed::new();
            for name in &plan.schedule().scalars {
                feed = feed.scalar(name, scalar(name, learner.as_ref(), Progress { step, ..at }, planted)?);
            }
            let read = |name: &String| plan.schedule().inputs.iter().any(|i| i.0 == *name);
            for (name, bytes) in all.iter().filter(|input| read(input.0)) {
                feed = feed.input(name, bytes);
            }
            plan.run(gpu, &feed).map_err(text)?;
            let key = format!("{case}/loss.{}", turn.name);
            let (loss, want) =
                (plan.read_f32(gpu, "loss").map_err(text)?[0], floats(&tensors[key.trim_end_matches('.')])[step]);
            let off = f64::from((loss - want).abs()) / f64::from(want.abs()).max(0.1);
            println!("{case}{}: loss of step {step} {loss}, PyTorch's {want}, {off:.1e} apart", turn.name);
            if off.is_nan() || off > LOSS {
                return Err(format!("the loss of step {step} is {loss} and PyTorch's {want}: {off:.1e} apart"));
            }
        }
    }
    moved(&tensors, case, &first, |p| state.read_f32(gpu, p))
}

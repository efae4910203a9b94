//! Compares poolings, resize, rotate, mixup and optimizers over parameter blocks with PyTorch's numbers
//! (golden/misc.py).

use crate::golden::{Tensors, floats, read};
use crate::harness::device::gpu;
use crate::harness::quick::{Input, Vars, near, run};
use crate::harness::text;
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeSet;
use wgslab::base::Result as BaseResult;
use wgslab::kernels::loss_scale::LossScale;
use wgslab::kernels::resize::Filter;
use wgslab::kernels::rotate::Border;
use wgslab::nn::Optimizer;
use wgslab::nn::optimizer::{Limits, Step, Vectors};
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Var};

/// Both sides round to f32.
const ALLOWED: f64 = 1e-5;

/// Records y of a case from its inputs.
type Build = fn(&mut Tape, &Vars) -> BaseResult<Var>;

const OPS: &[(&str, Build)] = &[
    ("adaptive_avg_pool2d/global", |t, v| t.adaptive_avg_pool2d(v["x"], [1, 1])),
    ("adaptive_avg_pool2d/larger", |t, v| t.adaptive_avg_pool2d(v["x"], [7, 6])),
    ("adaptive_avg_pool2d/shared", |t, v| t.adaptive_avg_pool2d(v["x"], [3, 4])),
    ("adaptive_max_pool2d/global", |t, v| t.adaptive_max_pool2d(v["x"], [1, 1])),
    ("adaptive_max_pool2d/larger", |t, v| t.adaptive_max_pool2d(v["x"], [7, 6])),
    ("adaptive_max_pool2d/shared", |t, v| t.adaptive_max_pool2d(v["x"], [3, 4])),
    ("avg_pool2d/oblong", |t, v| t.avg_pool2d(v["x"], [2, 3], [1, 2], [1, 0])),
    ("avg_pool2d/padded", |t, v| t.avg_pool2d(v["x"], [3, 3], [2, 2], [1, 1])),
    ("max_pool2d/gaps", |t, v| t.max_pool2d(v["x"], 2, 5, 0)),
    ("max_pool2d/overlap", |t, v| t.max_pool2d(v["x"], 5, 1, 2)),
    ("mixup/images", |t, v| t.mixup(v["x"], v["pair"], v["lambda"])),
    ("mixup/targets", |t, v| t.mix_targets(v["labels"], v["pair"], v["lambda"], 4)),
    ("resize/bilinear_larger", |t, v| t.resize(v["x"], [13, 11], Filter::Bilinear)),
    ("resize/bilinear_mixed", |t, v| t.resize(v["x"], [4, 17], Filter::Bilinear)),
    ("resize/bilinear_smaller", |t, v| t.resize(v["x"], [5, 7], Filter::Bilinear)),
    ("resize/nearest_larger", |t, v| t.resize(v["x"], [13, 11], Filter::Nearest)),
    ("resize/nearest_mixed", |t, v| t.resize(v["x"], [4, 17], Filter::Nearest)),
    ("resize/nearest_smaller", |t, v| t.resize(v["x"], [5, 7], Filter::Nearest)),
    ("rotate/reflection", |t, v| t.rotate_by(v["x"], v["degrees"], Border::Reflect)),
    ("rotate/zeros", |t, v| t.rotate_by(v["x"], v["degrees"], Border::Zero)),
];

/// One trial for each op and case, and one for each optimizer.
pub fn trials() -> Vec<Trial> {
    let mut trials =
        vec![Trial::test("T1 golden misc has a test for every case", || every_case().map_err(Failed::from))];
    for (case, build) in OPS {
        trials.push(Trial::test(format!("T1 golden {case}"), move || op(case, *build).map_err(Failed::from)));
    }
    for name in OPTIMIZERS {
        trials.push(Trial::test(format!("T1 golden {name}"), move || optimizer(name).map_err(Failed::from)));
    }
    trials
}

fn every_case() -> Result<(), String> {
    let file = read("misc")?;
    let first = |k: &String| k.split('/').next().unwrap_or_default().to_string();
    let ops = file.keys().filter(|k| !OPTIMIZERS.contains(&first(k).as_str()));
    let there: BTreeSet<&str> = ops.filter_map(|k| k.rsplit_once('/')).map(|k| k.0).collect();
    let tested: BTreeSet<&str> = OPS.iter().map(|o| o.0).collect();
    if there == tested { Ok(()) } else { Err(format!("the file holds {there:?}, but {tested:?} are tested")) }
}

fn op(case: &str, build: Build) -> Result<(), String> {
    let prefix = format!("{case}/");
    let mut tensors = Tensors::new();
    for (key, value) in read("misc")? {
        if let Some(name) = key.strip_prefix(&prefix) {
            tensors.insert(name.to_string(), Input { name: name.to_string(), ..value });
        }
    }
    let results = ["y", "grad_x"].map(|n| tensors.remove(n));
    let inputs: Vec<Input> = tensors.into_values().collect();
    let got = run(&inputs, |t, v| {
        let y = build(t, v)?;
        let Some(dy) = v.get("grad_y") else { return Ok(vec![("y", y)]) };
        let dx = t.backward(&[y], &[Some(*dy)], &[v["x"]])?[0];
        Ok([("y", Some(y)), ("grad_x", dx)].into_iter().filter_map(|(n, v)| Some((n, v?))).collect())
    })?;
    for want in results.into_iter().flatten() {
        let got = got.get(want.name.as_str()).ok_or_else(|| format!("there is no {}", want.name))?;
        near(&want.name, got, &floats(&want), ALLOWED)?;
    }
    Ok(())
}

const OPTIMIZERS: [&str; 8] =
    ["adamw", "adamw_excluded", "amp", "lars", "lars_biases", "lars_clip", "lars_included", "sgd_excluded"];

/// The learning rate of biases in `lars_biases`.
const BIAS_LR: f32 = 0.0048;

/// The optimizer of a name, its learning rate, and the limits on its gradients.
fn named(name: &str) -> (Optimizer, f32, Limits) {
    let lars = |eta, clip| Optimizer::Lars { momentum: 0.9, weight_decay: 0.01, eta, clip };
    let sgd = |weight_decay| Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay };
    let loss_scale = Some(LossScale { initial: 1024.0, interval: 2 });
    let with = |vectors| Limits { vectors, ..Limits::default() };
    match name {
        "adamw" => (Optimizer::adamw(0.1), 0.01, Limits::default()),
        "adamw_excluded" => (Optimizer::adamw(0.1), 0.01, with(Vectors::Excluded)),
        "lars" => (lars(0.02, false), 0.2, with(Vectors::Excluded)),
        "lars_biases" => (lars(0.02, false), 0.2, with(Vectors::ExcludedAtOwnRate)),
        "lars_clip" => (lars(0.5, true), 0.2, with(Vectors::Excluded)),
        "lars_included" => (lars(0.02, false), 0.2, Limits::default()),
        "sgd_excluded" => (sgd(0.1), 0.1, with(Vectors::Excluded)),
        _ => (sgd(0.0), 0.1, Limits { max_grad_norm: Some(1.0), loss_scale, ..Limits::default() }),
    }
}

/// Records a loss Σ w·grad_w + Σ b·grad_b, so that the gradients are the given ones, and a step that minimizes it.
fn record(t: &mut Tape, file: &Tensors, name: &str, optimizer: &Optimizer, limits: Limits) -> BaseResult<Step> {
    let mut losses = Vec::new();
    for (param, grad) in [("w", "grad_w"), ("b", "grad_b")] {
        let ty = file[&format!("{name}/{param}/0")].ty;
        let (p, g) = (t.state(param, ty)?, t.input(grad, ty)?);
        let n = ty.shape.numel();
        let (p, g) = (t.reshape(p, [1, n])?, t.reshape(g, [n, 1])?);
        losses.push(t.matmul(p, g, false, false)?);
    }
    let loss = t.add(losses[0], losses[1])?;
    let loss = t.reshape(loss, [1])?;
    optimizer.minimize_within(t, loss, &["w".to_string(), "b".to_string()], limits)
}

/// Runs six steps over one store and compares both parameters after each step.
fn optimizer(name: &'static str) -> Result<(), String> {
    let (file, gpu) = (read("misc")?, gpu(true)?);
    let ((optimizer, lr, limits), mut t) = (named(name), Tape::new());
    let step = record(&mut t, &file, name, &optimizer, limits).map_err(text)?;
    if let Some(norm) = step.grad_norm {
        t.output("norm", norm);
    }
    let mut state = State::new();
    state.insert_missing(&gpu, &t.state_types()).map_err(text)?;
    let tensor = |key: String| floats(&file[&format!("{name}/{key}")]);
    for param in ["w", "b"] {
        state.write(&gpu, param, bytemuck::cast_slice(&tensor(format!("{param}/0")))).map_err(text)?;
    }
    let schedule = Schedule::new(&t, &Options::new(gpu.caps())).map_err(text)?;
    let plan = Plan::new(&gpu, schedule, &state).map_err(text)?;
    let own_rate = limits.vectors == Vectors::ExcludedAtOwnRate;
    for i in 0..6 {
        let (w, b) = (tensor(format!("grad_w/{i}")), tensor(format!("grad_b/{i}")));
        let feed = Feed::new().input("grad_w", &w).input("grad_b", &b).scalar("lr", lr);
        let feed = if own_rate { feed.scalar("bias_lr", BIAS_LR) } else { feed };
        plan.run(&gpu, &feed).map_err(text)?;
        for param in ["w", "b"] {
            let got = state.read_f32(&gpu, param).map_err(text)?;
            near(&format!("{param} after step {}", i + 1), &got, &tensor(format!("{param}/{}", i + 1)), 2e-6)?;
        }
        let after = |what: &str| file.get(&format!("{name}/{what}/{}", i + 1)).map(floats);
        if let Some(scale) = after("scale") {
            let got = state.read_f32(&gpu, "loss_scale.scale").map_err(text)?;
            near(&format!("the loss scale after step {}", i + 1), &got, &scale, 0.0)?;
        }
        if let Some(norm) = after("norm") {
            near("the norm of all gradients", &plan.read_f32(&gpu, "norm").map_err(text)?, &norm, 1e-6)?;
        }
    }
    Ok(())
}

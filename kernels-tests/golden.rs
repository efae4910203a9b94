//! Compares the ops with numbers made by PyTorch, so that the expected values are independent of this project.
//! `golden/README.md` says what each key holds.

use crate::harness::device::gpu;
use crate::harness::quick::{Input, near, run};
use libtest_mimic::{Failed, Trial};
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use wgslab::base::{Error, Result as BaseResult, Shape};
use wgslab::kernels::adam::Adam;
use wgslab::kernels::conv2d::Conv2d;
use wgslab::kernels::sgd::Sgd;
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type, Var};

/// Both sides round to f32. PyTorch's own distance from f64 is up to 6e-6 of the largest value of a tensor.
pub const ALLOWED: f64 = 1e-5;

/// Tensors by name.
pub type Tensors = BTreeMap<String, Input>;

/// One trial for each op and case in the files, and one for each optimizer.
pub fn trials() -> Vec<Trial> {
    let trial = |label: String, test: Box<dyn FnOnce() -> Result<(), String> + Send>| {
        Trial::test(format!("T1 golden {label}"), move || test().map_err(Failed::from))
    };
    let mut trials = Vec::new();
    for (op, test) in OPS {
        let ops = match read("ops") {
            Ok(ops) => ops,
            Err(e) => return vec![trial("files".into(), Box::new(move || Err(e)))],
        };
        let prefix = format!("{op}/");
        let cases: BTreeSet<&str> = ops.keys().filter_map(|k| k.strip_prefix(&prefix)?.split('/').next()).collect();
        for case in cases {
            let start = format!("{op}/{case}/");
            let named = |(k, v): (&String, &Input)| {
                let name = k.strip_prefix(&start)?.to_string();
                Some((name.clone(), Input { name, ..v.clone() }))
            };
            let (tensors, case): (Tensors, _) = (ops.iter().filter_map(named).collect(), case.to_string());
            trials.push(trial(format!("{op}::{case}"), Box::new(move || test(&case, &tensors))));
        }
    }
    for name in ["sgd", "sgd_nesterov", "adam"] {
        trials.push(trial(name.into(), Box::new(move || optimizer(name))));
    }
    trials
}

/// The files of values. The first word of each key is the name that PyTorch or a paper gives the op.
const FILES: [&str; 10] =
    ["elementwise", "half", "images", "losses", "misc", "norms", "ops", "optim", "shape", "steps"];

/// Ops whose values are in the files under another name.
const OTHER_NAMES: &[(&str, &[&str])] = &[
    ("adamw", &["adam"]),
    ("adamw_excluded", &["adam"]),
    ("amp", &["clip_grad_norm", "found_inf", "loss_scale"]),
    ("batch_norm_eval", &["batch_norm"]),
    ("batch_norm_frozen", &["batch_norm"]),
    ("batch_norm_parts", &["batch_norm", "merge_statistics"]),
    ("batch_norm_split", &["batch_norm"]),
    ("batch_norm_weighted", &["batch_norm"]),
    ("lars_biases", &["lars"]),
    ("lars_clip", &["lars"]),
    ("lars_included", &["lars"]),
    ("log_softmax", &["softmax"]),
    ("normalize", &["l2_normalize"]),
    ("normalize_images", &["normalize"]),
    ("pack_f16", &["cast"]),
    ("sgd_excluded", &["sgd"]),
    ("sgd_nesterov", &["sgd"]),
    ("unpack_f16", &["cast"]),
];

/// The ops that have values in the files. It also holds the fused products and norms, which only the values of whole
/// networks reach (`golden_resnet.rs`, `golden_vit.rs`).
pub fn ops() -> Result<BTreeSet<&'static str>, String> {
    Ok(ops_of(&FILES)?.into_iter().chain(["batch_norm_relu", "epilogue"]).collect())
}

/// The ops that have values for NaN and infinities.
pub fn ops_for_not_numbers() -> Result<BTreeSet<&'static str>, String> {
    ops_of(&["not_numbers"])
}

fn ops_of(files: &[&str]) -> Result<BTreeSet<&'static str>, String> {
    let (all, mut found) = (wgslab::kernels::ops(), BTreeSet::new());
    for file in files {
        for key in read(file)?.keys() {
            let name = key.split('/').next().unwrap_or_default();
            match (OTHER_NAMES.iter().find(|o| o.0 == name), all.iter().find(|op| op.0 == name)) {
                (Some((_, ops)), _) => found.extend(ops.iter().copied()),
                (None, Some((op, _))) => drop(found.insert(*op)),
                (None, None) => return Err(format!("{file} holds {key}, but there is no op {name}")),
            }
        }
    }
    Ok(found)
}

/// The tensors of a golden file.
pub fn read(file: &str) -> Result<BTreeMap<String, Input>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("kernels-tests/golden/{file}.safetensors"));
    let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let all = SafeTensors::deserialize(&bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in all.tensors() {
        // A scalar becomes a tensor of one element.
        let shape = Shape::new(if view.shape().is_empty() { &[1] } else { view.shape() });
        let (ty, words) = match view.dtype() {
            Dtype::F32 => (Type::f32(shape), bytemuck::pod_collect_to_vec(view.data())),
            Dtype::I64 => {
                let wide: Vec<i64> = bytemuck::pod_collect_to_vec(view.data());
                (Type::u32(shape), wide.iter().map(|v| *v as u32).collect())
            }
            other => return Err(format!("{name} is {other:?}")),
        };
        tensors.insert(name.to_string(), Input { name: name.to_string(), ty, words });
    }
    Ok(tensors)
}

/// A test of one case.
type Test = fn(&str, &Tensors) -> Result<(), String>;

const OPS: &[(&str, Test)] = &[
    ("conv2d", conv2d),
    ("batch_norm", batch_norm),
    ("max_pool2d", max_pool2d),
    ("cross_entropy", cross_entropy),
    ("normalize", normalize),
    ("nt_xent", nt_xent),
];

/// The values of an f32 tensor.
pub fn floats(i: &Input) -> Vec<f32> {
    i.words.iter().map(|w| f32::from_bits(*w)).collect()
}

/// The number after `letter` in a case's name. The name separates its numbers by letters.
fn number(case: &str, letter: char) -> u32 {
    let tail = case.rsplit(letter).next().unwrap_or_default();
    tail.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// The gradients of `y` with respect to the inputs `wrt`, for the recorded cotangent. Their names are those of the
/// golden files.
pub fn gradients(
    t: &mut Tape,
    y: Var,
    dy: Option<Var>,
    wrt: &[(&'static str, Var)],
) -> BaseResult<Vec<(&'static str, Var)>> {
    let vars: Vec<Var> = wrt.iter().map(|w| w.1).collect();
    let grads = t.backward(&[y], &[dy], &vars)?;
    let named = wrt.iter().zip(grads).map(|((name, _), g)| Some((*name, g?)));
    named.collect::<Option<_>>().ok_or_else(|| Error::Failed("a gradient is missing".into()))
}

/// Runs what `build` records over the named inputs. Compares each named result with the tensor of that name.
pub fn compare(
    tensors: &Tensors,
    inputs: &[&str],
    build: impl FnOnce(&mut Tape, &BTreeMap<String, Var>) -> BaseResult<Vec<(&'static str, Var)>>,
) -> Result<(), String> {
    let inputs: Vec<Input> = inputs.iter().map(|n| tensors[*n].clone()).collect();
    for (name, got) in run(&inputs, build)? {
        near(name, &got, &floats(&tensors[name]), ALLOWED)?;
    }
    Ok(())
}

fn conv2d(case: &str, tensors: &Tensors) -> Result<(), String> {
    let (stride, padding) = (number(case, 's'), number(case, 'p'));
    compare(tensors, &["x", "weight", "grad_y"], |t, v| {
        let y = t.conv2d(v["x"], v["weight"], Conv2d::new(stride, padding))?;
        let mut out = gradients(t, y, Some(v["grad_y"]), &[("grad_x", v["x"]), ("grad_weight", v["weight"])])?;
        out.push(("y", y));
        Ok(out)
    })
}

fn batch_norm(case: &str, tensors: &Tensors) -> Result<(), String> {
    let train = case.ends_with("_train");
    let names = ["x", "weight", "bias", "running_mean", "running_var", "grad_y"];
    compare(tensors, &names, |t, v| {
        let (x, w, b) = (v["x"], v["weight"], v["bias"]);
        let wrt = [("grad_x", x), ("grad_weight", w), ("grad_bias", b)];
        if !train {
            let y = t.batch_norm_eval(x, w, b, v["running_mean"], v["running_var"], 1e-5)?;
            let mut out = gradients(t, y, Some(v["grad_y"]), &wrt)?;
            out.push(("y", y));
            return Ok(out);
        }
        let [y, mean, var] = t.batch_norm(x, w, b, 1e-5)?;
        let mut out = gradients(t, y, Some(v["grad_y"]), &wrt)?;
        let count = t.shape(x).numel() as f32 / t.shape(w).numel() as f32;
        let ema = |factor| wgslab::kernels::ema::Ema { keep: 0.9, slot: None, factor };
        out.push(("y", y));
        out.push(("after_mean", t.apply1(ema(1.0), &[v["running_mean"], mean])?));
        out.push(("after_var", t.apply1(ema(count / (count - 1.0)), &[v["running_var"], var])?));
        Ok(out)
    })
}

fn max_pool2d(_case: &str, tensors: &Tensors) -> Result<(), String> {
    compare(tensors, &["x", "grad_y"], |t, v| {
        let y = t.max_pool2d(v["x"], 3, 2, 1)?;
        let mut out = gradients(t, y, Some(v["grad_y"]), &[("grad_x", v["x"])])?;
        out.push(("y", y));
        Ok(out)
    })
}

fn cross_entropy(_case: &str, tensors: &Tensors) -> Result<(), String> {
    compare(tensors, &["logits", "labels", "weights"], |t, v| {
        let [loss, rows, _] = t.cross_entropy(v["logits"], v["labels"], v["weights"])?;
        let mut out = gradients(t, loss, None, &[("grad_logits", v["logits"])])?;
        out.extend([("loss", loss), ("rows", rows)]);
        Ok(out)
    })
}

fn normalize(_case: &str, tensors: &Tensors) -> Result<(), String> {
    compare(tensors, &["x", "grad_y"], |t, v| {
        let y = t.l2_normalize(v["x"], 1e-12)?;
        let mut out = gradients(t, y, Some(v["grad_y"]), &[("grad_x", v["x"])])?;
        out.push(("y", y));
        Ok(out)
    })
}

fn nt_xent(case: &str, tensors: &Tensors) -> Result<(), String> {
    let temperature: f32 = case.rsplit('t').next().unwrap_or_default().parse().map_err(|e| format!("{case}: {e}"))?;
    compare(tensors, &["x"], |t, v| {
        let z = t.l2_normalize(v["x"], 1e-12)?;
        let loss = t.nt_xent(z, temperature)?;
        let mut out = gradients(t, loss, None, &[("grad_x", v["x"]), ("grad_z", z)])?;
        out.extend([("loss", loss), ("z", z)]);
        Ok(out)
    })
}

/// Runs five steps of an optimizer over one store and compares the parameter after each step.
fn optimizer(name: &'static str) -> Result<(), String> {
    let text = |e: Error| e.to_string();
    let all = read("optim")?;
    let tensor = |key: String| floats(&all[&format!("{name}/{key}")]);
    let gpu = gpu(true)?;
    let (ty, mut t) = (all[&format!("{name}/param/0")].ty, Tape::new());
    let mut build = || {
        let (grad, lr) = (t.input("grad", ty)?, t.scalar("lr")?);
        if name == "adam" {
            let step = t.increment("optim.step")?;
            let op = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, decoupled: false, lr: lr.slot };
            return t.adam("w", grad, step, lr.var, op);
        }
        let op = Sgd { momentum: 0.9, nesterov: name == "sgd_nesterov", weight_decay: 0.01, lr: lr.slot };
        t.sgd("w", grad, lr.var, op)
    };
    build().map_err(text)?;
    let mut state = State::new();
    state.insert_missing(&gpu, &t.state_types()).map_err(text)?;
    state.write(&gpu, "w", bytemuck::cast_slice(&tensor("param/0".into()))).map_err(text)?;
    let schedule = Schedule::new(&t, &Options::new(gpu.caps())).map_err(text)?;
    let plan = Plan::new(&gpu, schedule, &state).map_err(text)?;
    for i in 0..5 {
        let lr = if name == "adam" { 0.01 } else { 0.1 };
        plan.run(&gpu, &Feed::new().input("grad", &tensor(format!("grad/{i}"))).scalar("lr", lr)).map_err(text)?;
        let got = state.read_f32(&gpu, "w").map_err(text)?;
        near(&format!("the parameter after step {}", i + 1), &got, &tensor(format!("param/{}", i + 1)), 1e-6)?;
    }
    Ok(())
}

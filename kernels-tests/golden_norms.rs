//! Compares attention and the normalizations with PyTorch's numbers. golden/norms.py says what each case is.

use crate::golden::{Tensors, compare, floats, gradients, read};
use crate::harness::device::gpu;
use crate::harness::quick::near;
use libtest_mimic::{Failed, Trial};
use std::collections::{BTreeMap, BTreeSet};
use wgslab::base::{Error, Result as BaseResult};
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Var};

/// Records an op over the named inputs of a case.
type Record = fn(&mut Tape, &BTreeMap<String, Var>, &str) -> BaseResult<Var>;

/// An op: its name in the file, its inputs, the names of its gradients with their inputs, and how to record it. An
/// input that a case does not have is left out.
struct Recipe {
    op: &'static str,
    inputs: &'static [&'static str],
    wrt: &'static [(&'static str, &'static str)],
    record: Record,
}

const AFFINE: &[(&str, &str)] = &[("grad_x", "x"), ("grad_weight", "weight"), ("grad_bias", "bias")];
const EPS: f32 = 1e-5;

const RECIPES: &[Recipe] = &[
    Recipe {
        op: "attention",
        inputs: &["q", "k", "v", "lengths"],
        wrt: &[("grad_q", "q"), ("grad_k", "k"), ("grad_v", "v")],
        record: |t, v, case| {
            Ok(t.attention(v["q"], v["k"], v["v"], v.get("lengths").copied(), case.contains("causal"))?[0])
        },
    },
    Recipe {
        op: "layer_norm",
        inputs: &["x", "weight", "bias"],
        wrt: AFFINE,
        record: |t, v, _| t.layer_norm(v["x"], v["weight"], v["bias"], EPS),
    },
    Recipe {
        op: "group_norm",
        inputs: &["x", "weight", "bias"],
        wrt: AFFINE,
        record: |t, v, case| t.group_norm(v["x"], v["weight"], v["bias"], digit(case), EPS),
    },
    Recipe {
        op: "batch_norm_split",
        inputs: &["x", "weight", "bias"],
        wrt: AFFINE,
        record: |t, v, case| Ok(t.batch_norm_split(v["x"], v["weight"], v["bias"], EPS, digit(case))?[0]),
    },
    Recipe { op: "batch_norm_parts", inputs: &["x", "weight", "bias", "counts"], wrt: AFFINE, record: parts },
    Recipe {
        op: "batch_norm_weighted",
        inputs: &["x", "weight", "bias", "sample_weights"],
        wrt: AFFINE,
        record: |t, v, _| Ok(t.batch_norm_weighted(v["x"], v["weight"], v["bias"], v["sample_weights"], EPS)?[0]),
    },
    Recipe {
        op: "batch_norm_frozen",
        inputs: &["x", "weight", "bias", "mean", "var"],
        wrt: &[("grad_x", "x")],
        record: |t, v, _| t.batch_norm_eval(v["x"], v["weight"], v["bias"], v["mean"], v["var"], EPS),
    },
];

/// One trial for each case in the file.
pub fn trials() -> Vec<Trial> {
    let trial = |label: String, test: Box<dyn FnOnce() -> Result<(), String> + Send>| {
        Trial::test(format!("T1 golden norms {label}"), move || test().map_err(Failed::from))
    };
    let all = match read("norms") {
        Ok(all) => all,
        Err(e) => return vec![trial("file".into(), Box::new(move || Err(e)))],
    };
    let mut trials = Vec::new();
    let cases: BTreeSet<&str> = all.keys().filter_map(|k| Some(k.rsplit_once('/')?.0)).collect();
    for name in cases {
        let tensors: Tensors = all
            .iter()
            .filter_map(|(k, v)| Some((k.strip_prefix(name)?.strip_prefix('/')?.to_string(), v.clone())))
            .map(|(k, v)| (k.clone(), crate::harness::quick::Input { name: k, ..v }))
            .collect();
        let (op, case) = name.split_once('/').unwrap_or((name, ""));
        let (case, label) = (case.to_string(), format!("{op}::{case}"));
        let recipe = RECIPES.iter().find(|r| r.op == op);
        let test: Box<dyn FnOnce() -> Result<(), String> + Send> = match recipe {
            Some(recipe) => Box::new(move || check(recipe, &case, &tensors)),
            None if op == "spectral_norm" => Box::new(move || spectral_norm(&tensors)),
            None => Box::new(move || Err(format!("nothing tests {case}"))),
        };
        trials.push(trial(label, test));
    }
    trials
}

fn check(recipe: &Recipe, case: &str, tensors: &Tensors) -> Result<(), String> {
    let there = recipe.inputs.iter().filter(|n| tensors.contains_key(**n)).copied();
    let inputs: Vec<&str> = there.chain(["grad_y"]).collect();
    compare(tensors, &inputs, |t, v| {
        let y = (recipe.record)(t, v, case)?;
        let wrt: Vec<(&'static str, Var)> = recipe.wrt.iter().map(|(name, input)| (*name, v[*input])).collect();
        let mut out = gradients(t, y, Some(v["grad_y"]), &wrt)?;
        out.push(("y", y));
        Ok(out)
    })
}

/// The number at the end of a case's name.
fn digit(case: &str) -> usize {
    case.chars().last().and_then(|c| c.to_digit(10)).unwrap_or(0) as usize
}

/// Batch norm of two parts of a batch, of 4 and 2 samples, as two devices would compute it. Each part gives its
/// statistics, the statistics are merged, and each part is normalised with the merged ones. The result must be the
/// batch norm of the whole batch.
fn parts(t: &mut Tape, v: &BTreeMap<String, Var>, _case: &str) -> BaseResult<Var> {
    let (x, weight, bias) = (v["x"], v["weight"], v["bias"]);
    let (n, c) = (t.shape(x).dim(0), t.shape(x).dim(1));
    let each = [t.slice(x, 0, 0, 4)?, t.slice(x, 0, 4, n - 4)?];
    let (mut means, mut variances) = (Vec::new(), Vec::new());
    for part in each {
        let [_, mean, variance] = t.batch_norm(part, weight, bias, EPS)?;
        means.push(t.reshape(mean, [1, c])?);
        variances.push(t.reshape(variance, [1, c])?);
    }
    let (means, variances) = (t.concat(&means, 0)?, t.concat(&variances, 0)?);
    let [mean, variance] = t.merge_statistics(means, variances, v["counts"])?;
    let [a, b] = each.map(|part| t.batch_norm_eval(part, weight, bias, mean, variance, EPS));
    t.concat(&[a?, b?], 0)
}

/// Runs three training steps over one store. Compares y, u and v after each, and the gradient of the last.
fn spectral_norm(tensors: &Tensors) -> Result<(), String> {
    let text = |e: Error| e.to_string();
    let tensor = |key: &str| floats(&tensors[key]);
    let (gpu, mut t) = (gpu(true)?, Tape::new());
    let mut build = || {
        let (weight, dy) = (t.input("weight", tensors["weight"].ty)?, t.input("grad_y", tensors["grad_y"].ty)?);
        let y = t.spectral_norm(weight, "u", "v", 1, 1e-12)?;
        let out = gradients(&mut t, y, Some(dy), &[("grad_weight", weight)])?;
        t.output("y", y);
        t.output("grad_weight", out[0].1);
        BaseResult::Ok(())
    };
    build().map_err(text)?;
    let mut state = State::new();
    state.insert_missing(&gpu, &t.state_types()).map_err(text)?;
    for name in ["u", "v"] {
        state.write(&gpu, name, bytemuck::cast_slice(&tensor(&format!("{name}0")))).map_err(text)?;
    }
    let schedule = Schedule::new(&t, &Options::new(gpu.caps())).map_err(text)?;
    let plan = Plan::new(&gpu, schedule, &state).map_err(text)?;
    let (weight, dy) = (tensor("weight"), tensor("grad_y"));
    for step in 0..3 {
        plan.run(&gpu, &Feed::new().input("weight", &weight).input("grad_y", &dy)).map_err(text)?;
        near(
            &format!("y of step {step}"),
            &plan.read_f32(&gpu, "y").map_err(text)?,
            &tensor(&format!("y{step}")),
            1e-5,
        )?;
        for name in ["u", "v"] {
            let (got, key) = (state.read_f32(&gpu, name).map_err(text)?, format!("{name}{}", step + 1));
            near(&key, &got, &tensor(&key), 1e-5)?;
        }
    }
    near("grad_weight", &plan.read_f32(&gpu, "grad_weight").map_err(text)?, &tensor("grad_weight"), 1e-5)
}

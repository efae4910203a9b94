//! Compares every loss with PyTorch: the value, the losses of the rows and the gradients. `golden/losses.py` made the
//! numbers.

use crate::golden::{floats, read};
use crate::harness::quick::{Input, near, run};
use libtest_mimic::{Failed, Trial};
use std::collections::{BTreeMap, BTreeSet};
use wgslab::base::{Error, Result as BaseResult};
use wgslab::kernels::hinge::Hinge;
use wgslab::kernels::nce_rce::NceRce;
use wgslab::kernels::sce::Sce;
use wgslab::kernels::vicreg::Vicreg;
use wgslab::tape::{Tape, Type, Var};

/// Both sides round to f32.
const ALLOWED: f64 = 1e-5;

/// Records a loss over its inputs in order, with its numbers. Gives the results to compare, by name.
pub type Build = fn(&mut Tape, &[Var], &[f32]) -> BaseResult<Vec<(&'static str, Var)>>;

/// Names the loss and the losses of the rows.
fn both<const N: usize>(y: [Var; N]) -> Vec<(&'static str, Var)> {
    vec![("loss", y[0]), ("rows", y[1])]
}

/// Each loss by the name that the files give it.
pub const LOSSES: &[(&str, Build)] = &[
    ("cross_entropy", |t, x, p| {
        let classes = (x.len() > 3).then(|| x[2]);
        Ok(both(t.cross_entropy_with(x[0], x[1], x[x.len() - 1], classes, p[0])?))
    }),
    ("gce", |t, x, p| Ok(both(t.gce(x[0], x[1], x[2], p[0])?))),
    ("sce", |t, x, p| {
        let op = Sce { alpha: p[0], beta: p[1], log_zero: p[2] };
        Ok(both(t.sce(x[0], x[1], x[2], op)?))
    }),
    ("nce_rce", |t, x, p| {
        let op = NceRce { alpha: p[0], beta: p[1], log_zero: p[2] };
        Ok(both(t.nce_rce(x[0], x[1], x[2], op)?))
    }),
    ("elr", |t, x, p| {
        let [n, k] = t.shape(x[0]).matrix("elr", "logits")?;
        let y = t.elr(("table", 2 * n), [x[0], x[1], x[2], x[3]], p[0], p[1])?;
        let moved = t.state("table", Type::f32([2 * n, k]))?;
        Ok([both(y), vec![("table", moved)]].concat())
    }),
    ("kl_div", |t, x, p| Ok(both(t.kl_div(x[0], x[1], x[2], p[0])?))),
    ("mse", |t, x, _| Ok(both(t.mse(x[0], x[1], x[2])?))),
    ("bce_with_logits", |t, x, _| {
        let positives = (x.len() > 3).then(|| x[2]);
        Ok(both(t.bce_with_logits(x[0], x[1], x[x.len() - 1], positives)?))
    }),
    ("kl_gaussian", |t, x, _| Ok(both(t.kl_gaussian(x[0], x[1], x[2])?))),
    ("hinge", |t, x, p| {
        let of = [Hinge::Real, Hinge::Fake, Hinge::Generator][p[0] as usize];
        Ok(both(t.hinge(x[0], x[1], of)?))
    }),
    ("negative_cosine", |t, x, p| Ok(both(t.negative_cosine(x[0], x[1], x[2], p[0])?))),
    ("info_nce", |t, x, p| Ok(both(t.info_nce([x[0], x[1], x[2]], x[3], p[0])?))),
    ("barlow_twins", |t, x, p| Ok(vec![("loss", t.barlow_twins([x[0], x[1]], p[0])?)])),
    ("vicreg", |t, x, p| {
        let op = Vicreg { invariance: p[0], variance: p[1], covariance: p[2] };
        Ok(vec![("loss", t.vicreg([x[0], x[1]], op)?[0])])
    }),
];

/// One trial for each case of the file.
pub fn trials() -> Vec<Trial> {
    let trial = |label: &str, test: Box<dyn FnOnce() -> Result<(), String> + Send>| {
        Trial::test(format!("T1 golden losses {label}"), move || test().map_err(Failed::from))
    };
    let all = match read("losses") {
        Ok(all) => all,
        Err(e) => return vec![trial("file", Box::new(move || Err(e)))],
    };
    let cases: BTreeSet<String> =
        all.keys().filter_map(|k| k.split_once("/in/").or(k.split_once("/loss"))).map(|k| k.0.to_string()).collect();
    let of = |case: String| {
        let start = format!("{case}/");
        let named = all.iter().filter_map(|(k, v)| Some((k.strip_prefix(&start)?.to_string(), v.clone())));
        let tensors: BTreeMap<String, Input> = named.collect();
        trial(&case.clone(), Box::new(move || check(&case, &tensors)))
    };
    cases.into_iter().map(of).collect()
}

fn check(case: &str, tensors: &BTreeMap<String, Input>) -> Result<(), String> {
    let op = case.split('/').next().unwrap_or_default();
    let (_, build) = LOSSES.iter().find(|l| l.0 == op).ok_or_else(|| format!("the list of losses has no {op}"))?;
    let numbers = tensors.get("numbers").map(floats).unwrap_or_default();
    let inputs: Vec<Input> = (0..)
        .map_while(|i| Some(Input { name: format!("x{i}"), ..tensors.get(&format!("in/{i}"))?.clone() }))
        .collect();
    let got = run(&inputs, |t, v| {
        let x: Vec<Var> = (0..inputs.len()).map(|i| v[&format!("x{i}")]).collect();
        let mut out = build(t, &x, &numbers)?;
        let wrt: Vec<(&'static str, Var)> = [("grad/0", x[0]), ("grad/1", x[1 % x.len()])]
            .into_iter()
            .filter(|(name, _)| tensors.contains_key(*name))
            .collect();
        let grads = t.gradient(out[0].1, &wrt.iter().map(|w| w.1).collect::<Vec<_>>())?;
        for ((name, _), grad) in wrt.iter().zip(grads) {
            out.push((name, grad.ok_or_else(|| Error::Failed(format!("{name} is missing")))?));
        }
        Ok(out)
    })?;
    let results = tensors.keys().filter(|k| !k.starts_with("in/") && *k != "numbers");
    for name in results {
        let got = got.get(name.as_str()).ok_or_else(|| format!("{name} is not compared"))?;
        near(name, got, &floats(&tensors[name]), ALLOWED)?;
    }
    Ok(())
}

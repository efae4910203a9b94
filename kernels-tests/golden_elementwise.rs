//! Compares unary, binary, select and broadcast with PyTorch's numbers, kinks and ties included. `golden_not_numbers.rs`
//! compares what becomes of NaN and infinities.

use crate::golden::{self, Tensors, floats};
use crate::harness::quick::{Input, near, run};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeMap;
use wgslab::base::{Error, Result as BaseResult};
use wgslab::kernels::unary::Approximate;
use wgslab::tape::{Tape, Var};

/// One trial for each op and case in the file.
pub fn trials() -> Vec<Trial> {
    let trial = |label: String, test: Box<dyn FnOnce() -> Result<(), String> + Send>| {
        Trial::test(format!("T1 golden {label}"), move || test().map_err(Failed::from))
    };
    let all = match golden::read("elementwise") {
        Ok(all) => all,
        Err(e) => return vec![trial("elementwise file".into(), Box::new(move || Err(e)))],
    };
    let mut cases: BTreeMap<(String, String), Tensors> = BTreeMap::new();
    for (key, input) in all {
        if let [op, case, name] = key.split('/').collect::<Vec<_>>()[..] {
            let tensors = cases.entry((op.into(), case.into())).or_default();
            tensors.insert(name.into(), Input { name: name.into(), ..input });
        }
    }
    let each = |((op, case), tensors): ((String, String), Tensors)| {
        trial(format!("{op}::{case}"), Box::new(move || check(&op, &tensors)))
    };
    cases.into_iter().map(each).collect()
}

/// Records the op and its gradients and compares both with the file.
fn check(op: &str, tensors: &Tensors) -> Result<(), String> {
    let parameters = tensors.get("parameters").map(floats).unwrap_or_default();
    let fed = |n: &&String| n.starts_with('x') || *n == "grad_y";
    let inputs: Vec<Input> = tensors.keys().filter(fed).map(|n| tensors[n].clone()).collect();
    let shape = tensors["y"].ty.shape;
    let got = run(&inputs, |t, v| {
        let x: Vec<Var> = NAMES.iter().map_while(|n| v.get(*n).copied()).collect();
        let y = if op == "broadcast" { t.broadcast(x[0], shape)? } else { apply(t, op, &x, &parameters)? };
        let mut out = vec![("y", y)];
        let wrt: Vec<usize> = (0..x.len()).filter(|i| tensors.contains_key(GRADS[*i])).collect();
        if !wrt.is_empty() {
            let vars: Vec<Var> = wrt.iter().map(|&i| x[i]).collect();
            for (i, grad) in wrt.iter().zip(t.backward(&[y], &[Some(v["grad_y"])], &vars)?) {
                out.push((GRADS[*i], grad.ok_or_else(|| Error::Failed(format!("{op} gives no {}", GRADS[*i])))?));
            }
        }
        Ok(out)
    })?;
    // Both sides round to f32. A slope may be 20 times as large as the largest value that enters it.
    got.iter().try_for_each(|(name, got)| near(name, got, &floats(&tensors[*name]), 2e-6))
}

const NAMES: [&str; 3] = ["x0", "x1", "x2"];
const GRADS: [&str; 3] = ["grad_x0", "grad_x1", "grad_x2"];

/// The op of that name.
pub fn apply(t: &mut Tape, op: &str, x: &[Var], p: &[f32]) -> BaseResult<Var> {
    match op {
        "abs" => t.abs(x[0]),
        "clamp" => t.clamp(x[0], p[0], p[1]),
        "exp" => t.exp(x[0]),
        "gelu" => t.gelu(x[0], if p[0] == 0.0 { Approximate::None } else { Approximate::Tanh }),
        "leaky_relu" => t.leaky_relu(x[0], p[0]),
        "log" => t.log(x[0]),
        "neg" => t.neg(x[0]),
        "pow" => t.pow(x[0], p[0]),
        "reciprocal" => t.reciprocal(x[0]),
        "relu" => t.relu(x[0]),
        "sigmoid" => t.sigmoid(x[0]),
        "silu" => t.silu(x[0]),
        "sqrt" => t.sqrt(x[0]),
        "tanh" => t.tanh(x[0]),
        "add" => t.add(x[0], x[1]),
        "sub" => t.sub(x[0], x[1]),
        "mul" => t.mul(x[0], x[1]),
        "div" => t.div(x[0], x[1]),
        "minimum" => t.minimum(x[0], x[1]),
        "maximum" => t.maximum(x[0], x[1]),
        "eq" => t.eq(x[0], x[1]),
        "ne" => t.ne(x[0], x[1]),
        "lt" => t.lt(x[0], x[1]),
        "le" => t.le(x[0], x[1]),
        "gt" => t.gt(x[0], x[1]),
        "ge" => t.ge(x[0], x[1]),
        "select" => t.select(x[0], x[1], x[2]),
        other => Err(Error::Failed(format!("the test does not know the op {other} of the golden file"))),
    }
}

//! Compares the ops that move, reduce and order elements with PyTorch. The case's name holds the op's arguments.

use crate::golden::{ALLOWED, Tensors, floats, gradients, read};
use crate::harness::quick::{Input, Vars, near, run};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeMap;
use wgslab::base::{DType, Error, Result as BaseResult};
use wgslab::kernels::reduce::Reduction;
use wgslab::tape::{Tape, Var};

/// One trial for each op and case of the file.
pub fn trials() -> Vec<Trial> {
    let all = match read("shape") {
        Ok(all) => all,
        Err(e) => return vec![Trial::test("T1 golden shape", move || Err(Failed::from(e)))],
    };
    let mut cases: BTreeMap<(String, String), Tensors> = BTreeMap::new();
    for (key, input) in all {
        let [op, case, name] = key.split('/').map(str::to_string).collect::<Vec<_>>().try_into().unwrap();
        cases.entry((op, case)).or_default().insert(name.clone(), Input { name, ..input });
    }
    let trial = |((op, case), tensors): ((String, String), Tensors)| {
        let label = format!("T1 golden {op}::{case}");
        Trial::test(label, move || check(&op, &case, &tensors).map_err(Failed::from))
    };
    cases.into_iter().map(trial).collect()
}

/// The names of an op's inputs. An input that has a gradient in the file is differentiated.
const INPUTS: [(&str, &str); 6] =
    [("x", "grad_x"), ("table", "grad_table"), ("a", "grad_a"), ("b", "grad_b"), ("c", "grad_c"), ("indices", "")];

fn check(op: &str, case: &str, tensors: &Tensors) -> Result<(), String> {
    let given = |name: &str| tensors.contains_key(name) && !(op == "top_k" && name == "indices");
    let mut names: Vec<&str> = INPUTS.iter().map(|i| i.0).filter(|n| given(n)).collect();
    names.extend(given("grad_y").then_some("grad_y"));
    let inputs: Vec<Input> = names.iter().map(|&n| tensors[n].clone()).collect();
    let got = run(&inputs, |t, v| {
        let mut out = record(op, case, t, v, tensors)?;
        let wrt: Vec<_> = INPUTS.iter().filter(|i| given(i.1)).map(|i| (i.1, v[i.0])).collect();
        if !wrt.is_empty() {
            out.extend(gradients(t, out[0].1, Some(v["grad_y"]), &wrt)?);
        }
        Ok(out)
    })?;
    for (name, got) in got {
        let want = &tensors[name];
        if want.ty.dtype == DType::F32 {
            near(name, &got, &floats(want), ALLOWED)?;
        } else if got.iter().map(|v| v.to_bits()).ne(want.words.iter().copied()) {
            return Err(format!("{name} is {got:?}, but must be {:?}, as u32", want.words));
        }
    }
    Ok(())
}

/// Records the op and gives its results by the names in the file. The first result is differentiated.
fn record(op: &str, case: &str, t: &mut Tape, v: &Vars, tensors: &Tensors) -> BaseResult<Vec<(&'static str, Var)>> {
    let numbers = |text: &str| text.split('_').map(|n| n.parse().unwrap()).collect::<Vec<usize>>();
    let digits = |text: &str| text.chars().map(|c| c.to_digit(10).unwrap() as usize).collect::<Vec<usize>>();
    let temperature = || case.rsplit('t').next().unwrap().parse().unwrap();
    let x = v.get("x").copied();
    let x = || x.ok_or_else(|| Error::Failed("the case has no x".into()));
    let shape = tensors["y"].ty.shape;
    let y = match op {
        "reduce" => {
            let words: Vec<&str> = case.split('_').collect();
            t.reduce(x()?, kind(words[0]), &digits(words[1]), words[2] == "keep")?
        }
        "softmax" => t.softmax(x()?, temperature())?,
        "log_softmax" => t.log_softmax(x()?, temperature())?,
        "permute" => t.permute(x()?, &digits(case))?,
        "concat" => {
            let parts: Vec<Var> = ["a", "b", "c"].iter().filter_map(|n| v.get(*n).copied()).collect();
            t.concat(&parts, numbers(case)[0])?
        }
        "slice" => t.slice(x()?, numbers(case)[0], numbers(case)[1], numbers(case)[2])?,
        "gather" => t.gather(v["table"], v["indices"])?,
        "scatter_add" => t.scatter_add(x()?, v["indices"], shape.dim(0))?,
        "top_k" => {
            let [values, indices] = t.top_k(x()?, shape.dim(shape.rank() - 1))?;
            return Ok(vec![("y", values), ("indices", indices)]);
        }
        "rank" => t.rank(x()?)?,
        "cast" => t.cast(x()?, tensors["y"].ty.dtype)?,
        "pack_f16" => t.pack_f16(x()?)?,
        "unpack_f16" => t.unpack_f16(x()?, shape)?,
        _ => return Err(Error::Failed(format!("the test does not know the op {op}"))),
    };
    Ok(vec![("y", y)])
}

fn kind(name: &str) -> Reduction {
    match name {
        "sum" => Reduction::Sum,
        "mean" => Reduction::Mean,
        "max" => Reduction::Max,
        "argmax" => Reduction::Argmax,
        _ => Reduction::Var { correction: name.trim_start_matches("var").parse().unwrap() },
    }
}

//! How a set file describes an op that has no fields of its own: one of its named cases, at other sizes.
//!
//! ```toml
//! [[jigsaw]]
//! name = "3x3 of 64"
//! like = "ragged lanes"   # which of the op's cases, with all its fields; the first unless told otherwise
//! x0 = [64, 3, 96, 96]    # its inputs by number; what is left out follows from those that are given
//! ```

use super::super::case_fields::CaseFields;
use super::BuiltCase;
use crate::base::{Result, Shape, nearest};
use crate::kernels::{Case, ops};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// Names of inputs; no op has a case of more.
const NAMES: [&str; 12] = ["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11"];

/// The named cases of an op that is listed. They are made once: a file may hold thousands of cases.
pub(super) fn cases(op: &str) -> Option<&'static [Case]> {
    static OPS: OnceLock<Vec<(&str, Vec<Case>)>> = OnceLock::new();
    OPS.get_or_init(ops).iter().find(|o| o.0 == op).map(|o| o.1.as_slice())
}

pub(super) fn listed(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let case = like(f)?;
    let names = NAMES.get(..case.inputs.len());
    let names = names.ok_or_else(|| f.wrong(&format!("{} has a case of {} inputs", f.op(), case.inputs.len())))?;
    let given = names.iter().map(|name| f.shape_if(name)).collect::<Result<Vec<Option<Shape>>>>()?;
    let (to, torn) = sizes(case, &given);
    let mut made = case.with_sizes(&|n| to.get(&n).copied().unwrap_or(n));
    for (i, shape) in given.iter().enumerate() {
        let was = case.inputs[i].0.shape;
        match shape {
            Some(shape) => made.inputs[i].0.shape = *shape,
            None => {
                if let Some(n) = was.dims().iter().find(|n| torn.contains(n)) {
                    let (name, op) = (names[i], f.op());
                    return Err(f.wrong(&format!(
                        "{op} needs {name}, which is {was} in the case `{}`: what its {n} becomes is not clear",
                        case.name
                    )));
                }
            }
        }
    }
    made.name = "";
    Ok(BuiltCase { case: made, names: names.to_vec() })
}

/// The named case that was asked for.
fn like(f: &mut CaseFields<'_>) -> Result<&'static Case> {
    let (wanted, all) = (f.text("like")?, cases(f.op()).unwrap_or_default());
    let found = all.iter().find(|case| wanted.as_deref().is_none_or(|w| w == case.name));
    found.ok_or_else(|| {
        let (wanted, known) = (wanted.unwrap_or_default(), all.iter().map(|c| c.name).collect::<Vec<_>>());
        let near = nearest(&wanted, &known).map(|n| format!("did you mean `{n}`? ")).unwrap_or_default();
        f.wrong(&format!("{} has no case `{wanted}`; {near}it has {}", f.op(), known.join("; ")))
    })
}

/// What the sizes of a case become by the shapes that were given, and the sizes that would become two.
fn sizes(case: &Case, given: &[Option<Shape>]) -> (BTreeMap<u32, u32>, BTreeSet<u32>) {
    let (mut to, mut torn) = (BTreeMap::new(), BTreeSet::new());
    let pairs = case.inputs.iter().zip(given).filter_map(|(input, given)| Some((input.0.shape, (*given)?)));
    for (was, is) in pairs.filter(|(was, is)| was.rank() == is.rank()) {
        for (&was, &is) in was.dims().iter().zip(is.dims()).filter(|(was, _)| **was > 1) {
            if *to.entry(was).or_insert(is) != is {
                torn.insert(was);
            }
        }
    }
    (to, torn)
}

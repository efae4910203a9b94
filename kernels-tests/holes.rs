//! What some ops lack, by op, each with a reason. The list can only get shorter: an op that lacks something and is not
//! listed is a failure, and so is a listed op that no longer lacks it. Bench files are not in the list, because
//! `lab::sets` tests that every op can be described in one.

use crate::harness::{Named, named, text};
use crate::{golden, properties, random_listed};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use wgslab::kernels::{Case, ops};

/// What an op may lack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Of {
    /// Cases at random sizes: resized named cases, or those that `random_*.rs` draw.
    RandomCases,
    /// Values by PyTorch or by other code from outside this project.
    Golden,
    /// Values and gradients by PyTorch where inputs and cotangents hold NaN and infinities. Only an op with a gradient
    /// needs them.
    NotNumbers,
}

/// Each op that lacks something, and why.
const HOLES: &[(&str, Of, &str)] = &[
    ("fill", Of::RandomCases, "it has no input, and its shape is a field"),
    ("increment", Of::RandomCases, "it takes one number, and adds 1 to it"),
    ("random", Of::RandomCases, "its only input is the scalars of a step, and its shape is a field"),
    ("ring", Of::RandomCases, "its number of rows is a field, and the length of a row is the number of its inputs"),
    ("drop_path", Of::Golden, "this project's own generator draws what it drops"),
    ("dropout", Of::Golden, "this project's own generator draws what it drops"),
    ("random", Of::Golden, "it uses this project's own generator; base/rng.rs compares its words with Random123's"),
    ("batch_norm_relu", Of::NotNumbers, "it stands for three ops that have them; fusion.rs compares it with those"),
    ("drop_path", Of::NotNumbers, "its own generator draws; not_numbers.rs multiplies by what it drew"),
    ("dropout", Of::NotNumbers, "its own generator draws; not_numbers.rs multiplies by what it drew"),
];

/// The trials.
pub fn trials() -> Vec<Trial> {
    let list: [Named; 3] = [
        ("every op has random cases, or a reason", || {
            let has = |name, cases: &[Case]| properties::draws(name) || random_listed::draw(name, cases, 0).is_some();
            let without = ops().into_iter().filter(|(name, cases)| !has(name, cases));
            compare(Of::RandomCases, without.map(|op| op.0).collect())
        }),
        ("every op has values by code from outside this project, or a reason", || {
            let has = golden::ops()?;
            compare(Of::Golden, ops().into_iter().map(|op| op.0).filter(|op| !has.contains(op)).collect())
        }),
        ("every op with a gradient has values for NaN and infinities by PyTorch, or a reason", || {
            let (has, mut lack) = (golden::ops_for_not_numbers()?, BTreeSet::new());
            for (name, cases) in ops() {
                if !has.contains(name) && has_gradient(&cases)? {
                    lack.insert(name);
                }
            }
            compare(Of::NotNumbers, lack)
        }),
    ];
    named("T0 holes:", list)
}

/// Whether a case of an op gives the gradient of an input.
fn has_gradient(cases: &[Case]) -> Result<bool, String> {
    for case in cases {
        let recorded = case.gradients().map_err(text)?;
        if recorded.iter().any(|r| r.kept.iter().any(|kept| kept.0.starts_with("dx"))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives an error unless the ops that lack it are the listed ones.
fn compare(of: Of, lack: BTreeSet<&str>) -> Result<(), String> {
    let listed: BTreeSet<&str> = HOLES.iter().filter(|h| h.1 == of).map(|h| h.0).collect();
    let new: Vec<_> = lack.difference(&listed).collect();
    let closed: Vec<_> = listed.difference(&lack).collect();
    match (new.is_empty(), closed.is_empty()) {
        (true, true) => Ok(()),
        (false, _) => {
            Err(format!("{new:?} lack {of:?}: give them some, or list them in kernels-tests/holes.rs with a reason"))
        }
        (true, false) => {
            Err(format!("{closed:?} have {of:?} now: remove them from the list in kernels-tests/holes.rs"))
        }
    }
}

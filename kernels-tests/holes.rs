//! What not every op has, by op and with the reason. The list can only get shorter: a hole that is not listed is a failure,
//! and so is a listed one that is closed. Files of benches have no holes: `lab::sets` tests that every op can be described in one.

use crate::harness::{Named, named};
use crate::{golden, properties, random_listed};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use wgslab::kernels::{Case, ops};

/// What an op may lack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Of {
    /// Cases at random sizes: its named ones, or such as `random_*.rs` draw.
    RandomCases,
    /// Values by PyTorch, or other code that nobody here wrote.
    Golden,
}

/// Every hole, and why it is there.
const HOLES: &[(&str, Of, &str)] = &[
    ("fill", Of::RandomCases, "it has no input, and its shape is a field"),
    ("increment", Of::RandomCases, "it takes one number, and adds 1 to it"),
    ("random", Of::RandomCases, "its only input is the scalars of a step, and its shape is a field"),
    ("ring", Of::RandomCases, "how many rows it has is a field, and how long one is the number of its inputs"),
    ("drop_path", Of::Golden, "what it drops is drawn by a generator of our own"),
    ("dropout", Of::Golden, "what it drops is drawn by a generator of our own"),
    ("random", Of::Golden, "it draws by a generator of our own, whose words base/rng.rs compares with Random123's"),
];

/// The trials.
pub fn trials() -> Vec<Trial> {
    let list: [Named; 2] = [
        ("every op has random cases, or says why not", || {
            let has = |name, cases: &[Case]| properties::draws(name) || random_listed::draw(name, cases, 0).is_some();
            let without = ops().into_iter().filter(|(name, cases)| !has(name, cases));
            compare(Of::RandomCases, without.map(|op| op.0).collect())
        }),
        ("every op has values by code that nobody here wrote, or says why not", || {
            let has = golden::ops()?;
            compare(Of::Golden, ops().into_iter().map(|op| op.0).filter(|op| !has.contains(op)).collect())
        }),
    ];
    named("T0 holes:", list)
}

/// An error unless the ops that lack it are those that are listed.
fn compare(of: Of, lack: BTreeSet<&str>) -> Result<(), String> {
    let listed: BTreeSet<&str> = HOLES.iter().filter(|h| h.1 == of).map(|h| h.0).collect();
    let new: Vec<_> = lack.difference(&listed).collect();
    let closed: Vec<_> = listed.difference(&lack).collect();
    match (new.is_empty(), closed.is_empty()) {
        (true, true) => Ok(()),
        (false, _) => {
            Err(format!("{new:?} lack {of:?}: give them some, or list them in kernels-tests/holes.rs with a reason"))
        }
        (true, false) => Err(format!("{closed:?} have {of:?} now: take them off the list in kernels-tests/holes.rs")),
    }
}

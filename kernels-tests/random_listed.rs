//! Random cases that every op gets from its line in the list: its named cases at other sizes. Where an op's fields or
//! the fit of its inputs must be drawn too, `random_*.rs` draws them.

use crate::properties::check;
use libtest_mimic::{Failed, Trial};
use wgslab::base::rng::Rng;
use wgslab::kernels::{Case, ops};

/// The number of random cases of each op.
const CASES: u64 = 6;
/// Named cases with more elements are not resized, because the reference costs two evaluations for each element.
const ELEMENTS: usize = 3000;
/// A stream that other random cases do not use.
const STREAM: u32 = 1;

/// Named cases whose sizes are part of what they test.
const AS_THEY_ARE: &[(&str, &str, &str)] = &[(
    "gce",
    "exp would overflow",
    "nearly every row is saturated, so gradients are nearly 0, and only rounding where every row is saturated",
)];

/// A trial for each op that has cases of other sizes.
pub fn trials() -> Vec<Trial> {
    let list = ops().into_iter().filter(|(name, cases)| draw(name, cases, 0).is_some());
    let trial = |(name, cases): (&'static str, Vec<Case>)| {
        Trial::test(format!("T1 random sizes {name}"), move || run(name, &cases).map_err(Failed::from))
    };
    list.map(trial).collect()
}

/// The case of that number. None where no named case can be taken at other sizes.
pub fn draw(op: &str, cases: &[Case], i: u64) -> Option<(Case, Rng)> {
    let mut rng = Rng::new(crate::properties::SEED, STREAM, i);
    let small = |case: &&Case| case.inputs.iter().map(|i| i.0.shape.numel()).sum::<usize>() <= ELEMENTS;
    let free = |case: &&Case| !AS_THEY_ARE.iter().any(|kept| (kept.0, kept.1) == (op, case.name));
    let small: Vec<&Case> = cases.iter().filter(|case| small(case) && free(case)).collect();
    // A random named case, or the next one that can be taken at other sizes.
    let first = rng.below(small.len().max(1));
    let found = (0..small.len()).find_map(|k| small[(first + k) % small.len()].resized(&mut rng))?;
    Some((found, rng))
}

fn run(name: &str, cases: &[Case]) -> Result<(), String> {
    for i in 0..CASES {
        let (case, mut rng) = draw(name, cases, i).ok_or("no named case of it can be taken at other sizes")?;
        check(name, &case, &mut rng).map_err(|e| {
            let types: Vec<String> = case.inputs.iter().map(|i| i.0.to_string()).collect();
            format!("case {i}, {} {:?} of {}: {e}", case.name, case.op, types.join(", "))
        })?;
    }
    Ok(())
}

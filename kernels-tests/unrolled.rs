//! T1: text that another kind of adapter is given. The walk through a product's tile is text for a GPU and a loop for a
//! software adapter (`src/kernels/core/gemm.rs`). All other trials run what this adapter is given and compare it with a
//! reference. These run what the other kind is given, too, and ask for the same bits.

use crate::harness::{device, ensure, recording, text};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeSet;
use wgslab::device::{Caps, Gpu};
use wgslab::kernels::{Recorded, ops};
use wgslab::lab::check::SEED;
use wgslab::lab::check::compare::same_bits;
use wgslab::lab::check::recording::Values;
use wgslab::tape::{Options, Plan, Schedule, State};

/// Op, case and variant: each way to fill a tile.
const TRIALS: [(&str, &str, &str); 4] = [
    ("conv2d", "3x3 stride 2", "tiled_64"),
    ("matmul", "primes", "tiled_64"),
    ("matmul", "several tiles", "tiled_64"),
    ("matmul", "whole tiles", "tiled_128_vec4"),
];

/// The trials.
pub fn trials() -> Vec<Trial> {
    let trial = |(op, case, variant): (&'static str, &'static str, &'static str)| {
        let test = move || both(op, case, variant).map_err(Failed::from);
        Trial::test(format!("T1 unrolled {op}::{case}::{variant}"), test)
    };
    TRIALS.into_iter().map(trial).collect()
}

/// Runs a case and its gradient with the text of either kind of adapter.
fn both(op: &str, case: &str, variant: &'static str) -> Result<(), String> {
    let case = ops().into_iter().filter(|o| o.0 == op).flat_map(|o| o.1).find(|c| c.name == case);
    let recorded = case.ok_or("there is no such case")?.gradients().map_err(text)?;
    let recorded = recorded.first().ok_or("the case has no gradient")?;
    let gpu = device::gpu(false)?;
    let other = Caps { software: !gpu.caps().software, ..gpu.caps().clone() };
    let (own, own_texts) = run(&gpu, recorded, variant, gpu.caps())?;
    let (others, other_texts) = run(&gpu, recorded, variant, &other)?;
    ensure(own_texts.is_disjoint(&other_texts), format!("both kinds are given {own_texts:?} and {other_texts:?}"))?;
    same_bits("the text of one kind of adapter and of the other", &own, &others)
}

/// How many steps of a walk are text, by kernel.
type Steps = BTreeSet<(&'static str, u32)>;

/// What the products of `variant` that `caps` asks for give, and their steps.
fn run(gpu: &Gpu, recorded: &Recorded, variant: &'static str, caps: &Caps) -> Result<(Values, Steps), String> {
    let choose = recording::chooser(variant);
    let schedule = Schedule::new(&recorded.tape, &Options { choose: &choose, ..Options::new(caps) }).map_err(text)?;
    let steps = |k: &wgslab::device::Kernel| {
        let found = k.constants.iter().find(|c| c.0 == "UNROLL")?;
        (k.variant == variant).then_some((k.name, found.1))
    };
    let texts: Steps = schedule.kernels().filter_map(steps).collect();
    ensure(!texts.is_empty(), format!("nothing runs {variant}"))?;
    let plan = Plan::new(gpu, schedule, &State::new()).map_err(text)?;
    plan.poison(gpu, 0).map_err(text)?;
    let words = recorded.words(SEED);
    plan.run(gpu, &recorded.feed(&words)).map_err(text)?;
    let read = |(name, v): &(String, wgslab::tape::Var)| {
        Ok((name.clone(), recorded.tape.ty(*v).dtype, plan.read(gpu, name).map_err(text)?))
    };
    Ok((Values(recorded.kept.iter().map(read).collect::<Result<_, String>>()?), texts))
}

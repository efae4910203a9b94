//! The harness around the library's check of an op (`wgslab::lab::check`): trials, devices, and references by name.

pub mod compare;
pub mod device;
pub mod quick;
pub mod recording;

use crate::reference;
use libtest_mimic::{Failed, Trial};
use wgslab::device::Gpu;
use wgslab::kernels::{Case, ops};
pub use wgslab::lab::check::{answer, gradient, tensors};
use wgslab::tape::Plan;

/// A test and its name.
pub type Named = (&'static str, fn() -> Result<(), String>);

/// A trial for each test. Its name begins with `prefix`.
pub fn named(prefix: &str, list: impl IntoIterator<Item = Named>) -> Vec<Trial> {
    let trial = |(name, test): Named| Trial::test(format!("{prefix} {name}"), move || test().map_err(Failed::from));
    list.into_iter().map(trial).collect()
}

/// Gives the error `what` unless `holds`.
pub fn ensure(holds: bool, what: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// A name that no variant has, so that each op of a case runs the variant that is first on the adapter.
const FIRST: &str = "first";

/// A variant that no adapter runs first, and how many cases of an op try it in a short run. With VARIANTS=all in the
/// environment all do.
const SELDOM: (&str, usize) = ("subgroups", 1);

/// One trial for each op, case and variant. With VARIANTS=first in the environment it is one for each op and case, of
/// what the adapter would run: on a second driver there is no time for all.
pub fn trials() -> Vec<Trial> {
    let caps = device::caps();
    let asked = std::env::var("VARIANTS").unwrap_or_default();
    let mut trials = Vec::new();
    for (name, cases) in ops() {
        for (number, case) in cases.into_iter().enumerate() {
            let variants = if asked == FIRST { vec![FIRST] } else { recording::variants(name, &case, &caps) };
            let tried = |v: &&str| asked == "all" || *v != SELDOM.0 || number < SELDOM.1;
            for variant in variants.into_iter().filter(tried) {
                let (case, label) = (case.clone(), format!("T1 {name}::{}::{variant}", case.name));
                trials.push(Trial::test(label, move || check(name, &case, variant).map_err(Failed::from)));
            }
        }
    }
    trials
}

/// Checks everything that must hold for one case under one variant.
pub fn check(name: &'static str, case: &Case, variant: &'static str) -> Result<(), String> {
    let (checked, unchecked) = (device::gpu(true)?, device::gpu(false)?);
    wgslab::lab::check::one([&checked, &unchecked], case, &reference::expect(name)?, variant)
}

pub fn text(e: wgslab::base::Error) -> String {
    e.to_string()
}

/// Fills the buffers of a plan with NaN, and the last `fence` bytes of each with a known pattern.
pub fn poison(gpu: &Gpu, plan: &Plan, fence: u64) -> Result<(), String> {
    plan.poison(gpu, fence).map_err(text)
}

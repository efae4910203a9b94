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

/// One trial for each op, case and variant. With VARIANTS=first in the environment it is one for each op and case, of
/// what the adapter would run: on a second driver there is no time for all.
pub fn trials() -> Vec<Trial> {
    let caps = device::caps();
    let first = std::env::var("VARIANTS").is_ok_and(|v| v == FIRST);
    let mut trials = Vec::new();
    for (name, cases) in ops() {
        for case in cases {
            let variants = if first { vec![FIRST] } else { recording::variants(name, &case, &caps) };
            for variant in variants {
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

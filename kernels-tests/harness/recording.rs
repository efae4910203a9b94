//! The library records cases (`wgslab::lab::check::recording`). This file finds an op's reference by its name, and makes every
//! schedule and kernel of the cases.

use crate::reference;
use std::collections::HashSet;
use std::sync::OnceLock;
use wgslab::device::{Caps, Kernel, Tree};
use wgslab::kernels::{Case, Recorded, listing, ops};
use wgslab::lab::check;
pub use wgslab::lab::check::recording::{Got, Recording, Values, chooser, offered};
use wgslab::tape::{Options, Schedule};

/// The tapes of a case without its data, for checks that need no numbers.
pub fn bare(name: &str, case: &Case) -> Result<Vec<Recorded>, String> {
    check::bare(case, &reference::expect(name)?)
}

/// Every schedule of a case on `caps`, with its variant. T0 checks these.
pub fn schedules(name: &str, case: &Case, caps: &Caps) -> Result<Vec<(&'static str, Schedule)>, String> {
    let mut list = Vec::new();
    for recorded in bare(name, case)? {
        for variant in variants(name, case, caps) {
            let choose = chooser(variant);
            let options = Options { choose: &choose, ..Options::new(caps) };
            list.push((variant, Schedule::new(&recorded.tape, &options).map_err(super::text)?));
        }
    }
    Ok(list)
}

/// Every variant that the op or an op of its gradient offers on `caps`. None for an op without a reference; that is a
/// failure of its own.
pub fn variants(name: &str, case: &Case, caps: &Caps) -> Vec<&'static str> {
    reference::of(name).map_or_else(Vec::new, |reference| check::variants(case, &reference, caps))
}

/// All different kernels of the ops and their gradients in every variant, on all kinds of adapter, each with its text. They
/// are made once, because that takes longer than most of what asks for them.
pub fn every_kernel() -> Result<&'static [(Kernel, String)], String> {
    static ALL: OnceLock<Result<Vec<(Kernel, String)>, String>> = OnceLock::new();
    ALL.get_or_init(make_every_kernel).as_deref().map_err(String::clone)
}

fn make_every_kernel() -> Result<Vec<(Kernel, String)>, String> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for (_, caps) in listing::kinds() {
        for (name, cases) in ops() {
            for case in &cases {
                for (_, schedule) in schedules(name, case, &caps)? {
                    found.extend(schedule.kernels().filter(|k| seen.insert((*k).clone())).cloned());
                }
            }
        }
    }
    let told = |kernel: Kernel| kernel.source(&Tree::default()).map(|source| (kernel, source.text));
    found.into_iter().map(told).collect::<Result<_, _>>().map_err(super::text)
}

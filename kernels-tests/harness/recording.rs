//! The library records cases (`wgslab::lab::check::recording`). This file finds an op's reference by its name.

use crate::reference;
use wgslab::device::Caps;
use wgslab::kernels::{Case, Recorded};
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

//! The answer of a test that has too few values.

use std::fmt;

/// The significance level of every test, and 1 minus the level of every interval.
pub const ALPHA: f64 = 0.05;

/// Why a test gives no answer, and how many values would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooFew {
    /// The test or interval.
    pub what: &'static str,
    /// How many there are.
    pub have: usize,
    /// How many it needs at the least.
    pub need: usize,
    /// What they are: `pairs`, `datasets`.
    pub of: &'static str,
}

impl fmt::Display for TooFew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} needs at least {} {}, and there are {}", self.what, self.need, self.of, self.have)
    }
}

/// An error where there are fewer than needed.
pub(super) fn enough(what: &'static str, have: usize, need: usize, of: &'static str) -> Result<(), TooFew> {
    if have < need { Err(TooFew { what, have, need, of }) } else { Ok(()) }
}

//! What learners with reverse cross-entropy share: SCE and NCE+RCE add it, times β, to another loss, times α.

use crate::base::range::{Mistake, mistake};

/// The ranges of α, β and A, for which reverse cross-entropy takes log 0.
pub(super) fn check(alpha: f64, beta: f64, log_zero: f64) -> Result<(), Mistake> {
    for (key, value) in [("alpha", alpha), ("beta", beta)] {
        if !(0.0..=1e6).contains(&value) {
            return mistake(key, format!("is {value}; use a number from 0 to 1000000"));
        }
    }
    if alpha + beta == 0.0 {
        return mistake("alpha", "and beta are both 0, so that nothing is learnt; use a number above 0 for one");
    }
    if !(-100.0..0.0).contains(&log_zero) {
        return mistake("log_zero", format!("is {log_zero}; use a number from -100 to below 0"));
    }
    Ok(())
}

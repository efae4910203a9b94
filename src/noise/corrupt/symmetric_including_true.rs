//! Symmetric noise whose draw includes the true class: with probability `rate` a label is drawn anew from all classes that
//! have images, each as likely. So a drawn label is right by chance, and of K classes a share rate · (K − 1) / K is wrong.
//! This is the "sym" of DivideMix (Li et al. 2020, arXiv 2002.07394, and its code), there for an exact count of samples.

use super::{Corrupted, Kind};
use crate::base::Result;
use crate::nn::listed::{Checked, Entry, read};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) const ENTRY: Entry<dyn Kind> = Entry {
    name: "symmetric_including_true",
    about: "each label that is drawn anew becomes any class, the true one included; the rate is that of the draws",
    overlay: include_str!("../../../configs/noise/symmetric_including_true.toml"),
    read: |from| read(from, |kind: SymmetricIncludingTrue| Arc::new(kind)),
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SymmetricIncludingTrue {}

impl Checked for SymmetricIncludingTrue {}

impl Kind for SymmetricIncludingTrue {
    fn corrupt(&self, on: &Corrupted<'_>) -> Result<Vec<u32>> {
        let present = on.present();
        Ok(on.flipped(|_, _| on.rate, |rng, _, _| present[rng.below(present.len())]))
    }

    /// Where every label is drawn anew.
    fn no_signal(&self, _: usize) -> Option<f64> {
        Some(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{labels, matrix};
    use super::*;

    #[test]
    fn a_drawn_label_is_right_by_chance() {
        let clean = labels(40_000, 4);
        let kind = SymmetricIncludingTrue {};
        for rate in [0.2, 0.8, 1.0] {
            let given = kind.corrupt(&Corrupted::of(&clean, 4, rate, 3)).unwrap();
            let (found, sigma) = matrix(&clean, &given, 4);
            for (c, row) in found.iter().enumerate() {
                for (g, share) in row.iter().enumerate() {
                    let due = rate / 4.0 + if c == g { 1.0 - rate } else { 0.0 };
                    assert!((share - due).abs() < 4.0 * sigma, "{share} of class {c} became {g} at rate {rate}");
                }
            }
        }
        assert_eq!(kind.no_signal(4), Some(1.0));
    }
}

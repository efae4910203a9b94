//! Pair flip: with probability `rate` a label becomes the next class, and that of the last class the first one (Han et al.
//! 2018, arXiv 1804.06872, figure 2). Classes without images are passed over.

use super::{Corrupted, Kind};
use crate::base::Result;
use crate::nn::listed::{Checked, Entry, read};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) const ENTRY: Entry<dyn Kind> = Entry {
    name: "pair_flip",
    about: "each label that goes wrong becomes the next class",
    overlay: include_str!("../../../configs/noise/pair_flip.toml"),
    read: |from| read(from, |kind: PairFlip| Arc::new(kind)),
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PairFlip {}

impl Checked for PairFlip {}

impl Kind for PairFlip {
    fn corrupt(&self, on: &Corrupted<'_>) -> Result<Vec<u32>> {
        let present = on.present();
        let next = |label| present[(present.partition_point(|&c| c <= label)) % present.len()];
        Ok(on.flipped(|_, _| on.rate, |_, _, label| next(label)))
    }

    /// Of two classes both are as likely at one half. Of more, a label always says that the truth is one of two.
    fn no_signal(&self, classes: usize) -> Option<f64> {
        (classes == 2).then_some(0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{labels, matrix};
    use super::*;

    #[test]
    fn a_wrong_label_is_the_next_class_that_has_images() {
        let given = PairFlip {}.corrupt(&Corrupted::of(&[0, 2, 3, 0], 5, 1.0, 0)).unwrap();
        assert_eq!(given, [2, 3, 0, 2]);
        let clean = labels(30_000, 3);
        let given = PairFlip {}.corrupt(&Corrupted::of(&clean, 3, 0.45, 7)).unwrap();
        let (found, sigma) = matrix(&clean, &given, 3);
        for (c, row) in found.iter().enumerate() {
            assert!((row[(c + 1) % 3] - 0.45).abs() < 4.0 * sigma && row[(c + 2) % 3] == 0.0, "{found:?}");
        }
        assert_eq!((PairFlip {}.no_signal(2), PairFlip {}.no_signal(3)), (Some(0.5), None));
    }
}

//! Symmetric noise: a label flips with probability `rate` to any other class that has images, with equal probability.
//! The clean class is never drawn, so the share of wrong labels is `rate` itself, not rate · (classes − 1) / classes.

use super::{Corrupted, Kind};
use crate::base::Result;
use crate::nn::listed::{Checked, Entry, read};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) const ENTRY: Entry<dyn Kind> = Entry {
    name: "symmetric",
    about: "each wrong label becomes any other class, with equal probability",
    overlay: include_str!("../../../configs/noise/symmetric.toml"),
    read: |from| read(from, |kind: Symmetric| Arc::new(kind)),
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Symmetric {}

impl Checked for Symmetric {}

impl Kind for Symmetric {
    fn corrupt(&self, on: &Corrupted<'_>) -> Result<Vec<u32>> {
        let present = on.present();
        // One of the other classes: places from that of `label` on move up by one.
        Ok(on.flipped(
            |_, _| on.rate,
            |rng, _, label| {
                let other = rng.below(present.len() - 1);
                present[other + usize::from(present[other] >= label)]
            },
        ))
    }

    /// At (classes − 1) / classes all classes are equally likely, including the true one.
    fn no_signal(&self, classes: usize) -> Option<f64> {
        Some(classes.saturating_sub(1) as f64 / classes.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::labels;
    use super::{Corrupted, Kind, Symmetric};

    #[test]
    fn at_the_rate_without_signal_every_class_is_as_likely() {
        let rate = Symmetric {}.no_signal(4).unwrap();
        assert_eq!(rate, 0.75);
        let given = of_class_2(rate, 5);
        let sigma = (12_000.0 * 0.25 * 0.75_f64).sqrt();
        for c in 0..4 {
            let count = given.iter().filter(|&&g| g == c).count() as f64;
            assert!((count - 3000.0).abs() < 4.0 * sigma, "{count} of class {c}");
        }
    }

    fn corrupt(rate: f64, labels: &[u32], classes: usize, seed: u64) -> Vec<u32> {
        Symmetric {}.corrupt(&Corrupted::of(labels, classes, rate, seed)).unwrap()
    }

    /// What 12,000 labels of class 2 of four classes become.
    fn of_class_2(rate: f64, seed: u64) -> Vec<u32> {
        let clean = labels(48_000, 4);
        let given = corrupt(rate, &clean, 4, seed);
        clean.iter().zip(given).filter(|(c, _)| **c == 2).map(|(_, g)| g).collect()
    }

    #[test]
    fn a_class_without_images_is_never_flipped_to() {
        let clean: Vec<u32> = labels(6_000, 3).iter().map(|l| [1, 4, 5][*l as usize]).collect();
        let given = corrupt(0.9, &clean, 6, 3);
        assert!(given.iter().all(|g| [1, 4, 5].contains(g)));
        let close = labels(6_000, 3);
        let due: Vec<u32> = corrupt(0.9, &close, 3, 3).iter().map(|g| [1, 4, 5][*g as usize]).collect();
        assert_eq!(given, due, "a gap between the classes must not change the draws");
    }

    #[test]
    fn the_rate_is_right_within_four_sigma() {
        let (n, clean) = (20_000, labels(20_000, 5));
        for rate in [0.1, 0.4, 0.8] {
            let wrong = corrupt(rate, &clean, 5, 7).iter().zip(&clean).filter(|(g, c)| g != c).count() as f64;
            let sigma = (n as f64 * rate * (1.0 - rate)).sqrt();
            assert!((wrong - n as f64 * rate).abs() < 4.0 * sigma, "{wrong} wrong at rate {rate}");
        }
    }

    #[test]
    fn rate_one_flips_every_label_to_every_other_class_alike() {
        let given = of_class_2(1.0, 3);
        let counts: Vec<usize> = (0..4).map(|c| given.iter().filter(|&&g| g == c).count()).collect();
        assert_eq!(counts[2], 0, "no label stays");
        let sigma = (12_000.0 * (1.0 / 3.0) * (2.0 / 3.0_f64)).sqrt();
        for c in [0, 1, 3] {
            assert!((counts[c] as f64 - 4000.0).abs() < 4.0 * sigma, "{counts:?}");
        }
    }

    #[test]
    fn a_sample_s_noise_depends_on_seed_and_index_alone() {
        let clean = labels(500, 3);
        let given = corrupt(0.4, &clean, 3, 1);
        assert_eq!(given, corrupt(0.4, &clean, 3, 1));
        assert_ne!(given, corrupt(0.4, &clean, 3, 2));
        assert_eq!(given[..100], corrupt(0.4, &clean[..100], 3, 1), "later samples must not change earlier ones");
        let more = corrupt(0.6, &clean, 3, 1);
        let kept = clean.iter().zip(given.iter().zip(&more)).all(|(c, (g, m))| g == c || g == m);
        assert!(kept, "what is wrong at 40 % must be wrong in the same way at 60 %");
    }
}

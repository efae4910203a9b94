//! A kind for tests only, without settings, that reads features. A label goes wrong with probability `rate`. It becomes
//! the next class if the first feature is even, otherwise the one after that.

use super::{Corrupted, Kind, STREAM};
use crate::base::Result;
use crate::base::rng::Rng;
use crate::nn::listed::{Checked, Entry, read};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) const ENTRY: Entry<dyn Kind> = Entry {
    name: "by_feature",
    about: "a label becomes the next class, or the one after it, by a feature of its image",
    overlay: "[noise]\nkinds = [\"by_feature\"]\n[noise.by_feature]\n",
    read: |from| read(from, |kind: ByFeature| Arc::new(kind)),
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ByFeature {}

impl Checked for ByFeature {}

impl Kind for ByFeature {
    fn corrupt(&self, on: &Corrupted<'_>) -> Result<Vec<u32>> {
        let features = on.features()?;
        let flip = |(i, &label): (usize, &u32)| {
            let wrong = f64::from(Rng::new(on.seed, STREAM, i as u64).uniform()) < on.rate;
            let step = 1 + features.of(i)[0].abs() as u32 % 2;
            if wrong { (label + step) % on.classes as u32 } else { label }
        };
        Ok(on.labels.iter().enumerate().map(flip).collect())
    }

    fn no_signal(&self, _: usize) -> Option<f64> {
        None
    }
}

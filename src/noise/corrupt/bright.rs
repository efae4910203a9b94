//! For tests alone: a kind with a setting that reads the images. A bright image's label goes wrong with probability `rate`,
//! to the class before it; the label of a dark one stays.

use super::listed::{Entry, read};
use super::{Corrupted, Kind, Mistake, STREAM};
use crate::base::Result;
use crate::base::rng::Rng;
use serde::{Deserialize, Serialize};

pub(super) const ENTRY: Entry = Entry {
    name: "bright",
    about: "the label of a bright image becomes the class before",
    overlay: "[noise]\nkinds = [\"bright\"]\n[noise.bright]\nabove = 128\n",
    read: read::<Bright>,
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bright {
    /// The mean of a bright image's pixels is greater.
    above: u32,
}

impl Kind for Bright {
    fn corrupt(&self, on: &Corrupted<'_>) -> Result<Vec<u32>> {
        let (pixels, present) = (on.pixels()?, on.present());
        let flip = |(i, &label): (usize, &u32)| {
            let image = pixels.image(i);
            let mean = image.iter().map(|&v| f64::from(v)).sum::<f64>() / image.len() as f64;
            let mut rng = Rng::new(on.seed, STREAM, i as u64);
            if mean <= f64::from(self.above) || f64::from(rng.uniform()) >= on.rate {
                return label;
            }
            let at = present.iter().position(|&c| c == label).unwrap_or(0);
            present[(at + present.len() - 1) % present.len()]
        };
        Ok(on.labels.iter().enumerate().map(flip).collect())
    }

    fn no_signal(&self, _: usize) -> Option<f64> {
        None
    }

    fn check(&self) -> Result<(), Mistake> {
        if self.above >= 255 {
            return Err(("above", format!("is {}; use a level below 255", self.above)));
        }
        Ok(())
    }
}

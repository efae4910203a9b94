//! A kind for tests only, with a setting, that reads the images. A bright image's label goes wrong with probability
//! `rate`: it becomes the class before. A dark image's label stays.

use super::{Corrupted, Kind, STREAM};
use crate::base::Result;
use crate::base::range::{Mistake, mistake};
use crate::base::rng::Rng;
use crate::nn::listed::{Checked, Entry, read};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) const ENTRY: Entry<dyn Kind> = Entry {
    name: "bright",
    about: "the label of a bright image becomes the class before",
    overlay: "[noise]\nkinds = [\"bright\"]\n[noise.bright]\nabove = 128\n",
    read: |from| read(from, |kind: Bright| Arc::new(kind)),
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bright {
    /// An image is bright if the mean of its pixels is above this.
    above: u32,
}

impl Checked for Bright {
    fn check(&self) -> Result<(), Mistake> {
        match self.above {
            0..255 => Ok(()),
            above => mistake("above", format!("is {above}; use a level below 255")),
        }
    }
}

impl Kind for Bright {
    fn corrupt(&self, on: &Corrupted<'_>) -> Result<Vec<u32>> {
        let (pixels, present) = (on.pixels()?, on.present());
        let flip = |(i, &label): (usize, &u32)| {
            let image = pixels.image(i)?;
            let mean = image.iter().map(|&v| f64::from(v)).sum::<f64>() / image.len() as f64;
            let mut rng = Rng::new(on.seed, STREAM, i as u64);
            if mean <= f64::from(self.above) || f64::from(rng.uniform()) >= on.rate {
                return Ok(label);
            }
            let at = present.iter().position(|&c| c == label).unwrap_or(0);
            Ok(present[(at + present.len() - 1) % present.len()])
        };
        on.labels.iter().enumerate().map(flip).collect()
    }

    fn reads_pixels(&self) -> bool {
        true
    }

    fn no_signal(&self, _: usize) -> Option<f64> {
        None
    }
}

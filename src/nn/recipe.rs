//! How a random view of an image is made. This is plain data: a config holds it, and the data floor carries it out.

use crate::base::range::{Mistake, mistake, range, share};
use serde::{Deserialize, Serialize};

/// `[augmentation]`: the strengths of the changes, in the order in which they are applied. Sizes are shares of the
/// image, probabilities are from 0 to 1, sigma is in pixels of the view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Whether a view is the whole image, only resized and normalized. Then all other keys have no effect.
    pub off: bool,
    /// Area of the crop as a share of the image: smallest, largest.
    pub crop_scale: [f64; 2],
    /// Width of the crop over its height: smallest, largest.
    pub crop_ratio: [f64; 2],
    /// Probability of mirroring left and right.
    pub flip_probability: f64,
    /// Probability of changing the colours.
    pub jitter_probability: f64,
    /// Strength of the change of brightness, contrast, saturation and hue.
    pub jitter: [f64; 4],
    /// Probability of turning to grey.
    pub grayscale_probability: f64,
    /// Probability of a Gaussian blur.
    pub blur_probability: f64,
    /// Standard deviation of the blur in pixels: smallest, largest.
    pub blur_sigma: [f64; 2],
    /// Probability of inverting bright values: 1 − x for x of ½ or more.
    pub solarize_probability: f64,
}

impl Recipe {
    /// The whole image, unchanged.
    pub const PLAIN: Recipe = Recipe {
        off: true,
        crop_scale: [1.0, 1.0],
        crop_ratio: [1.0, 1.0],
        flip_probability: 0.0,
        jitter_probability: 0.0,
        jitter: [0.0; 4],
        grayscale_probability: 0.0,
        blur_probability: 0.0,
        blur_sigma: [1.0, 1.0],
        solarize_probability: 0.0,
    };

    /// An error with the first value that is out of its range, and its key.
    pub fn check(&self) -> Result<(), Mistake> {
        range("crop_scale", self.crop_scale, 1.0)?;
        range("crop_ratio", self.crop_ratio, 100.0)?;
        share("flip_probability", self.flip_probability)?;
        share("jitter_probability", self.jitter_probability)?;
        for (strength, largest) in self.jitter.into_iter().zip([1.0, 1.0, 1.0, 0.5]) {
            if !(0.0..=largest).contains(&strength) {
                let what = "use 0 to 1 for brightness, contrast and saturation, 0 to 0.5 for hue";
                return mistake("jitter", format!("holds {strength}; {what}"));
            }
        }
        share("grayscale_probability", self.grayscale_probability)?;
        share("blur_probability", self.blur_probability)?;
        range("blur_sigma", self.blur_sigma, 100.0)?;
        share("solarize_probability", self.solarize_probability)
    }
}

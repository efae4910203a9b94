//! Two views that are made a little differently from each other, as in BYOL (table 6) and in methods after it.

use crate::base::Result;
use crate::base::range::{Mistake, share};
use crate::nn::{Recipe, Recorder};
use crate::tape::Var;
use serde::{Deserialize, Serialize};

/// `[pretraining.METHOD.views]`: a value for each of the two views, in place of the recipe's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Probabilities of a Gaussian blur.
    pub blur_probability: [f64; 2],
    /// Probabilities of inverting bright values.
    pub solarize_probability: [f64; 2],
}

impl Pair {
    /// An error with the first value that is out of its range, and its key in the method's table.
    pub fn check(&self) -> Result<(), Mistake> {
        self.blur_probability.iter().try_for_each(|&p| share("views.blur_probability", p))?;
        self.solarize_probability.iter().try_for_each(|&p| share("views.solarize_probability", p))
    }

    /// Records both views, one below the other: f32 [2 · batch, C, H, W].
    pub fn views(&self, r: &mut Recorder<'_>) -> Result<Var> {
        let [first, second] = [0, 1].map(|i| {
            let (blur_probability, solarize_probability) = (self.blur_probability[i], self.solarize_probability[i]);
            Recipe { blur_probability, solarize_probability, ..r.recipe.clone() }
        });
        r.both_views(0, [&first, &second])
    }
}

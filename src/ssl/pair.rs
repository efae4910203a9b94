//! Two views of which the second is made a little otherwise than the first, as BYOL's authors do (table 6) and others after
//! them.

use crate::base::Result;
use crate::base::range::{Mistake, share};
use crate::nn::{Recipe, Recorder};
use crate::tape::Var;
use serde::{Deserialize, Serialize};

/// `[pretraining.METHOD.views]`: what each of the two views has in place of the recipe's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Of a Gaussian blur.
    pub blur_probability: [f64; 2],
    /// Of turning bright values round.
    pub solarize_probability: [f64; 2],
}

impl Pair {
    /// The first value that is out of its range, by its key in the method's table.
    pub fn check(&self) -> Result<(), Mistake> {
        self.blur_probability.iter().try_for_each(|&p| share("views.blur_probability", p))?;
        self.solarize_probability.iter().try_for_each(|&p| share("views.solarize_probability", p))
    }

    /// Records both views.
    pub fn views(&self, r: &mut Recorder<'_>) -> Result<[Var; 2]> {
        let mut view = |i: usize| {
            let (blur_probability, solarize_probability) = (self.blur_probability[i], self.solarize_probability[i]);
            let recipe = Recipe { blur_probability, solarize_probability, ..r.recipe.clone() };
            r.view(i as u32, &recipe)
        };
        Ok([view(0)?, view(1)?])
    }
}

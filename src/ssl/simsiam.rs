//! SimSiam (Chen & He 2020, arXiv 2011.10566). A prediction from one view's projection is compared with the other
//! view's projection, which gets no gradient: L = ½ D(p₁, z₂) + ½ D(p₂, z₁), D = −cos (eq. 1 to 3). There is one
//! network, and there are no negative pairs and no moving average. The prediction keeps its learning rate while that of
//! the others falls (section 4.2, the last row of table 1).

use super::{Method, head_key};
use crate::base::Result;
use crate::base::range::{Mistake, between};
use crate::nn::Layer::{BatchNorm, Linear, PlainBatchNorm, Relu, Unbiased};
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::optimizer::Group;
use crate::nn::recorder::{Loss, Recorder, Turn};
use crate::tape::Type;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its entry in the list of methods.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "simsiam",
    about: "SimSiam: two views, a prediction, a stopped gradient (Chen & He 2020)",
    overlay: include_str!("../../configs/ssl/simsiam.toml"),
    read: |from| read(from, |method: SimSiam| Arc::new(method)),
};

/// The layer that tells one view's projection from the other's.
const PREDICTION: &str = "prediction";

/// `[pretraining.simsiam]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimSiam {
    /// Width of each of the projection's three layers.
    pub projection_dim: usize,
    /// Width of the prediction's hidden layer.
    pub prediction_hidden_dim: usize,
    /// Whether the prediction's learning rate is optimizer.lr, scaled for the batch, in every step, without warm-up and
    /// schedule: `--fix-pred-lr` of the authors' code.
    pub fix_prediction_lr: bool,
}

impl Checked for SimSiam {
    fn check(&self) -> Result<(), Mistake> {
        between("projection_dim", self.projection_dim, 1, 65_536)?;
        between("prediction_hidden_dim", self.prediction_hidden_dim, 1, 65_536)
    }
}

impl Method for SimSiam {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let recipe = r.recipe.clone();
        let views = r.both_views(0, [&recipe, &recipe])?;
        let (d, hidden) = (self.projection_dim, self.prediction_hidden_dim);
        let [z, p] = r.together(views, |r, x| {
            let features = r.features(x)?;
            let layers = [Unbiased(d), BatchNorm, Relu, Unbiased(d), BatchNorm, Relu, Unbiased(d), PlainBatchNorm];
            let z = r.head("projection", features, &layers)?;
            Ok([z, r.head(PREDICTION, z, &[Unbiased(hidden), BatchNorm, Relu, Linear(d)])?])
        })?;
        let z = r.t.detach(z)?;
        let (first, second, n) = (r.of_view(z, 0)?, r.of_view(z, 1)?, r.batch);
        let loss = r.t.layer("loss", |t| {
            let other = t.concat(&[second, first], 0)?;
            let weights = t.fill([2 * n], 1.0)?;
            Ok(t.negative_cosine(p, other, weights, 1e-8)?[0])
        })?;
        r.mean_over_images(loss)
    }

    fn group(&self) -> Option<Group> {
        self.fix_prediction_lr.then_some(Group::ConstantRate { layer: PREDICTION })
    }

    fn size_key(&self, parameter: &str, _: Type) -> Option<(&'static str, String)> {
        let projection = ("projection.", "projection_dim", self.projection_dim.to_string());
        head_key(
            parameter,
            [projection, ("prediction.", "prediction_hidden_dim", self.prediction_hidden_dim.to_string())],
        )
    }
}

//! BYOL (Grill et al. 2020, arXiv 2006.07733). The online network predicts, from one view, what a target network makes
//! of the other view. The loss is 2 − 2·cos for each direction (eq. 2). The target follows the online weights: ξ ← τ ξ
//! + (1 − τ) θ (eq. 1). τ = 1 − (1 − τ₀)·(cos(π·k/K) + 1)/2 rises from τ₀ to 1 over the K steps (section 3.2).

use super::pair::Pair;
use super::{Method, head_key};
use crate::base::Result;
use crate::base::range::{Mistake, between, share};
use crate::nn::Layer;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::tape::{Type, Var};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;
use std::sync::Arc;

/// Its entry in the list of methods.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "byol",
    about: "BYOL: a network predicts its own moving average (Grill et al. 2020)",
    overlay: include_str!("../../configs/ssl/byol.toml"),
    read: |from| read(from, |method: Byol| Arc::new(method)),
};

/// The player that follows the online network.
const TARGET: &str = "target";
/// The scalar τ.
const MOMENTUM: &str = "momentum";

/// `[pretraining.byol]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Byol {
    /// τ₀, the share of the target that is kept at the first step.
    pub momentum: f64,
    /// The projection: width of the hidden layer, length of the output, which is predicted.
    pub projection_dims: [usize; 2],
    /// Width of the prediction's hidden layer.
    pub prediction_hidden_dim: usize,
    /// How the two views differ.
    pub views: Pair,
}

impl Checked for Byol {
    fn check(&self) -> Result<(), Mistake> {
        share("momentum", self.momentum)?;
        self.projection_dims.iter().try_for_each(|&d| between("projection_dims", d, 1, 65_536))?;
        between("prediction_hidden_dim", self.prediction_hidden_dim, 1, 65_536)?;
        self.views.check()
    }
}

/// The authors' head. Its hidden layer has a bias though batch norm follows; its last layer has none.
fn head([hidden, out]: [usize; 2]) -> [Layer; 4] {
    [Layer::Linear(hidden), Layer::BatchNorm, Layer::Relu, Layer::Unbiased(out)]
}

impl Byol {
    fn projected(&self, r: &mut Recorder<'_>, x: Var) -> Result<Var> {
        let features = r.features(x)?;
        r.head("projection", features, &head(self.projection_dims))
    }
}

impl Method for Byol {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let views = self.views.views(r)?;
        let prediction = head([self.prediction_hidden_dim, self.projection_dims[1]]);
        let predicted = r.together(views, |r, x| {
            let z = self.projected(r, x)?;
            r.head("prediction", z, &prediction)
        })?;
        // The target sees the views in the other order, so that row i of the prediction and row i of the target belong
        // together.
        let swapped = r.swapped(views)?;
        let target = r.player(TARGET, Some(""), |r| r.together(swapped, |r, x| self.projected(r, x)))?;
        let n = 2 * r.batch;
        let loss = r.t.layer("loss", |t| {
            let target = t.detach(target)?;
            let weights = t.fill([n], 1.0)?;
            let [cosine, _] = t.negative_cosine(predicted, target, weights, 1e-12)?;
            // `cosine` is the mean of −cos over both directions, so their sum of 2 − 2·cos is 4 · `cosine` + 4.
            let (scaled, four) = (t.scale(cosine, 4.0)?, t.fill([1], 4.0)?);
            t.add(scaled, four)
        })?;
        r.mean_over_images(loss)
    }

    fn after_update(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<()> {
        let keep = r.t.scalar(MOMENTUM)?;
        r.follow(TARGET, keep)
    }

    fn scalars(&self, at: Progress) -> Vec<(&'static str, f32)> {
        let keep = 1.0 - (1.0 - self.momentum) * ((PI * at.share()).cos() + 1.0) / 2.0;
        vec![(MOMENTUM, keep as f32)]
    }

    fn size_key(&self, parameter: &str, _: Type) -> Option<(&'static str, String)> {
        let prediction = ("prediction.", "prediction_hidden_dim", self.prediction_hidden_dim.to_string());
        let projection = ("projection.", "projection_dims", format!("{:?}", self.projection_dims));
        head_key(parameter, [prediction, projection])
    }
}

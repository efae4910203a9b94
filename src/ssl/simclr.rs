//! SimCLR (Chen et al. 2020, arXiv 2002.05709): two views of each image pass one network, and NT-Xent compares them
//! (eq. 1). The views pass the network together, so batch norm sees 2N images.

use super::{Method, head_key};
use crate::base::Result;
use crate::base::range::{Mistake, between, positive};
use crate::nn::Layer;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Recorder, Turn};
use crate::tape::Type;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its entry in the list of methods.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "simclr",
    about: "SimCLR: two views, NT-Xent (Chen et al. 2020)",
    overlay: include_str!("../../configs/ssl/simclr.toml"),
    read: |from| read(from, |method: SimClr| Arc::new(method)),
};

/// `[pretraining.simclr]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimClr {
    /// τ of the softmax over similarities.
    pub temperature: f64,
    /// The head: width of the hidden layer, length of the projections that are compared.
    pub projection_dims: [usize; 2],
}

impl Checked for SimClr {
    fn check(&self) -> Result<(), Mistake> {
        positive("temperature", self.temperature)?;
        self.projection_dims.iter().try_for_each(|&d| between("projection_dims", d, 1, 65_536))
    }
}

impl Method for SimClr {
    /// The parameters of the network are named under `backbone.`, those of the head under `projection.`.
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let recipe = r.recipe.clone();
        let x = r.both_views(0, [&recipe, &recipe])?;
        let features = r.features(x)?;
        let [hidden, out] = self.projection_dims;
        let z = r.head("projection", features, &[Layer::Linear(hidden), Layer::Relu, Layer::Linear(out)])?;
        let [z] = r.whole_batch([z])?;
        let temperature = self.temperature as f32;
        let loss = r.t.layer("loss", |t| {
            let z = t.l2_normalize(z, 1e-12)?;
            t.nt_xent(z, temperature)
        })?;
        Ok(loss.into())
    }

    fn size_key(&self, parameter: &str, _: Type) -> Option<(&'static str, String)> {
        head_key(parameter, [("projection.", "projection_dims", format!("{:?}", self.projection_dims))])
    }
}

//! Barlow Twins (Zbontar et al. 2021, arXiv 2103.03230). The loss draws the cross-correlation C of two views'
//! projections towards the identity: L = Σ_i (1 − C_ii)² + λ Σ_i Σ_{j ≠ i} C_ij² (eq. 1).

use super::pair::Pair;
use super::{Method, head_key};
use crate::base::Result;
use crate::base::range::{Mistake, between, positive};
use crate::nn::Layer::{BatchNorm, Relu, Unbiased};
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Recorder, Turn};
use crate::tape::Type;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its entry in the list of methods.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "barlow_twins",
    about: "Barlow Twins: two views whose features correlate one to one (Zbontar et al. 2021)",
    overlay: include_str!("../../configs/ssl/barlow_twins.toml"),
    read: |from| read(from, |method: BarlowTwins| Arc::new(method)),
};

/// `[pretraining.barlow_twins]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BarlowTwins {
    /// λ, the weight of the elements off the diagonal.
    pub lambda: f64,
    /// Width of each of the projection's three layers.
    pub projection_dim: usize,
    /// How the two views differ.
    pub views: Pair,
}

impl Checked for BarlowTwins {
    fn check(&self) -> Result<(), Mistake> {
        positive("lambda", self.lambda)?;
        between("projection_dim", self.projection_dim, 1, 65_536)?;
        self.views.check()
    }
}

impl Method for BarlowTwins {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let views = self.views.views(r)?;
        let d = self.projection_dim;
        let z = r.together(views, |r, x| {
            let features = r.features(x)?;
            let layers = [Unbiased(d), BatchNorm, Relu, Unbiased(d), BatchNorm, Relu, Unbiased(d)];
            r.head("projection", features, &layers)
        })?;
        let [z] = r.whole_batch([z])?;
        let views = [r.of_view(z, 0)?, r.of_view(z, 1)?];
        let loss = r.t.layer("loss", |t| t.barlow_twins(views, self.lambda as f32))?;
        Ok(loss.into())
    }

    fn size_key(&self, parameter: &str, _: Type) -> Option<(&'static str, String)> {
        head_key(parameter, [("projection.", "projection_dim", self.projection_dim.to_string())])
    }
}

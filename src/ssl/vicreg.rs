//! VICReg (Bardes et al. 2022, arXiv 2105.04906). The loss draws two views' projections together, keeps the standard
//! deviation of each dimension near 1, and keeps dimensions from covarying: L = λ·s(Z, Z′) + μ·(v(Z) + v(Z′)) + ν·(c(Z)
//! + c(Z′)) (eq. 6). v is halved as in the authors' code.

use super::pair::Pair;
use super::{Method, head_key};
use crate::base::Result;
use crate::base::range::{Mistake, between, positive};
use crate::kernels::vicreg;
use crate::nn::Layer::{BatchNorm, Linear, Relu, Unbiased};
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Recorder, Turn};
use crate::tape::Type;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its entry in the list of methods.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "vicreg",
    about: "VICReg: variance, invariance and covariance of two views (Bardes et al. 2022)",
    overlay: include_str!("../../configs/ssl/vicreg.toml"),
    read: |from| read(from, |method: Vicreg| Arc::new(method)),
};

/// `[pretraining.vicreg]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vicreg {
    /// λ, the weight of the distance between the views.
    pub invariance: f64,
    /// μ, the weight of the hinge on standard deviations.
    pub variance: f64,
    /// ν, the weight of the covariances.
    pub covariance: f64,
    /// Width of each of the projection's three layers.
    pub projection_dim: usize,
    /// How the two views differ.
    pub views: Pair,
}

impl Checked for Vicreg {
    fn check(&self) -> Result<(), Mistake> {
        positive("invariance", self.invariance)?;
        positive("variance", self.variance)?;
        positive("covariance", self.covariance)?;
        between("projection_dim", self.projection_dim, 1, 65_536)?;
        self.views.check()
    }
}

impl Method for Vicreg {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let views = self.views.views(r)?;
        let d = self.projection_dim;
        let z = r.together(views, |r, x| {
            let features = r.features(x)?;
            r.head("projection", features, &[Linear(d), BatchNorm, Relu, Linear(d), BatchNorm, Relu, Unbiased(d)])
        })?;
        let [invariance, variance, covariance] = [self.invariance, self.variance, self.covariance].map(|w| w as f32);
        let op = vicreg::Vicreg { invariance, variance, covariance };
        let [z] = r.whole_batch([z])?;
        let views = [r.of_view(z, 0)?, r.of_view(z, 1)?];
        let [total, invariance, variance, covariance] = r.t.layer("loss", |t| t.vicreg(views, op))?;
        let terms = vec![("invariance", invariance), ("variance", variance), ("covariance", covariance)];
        Ok(Loss { total, terms })
    }

    fn size_key(&self, parameter: &str, _: Type) -> Option<(&'static str, String)> {
        head_key(parameter, [("projection.", "projection_dim", self.projection_dim.to_string())])
    }
}

//! SimCLR (Chen et al. 2020, arXiv 2002.05709): two views of each image, one network, NT-Xent over both (eq. 1).
//! Views pass the network together, so batch norm sees 2N images.

use crate::base::Result;
use crate::nn::projection::projection;
use crate::nn::{Mode, Params, ResNet};
use crate::tape::{Tape, Var};

/// SimCLR's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimClr {
    /// τ of the softmax over similarities.
    pub temperature: f32,
    /// Width of the head's hidden layer.
    pub hidden: usize,
    /// Length of the projections that are compared.
    pub out: usize,
}

impl SimClr {
    /// The loss [1] of two views, each [N, C, H, W]. The network is named under `backbone.`, the head under
    /// `projection.`.
    pub fn loss(&self, t: &mut Tape, params: &mut Params, backbone: &ResNet, views: [Var; 2]) -> Result<Var> {
        let x = t.layer("views", |t| t.concat(&views, 0))?;
        let features = backbone.forward(t, params, "backbone.", x, Mode::Train)?;
        let z = projection(t, params, "projection.", features, self.hidden, self.out)?;
        t.layer("loss", |t| {
            let z = t.l2_normalize(z, 1e-12)?;
            t.nt_xent(z, self.temperature)
        })
    }
}

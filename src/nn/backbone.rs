//! A backbone: a network from images to features, the same to every method that pretrains or trains it.

use super::batch_norm::Mode;
use super::init::Params;
use super::optimizer::Optimizer;
use super::resnet::{ResNet, Stem};
use crate::base::{Error, Result};
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A network from images to features. Parameters are named under `prefix`, for instance `backbone.`, as torchvision or
/// timm names them.
pub trait Backbone: fmt::Debug + fmt::Display + Send + Sync {
    /// Channels of the images.
    fn in_channels(&self) -> usize;

    /// Length of an image's feature vector.
    fn features(&self) -> usize;

    /// Records the network: x [N, C, H, W] gives one feature vector an image, [N, features].
    fn forward(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, mode: Mode) -> Result<Var>;

    /// Records the network up to its tokens: x [N, C, H, W] gives [N, T, features]. An error for a network that has none.
    fn tokens(&self, _t: &mut Tape, _params: &mut Params, _prefix: &str, _x: Var, _mode: Mode) -> Result<Var> {
        Err(Error::Usage(format!("{self} has no tokens; take a vision transformer where a method works on them")))
    }

    /// Records the classifier: features [N, features] give logits [N, classes].
    fn classify(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, classes: usize) -> Result<Var>;

    /// How such a network is usually trained from random weights.
    fn usual_optimizer(&self) -> Optimizer;
}

/// `[model]`: which backbone, and its sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// A name of [`ARCHS`].
    pub arch: String,
    /// The first convolution.
    pub stem: Stem,
    /// Times the usual number of channels.
    pub width: f64,
}

/// In a few words: `resnet18 × 0.5 with the stem 3x3`.
impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {} with the stem {}", self.arch, self.width, self.stem)
    }
}

/// Makes a backbone of these sizes for images of so many channels.
type Make = fn(&Model, usize) -> Arc<dyn Backbone>;

/// Every backbone of a study, by name.
pub const ARCHS: &[(&str, Make)] = &[
    ("resnet18", |m, in_channels| Arc::new(ResNet::resnet18(m.stem, m.width, in_channels))),
    ("resnet50", |m, in_channels| Arc::new(ResNet::resnet50(m.stem, m.width, in_channels))),
];

impl Model {
    /// The backbone for images of `in_channels` channels; an error for a name that is not in [`ARCHS`].
    pub fn backbone(&self, in_channels: usize) -> Result<Arc<dyn Backbone>> {
        match ARCHS.iter().find(|a| a.0 == self.arch) {
            Some((_, make)) => Ok(make(self, in_channels)),
            None => Err(Error::Usage(format!("there is no backbone {}; known: {}", self.arch, names().join(", ")))),
        }
    }
}

/// The names in [`ARCHS`].
pub fn names() -> Vec<&'static str> {
    ARCHS.iter().map(|a| a.0).collect()
}

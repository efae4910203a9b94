//! A backbone: a network from images to features. Every method that pretrains or trains it sees it in the same way.

use super::batch_norm::Mode;
use super::init::Params;
use super::optimizer::Optimizer;
use super::resnet::{ResNet, Stem};
use super::vit::{GlobalPool, Vit};
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

    /// Length of an image's feature vector. A token has the same length.
    fn features(&self) -> usize;

    /// Side in pixels of the patches that images are cut into. Each patch becomes a token. `None` for a network without
    /// tokens.
    fn patch_size(&self) -> Option<usize> {
        None
    }

    /// Whether `forward` and `tokens` take f16 images. Then activations and tokens are f16, and features are f32 all the same.
    fn takes_f16(&self) -> bool {
        false
    }

    /// Records the network: x f32 [N, C, H, W], or f16 if it takes that, gives one feature vector for each image, f32
    /// [N, features].
    fn forward(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, mode: Mode) -> Result<Var>;

    /// Records the network up to its tokens, after the final norm: x [N, C, H, W] as `forward` takes it gives [N, T, features]
    /// of x's elements, the class token first, then the patches row by row. `rows` u32 [N·S] picks S tokens of each image by their places among
    /// all [N·T] tokens, one image after the other. Then only the picked tokens pass the blocks, and the result is
    /// [N, S, features]. It is an error for a network without tokens.
    fn tokens(&self, _t: &mut Tape, _params: &mut Params, _prefix: &str, _x: Var, _rows: Option<Var>) -> Result<Var> {
        Err(Error::Usage(format!("{self} has no tokens; take a vision transformer where a method works on them")))
    }

    /// The name of the classifier's layer: `fc` in torchvision, `head` in timm.
    fn classifier(&self) -> &'static str;

    /// Records the classifier: features [N, features] give logits [N, classes].
    fn classify(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, classes: usize) -> Result<Var>;

    /// The optimizer that usually trains such a network from random weights.
    fn usual_optimizer(&self) -> Optimizer;
}

/// `[model]`: which backbone, and its sizes. A key that the backbone does not read is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// One of the names in [`ARCHS`].
    pub arch: String,
    /// The first convolution of a ResNet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
    /// A ResNet's number of channels as a multiple of the usual number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// Side in pixels of the patches of a vision transformer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<usize>,
    /// Which of a vision transformer's tokens become the features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_pool: Option<GlobalPool>,
}

/// In a few words: `resnet18 × 0.5 with the stem 3x3`, `vit_tiny with patches of 4 and global_pool avg`.
impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arch)?;
        self.width.map_or(Ok(()), |width| write!(f, " × {width}"))?;
        self.stem.map_or(Ok(()), |stem| write!(f, " with the stem {stem}"))?;
        self.patch_size.map_or(Ok(()), |patch| write!(f, " with patches of {patch}"))?;
        self.global_pool.map_or(Ok(()), |pool| write!(f, " and global_pool {pool}"))
    }
}

/// A backbone that a config can name.
#[derive(Debug)]
pub struct Arch {
    /// What configs call it.
    pub name: &'static str,
    /// The keys of `[model]` that it reads, besides `arch`.
    pub reads: &'static [&'static str],
    /// Makes it for images with this number of channels.
    make: fn(&Model, usize) -> Result<Arc<dyn Backbone>>,
}

const RESNET: &[&str] = &["stem", "width"];
const VIT: &[&str] = &["patch_size", "global_pool"];

/// Every backbone of a study.
pub const ARCHS: &[Arch] = &[
    Arch { name: "resnet18", reads: RESNET, make: |m, c| m.resnet(|stem, width| ResNet::resnet18(stem, width, c)) },
    Arch { name: "resnet50", reads: RESNET, make: |m, c| m.resnet(|stem, width| ResNet::resnet50(stem, width, c)) },
    Arch { name: "vit_tiny", reads: VIT, make: |m, c| m.vit(|patch| Vit::tiny(patch, c)) },
    Arch { name: "vit_small", reads: VIT, make: |m, c| m.vit(|patch| Vit::small(patch, c)) },
];

impl Model {
    /// The backbone for images of `in_channels` channels. It is an error if [`ARCHS`] lacks the name, or if a key that
    /// the backbone reads is missing.
    pub fn backbone(&self, in_channels: usize) -> Result<Arc<dyn Backbone>> {
        match arch(&self.arch) {
            Some(arch) => (arch.make)(self, in_channels),
            None => Err(Error::Usage(format!("there is no backbone {}; known: {}", self.arch, names().join(", ")))),
        }
    }

    /// The same model without the keys that its backbone does not read.
    pub fn settled(mut self) -> Model {
        let reads = |key: &str| arch(&self.arch).is_none_or(|arch| arch.reads.contains(&key));
        let (stem, width, patch, pool) = (reads("stem"), reads("width"), reads("patch_size"), reads("global_pool"));
        self.stem = self.stem.filter(|_| stem);
        self.width = self.width.filter(|_| width);
        self.patch_size = self.patch_size.filter(|_| patch);
        self.global_pool = self.global_pool.filter(|_| pool);
        self
    }

    /// The key that decides how large the network is, with its value: `model.width = 2`, `model.arch = vit_small`.
    pub fn size_key(&self) -> (&'static str, String) {
        match self.width {
            Some(width) => ("model.width", width.to_string()),
            None => ("model.arch", self.arch.clone()),
        }
    }

    fn resnet(&self, make: impl Fn(Stem, f64) -> ResNet) -> Result<Arc<dyn Backbone>> {
        Ok(Arc::new(make(self.given("stem", self.stem)?, self.given("width", self.width)?)))
    }

    fn vit(&self, make: impl Fn(usize) -> Vit) -> Result<Arc<dyn Backbone>> {
        let global_pool = self.given("global_pool", self.global_pool)?;
        Ok(Arc::new(Vit { global_pool, ..make(self.given("patch_size", self.patch_size)?) }))
    }

    fn given<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| Error::Usage(format!("model.{key} is missing, which {} reads; give it", self.arch)))
    }
}

/// The backbone called `name`, if there is one.
pub fn arch(name: &str) -> Option<&'static Arch> {
    ARCHS.iter().find(|a| a.name == name)
}

/// The names in [`ARCHS`].
pub fn names() -> Vec<&'static str> {
    ARCHS.iter().map(|a| a.name).collect()
}

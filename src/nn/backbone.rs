//! A backbone: a network from images to features, the same to every method that pretrains or trains it.

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

    /// Length of an image's feature vector, and of a token.
    fn features(&self) -> usize;

    /// Side in pixels of the patches that images are cut into, each of which becomes a token; none of a network without
    /// tokens.
    fn patch_size(&self) -> Option<usize> {
        None
    }

    /// Records the network: x [N, C, H, W] gives one feature vector an image, [N, features].
    fn forward(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, mode: Mode) -> Result<Var>;

    /// Records the network up to its tokens, each behind the final norm: x [N, C, H, W] gives [N, T, features], the class
    /// token first, then the patches row by row. With `rows` u32 [N·S], which name S tokens of each image among the [N·T] of
    /// all, one image after the other, those alone pass the blocks: [N, S, features]. An error for a network that has no tokens.
    fn tokens(&self, _t: &mut Tape, _params: &mut Params, _prefix: &str, _x: Var, _rows: Option<Var>) -> Result<Var> {
        Err(Error::Usage(format!("{self} has no tokens; take a vision transformer where a method works on them")))
    }

    /// The name of the classifier's layer: `fc` in torchvision, `head` in timm.
    fn classifier(&self) -> &'static str;

    /// Records the classifier: features [N, features] give logits [N, classes].
    fn classify(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, classes: usize) -> Result<Var>;

    /// How such a network is usually trained from random weights.
    fn usual_optimizer(&self) -> Optimizer;
}

/// `[model]`: which backbone, and its sizes. A key that the backbone does not read is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// A name of [`ARCHS`].
    pub arch: String,
    /// The first convolution of a ResNet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
    /// Times the usual number of channels of a ResNet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// Side in pixels of the patches of a vision transformer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<usize>,
    /// What the features of a vision transformer are.
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
    /// Makes it for images of so many channels.
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
    /// The backbone for images of `in_channels` channels; an error for a name that is not in [`ARCHS`], and for a key that it
    /// reads and that is none.
    pub fn backbone(&self, in_channels: usize) -> Result<Arc<dyn Backbone>> {
        match arch(&self.arch) {
            Some(arch) => (arch.make)(self, in_channels),
            None => Err(Error::Usage(format!("there is no backbone {}; known: {}", self.arch, names().join(", ")))),
        }
    }

    /// Without the keys that its backbone does not read.
    pub fn settled(mut self) -> Model {
        let reads = |key: &str| arch(&self.arch).is_none_or(|arch| arch.reads.contains(&key));
        let (stem, width, patch, pool) = (reads("stem"), reads("width"), reads("patch_size"), reads("global_pool"));
        self.stem = self.stem.filter(|_| stem);
        self.width = self.width.filter(|_| width);
        self.patch_size = self.patch_size.filter(|_| patch);
        self.global_pool = self.global_pool.filter(|_| pool);
        self
    }

    /// The key that makes the network as large as it is, with its value: `model.width = 2`, `model.arch = vit_small`.
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

/// The backbone called `name`.
pub fn arch(name: &str) -> Option<&'static Arch> {
    ARCHS.iter().find(|a| a.name == name)
}

/// The names in [`ARCHS`].
pub fn names() -> Vec<&'static str> {
    ARCHS.iter().map(|a| a.name).collect()
}

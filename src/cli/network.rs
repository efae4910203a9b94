//! The options that choose a network if no config does.

use crate::base::{Error, Result};
use crate::nn::{Backbone, Model, Stem, Vit, backbone};
use clap::Args;
use clap::builder::PossibleValuesParser;
use std::sync::Arc;

/// A network of given sizes.
#[derive(Args, Debug)]
pub(super) struct NetworkOptions {
    /// Without a config: the network, resnet18, resnet50 or vit (a ViT-Ti)
    #[arg(long, default_value = "resnet18", value_parser = models())]
    model: String,
    /// Without a config: channels of the images
    #[arg(long, default_value_t = 3)]
    channels: usize,
    /// Without a config: factor on the 64, 128, 256, 512 channels of a ResNet
    #[arg(long, default_value_t = 1.0)]
    width: f64,
    /// Without a config: the first layers of a ResNet, 3x3 or 7x7 (with pooling)
    #[arg(long, default_value = "3x3", value_parser = ["3x3", "7x7"])]
    stem: String,
    /// Without a config: side of the ViT's patches in pixels
    #[arg(long, default_value_t = 8)]
    patch: usize,
}

impl NetworkOptions {
    /// The network they name, for images of `size` by `size` pixels.
    pub fn network(&self, size: usize) -> Result<Arc<dyn Backbone>> {
        let NetworkOptions { channels, width, patch, .. } = *self;
        if channels == 0 || patch == 0 || width.is_nan() || width <= 0.0 {
            return Err(Error::Usage("--channels, --width and --patch must be above 0".into()));
        }
        if self.model == "vit" && !size.is_multiple_of(patch) {
            return Err(Error::Usage(format!(
                "--patch {patch} does not divide --size {size}; the image of a ViT must be whole patches"
            )));
        }
        let stem = if self.stem == "3x3" { Stem::Small } else { Stem::Large };
        match self.model.as_str() {
            "vit" => Ok(Arc::new(Vit::tiny(patch, channels))),
            arch => Model { arch: arch.into(), stem, width }.backbone(channels),
        }
    }
}

/// The backbones of a config, and the transformer, which a config cannot name yet.
fn models() -> PossibleValuesParser {
    backbone::names().into_iter().chain(["vit"]).collect::<Vec<_>>().into()
}

//! The options that choose a network if no config does.

use crate::base::{Error, Result};
use crate::nn::{Backbone, ResNet, Stem, Vit};
use clap::Args;
use std::sync::Arc;

/// A network of given sizes.
#[derive(Args, Debug)]
pub(super) struct NetworkOptions {
    /// Without a config: the network, resnet18, resnet50 or vit (a ViT-Ti)
    #[arg(long, default_value = "resnet18", value_parser = ["resnet18", "resnet50", "vit"])]
    model: String,
    /// Without a config: channels of the images
    #[arg(long, default_value_t = 3)]
    channels: usize,
    /// Without a config: factor on the 64, 128, 256, 512 channels of the ResNet-18
    #[arg(long, default_value_t = 1.0)]
    width: f64,
    /// Without a config: the first layers of the ResNet-18, 3x3 or 7x7 (with pooling)
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
        Ok(match self.model.as_str() {
            "vit" => Arc::new(Vit::tiny(patch, channels)),
            "resnet50" => Arc::new(ResNet::resnet50(stem, width, channels)),
            _ => Arc::new(ResNet::resnet18(stem, width, channels)),
        })
    }
}

//! The options that choose a network if no config does.

use crate::base::{Error, Result};
use crate::nn::{Backbone, GlobalPool, Model, Precision, Stem, backbone};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::sync::Arc;

/// A network of given sizes.
#[derive(Args, Debug)]
pub(super) struct NetworkOptions {
    /// Without a config: the network
    #[arg(long, default_value = "resnet18", value_parser = PossibleValuesParser::new(backbone::names()))]
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
    /// The elements of activations, f32 or f16 [default: f32; of a CONFIG, what its methods ask for]
    #[arg(long, value_name = "f32|f16", value_parser = precision())]
    pub precision: Option<Precision>,
}

/// Reads the elements of activations as configs spell them.
pub(super) fn precision() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(["f32", "f16"]).map(|name| if name == "f16" { Precision::F16 } else { Precision::F32 })
}

impl NetworkOptions {
    /// The network they name, for images of `size` by `size` pixels.
    pub fn network(&self, size: usize) -> Result<Arc<dyn Backbone>> {
        let NetworkOptions { channels, width, patch, .. } = *self;
        if channels == 0 || patch == 0 || width.is_nan() || width <= 0.0 {
            return Err(Error::Usage("--channels, --width and --patch must be above 0".into()));
        }
        let model = Model {
            arch: self.model.clone(),
            stem: Some(if self.stem == "3x3" { Stem::Small } else { Stem::Large }),
            width: Some(width),
            patch_size: Some(patch),
            global_pool: Some(GlobalPool::Token),
        };
        if model.clone().settled().patch_size.is_some() && !size.is_multiple_of(patch) {
            return Err(Error::Usage(format!(
                "--patch {patch} does not divide --size {size}; the image of a ViT must be whole patches"
            )));
        }
        model.backbone(channels)
    }
}

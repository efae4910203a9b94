//! `wgslab embed`: the features of images.

use super::data::which_images;
use super::options::{Options, config};
use super::output::{expect_writable, print_source, temporary};
use crate::base::{Error, Result, files};
use crate::study::embed::Wish;
use clap::Args;
use std::path::PathBuf;

/// Write the features that a backbone makes of images
///
/// Runs every image of SPEC through the backbone of FILE and writes a NumPy archive: features
/// (f32, one row for each image), labels, names, splits and classes. FILE is ours, torchvision's or
/// timm's, as safetensors or as a .pt or .pth of PyTorch; its names and shapes tell the network:
/// ResNet-18, 34 or 50 with either stem, ViTs, and DINOv2. Each image is resized whole to the square
/// (bilinear, antialiased, nothing cropped) and normalized, and the line at the start says with what.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab embed --weights runs/backbone/backbone.safetensors --data phantom:covid --out features.npz
  wgslab embed --weights resnet18.pth --data my_images/ --out features.npz --image-size 224

In Python:
  a = numpy.load('features.npz'); a['features'].shape, a['names'][0], a['classes'][a['labels'][0]]"
)]
pub(super) struct Embed {
    /// A backbone: safetensors, or a .pt or .pth of PyTorch
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    #[arg(long, value_name = "SPEC", help = which_images())]
    data: String,
    /// A config for how images are read: of its [data] `bit_depth`, `max_pixels`, `max_bytes`, `resident_bytes` and `strict`
    /// [default: the built-in one]
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// The archive to write; a file of this name is replaced once the new one is whole
    #[arg(long, value_name = "FILE.npz")]
    out: PathBuf,
    /// Side in pixels of the square that images are resized to [default: what the weights' metadata or position embeddings
    /// say, else ImageNet's 224]
    #[arg(long, value_name = "N")]
    image_size: Option<Size>,
    /// Subtracted from each channel, as a share of white: one number, or one for each channel [default: what the
    /// weights' metadata says, else ImageNet's .485,.456,.406]
    #[arg(long, value_name = "R,G,B", value_parser = shares)]
    mean: Option<[f32; 3]>,
    /// Each channel is then divided by this [default: what the weights' metadata says, else ImageNet's .229,.224,.225]
    #[arg(long, value_name = "R,G,B", value_parser = shares)]
    std: Option<[f32; 3]>,
    /// Images in a step; fewer if they do not fit the device
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch: usize,
}

/// A side in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size(pub usize);

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = text.parse().ok().filter(|side| (1..=65_536).contains(side));
        side.map(Size).ok_or_else(|| "use a whole number of pixels above 0, as in 224".to_string())
    }
}

/// One number for all channels, or three.
fn shares(text: &str) -> Result<[f32; 3], String> {
    let numbers: Vec<f32> = text.split(',').filter_map(|part| part.trim().parse().ok()).collect();
    let right = numbers.len() == text.split(',').count() && numbers.iter().all(|v: &f32| v.is_finite());
    match numbers[..] {
        [one] if right => Ok([one; 3]),
        [r, g, b] if right => Ok([r, g, b]),
        _ => Err("use one number or three, as in .485,.456,.406".to_string()),
    }
}

impl Embed {
    pub fn run(&self, options: &Options) -> Result<()> {
        if self.batch == 0 {
            return Err(Error::Usage("--batch must be above 0".into()));
        }
        if self.std.is_some_and(|std| std.iter().any(|v| *v <= 0.0)) {
            return Err(Error::Usage("--std must be above 0: images are divided by it".into()));
        }
        let config_file = self.config.as_deref();
        expect_writable(&[("--out", Some(&self.out)), ("--weights", Some(&self.weights)), ("--config", config_file)])?;
        if !self.weights.is_file() {
            let weights = self.weights.display();
            return Err(Error::Data(format!("the weights {weights} are not there; check the path")));
        }
        let Embed { mean, std, batch, .. } = *self;
        let wish = Wish { image_size: self.image_size.map(|s| s.0), mean, std, batch };
        let folder = temporary()?;
        let found =
            options.job(&config(config_file)?, folder.path(), |job| job.embed(&self.weights, &self.data, &wish))?;
        files::write_atomic(&self.out, &found.npz()?)?;
        print_source(&self.out.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_one_number_or_three() {
        assert_eq!(shares(".485,.456, .406"), Ok([0.485, 0.456, 0.406]));
        assert_eq!(shares("0.5"), Ok([0.5; 3]));
        for text in ["", "a", "1,2", "1,2,3,4", "1,,3", "NaN,1,1", "inf"] {
            assert!(shares(text).is_err(), "{text}");
        }
    }
}

//! ResNet-18 with the stem for small images (He et al. 2015, section 4.2), built from Burn's modules. Layer by layer it
//! is the network that wgslab's src/nn/resnet.rs records: a 3×3 convolution of stride 1 and no pooling before four
//! groups of two blocks.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

#[derive(Module, Debug)]
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    fn new(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Self {
        let padding = PaddingConfig2d::Explicit(kernel / 2, kernel / 2, kernel / 2, kernel / 2);
        let conv = Conv2dConfig::new(channels, [kernel; 2])
            .with_stride([stride; 2])
            .with_padding(padding)
            .with_bias(false)
            .with_initializer(Initializer::KaimingNormal { gain: 2f64.sqrt(), fan_out_only: true });
        ConvNorm { conv: conv.init(device), norm: BatchNormConfig::new(channels[1]).init(device) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x))
    }
}

#[derive(Module, Debug)]
struct Block {
    first: ConvNorm,
    second: ConvNorm,
    shortcut: Option<ConvNorm>,
}

impl Block {
    fn new(channels: [usize; 2], stride: usize, device: &Device) -> Self {
        let [_, out] = channels;
        Block {
            first: ConvNorm::new(channels, 3, stride, device),
            second: ConvNorm::new([out, out], 3, 1, device),
            shortcut: (stride > 1 || channels[0] != out).then(|| ConvNorm::new(channels, 1, stride, device)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.second.forward(relu(self.first.forward(x.clone())));
        let kept = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        relu(y + kept)
    }
}

/// The network with its classifier.
#[derive(Module, Debug)]
pub struct ResNet18 {
    stem: ConvNorm,
    blocks: Vec<Block>,
    pool: AdaptiveAvgPool2d,
    head: Linear,
}

impl ResNet18 {
    /// For images of `channels` channels.
    pub fn new(channels: usize, classes: usize, device: &Device) -> Self {
        let mut blocks = Vec::new();
        let mut have = 64;
        for (group, out) in [64, 128, 256, 512].into_iter().enumerate() {
            blocks.push(Block::new([have, out], if group == 0 { 1 } else { 2 }, device));
            blocks.push(Block::new([out, out], 1, device));
            have = out;
        }
        ResNet18 {
            stem: ConvNorm::new([channels, 64], 3, 1, device),
            blocks,
            pool: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            head: LinearConfig::new(512, classes).init(device),
        }
    }

    /// Images [N, C, H, W] to logits [N, classes].
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.stem.forward(images));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        self.head.forward(self.pool.forward(x).flatten(1, 3))
    }
}

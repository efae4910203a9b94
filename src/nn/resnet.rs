//! ResNet-18, ResNet-34 and ResNet-50 (He et al. 2015, arXiv 1512.03385, table 1) with torchvision's parameter names
//! and shapes.
//!
//! Stem `7x7`: 7×7 convolution of stride 2, then 3×3 max pooling of stride 2 (ImageNet). Stem `3x3`: one 3×3
//! convolution of stride 1 and no pooling, for images of about 32 pixels. Then follow four stages of blocks. A basic
//! block is conv3x3–bn–relu–conv3x3–bn. A bottleneck is conv1x1–bn–relu–conv3x3–bn–relu–conv1x1–bn, with four times the
//! channels at its end. The block's input is added (through a 1×1 convolution if shapes differ), then comes relu. In a
//! bottleneck the 3×3 convolution has the stride, as in torchvision. Images of f16 make activations of f16.

use super::backbone::Backbone;
use super::batch_norm::{Mode, batch_norm};
use super::init::{Init, Params};
use super::optimizer::Optimizer;
use super::precision::weight_as;
use super::sequential::linear;
use crate::base::{DType, Error, Result};
use crate::kernels::conv2d::Conv2d;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The first layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stem {
    /// One 3×3 convolution.
    #[serde(rename = "3x3")]
    Small,
    /// A 7×7 convolution of stride 2 and max pooling.
    #[serde(rename = "7x7")]
    Large,
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stem::Small => "3x3",
            Stem::Large => "7x7",
        })
    }
}

/// How many layers, and which kind of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// 18 layers: two basic blocks in each stage.
    Eighteen,
    /// 34 layers: three, four, six and three basic blocks.
    ThirtyFour,
    /// 50 layers: three, four, six and three bottlenecks.
    Fifty,
}

impl Depth {
    /// Every depth.
    pub const ALL: [Depth; 3] = [Depth::Eighteen, Depth::ThirtyFour, Depth::Fifty];

    /// Blocks of each stage.
    pub const fn blocks(self) -> [usize; 4] {
        match self {
            Depth::Eighteen => [2, 2, 2, 2],
            Depth::ThirtyFour | Depth::Fifty => [3, 4, 6, 3],
        }
    }

    /// Channels after a block, as a multiple of the channels of its 3×3 convolutions.
    pub const fn expansion(self) -> usize {
        match self {
            Depth::Eighteen | Depth::ThirtyFour => 1,
            Depth::Fifty => 4,
        }
    }
}

/// A ResNet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResNet {
    /// How many layers.
    pub depth: Depth,
    /// The first layers.
    pub stem: Stem,
    /// The numbers of channels as a multiple of 64, 128, 256, 512. The products are rounded, and are at least 1.
    pub width: f64,
    /// Channels of the input.
    pub in_channels: usize,
}

/// A recording in progress: the prefix of parameter names, and what batch norm does.
struct Layers<'a> {
    t: &'a mut Tape,
    params: &'a mut Params,
    prefix: &'a str,
    mode: Mode,
}

impl ResNet {
    /// ResNet-18.
    pub const fn resnet18(stem: Stem, width: f64, in_channels: usize) -> Self {
        ResNet { depth: Depth::Eighteen, stem, width, in_channels }
    }

    /// ResNet-50.
    pub const fn resnet50(stem: Stem, width: f64, in_channels: usize) -> Self {
        ResNet { depth: Depth::Fifty, stem, width, in_channels }
    }

    /// Channels of the 3×3 convolutions of the four stages.
    pub fn channels(&self) -> [usize; 4] {
        [64, 128, 256, 512].map(|c| ((c as f64 * self.width).round() as usize).max(1))
    }
}

impl fmt::Display for ResNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = match self.depth {
            Depth::Eighteen => 18,
            Depth::ThirtyFour => 34,
            Depth::Fifty => 50,
        };
        write!(f, "resnet{layers} × {}", self.width)
    }
}

impl Backbone for ResNet {
    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn features(&self) -> usize {
        self.channels()[3] * self.depth.expansion()
    }

    fn takes_f16(&self) -> bool {
        true
    }

    /// Ends with the global average.
    fn forward(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, mode: Mode) -> Result<Var> {
        let channels = self.channels();
        let c = t.shape(x).nchw("resnet", "x")?[1];
        if c != self.in_channels {
            let (have, want) = (c, self.in_channels);
            return Err(Error::shape("resnet", format!("x has {have} channels and the network takes {want}")));
        }
        let mut r = Layers { t, params, prefix, mode };
        let mut y = match self.stem {
            Stem::Small => r.conv_bn(x, ("conv1", "bn1"), channels[0], 3, Conv2d::new(1, 1))?,
            Stem::Large => r.conv_bn(x, ("conv1", "bn1"), channels[0], 7, Conv2d::new(2, 3))?,
        };
        y = r.t.layer("relu", |t| t.relu(y))?;
        if self.stem == Stem::Large {
            y = r.t.layer("maxpool", |t| t.max_pool2d(y, 3, 2, 1))?;
        }
        for (stage, &width) in channels.iter().enumerate() {
            for block in 0..self.depth.blocks()[stage] {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                y = r.block(y, &format!("layer{}.{block}", stage + 1), (self.depth, width), stride)?;
            }
        }
        r.t.layer("avgpool", |t| {
            let mean = t.global_avg_pool(y)?;
            t.cast(mean, DType::F32)
        })
    }

    fn classifier(&self) -> &'static str {
        "fc"
    }

    fn classify(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, classes: usize) -> Result<Var> {
        linear(t, params, &format!("{prefix}{}", self.classifier()), x, classes)
    }

    fn usual_optimizer(&self) -> Optimizer {
        Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 5e-4 }
    }
}

impl Layers<'_> {
    /// Convolution without bias, then batch norm.
    fn conv_bn(&mut self, x: Var, (conv, bn): (&str, &str), k: usize, window: usize, op: Conv2d) -> Result<Var> {
        let c = self.t.shape(x).dim(1);
        let name = format!("{}{conv}.weight", self.prefix);
        let w = self.params.weight(self.t, &name, [k, c, window, window], Init::KaimingNormalFanOut)?;
        let dtype = self.t.ty(x).dtype;
        let w = weight_as(self.t, w, dtype)?;
        let y = self.t.layer(conv, |t| t.conv2d(x, w, Conv2d { result: dtype, ..op }))?;
        batch_norm(self.t, self.params, (self.prefix, bn), y, self.mode)
    }

    fn block(&mut self, x: Var, name: &str, (depth, width): (Depth, usize), stride: u32) -> Result<Var> {
        let part = |p: &str| format!("{name}.{p}");
        let (c, out) = (self.t.shape(x).dim(1), width * depth.expansion());
        // Each convolution: its channels, its window, its stride and padding.
        let layers = match depth {
            Depth::Eighteen | Depth::ThirtyFour => {
                vec![(width, 3, Conv2d::new(stride, 1)), (width, 3, Conv2d::new(1, 1))]
            }
            Depth::Fifty => {
                vec![(width, 1, Conv2d::new(1, 0)), (width, 3, Conv2d::new(stride, 1)), (out, 1, Conv2d::new(1, 0))]
            }
        };
        let mut y = x;
        for (i, (k, window, op)) in layers.iter().copied().enumerate() {
            y = self.conv_bn(y, (&part(&format!("conv{}", i + 1)), &part(&format!("bn{}", i + 1))), k, window, op)?;
            if i + 1 < layers.len() {
                y = self.t.layer(&part("relu"), |t| t.relu(y))?;
            }
        }
        let shortcut = if stride != 1 || c != out {
            let names = (part("downsample.0"), part("downsample.1"));
            self.conv_bn(x, (&names.0, &names.1), out, 1, Conv2d::new(stride, 0))?
        } else {
            x
        };
        self.t.layer(name, |t| {
            let sum = t.add(y, shortcut)?;
            t.relu(sum)
        })
    }
}

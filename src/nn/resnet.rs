//! ResNet-18 (He et al. 2015, arXiv 1512.03385, table 1) with torchvision's parameter names and shapes.
//!
//! Stem `7x7`: 7×7 convolution of stride 2, then 3×3 max pooling of stride 2 (ImageNet). Stem `3x3`: one 3×3 convolution
//! of stride 1 and no pooling, for images of about 32 pixels. Four stages of two basic blocks; a block is
//! conv3x3–bn–relu–conv3x3–bn, plus its input (through a 1×1 convolution where shapes differ), then relu.

use super::backbone::Backbone;
use super::batch_norm::{Mode, batch_norm};
use super::init::{Init, Params};
use super::optimizer::Optimizer;
use super::sequential::linear;
use crate::base::{Error, Result};
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
    /// 7×7 of stride 2 and max pooling.
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

/// A ResNet-18.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResNet {
    /// The first layers.
    pub stem: Stem,
    /// Times 64, 128, 256, 512 channels, rounded, at least 1.
    pub width: f64,
    /// Channels of the input.
    pub in_channels: usize,
}

/// Blocks of each stage: the 18-layer network.
const BLOCKS: [usize; 4] = [2, 2, 2, 2];
/// A recording in progress: where parameters are named and how batch norm behaves.
struct Layers<'a> {
    t: &'a mut Tape,
    params: &'a mut Params,
    prefix: &'a str,
    mode: Mode,
}

impl ResNet {
    /// Channels of the four stages.
    pub fn channels(&self) -> [usize; 4] {
        [64, 128, 256, 512].map(|c| ((c as f64 * self.width).round() as usize).max(1))
    }
}

impl fmt::Display for ResNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resnet18 × {}", self.width)
    }
}

impl Backbone for ResNet {
    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn features(&self) -> usize {
        self.channels()[3]
    }

    /// Up to the global average.
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
            for block in 0..BLOCKS[stage] {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                y = r.block(y, &format!("layer{}.{block}", stage + 1), width, stride)?;
            }
        }
        r.t.layer("avgpool", |t| t.global_avg_pool(y))
    }

    /// Named `fc`.
    fn classify(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, classes: usize) -> Result<Var> {
        linear(t, params, &format!("{prefix}fc"), x, classes)
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
        let y = self.t.layer(conv, |t| t.conv2d(x, w, op))?;
        batch_norm(self.t, self.params, (self.prefix, bn), y, self.mode)
    }

    fn block(&mut self, x: Var, name: &str, width: usize, stride: u32) -> Result<Var> {
        let part = |p: &str| format!("{name}.{p}");
        let c = self.t.shape(x).dim(1);
        let y = self.conv_bn(x, (&part("conv1"), &part("bn1")), width, 3, Conv2d::new(stride, 1))?;
        let y = self.t.layer(&part("relu"), |t| t.relu(y))?;
        let y = self.conv_bn(y, (&part("conv2"), &part("bn2")), width, 3, Conv2d::new(1, 1))?;
        let shortcut = if stride != 1 || c != width {
            let names = (part("downsample.0"), part("downsample.1"));
            self.conv_bn(x, (&names.0, &names.1), width, 1, Conv2d::new(stride, 0))?
        } else {
            x
        };
        self.t.layer(name, |t| {
            let sum = t.add(y, shortcut)?;
            t.relu(sum)
        })
    }
}

//! Vision transformers (Dosovitskiy et al. 2020, arXiv 2010.11929, equations 1 to 4) with timm's parameter names,
//! shapes and initial values:
//!
//! ```text
//! z = [class, patches · E] + position,        then the blocks of `transformer`,        then
//! y = norm(z)[class]        or        y = fc_norm(mean of z's patches)
//! ```
//!
//! The final norm with the class token sees only that token, because a norm works on each token and nothing reads the
//! other tokens. Images of f16 make activations of f16 up to that norm, which reads f32.

use super::backbone::Backbone;
use super::batch_norm::Mode;
use super::init::{Init, Params};
use super::optimizer::Optimizer;
use super::transformer::Transformer;
use crate::base::{DType, Error, Result};
use crate::kernels::conv2d::Conv2d;
use crate::kernels::reduce::Reduction;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which tokens make the features of an image, by timm's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GlobalPool {
    /// The class token, after the norm `norm`.
    #[default]
    Token,
    /// The mean of the patches' tokens, without the class token, after the norm `fc_norm`.
    Avg,
}

impl GlobalPool {
    /// The name of the norm after the blocks.
    const fn norm(self) -> &'static str {
        match self {
            GlobalPool::Token => "norm",
            GlobalPool::Avg => "fc_norm",
        }
    }
}

impl fmt::Display for GlobalPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GlobalPool::Token => "token",
            GlobalPool::Avg => "avg",
        })
    }
}

/// A vision transformer. The sides of an image must be whole patches; the image need not be square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vit {
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Length of a token.
    pub width: usize,
    /// How many blocks it has.
    pub depth: usize,
    /// Heads of attention. They must divide the width.
    pub heads: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// How many extra tokens follow the class token. They stand for no part of the image and have no position: DINOv2's
    /// registers (Darcet et al. 2023, arXiv 2309.16588). Usually 0.
    pub registers: usize,
    /// Whether the output of each part of a block is scaled channel by channel (Touvron et al. 2021, arXiv 2103.17239,
    /// equation 2), as in DINOv2. The factors are `ls1.gamma` and `ls2.gamma`; they begin at 1 if they are not loaded.
    pub layer_scale: bool,
    /// Which tokens make the features.
    pub global_pool: GlobalPool,
}

/// timm cuts the distribution at ±2, which is 100 σ and which no value reaches, so none is cut here.
const WEIGHT: Init = Init::Normal(0.02);

impl Vit {
    /// ViT-Ti with its class token: 12 blocks of 192 with 3 heads (Touvron et al. 2020, arXiv 2012.12877, table 1).
    pub fn tiny(patch: usize, in_channels: usize) -> Self {
        let global_pool = GlobalPool::Token;
        Vit { patch, width: 192, depth: 12, heads: 3, in_channels, registers: 0, layer_scale: false, global_pool }
    }

    /// ViT-S with its class token: 12 blocks of 384 with 6 heads (the same table).
    pub fn small(patch: usize, in_channels: usize) -> Self {
        Vit { width: 384, heads: 6, ..Self::tiny(patch, in_channels) }
    }

    /// Records the blocks: x [N, C, H, W] gives the tokens [N, T, width] before the final norm, or only those that
    /// `rows` picks. It is an error if patches do not divide the image, or heads the width.
    fn trunk(&self, r: &mut Transformer<'_>, x: Var, rows: Option<Var>) -> Result<Var> {
        let [n, c, h, w] = r.t.shape(x).nchw("vit", "x")?;
        let patch = self.patch;
        if c != self.in_channels {
            let want = self.in_channels;
            return Err(Error::shape("vit", format!("x has {c} channels and the network takes {want}")));
        }
        if patch == 0 || h * w == 0 || !h.is_multiple_of(patch) || !w.is_multiple_of(patch) {
            return Err(Error::shape("vit", format!("patches of {patch} pixels do not divide images of {h} × {w}")));
        }
        let (patches, width) = ((h / patch) * (w / patch), self.width);
        let tokens = 1 + self.registers + patches;
        let mut z = self.embed(r, x, [n, patches])?;
        if let Some(rows) = rows {
            let count = r.t.shape(rows).vector("vit", "rows")?;
            if count == 0 || !count.is_multiple_of(n) {
                let what = format!("{count} rows of tokens are no multiple of {n} images; pick as many of each image");
                return Err(Error::shape("vit", what));
            }
            z = r.t.layer("rows", |t| {
                let all = t.reshape(z, [n * tokens, width])?;
                let z = t.gather(all, rows)?;
                t.reshape(z, [n, count / n, width])
            })?;
        }
        r.blocks(z, self.depth)
    }

    /// Makes tokens of patches, with the class token first and positions added, then registers after the class token:
    /// [N, T, width].
    fn embed(&self, r: &mut Transformer<'_>, x: Var, [n, patches]: [usize; 2]) -> Result<Var> {
        let Vit { patch, width: d, in_channels: c, registers, .. } = *self;
        let (fan_in, dtype) = (c * patch * patch, r.t.ty(x).dtype);
        let weight = r.weight_as("patch_embed.proj.weight", [d, c, patch, patch], Init::UniformFanIn(fan_in), dtype)?;
        let bias = r.weight("patch_embed.proj.bias", [d], Init::UniformFanIn(fan_in))?;
        let class = r.weight_as("cls_token", [1, 1, d], Init::Normal(1e-6), dtype)?;
        let position = r.weight_as("pos_embed", [1, 1 + patches, d], WEIGHT, dtype)?;
        let own = match registers {
            0 => None,
            _ => Some(r.weight_as("register_tokens", [1, registers, d], WEIGHT, dtype)?),
        };
        r.t.layer("patch_embed", |t| {
            let y = t.conv2d(x, weight, Conv2d { result: dtype, ..Conv2d::new(patch as u32, 0) })?;
            let y = t.permute(y, &[0, 2, 3, 1])?;
            let y = t.reshape(y, [n * patches, d])?;
            let y = t.add_bias(y, bias)?;
            let y = t.reshape(y, [n, patches, d])?;
            let class = t.broadcast(class, [n, 1, d])?;
            let z = t.concat(&[class, y], 1)?;
            let position = t.broadcast(position, [n, 1 + patches, d])?;
            let z = t.add(z, position)?;
            let Some(own) = own else { return Ok(z) };
            let own = t.broadcast(own, [n, registers, d])?;
            let (class, rest) = (t.slice(z, 1, 0, 1)?, t.slice(z, 1, 1, patches)?);
            t.concat(&[class, own, rest], 1)
        })
    }

    fn layers<'a>(&self, t: &'a mut Tape, params: &'a mut Params, prefix: &'a str) -> Transformer<'a> {
        Transformer { t, params, prefix, heads: self.heads, layer_scale: self.layer_scale, init: WEIGHT }
    }
}

impl fmt::Display for Vit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vit of {} blocks of {}, patches of {}", self.depth, self.width, self.patch)
    }
}

impl Backbone for Vit {
    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn features(&self) -> usize {
        self.width
    }

    fn patch_size(&self) -> Option<usize> {
        Some(self.patch)
    }

    fn takes_f16(&self) -> bool {
        true
    }

    /// Ends with the class token or the mean. It has no batch norm, so the mode has no effect.
    fn forward(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, _: Mode) -> Result<Var> {
        let mut r = self.layers(t, params, prefix);
        let z = self.trunk(&mut r, x, None)?;
        let (n, tokens, width) = (r.t.shape(z).dim(0), r.t.shape(z).dim(1), self.width);
        let pooled = r.t.layer("pool", |t| match self.global_pool {
            GlobalPool::Token => {
                let class = t.slice(z, 1, 0, 1)?;
                t.cast(class, DType::F32)
            }
            GlobalPool::Avg => {
                let before = 1 + self.registers;
                let patches = t.slice(z, 1, before, tokens - before)?;
                t.reduce(patches, Reduction::Mean, &[1], false)
            }
        })?;
        let pooled = r.t.reshape(pooled, [n, width])?;
        r.norm(pooled, self.global_pool.norm())
    }

    fn tokens(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, rows: Option<Var>) -> Result<Var> {
        let mut r = self.layers(t, params, prefix);
        let z = self.trunk(&mut r, x, rows)?;
        let (n, tokens, width) = (r.t.shape(z).dim(0), r.t.shape(z).dim(1), self.width);
        let z = r.t.reshape(z, [n * tokens, width])?;
        let z = r.norm(z, self.global_pool.norm())?;
        r.t.reshape(z, [n, tokens, width])
    }

    fn classifier(&self) -> &'static str {
        "head"
    }

    fn classify(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, classes: usize) -> Result<Var> {
        self.layers(t, params, prefix).linear(x, self.classifier(), classes)
    }

    fn usual_optimizer(&self) -> Optimizer {
        Optimizer::adamw(0.05)
    }
}

//! Vision transformers (Dosovitskiy et al. 2020, arXiv 2010.11929, equations 1 to 4) with timm's parameter names, shapes
//! and first values:
//!
//! ```text
//! z = [class, patches · E] + position
//! z = z + attention(norm1(z))        then        z = z + fc2(gelu(fc1(norm2(z))))        in each block
//! y = norm(z)[class]
//! ```
//!
//! Tokens are rows: z is [N·T, D] but where attention looks at samples and heads. The final norm sees the class token
//! alone, since it works row by row and nothing reads the others.

use super::backbone::Backbone;
use super::batch_norm::Mode;
use super::init::{Init, Params};
use super::optimizer::Optimizer;
use crate::base::{Error, Result};
use crate::kernels::conv2d::Conv2d;
use crate::kernels::unary::Approximate;
use crate::tape::{Tape, Var};
use std::fmt;

/// A vision transformer for square or oblong images whose sides are whole patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vit {
    /// Pixels of a patch's side.
    pub patch: usize,
    /// Length of a token.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads of attention; they divide the width.
    pub heads: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Tokens behind the class token that stand for nothing of the image and have no position: DINOv2's registers (Darcet et
    /// al. 2023, arXiv 2309.16588). Usually 0.
    pub registers: usize,
    /// Whether what a block adds is scaled channel by channel (Touvron et al. 2021, arXiv 2103.17239, equation 2), as in
    /// DINOv2: `ls1.gamma` and `ls2.gamma`, from 1 on where they are not loaded.
    pub layer_scale: bool,
}

/// timm's, not PyTorch's default.
const EPS: f32 = 1e-6;
/// The hidden layer of a block's MLP, over the width.
const MLP: usize = 4;
/// timm truncates at 100 σ, which no value reaches.
const WEIGHT: Init = Init::Normal(0.02);

/// A recording in progress: where parameters are named, N samples of T tokens.
struct Layers<'a> {
    t: &'a mut Tape,
    params: &'a mut Params,
    prefix: &'a str,
    vit: Vit,
    samples: usize,
    tokens: usize,
}

impl Vit {
    /// ViT-Ti: 12 blocks of 192 with 3 heads (Touvron et al. 2020, arXiv 2012.12877, table 1).
    pub fn tiny(patch: usize, in_channels: usize) -> Self {
        Vit { patch, width: 192, depth: 12, heads: 3, in_channels, registers: 0, layer_scale: false }
    }

    /// ViT-S: 12 blocks of 384 with 6 heads.
    pub fn small(patch: usize, in_channels: usize) -> Self {
        Vit { width: 384, heads: 6, ..Vit::tiny(patch, in_channels) }
    }

    /// Records the blocks: tokens [N·T, width] before the final norm, with N and T. An error where patches do not divide the
    /// image or heads the width.
    fn blocks<'a>(
        &self,
        t: &'a mut Tape,
        params: &'a mut Params,
        prefix: &'a str,
        x: Var,
    ) -> Result<(Layers<'a>, Var)> {
        let [samples, c, h, w] = t.shape(x).nchw("vit", "x")?;
        let Vit { patch, width, heads, .. } = *self;
        if c != self.in_channels {
            let want = self.in_channels;
            return Err(Error::shape("vit", format!("x has {c} channels and the network takes {want}")));
        }
        if patch == 0 || h * w == 0 || !h.is_multiple_of(patch) || !w.is_multiple_of(patch) {
            return Err(Error::shape("vit", format!("patches of {patch} pixels do not divide images of {h} × {w}")));
        }
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Error::shape("vit", format!("{heads} heads do not divide a width of {width}")));
        }
        let patches = (h / patch) * (w / patch);
        let mut r = Layers { t, params, prefix, vit: *self, samples, tokens: 1 + self.registers + patches };
        let mut z = r.embed(x, patches)?;
        for i in 0..self.depth {
            z = r.block(z, &format!("blocks.{i}"))?;
        }
        Ok((r, z))
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

    /// Up to the class token. It has no batch norm: both modes are one.
    fn forward(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, _: Mode) -> Result<Var> {
        let (mut r, z) = self.blocks(t, params, prefix, x)?;
        let (samples, width) = (r.samples, self.width);
        let z = r.t.reshape(z, [samples, r.tokens, width])?;
        let class = r.t.slice(z, 1, 0, 1)?;
        let class = r.t.reshape(class, [samples, width])?;
        r.norm(class, "norm")
    }

    /// The class token comes first.
    fn tokens(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, _: Mode) -> Result<Var> {
        let (mut r, z) = self.blocks(t, params, prefix, x)?;
        let z = r.norm(z, "norm")?;
        let (samples, tokens) = (r.samples, r.tokens);
        r.t.reshape(z, [samples, tokens, self.width])
    }

    /// Named `head`.
    fn classify(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, classes: usize) -> Result<Var> {
        let mut r = Layers { t, params, prefix, vit: *self, samples: 0, tokens: 0 };
        r.linear(x, "head", classes)
    }

    fn usual_optimizer(&self) -> Optimizer {
        Optimizer::adamw(0.05)
    }
}

impl Layers<'_> {
    fn weight<const D: usize>(&mut self, name: &str, shape: [usize; D], init: Init) -> Result<Var> {
        self.params.weight(self.t, &format!("{}{name}", self.prefix), shape, init)
    }

    /// Patches to tokens with the class token before them, their positions added, and registers between: [N·T, D].
    fn embed(&mut self, x: Var, patches: usize) -> Result<Var> {
        let Vit { patch, width: d, in_channels: c, registers, .. } = self.vit;
        let (n, tokens, fan_in) = (self.samples, self.tokens, c * patch * patch);
        let weight = self.weight("patch_embed.proj.weight", [d, c, patch, patch], Init::UniformFanIn(fan_in))?;
        let bias = self.weight("patch_embed.proj.bias", [d], Init::UniformFanIn(fan_in))?;
        let class = self.weight("cls_token", [1, 1, d], Init::Normal(1e-6))?;
        let position = self.weight("pos_embed", [1, 1 + patches, d], WEIGHT)?;
        let own = match registers {
            0 => None,
            _ => Some(self.weight("register_tokens", [1, registers, d], WEIGHT)?),
        };
        self.t.layer("patch_embed", |t| {
            let y = t.conv2d(x, weight, Conv2d::new(patch as u32, 0))?;
            let y = t.permute(y, &[0, 2, 3, 1])?;
            let y = t.reshape(y, [n * patches, d])?;
            let y = t.add_bias(y, bias)?;
            let y = t.reshape(y, [n, patches, d])?;
            let class = t.broadcast(class, [n, 1, d])?;
            let z = t.concat(&[class, y], 1)?;
            let position = t.broadcast(position, [n, 1 + patches, d])?;
            let mut z = t.add(z, position)?;
            if let Some(own) = own {
                let own = t.broadcast(own, [n, registers, d])?;
                let (class, rest) = (t.slice(z, 1, 0, 1)?, t.slice(z, 1, 1, patches)?);
                z = t.concat(&[class, own, rest], 1)?;
            }
            t.reshape(z, [n * tokens, d])
        })
    }

    fn block(&mut self, z: Var, name: &str) -> Result<Var> {
        let part = |p: &str| format!("{name}.{p}");
        let y = self.norm(z, &part("norm1"))?;
        let y = self.attention(y, &part("attn"))?;
        let y = self.scaled(y, &part("ls1"))?;
        let z = self.t.add(z, y)?;
        let y = self.norm(z, &part("norm2"))?;
        let y = self.linear(y, &part("mlp.fc1"), MLP * self.vit.width)?;
        let y = self.t.gelu(y, Approximate::None)?;
        let y = self.linear(y, &part("mlp.fc2"), self.vit.width)?;
        let y = self.scaled(y, &part("ls2"))?;
        self.t.add(z, y)
    }

    /// y [N·T, D] times one number a channel, where the network has layer scale.
    fn scaled(&mut self, y: Var, name: &str) -> Result<Var> {
        if !self.vit.layer_scale {
            return Ok(y);
        }
        let gamma = self.weight(&format!("{name}.gamma"), [self.vit.width], Init::Ones)?;
        self.t.layer(name, |t| {
            let gamma = t.broadcast(gamma, t.shape(y))?;
            t.mul(y, gamma)
        })
    }

    /// z [N·T, D] to the sum of values that each token attends to, projected: [N·T, D].
    fn attention(&mut self, z: Var, name: &str) -> Result<Var> {
        let Vit { width, heads, .. } = self.vit;
        let (n, tokens) = (self.samples, self.tokens);
        let qkv = self.linear(z, &format!("{name}.qkv"), 3 * width)?;
        let y = self.t.layer(name, |t| {
            let head = |t: &mut Tape, i: usize| {
                let part = t.slice(qkv, 1, i * width, width)?;
                let part = t.reshape(part, [n, tokens, heads, width / heads])?;
                t.permute(part, &[0, 2, 1, 3])
            };
            let (q, k, v) = (head(t, 0)?, head(t, 1)?, head(t, 2)?);
            let [y, _] = t.attention(q, k, v, None, false)?;
            let y = t.permute(y, &[0, 2, 1, 3])?;
            t.reshape(y, [n * tokens, width])
        })?;
        self.linear(y, &format!("{name}.proj"), width)
    }

    fn norm(&mut self, z: Var, name: &str) -> Result<Var> {
        let d = self.vit.width;
        let weight = self.weight(&format!("{name}.weight"), [d], Init::Ones)?;
        let bias = self.weight(&format!("{name}.bias"), [d], Init::Zeros)?;
        self.t.layer(name, |t| t.layer_norm(z, weight, bias, EPS))
    }

    fn linear(&mut self, z: Var, name: &str, k: usize) -> Result<Var> {
        let [_, d] = self.t.shape(z).matrix("linear", "x")?;
        let weight = self.weight(&format!("{name}.weight"), [k, d], WEIGHT)?;
        let bias = self.weight(&format!("{name}.bias"), [k], Init::Zeros)?;
        self.t.layer(name, |t| t.linear(z, weight, Some(bias)))
    }
}

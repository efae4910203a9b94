//! The blocks of a transformer as vision transformers have them (Dosovitskiy et al. 2020, arXiv 2010.11929, equations 2
//! and 3), with timm's parameter names and shapes:
//!
//! ```text
//! z = z + attention(norm1(z))        then        z = z + fc2(gelu(fc1(norm2(z))))        in each block
//! ```
//!
//! Tokens of f16 make activations of f16. Weights that products or sums over tokens read are rounded once; biases and the
//! parameters of norms are read in f32.

use super::init::{Init, Params};
use super::precision::weight_as;
use crate::base::{DType, Error, Result, Shape};
use crate::kernels::unary::Approximate;
use crate::tape::{Tape, Var};

/// The eps of layer norm in timm. PyTorch's default is 1e-5.
const EPS: f32 = 1e-6;
/// The width of the hidden layer of a block's MLP, as a multiple of the block's width.
const MLP: usize = 4;

/// A recording of layers in progress: the prefix of parameter names, and how parameters begin.
pub struct Transformer<'a> {
    /// The tape.
    pub t: &'a mut Tape,
    /// The parameters so far.
    pub params: &'a mut Params,
    /// The prefix of each name.
    pub prefix: &'a str,
    /// Heads of attention. They must divide the width of the tokens.
    pub heads: usize,
    /// Whether the output of each part of a block is scaled channel by channel (Touvron et al. 2021, arXiv 2103.17239,
    /// equation 2), as in DINOv2. The factors are `ls1.gamma` and `ls2.gamma`; they begin at 1 if they are not loaded.
    pub layer_scale: bool,
    /// The initial values of the weights of linear layers. Their biases begin at 0.
    pub init: Init,
}

impl Transformer<'_> {
    /// Names a trained parameter under the prefix, and reads it.
    pub fn weight(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> Result<Var> {
        self.params.weight(self.t, &format!("{}{name}", self.prefix), shape, init)
    }

    /// The same in the elements `dtype` of activations.
    pub(super) fn weight_as(&mut self, name: &str, shape: impl Into<Shape>, init: Init, dtype: DType) -> Result<Var> {
        let weight = self.weight(name, shape, init)?;
        weight_as(self.t, weight, dtype)
    }

    /// Records `depth` blocks, named `blocks.0` and so on: tokens z f32 or f16 [N, T, D] give [N, T, D]. It is an error if the
    /// heads do not divide D.
    pub fn blocks(&mut self, z: Var, depth: usize) -> Result<Var> {
        let shape = self.t.shape(z);
        let &[n, tokens, width] = shape.dims() else {
            return Err(Error::shape("transformer", format!("tokens are {shape} and must be [N, T, D]")));
        };
        let [n, tokens, width] = [n, tokens, width].map(|d| d as usize);
        if self.heads == 0 || !width.is_multiple_of(self.heads) {
            let heads = self.heads;
            return Err(Error::shape("transformer", format!("{heads} heads do not divide a width of {width}")));
        }
        let mut z = self.t.reshape(z, [n * tokens, width])?;
        for i in 0..depth {
            z = self.block(z, [n, tokens], &format!("blocks.{i}"))?;
        }
        self.t.reshape(z, [n, tokens, width])
    }

    fn block(&mut self, z: Var, of: [usize; 2], name: &str) -> Result<Var> {
        let part = |p: &str| format!("{name}.{p}");
        let width = self.t.shape(z).dim(1);
        let y = self.norm(z, &part("norm1"))?;
        let y = self.attention(y, of, &part("attn"))?;
        let y = self.scaled(y, &part("ls1"))?;
        let z = self.t.add(z, y)?;
        let y = self.norm(z, &part("norm2"))?;
        let y = self.linear(y, &part("mlp.fc1"), MLP * width)?;
        let y = self.t.gelu(y, Approximate::None)?;
        let y = self.linear(y, &part("mlp.fc2"), width)?;
        let y = self.scaled(y, &part("ls2"))?;
        self.t.add(z, y)
    }

    /// y [N·T, D] times a factor for each channel, if the network has layer scale.
    fn scaled(&mut self, y: Var, name: &str) -> Result<Var> {
        if !self.layer_scale {
            return Ok(y);
        }
        let width = self.t.shape(y).dim(1);
        let dtype = self.t.ty(y).dtype;
        let gamma = self.weight_as(&format!("{name}.gamma"), [width], Init::Ones, dtype)?;
        self.t.layer(name, |t| {
            let gamma = t.broadcast(gamma, t.shape(y))?;
            t.mul(y, gamma)
        })
    }

    /// Attention of z [N·T, D], then the projection: [N·T, D]. `n` and `tokens` are N and T.
    fn attention(&mut self, z: Var, [n, tokens]: [usize; 2], name: &str) -> Result<Var> {
        let (heads, width) = (self.heads, self.t.shape(z).dim(1));
        let qkv = self.linear(z, &format!("{name}.qkv"), 3 * width)?;
        let y = self.t.layer(name, |t| {
            let qkv = t.reshape(qkv, [n, tokens, 3 * width])?;
            let [y, _] = t.attention_packed(qkv, heads)?;
            t.reshape(y, [n * tokens, width])
        })?;
        self.linear(y, &format!("{name}.proj"), width)
    }

    /// Layer norm of each row of z [N, D].
    pub fn norm(&mut self, z: Var, name: &str) -> Result<Var> {
        let [_, d] = self.t.shape(z).matrix("layer_norm", "x")?;
        let weight = self.weight(&format!("{name}.weight"), [d], Init::Ones)?;
        let bias = self.weight(&format!("{name}.bias"), [d], Init::Zeros)?;
        self.t.layer(name, |t| t.layer_norm(z, weight, bias, EPS))
    }

    /// A linear layer on each row of z [N, D]: [N, k] of z's elements.
    pub fn linear(&mut self, z: Var, name: &str, k: usize) -> Result<Var> {
        let [_, d] = self.t.shape(z).matrix("linear", "x")?;
        let (init, dtype) = (self.init, self.t.ty(z).dtype);
        let weight = self.weight_as(&format!("{name}.weight"), [k, d], init, dtype)?;
        let bias = self.weight(&format!("{name}.bias"), [k], Init::Zeros)?;
        self.t.layer(name, |t| t.linear_as(z, weight, Some(bias), dtype))
    }
}

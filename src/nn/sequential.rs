//! A head as a list of layers, with the names of PyTorch's `Sequential`: what methods put behind a backbone.

use super::batch_norm::{Mode, batch_norm, plain_batch_norm};
use super::init::{Init, Params};
use super::resnet::linear;
use crate::base::Result;
use crate::tape::{Tape, Var};

/// One layer of vectors [N, D].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// `Linear(D, K)`.
    Linear(usize),
    /// `Linear(D, K, bias=False)`: what batch norm follows needs no bias.
    Unbiased(usize),
    /// `BatchNorm1d(D)`.
    BatchNorm,
    /// `BatchNorm1d(D, affine=False)`.
    PlainBatchNorm,
    /// `ReLU()`.
    Relu,
}

/// x [N, D] through the layers; the parameters of layer i are named `<prefix>i.*`.
pub fn sequential(
    t: &mut Tape,
    params: &mut Params,
    prefix: &str,
    x: Var,
    layers: &[Layer],
    mode: Mode,
) -> Result<Var> {
    let mut y = x;
    for (i, layer) in layers.iter().enumerate() {
        let name = i.to_string();
        y = match *layer {
            Layer::Linear(k) => linear(t, params, &format!("{prefix}{i}"), y, k)?,
            Layer::Unbiased(k) => {
                let [_, d] = t.shape(y).matrix("linear", "x")?;
                let w = params.weight(t, &format!("{prefix}{i}.weight"), [k, d], Init::UniformFanIn(d))?;
                t.layer(&format!("{prefix}{i}"), |t| t.linear(y, w, None))?
            }
            Layer::BatchNorm => batch_norm(t, params, (prefix, &name), y, mode)?,
            Layer::PlainBatchNorm => plain_batch_norm(t, params, (prefix, &name), y, mode)?,
            Layer::Relu => t.relu(y)?,
        };
    }
    Ok(y)
}

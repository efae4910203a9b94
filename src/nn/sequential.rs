//! A head as a list of layers, with the names of PyTorch's `Sequential`. Methods put heads after a backbone.

use super::batch_norm::{Mode, batch_norm, plain_batch_norm};
use super::init::{Init, Params};
use crate::base::Result;
use crate::tape::{Tape, Var};

/// One layer. It takes vectors f32 [N, D].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// `Linear(D, K)`.
    Linear(usize),
    /// `Linear(D, K, bias=False)`. A layer before batch norm needs no bias.
    Unbiased(usize),
    /// `BatchNorm1d(D)`.
    BatchNorm,
    /// `BatchNorm1d(D, affine=False)`.
    PlainBatchNorm,
    /// `ReLU()`.
    Relu,
}

/// x f32 [N, D] through the layers gives [N, K], K the width of the last linear layer. The parameters of layer i are
/// named `<prefix>i.*`.
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
            Layer::Unbiased(k) => product(t, params, &format!("{prefix}{i}"), y, (k, false))?,
            Layer::BatchNorm => batch_norm(t, params, (prefix, &name), y, mode)?,
            Layer::PlainBatchNorm => plain_batch_norm(t, params, (prefix, &name), y, mode)?,
            Layer::Relu => t.relu(y)?,
        };
    }
    Ok(y)
}

/// A linear layer with bias: x f32 [N, D] gives [N, K]. Weight [K, D] and bias [K] are named `<name>.weight` and
/// `<name>.bias`.
pub fn linear(t: &mut Tape, params: &mut Params, name: &str, x: Var, k: usize) -> Result<Var> {
    product(t, params, name, x, (k, true))
}

fn product(t: &mut Tape, params: &mut Params, name: &str, x: Var, (k, bias): (usize, bool)) -> Result<Var> {
    let [_, d] = t.shape(x).matrix("linear", "x")?;
    let init = Init::UniformFanIn(d);
    let w = params.weight(t, &format!("{name}.weight"), [k, d], init)?;
    let b = bias.then(|| params.weight(t, &format!("{name}.bias"), [k], init)).transpose()?;
    t.layer(name, |t| t.linear(x, w, b))
}

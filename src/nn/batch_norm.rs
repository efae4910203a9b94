//! Batch norm as networks record it: PyTorch's names, defaults and running statistics, for images [N, C, H, W] and for
//! vectors [N, C].

use super::init::{Init, Params};
use crate::base::{Error, Result};
use crate::kernels::reduce::Reduction;
use crate::tape::{Tape, Var};

/// PyTorch's defaults.
const EPS: f32 = 1e-5;
const MOMENTUM: f32 = 0.1;

/// Which statistics batch norm uses, and whether it updates the running statistics. In a step in micro-batches
/// ([`super::micro`]) "the batch" is one micro-batch, and the running statistics move once, towards the statistics of
/// all micro-batches together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The statistics of the batch.
    Train,
    /// The batch holds this many views, one after the other, and each view has its own statistics. The values are those
    /// of one pass of the network for each view. The running statistics move once for each view, each time towards the
    /// mean over the views. PyTorch moves them towards one view after the other, in an order that has no meaning.
    Views(usize),
    /// The batch is this many equal parts, and each part has its own statistics, as if each part were on a device of
    /// its own. The running statistics move once, towards the statistics of the whole batch.
    Split(usize),
    /// The running statistics, which do not change.
    Eval,
}

impl Mode {
    /// How many parts of a batch have statistics of their own.
    fn parts(self) -> usize {
        match self {
            Mode::Views(parts) | Mode::Split(parts) => parts,
            Mode::Train | Mode::Eval => 1,
        }
    }
}

/// Batch norm of x f32 [N, C, H, W] or [N, C], in the shape of x. Weight, bias and running statistics are f32 [C],
/// named `<prefix><name>.weight`, `.bias`, `.running_mean` and `.running_var`. In training it is an error if a channel
/// has a single value.
pub fn batch_norm(t: &mut Tape, params: &mut Params, (prefix, name): (&str, &str), x: Var, mode: Mode) -> Result<Var> {
    let c = t.shape(x).dim(1);
    let full = |field: &str| format!("{prefix}{name}.{field}");
    let weight = params.weight(t, &full("weight"), [c], Init::Ones)?;
    let bias = params.weight(t, &full("bias"), [c], Init::Zeros)?;
    let affine = [weight, bias];
    normalized(t, params, (prefix, name), x, affine, mode)
}

/// Batch norm with weight 1 and bias 0, which are no parameters: PyTorch's `affine=False`. See [`batch_norm`].
pub fn plain_batch_norm(t: &mut Tape, params: &mut Params, names: (&str, &str), x: Var, mode: Mode) -> Result<Var> {
    let c = t.shape(x).dim(1);
    let affine = [t.fill([c], 1.0)?, t.fill([c], 0.0)?];
    normalized(t, params, names, x, affine, mode)
}

fn normalized(
    t: &mut Tape,
    params: &mut Params,
    (prefix, name): (&str, &str),
    x: Var,
    [weight, bias]: [Var; 2],
    mode: Mode,
) -> Result<Var> {
    let c = t.shape(x).dim(1);
    let names = ["running_mean", "running_var"].map(|field| format!("{prefix}{name}.{field}"));
    let mean = params.statistic(t, &names[0], [c], Init::Zeros)?;
    let var = params.statistic(t, &names[1], [c], Init::Ones)?;
    t.layer(name, |t| {
        if mode == Mode::Eval {
            return t.batch_norm_eval(x, weight, bias, mean, var, EPS);
        }
        let [y, mean, var] = t.batch_norm_split(x, weight, bias, EPS, mode.parts())?;
        // In micro-batches the running statistics move towards those of all micro-batches, which are known after the
        // last one.
        let (batches, known) = match &mut params.micro {
            None => (1, Some([mean, var])),
            Some(micro) => (micro.batches(), micro.statistics(t, [mean, var])?),
        };
        match known {
            Some(known) => move_running(t, &names, (x, batches), known, mode)?,
            None => expect_several(t, x, mode).map(drop)?,
        }
        Ok(y)
    })
}

/// How many values each channel has in a part of x that has its own statistics. PyTorch keeps the unbiased variance and
/// refuses a single value per channel, because that has no unbiased variance.
fn expect_several(t: &Tape, x: Var, mode: Mode) -> Result<usize> {
    let (parts, shape) = (mode.parts(), t.shape(x));
    let part = shape.numel() / shape.dim(1).max(1) / parts.max(1);
    if part >= 2 {
        return Ok(part);
    }
    let what = match parts {
        1 => format!("x {shape} has one value per channel; training needs at least two"),
        _ => format!("each of {parts} parts of x {shape} has one value per channel; use more images or fewer parts"),
    };
    Err(Error::shape("batch_norm", what))
}

/// Moves the running statistics towards those of the batch. The batch is `batches` times as large as x.
fn move_running(
    t: &mut Tape,
    names: &[String; 2],
    (x, batches): (Var, usize),
    [mean, var]: [Var; 2],
    mode: Mode,
) -> Result<()> {
    let part = batches * expect_several(t, x, mode)?;
    let unbiased = |count: usize| count as f32 / (count - 1) as f32;
    let (mean, var, passes, count) = match mode {
        Mode::Split(parts) if parts > 1 => {
            let counts = t.fill([parts], part as f32)?;
            let [mean, var] = t.merge_statistics(mean, var, counts)?;
            (mean, var, 1, part * parts)
        }
        Mode::Views(views) if views > 1 => {
            let mean = t.reduce(mean, Reduction::Mean, &[0], false)?;
            let var = t.reduce(var, Reduction::Mean, &[0], false)?;
            (mean, var, views, part)
        }
        _ => (mean, var, 1, part),
    };
    let keep = (1.0 - MOMENTUM).powi(passes as i32);
    t.ema(&names[0], mean, keep, 1.0)?;
    t.ema(&names[1], var, keep, unbiased(count))?;
    Ok(())
}

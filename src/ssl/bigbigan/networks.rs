//! The networks of BigBiGAN. Their shapes are those of the authors' BigGAN (Brock et al. 2018, arXiv 1809.11096,
//! appendix B) and of the code that the study's first author trained (github.com/Bidur-Khanal/BigBiGAN-PyTorch),
//! without self-attention.

use crate::base::{Result, Shape};
use crate::kernels::conv2d::Conv2d;
use crate::kernels::reduce::Reduction;
use crate::kernels::resize::Filter;
use crate::nn::batch_norm::{batch_norm, plain_batch_norm};
use crate::nn::init::Init;
use crate::nn::recorder::Recorder;
use crate::nn::sequential;
use crate::tape::{Type, Var};

/// The eps of PyTorch's spectral norm.
const EPS: f32 = 1e-12;
/// The slope of leaky ReLU below 0, from the first author's code.
const SLOPE: f32 = 0.3;

/// The factors of dropout: 0, or 1 over the share that is kept. One input of a step holds them all, in the order in
/// which the layers are recorded.
pub(super) struct Masks {
    all: Option<Var>,
    taken: usize,
}

impl Masks {
    /// Reads the input `name` of `length` numbers. With length 0 there is no input, and nothing is dropped.
    pub fn new(r: &mut Recorder<'_>, name: &str, length: usize) -> Result<Masks> {
        let all = (length > 0).then(|| r.input(name, Type::f32([length]))).transpose()?;
        Ok(Masks { all, taken: 0 })
    }

    /// x [N, D] times the next N·D factors.
    fn drop(&mut self, r: &mut Recorder<'_>, x: Var) -> Result<Var> {
        let Some(all) = self.all else { return Ok(x) };
        let shape = r.t.shape(x);
        let mask = r.t.slice(all, 0, self.taken, shape.numel())?;
        self.taken += shape.numel();
        let mask = r.t.reshape(mask, shape)?;
        r.t.mul(x, mask)
    }
}

/// A weight [K, …] over its largest singular value. Power iteration estimates the singular value, one round in each
/// turn. Its vectors are the statistics `<name>.weight_u` and `<name>.weight_v`, as in PyTorch. It may be recorded once
/// in a turn, so both halves of a batch pass it together.
fn normalized(r: &mut Recorder<'_>, name: &str, shape: &[usize]) -> Result<Var> {
    let name = r.named(name);
    let (rows, columns) = (shape[0], shape[1..].iter().product());
    let weight = r.params.weight(r.t, &format!("{name}.weight"), Shape::new(shape), Init::UniformFanIn(columns))?;
    let vectors = ["u", "v"].map(|vector| format!("{name}.weight_{vector}"));
    for (vector, length) in vectors.iter().zip([rows, columns]) {
        r.params.statistic(r.t, vector, [length], Init::UnitRows)?;
    }
    let [u, v] = &vectors;
    r.t.layer(&name, |t| t.spectral_norm(weight, u, v, 1, EPS))
}

/// A linear layer with a normalized weight: x [N, D] gives [N, K].
fn linear(r: &mut Recorder<'_>, name: &str, x: Var, k: usize, bias: bool) -> Result<Var> {
    let d = r.t.shape(x).dim(1);
    let weight = normalized(r, name, &[k, d])?;
    let named = r.named(name);
    let init = Init::UniformFanIn(d);
    let bias = bias.then(|| r.params.weight(r.t, &format!("{named}.bias"), [k], init)).transpose()?;
    r.t.layer(&named, |t| t.linear(x, weight, bias))
}

/// A convolution of stride 1 with a normalized weight and no bias. It keeps the sides: x [N, C, H, W] gives
/// [N, K, H, W].
fn conv(r: &mut Recorder<'_>, name: &str, x: Var, k: usize, window: usize) -> Result<Var> {
    let c = r.t.shape(x).dim(1);
    let weight = normalized(r, name, &[k, c, window, window])?;
    let named = r.named(name);
    r.t.layer(&named, |t| t.conv2d(x, weight, Conv2d::new(1, window as u32 / 2)))
}

/// Whether a network's weights are normalized.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Weights {
    Plain,
    Normalized,
}

/// A residual block of vectors: x [N, D] gives [N, K]. Two layers with dropout and leaky ReLU are added to one layer
/// with leaky ReLU.
fn residual(
    r: &mut Recorder<'_>,
    name: &str,
    x: Var,
    (k, weights): (usize, Weights),
    masks: &mut Masks,
) -> Result<Var> {
    let layer = |r: &mut Recorder<'_>, part: &str, x: Var| {
        let name = format!("{name}.{part}");
        match weights {
            Weights::Normalized => linear(r, &name, x, k, true),
            Weights::Plain => {
                let name = r.named(&name);
                sequential::linear(r.t, r.params, &name, x, k)
            }
        }
    };
    let shortcut = layer(r, "shortcut", x)?;
    let shortcut = r.t.leaky_relu(shortcut, SLOPE)?;
    let mut y = x;
    for part in ["linear1", "linear2"] {
        y = layer(r, part, y)?;
        y = masks.drop(r, y)?;
        y = r.t.leaky_relu(y, SLOPE)?;
    }
    r.t.add(y, shortcut)
}

/// Residual blocks of vectors, `<name>.block<i>`: x [N, D] gives [N, K], K the last of `dims`.
pub(super) fn mlp(
    r: &mut Recorder<'_>,
    name: &str,
    mut x: Var,
    (dims, weights): (&[usize], Weights),
    masks: &mut Masks,
) -> Result<Var> {
    for (i, &k) in dims.iter().enumerate() {
        x = residual(r, &format!("{name}.block{i}"), x, (k, weights), masks)?;
    }
    Ok(x)
}

/// How many numbers [`Masks`] holds for blocks of the widths `dims` on `rows` rows.
pub(super) fn dropped(dims: &[usize], rows: usize) -> usize {
    2 * rows * dims.iter().sum::<usize>()
}

/// A score of each row: x [N, D] gives [N, 1].
pub(super) fn score(r: &mut Recorder<'_>, name: &str, x: Var) -> Result<Var> {
    linear(r, &format!("{name}.score"), x, 1, true)
}

/// ln(1 + eˣ), computed so that no x overflows.
pub(super) fn softplus(r: &mut Recorder<'_>, x: Var) -> Result<Var> {
    let shape = r.t.shape(x);
    r.t.layer("softplus", |t| {
        let (size, one) = (t.abs(x)?, t.fill(shape, 1.0)?);
        let below = t.neg(size)?;
        let small = t.exp(below)?;
        let sum = t.add(one, small)?;
        let (rest, above) = (t.log(sum)?, t.relu(x)?);
        t.add(above, rest)
    })
}

/// The generator: z [N, latent] gives an image [N, C, H, W]. The sides must be multiples of 2 to the number of `dims`.
/// z is cut into parts of almost equal length. The first part makes the first map, and each other part makes the scales
/// and shifts of one block. Nothing follows the last convolution.
pub(super) fn generator(r: &mut Recorder<'_>, z: Var, image: [usize; 4], dims: &[usize]) -> Result<Var> {
    let [n, channels, height, width] = image;
    let (latent, parts) = (r.t.shape(z).dim(1), dims.len() + 1);
    let part = |r: &mut Recorder<'_>, i: usize| {
        let (from, to) = (latent * i / parts, latent * (i + 1) / parts);
        r.t.slice(z, 1, from, to - from)
    };
    let first = [n, dims[0], height >> dims.len(), width >> dims.len()];
    let x = part(r, 0)?;
    let x = linear(r, "linear", x, first[1..].iter().product(), true)?;
    let mut x = r.t.reshape(x, first)?;
    for (i, &k) in dims.iter().enumerate() {
        let condition = part(r, i + 1)?;
        x = up(r, &format!("block{i}"), (x, condition), k)?;
    }
    let prefix = r.named("");
    let x = batch_norm(r.t, r.params, (&prefix, "bn"), x, r.mode)?;
    let x = r.t.relu(x)?;
    conv(r, "conv", x, channels, 3)
}

/// A residual block that doubles the sides: x [N, C, H, W] gives [N, K, 2H, 2W].
fn up(r: &mut Recorder<'_>, name: &str, (x, condition): (Var, Var), k: usize) -> Result<Var> {
    // The shortcut's 1 × 1 convolution runs before the map is enlarged, which gives the same values and costs less.
    let shortcut = conv(r, &format!("{name}.shortcut"), x, k, 1)?;
    let y = conditional_batch_norm(r, &format!("{name}.bn1"), x, condition)?;
    let y = r.t.relu(y)?;
    let y = doubled(r, y)?;
    let y = conv(r, &format!("{name}.conv1"), y, k, 3)?;
    let y = conditional_batch_norm(r, &format!("{name}.bn2"), y, condition)?;
    let y = r.t.relu(y)?;
    let y = conv(r, &format!("{name}.conv2"), y, k, 3)?;
    let shortcut = doubled(r, shortcut)?;
    r.t.add(y, shortcut)
}

/// Enlarges a map: each pixel becomes 2 × 2 equal pixels.
fn doubled(r: &mut Recorder<'_>, x: Var) -> Result<Var> {
    let [_, _, h, w] = r.t.shape(x).nchw("bigbigan", "x")?;
    r.t.resize(x, [2 * h as u32, 2 * w as u32], Filter::Nearest)
}

/// Batch norm with scale 1 + gain and shift bias. Gain and bias are two linear layers of `condition` [N, D].
fn conditional_batch_norm(r: &mut Recorder<'_>, name: &str, x: Var, condition: Var) -> Result<Var> {
    let shape = r.t.shape(x);
    let [n, c, _, _] = shape.nchw("bigbigan", "x")?;
    let prefix = r.named("");
    let y = plain_batch_norm(r.t, r.params, (&prefix, name), x, r.mode)?;
    let [gain, bias] = ["gain", "bias"].map(|part| linear(r, &format!("{name}.{part}"), condition, c, false));
    let (gain, bias) = (gain?, bias?);
    r.t.layer(name, |t| {
        let whole = |t: &mut crate::tape::Tape, v: Var| {
            let v = t.reshape(v, [n, c, 1, 1])?;
            t.broadcast(v, shape)
        };
        let (gain, bias) = (whole(t, gain)?, whole(t, bias)?);
        let scaled = t.mul(y, gain)?;
        let scaled = t.add(y, scaled)?;
        t.add(scaled, bias)
    })
}

/// F, the discriminator of images: x [N, C, H, W] gives features [N, K], K the last of `dims`. There is a block for
/// each width, which halves the sides, rounded up, and one more block, which keeps them. The features are sums over the
/// map.
pub(super) fn image_features(r: &mut Recorder<'_>, name: &str, x: Var, dims: &[usize]) -> Result<Var> {
    let mut y = x;
    for (i, &k) in dims.iter().enumerate() {
        y = down(r, &format!("{name}.block{i}"), y, (k, i > 0))?;
    }
    let name = format!("{name}.last");
    let last = r.t.shape(y).dim(1);
    let kept = convs(r, &name, y, (last, true))?;
    let y = r.t.add(kept, y)?;
    let y = r.t.relu(y)?;
    r.t.reduce(y, Reduction::Sum, &[2, 3], false)
}

/// A residual block that halves the sides: x [N, C, H, W] gives [N, K, ⌈H/2⌉, ⌈W/2⌉].
fn down(r: &mut Recorder<'_>, name: &str, x: Var, (k, after_relu): (usize, bool)) -> Result<Var> {
    let shortcut = conv(r, &format!("{name}.shortcut"), x, k, 1)?;
    let y = convs(r, name, x, (k, after_relu))?;
    let y = r.t.add(y, shortcut)?;
    r.t.avg_pool2d(y, [3, 3], [2, 2], [1, 1])
}

/// Two convolutions, each after a ReLU. The first ReLU is left out for an image, whose values may be negative.
fn convs(r: &mut Recorder<'_>, name: &str, x: Var, (k, after_relu): (usize, bool)) -> Result<Var> {
    let y = if after_relu { r.t.relu(x)? } else { x };
    let y = conv(r, &format!("{name}.conv1"), y, k, 3)?;
    let y = r.t.relu(y)?;
    conv(r, &format!("{name}.conv2"), y, k, 3)
}

//! Which ops a set file can describe, and by which fields: a row for each, in families. Names are PyTorch's where it has
//! the op. Inputs that follow from the others (the weight of a norm, the labels of a loss) are not written down; what
//! they hold is what the op's own cases hold. Any other op is measured at the shapes of its tests, in the set `cases`.

use super::fields::Fields;
use crate::base::{Result, Shape};
use crate::kernels::adam::Adam;
use crate::kernels::adaptive_avg_pool2d::AdaptiveAvgPool2d;
use crate::kernels::add_bias::AddBias;
use crate::kernels::attention::Attention;
use crate::kernels::avg_pool2d::AvgPool2d;
use crate::kernels::barlow_twins::BarlowTwins;
use crate::kernels::batch_norm::BatchNorm;
use crate::kernels::bce_with_logits::BceWithLogits;
use crate::kernels::binary::Binary;
use crate::kernels::broadcast::Broadcast;
use crate::kernels::color_jitter::ColorJitter;
use crate::kernels::conv2d::Conv2d;
use crate::kernels::crop_resize::{CropResize, RandomCrop};
use crate::kernels::cross_entropy::CrossEntropy;
use crate::kernels::draw::{Draws, Keep, Stream};
use crate::kernels::dropout::Dropout;
use crate::kernels::gather::Gather;
use crate::kernels::gaussian_blur::GaussianBlur;
use crate::kernels::gce::Gce;
use crate::kernels::group_norm::GroupNorm;
use crate::kernels::info_nce::InfoNce;
use crate::kernels::l2_normalize::L2Normalize;
use crate::kernels::lars::Lars;
use crate::kernels::layer_norm::LayerNorm;
use crate::kernels::matmul::MatMul;
use crate::kernels::max_pool2d::MaxPool2d;
use crate::kernels::mse::Mse;
use crate::kernels::negative_cosine::NegativeCosine;
use crate::kernels::normalize::Normalize;
use crate::kernels::nt_xent::NtXent;
use crate::kernels::permute::Permute;
use crate::kernels::reduce::{Reduce, Reduction};
use crate::kernels::row_loss::RowLoss;
use crate::kernels::sgd::Sgd;
use crate::kernels::softmax::Softmax;
use crate::kernels::top_k::TopK;
use crate::kernels::unary::{Approximate, Unary};
use crate::kernels::{Case, Fill};
use crate::tape::record::SCALARS;
use crate::tape::{Op, Type};

/// An op with named inputs.
pub(super) struct Made {
    /// The op and how its inputs are filled; the case's own name is left empty.
    pub case: Case,
    /// A name for each input.
    pub names: Vec<&'static str>,
}

type Input = (&'static str, Type, Fill);
type Build = fn(&mut Fields<'_>) -> Result<Made>;

/// The ops by name.
pub(super) const FORMS: &[(&str, Build)] = &[
    ("abs", unary),
    ("adam", adam),
    ("adaptive_avg_pool2d", adaptive_avg_pool2d),
    ("add", binary),
    ("add_bias", add_bias),
    ("attention", attention),
    ("avg_pool2d", avg_pool2d),
    ("barlow_twins", barlow_twins),
    ("batch_norm", batch_norm),
    ("bce_with_logits", bce_with_logits),
    ("broadcast", broadcast),
    ("clamp", unary),
    ("color_jitter", color_jitter),
    ("conv2d", conv2d),
    ("crop_resize", crop_resize),
    ("cross_entropy", cross_entropy),
    ("div", binary),
    ("dropout", dropout),
    ("exp", unary),
    ("gather", gather),
    ("gaussian_blur", gaussian_blur),
    ("gce", gce),
    ("gelu", unary),
    ("group_norm", group_norm),
    ("info_nce", info_nce),
    ("l2_normalize", l2_normalize),
    ("lars", lars),
    ("layer_norm", layer_norm),
    ("leaky_relu", unary),
    ("log", unary),
    ("matmul", matmul),
    ("max_pool2d", max_pool2d),
    ("maximum", binary),
    ("minimum", binary),
    ("mse", mse),
    ("mul", binary),
    ("neg", unary),
    ("negative_cosine", negative_cosine),
    ("normalize", normalize),
    ("nt_xent", nt_xent),
    ("permute", permute),
    ("pow", unary),
    ("reciprocal", unary),
    ("reduce", reduce),
    ("relu", unary),
    ("sgd", sgd),
    ("sigmoid", unary),
    ("silu", unary),
    ("softmax", softmax),
    ("sqrt", unary),
    ("sub", binary),
    ("tanh", unary),
    ("top_k", top_k),
];

fn made(op: impl Op, inputs: Vec<Input>) -> Result<Made> {
    let names = inputs.iter().map(|i| i.0).collect();
    Ok(Made { case: Case::new("", op, inputs.into_iter().map(|(_, ty, fill)| (ty, fill)).collect()), names })
}

fn normal(name: &'static str, shape: impl Into<Shape>) -> Input {
    (name, Type::f32(shape), Fill::Normal)
}

/// The scalars of a step, all of one value.
fn scalars(value: f32) -> Input {
    ("scalars", Type::f32([SCALARS]), Fill::Values(vec![value]))
}

// Products

fn conv2d(f: &mut Fields<'_>) -> Result<Made> {
    let (x, weight) = (f.shape("x")?, f.shape("weight")?);
    let conv = Conv2d {
        stride: f.whole("stride", 1)?,
        padding: f.whole("padding", 0)?,
        dilation: f.whole("dilation", 1)?,
        groups: f.whole("groups", 1)?,
    };
    made(conv, vec![normal("x", x), normal("weight", weight)])
}

fn matmul(f: &mut Fields<'_>) -> Result<Made> {
    let (a, b) = (f.shape("a")?, f.shape("b")?);
    let op = MatMul { trans_a: f.flag("trans_a")?, trans_b: f.flag("trans_b")? };
    made(op, vec![normal("a", a), normal("b", b)])
}

fn add_bias(f: &mut Fields<'_>) -> Result<Made> {
    let [m, n] = f.shape_of("x", "M N")?;
    made(AddBias, vec![normal("x", [m, n]), normal("bias", [n])])
}

fn attention(f: &mut Fields<'_>) -> Result<Made> {
    let (q, k, causal) = (f.shape("q")?, f.shape("k")?, f.flag("causal")?);
    made(Attention { causal, scale: None }, vec![normal("q", q), normal("k", k), normal("v", k)])
}

// Norms and softmax

/// x with a weight and a bias of the size of its axis `axis`.
fn affine(f: &mut Fields<'_>, axis: usize) -> Result<Vec<Input>> {
    let x = f.shape("x")?;
    let need = || format!("x of {} needs at least {} dimensions, and {x} has {}", f.op(), axis + 1, x.rank());
    let size = *x.dims().get(axis).ok_or_else(|| f.wrong(&need()))? as usize;
    Ok(vec![normal("x", x), ("weight", Type::f32([size]), Fill::Uniform(0.5, 1.5)), normal("bias", [size])])
}

fn batch_norm(f: &mut Fields<'_>) -> Result<Made> {
    let op = BatchNorm { eps: f.real("eps", 1e-5)?, splits: f.whole("splits", 1)? as usize };
    made(op, affine(f, 1)?)
}

fn group_norm(f: &mut Fields<'_>) -> Result<Made> {
    let op = GroupNorm { groups: f.count("groups")?, eps: f.real("eps", 1e-5)? };
    made(op, affine(f, 1)?)
}

fn layer_norm(f: &mut Fields<'_>) -> Result<Made> {
    let op = LayerNorm { eps: f.real("eps", 1e-5)? };
    made(op, affine(f, 1)?)
}

fn l2_normalize(f: &mut Fields<'_>) -> Result<Made> {
    let x = f.shape("x")?;
    made(L2Normalize { eps: f.real("eps", 1e-12)? }, vec![normal("x", x)])
}

fn softmax(f: &mut Fields<'_>) -> Result<Made> {
    let x = f.shape("x")?;
    made(Softmax { temperature: f.real("temperature", 1.0)?, log: f.flag("log")? }, vec![normal("x", x)])
}

// Losses

/// Logits, a label for each row and a weight for each row.
fn labelled(f: &mut Fields<'_>) -> Result<Vec<Input>> {
    let [n, k] = f.shape_of("logits", "N K")?;
    let labels = ("labels", Type::u32([n]), Fill::Below(k as u32));
    Ok(vec![normal("logits", [n, k]), labels, ("weights", Type::f32([n]), Fill::Values(vec![1.0]))])
}

fn cross_entropy(f: &mut Fields<'_>) -> Result<Made> {
    let op = RowLoss(CrossEntropy { label_smoothing: f.real("label_smoothing", 0.0)? });
    made(op, labelled(f)?)
}

fn gce(f: &mut Fields<'_>) -> Result<Made> {
    let op = RowLoss(Gce { q: f.real("q", 0.7)? });
    made(op, labelled(f)?)
}

fn bce_with_logits(f: &mut Fields<'_>) -> Result<Made> {
    let [n, k] = f.shape_of("logits", "N K")?;
    let targets = ("targets", Type::f32([n, k]), Fill::Uniform(0.0, 1.0));
    let weights = ("weights", Type::f32([n]), Fill::Values(vec![1.0]));
    made(RowLoss(BceWithLogits), vec![normal("logits", [n, k]), targets, weights])
}

/// Two matrices of one shape and a weight for each row.
fn pair(f: &mut Fields<'_>, names: [&'static str; 2]) -> Result<Vec<Input>> {
    let [n, d] = f.shape_of("x", "N D")?;
    let weights = ("weights", Type::f32([n]), Fill::Values(vec![1.0]));
    Ok(vec![normal(names[0], [n, d]), normal(names[1], [n, d]), weights])
}

fn mse(f: &mut Fields<'_>) -> Result<Made> {
    made(RowLoss(Mse), pair(f, ["x", "target"])?)
}

fn negative_cosine(f: &mut Fields<'_>) -> Result<Made> {
    let op = RowLoss(NegativeCosine { eps: f.real("eps", 1e-8)? });
    made(op, pair(f, ["x", "target"])?)
}

fn nt_xent(f: &mut Fields<'_>) -> Result<Made> {
    let [n, d] = f.shape_of("z", "2N D")?;
    let reach = (3.0 / d as f32).sqrt(); // rows of about length 1, as they come from l2_normalize
    let op = NtXent { temperature: f.real("temperature", 0.5)? };
    made(op, vec![("z", Type::f32([n, d]), Fill::Uniform(-reach, reach))])
}

fn info_nce(f: &mut Fields<'_>) -> Result<Made> {
    let ([n, d], [k, dk]) = (f.shape_of("query", "N D")?, f.shape_of("queue", "K D")?);
    let reach = (3.0 / d as f32).sqrt();
    let rows = |name, n, d| (name, Type::f32([n, d]), Fill::Uniform(-reach, reach));
    let weights = ("weights", Type::f32([n]), Fill::Values(vec![1.0]));
    let op = InfoNce { temperature: f.real("temperature", 0.07)? };
    made(op, vec![rows("query", n, d), rows("key", n, d), rows("queue", k, dk), weights])
}

fn barlow_twins(f: &mut Fields<'_>) -> Result<Made> {
    let [d, e] = f.shape_of("correlation", "D D")?;
    let op = RowLoss(BarlowTwins { samples: f.count("samples")?, lambda: f.real("lambda", 5e-3)? });
    made(op, vec![normal("correlation", [d, e])])
}

// Elementwise

fn unary(f: &mut Fields<'_>) -> Result<Made> {
    let x = f.shape("x")?;
    let op = match f.op() {
        "abs" => Unary::Abs,
        "clamp" => Unary::Clamp { min: f.real("min", -1.0)?, max: f.real("max", 1.0)? },
        "exp" => Unary::Exp,
        "gelu" => Unary::Gelu(f.one_of("approximate", &[("none", Approximate::None), ("tanh", Approximate::Tanh)])?),
        "leaky_relu" => Unary::LeakyRelu { negative_slope: f.real("negative_slope", 0.01)? },
        "log" => Unary::Log,
        "neg" => Unary::Neg,
        "pow" => Unary::Pow { exponent: f.real("exponent", 2.0)? },
        "reciprocal" => Unary::Reciprocal,
        "relu" => Unary::Relu,
        "sigmoid" => Unary::Sigmoid,
        "silu" => Unary::Silu,
        "sqrt" => Unary::Sqrt,
        "tanh" => Unary::Tanh,
        other => return Err(f.wrong(&format!("{other} is no function of one number"))),
    };
    let fill = match f.op() {
        "log" | "sqrt" | "pow" | "reciprocal" => Fill::Uniform(0.05, 4.0),
        _ => Fill::Normal,
    };
    made(op, vec![("x", Type::f32(x), fill)])
}

fn binary(f: &mut Fields<'_>) -> Result<Made> {
    let x = f.shape("x")?;
    let op = match f.op() {
        "add" => Binary::Add,
        "div" => Binary::Div,
        "maximum" => Binary::Maximum,
        "minimum" => Binary::Minimum,
        "mul" => Binary::Mul,
        "sub" => Binary::Sub,
        other => return Err(f.wrong(&format!("{other} is no function of two numbers"))),
    };
    made(op, vec![normal("x", x), ("other", Type::f32(x), Fill::AwayFromZero)])
}

fn dropout(f: &mut Fields<'_>) -> Result<Made> {
    let (x, p) = (f.shape("x")?, f.real("p", 0.5)?);
    let stream = Stream { seed: 1, stream: 5, counter: 0 };
    made(Dropout { keep: Keep::Fraction(1.0 - p), stream }, vec![normal("x", x), scalars(1.0)])
}

// Shapes, sums and selection

fn broadcast(f: &mut Fields<'_>) -> Result<Made> {
    let (x, shape) = (f.shape("x")?, f.shape("shape")?);
    made(Broadcast { shape }, vec![normal("x", x)])
}

fn permute(f: &mut Fields<'_>) -> Result<Made> {
    let (x, axes) = (f.shape("x")?, f.axes("axes")?);
    made(Permute { axes }, vec![normal("x", x)])
}

fn reduce(f: &mut Fields<'_>) -> Result<Made> {
    let var = Reduction::Var { correction: 1 };
    let (sum, mean) = (Reduction::Sum, Reduction::Mean);
    let kinds = [("sum", sum), ("mean", mean), ("var", var), ("max", Reduction::Max), ("argmax", Reduction::Argmax)];
    let op = Reduce { kind: f.one_of("kind", &kinds)?, axes: f.axes("axes")?, keepdim: f.flag("keepdim")? };
    let x = f.shape("x")?;
    made(op, vec![normal("x", x)])
}

fn gather(f: &mut Fields<'_>) -> Result<Made> {
    let (table, n) = (f.shape("table")?, f.count("indices")?);
    let rows = table.dims().first().copied().unwrap_or(1);
    made(Gather, vec![normal("table", table), ("indices", Type::u32([n]), Fill::Below(rows))])
}

fn top_k(f: &mut Fields<'_>) -> Result<Made> {
    let (x, k) = (f.shape("x")?, f.count("k")?);
    made(TopK { k: k as u32 }, vec![normal("x", x)])
}

fn max_pool2d(f: &mut Fields<'_>) -> Result<Made> {
    let x = f.shape("x")?;
    let kernel = f.count("kernel")? as u32;
    let op = MaxPool2d { kernel, stride: f.whole("stride", kernel)?, padding: f.whole("padding", 0)? };
    made(op, vec![normal("x", x)])
}

fn avg_pool2d(f: &mut Fields<'_>) -> Result<Made> {
    let (x, kernel) = (f.shape("x")?, f.pair("kernel", [2, 2])?);
    let op = AvgPool2d { kernel, stride: f.pair("stride", kernel)?, padding: f.pair("padding", [0, 0])? };
    made(op, vec![normal("x", x)])
}

fn adaptive_avg_pool2d(f: &mut Fields<'_>) -> Result<Made> {
    let x = f.shape("x")?;
    made(AdaptiveAvgPool2d { out: f.pair("out", [1, 1])? }, vec![normal("x", x)])
}

// Optimizers: their state starts at values of no meaning, and moves on from sample to sample

fn parameter(f: &mut Fields<'_>, rest: &[&'static str]) -> Result<Vec<Input>> {
    let n = f.count("param")?;
    Ok(["param", "grad"].iter().chain(rest).map(|name| normal(name, [n])).collect())
}

fn sgd(f: &mut Fields<'_>) -> Result<Made> {
    let (momentum, weight_decay) = (f.real("momentum", 0.9)?, f.real("weight_decay", 1e-4)?);
    let mut inputs = parameter(f, &["velocity"])?;
    inputs.push(scalars(1e-6));
    made(Sgd { momentum, nesterov: f.flag("nesterov")?, weight_decay, lr: 0 }, inputs)
}

fn adam(f: &mut Fields<'_>) -> Result<Made> {
    let (weight_decay, decoupled) = (f.real("weight_decay", 0.0)?, f.flag("decoupled")?);
    let mut inputs = parameter(f, &["mean"])?;
    let n = inputs[0].1.shape;
    inputs.push(("square", Type::f32(n), Fill::Uniform(0.1, 2.0))); // a mean square is not negative
    inputs.push(("step", Type::f32([1]), Fill::Values(vec![100.0])));
    inputs.push(scalars(1e-6));
    made(Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay, decoupled, lr: 0 }, inputs)
}

fn lars(f: &mut Fields<'_>) -> Result<Made> {
    let (momentum, weight_decay) = (f.real("momentum", 0.9)?, f.real("weight_decay", 1e-6)?);
    let mut inputs = parameter(f, &["velocity"])?;
    inputs.push(scalars(1e-6));
    made(Lars { momentum, weight_decay, eta: 1e-3, clip: false, lr: 0 }, inputs)
}

// Images

fn draws(stream: u32) -> Draws {
    Draws { seed: 1, stream, view: 0, epoch: 0 }
}

/// Images, an index for each and the scalars.
fn images(f: &mut Fields<'_>) -> Result<Vec<Input>> {
    let [n, c, h, w] = f.shape_of("x", "N C H W")?;
    let indices = ("indices", Type::u32([n]), Fill::Below(1000));
    Ok(vec![("x", Type::f32([n, c, h, w]), Fill::Uniform(0.0, 1.0)), indices, scalars(1.0)])
}

fn crop_resize(f: &mut Fields<'_>) -> Result<Made> {
    let (count, batch) = (f.count("images")?, f.count("batch")?);
    let (size, channels, out) = (f.count("size")? as u32, f.count("channels")? as u32, f.count("out")? as u32);
    let crop = RandomCrop { draws: draws(7), scale: [0.2, 1.0], ratio: [0.75, 4.0 / 3.0], flip: 0.5 };
    let op = CropResize { crop: Some(crop), size, channels, out, images_per_page: count as u32 };
    let page = ("images", Type::u32([count * op.words()]), Fill::Bytes);
    made(op, vec![("indices", Type::u32([batch]), Fill::Below(count as u32)), page, scalars(3.0)])
}

fn color_jitter(f: &mut Fields<'_>) -> Result<Made> {
    let [probability, grayscale] = [f.real("probability", 0.8)?, f.real("grayscale", 0.2)?];
    let strength = f.real("strength", 0.8)?;
    let [brightness, contrast, saturation, hue] = [strength, strength, strength, strength / 4.0];
    let op = ColorJitter { draws: draws(8), probability, brightness, contrast, saturation, hue, grayscale };
    made(op, images(f)?)
}

fn gaussian_blur(f: &mut Fields<'_>) -> Result<Made> {
    let (probability, radius) = (f.real("probability", 0.5)?, f.count("radius")? as u32);
    made(GaussianBlur { draws: draws(9), probability, sigma: [0.1, 2.0], radius }, images(f)?)
}

fn normalize(f: &mut Fields<'_>) -> Result<Made> {
    let x = f.shape("x")?;
    let op = Normalize { mean: [0.49, 0.48, 0.44], std: [0.25, 0.24, 0.26] };
    made(op, vec![("x", Type::f32(x), Fill::Uniform(0.0, 1.0))])
}

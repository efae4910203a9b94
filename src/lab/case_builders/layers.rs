//! Products, norms, softmax and pools.

use super::super::case_fields::CaseFields;
use super::{BuiltCase, Input, made, normal};
use crate::base::{DType, Result, Shape};
use crate::kernels::Fill;
use crate::kernels::adaptive_avg_pool2d::AdaptiveAvgPool2d;
use crate::kernels::add_bias::AddBias;
use crate::kernels::attention::Attention;
use crate::kernels::avg_pool2d::AvgPool2d;
use crate::kernels::batch_norm::BatchNorm;
use crate::kernels::batch_norm_relu::BatchNormRelu;
use crate::kernels::conv2d::Conv2d;
use crate::kernels::group_norm::GroupNorm;
use crate::kernels::l2_normalize::L2Normalize;
use crate::kernels::layer_norm::LayerNorm;
use crate::kernels::matmul::MatMul;
use crate::kernels::max_pool2d::MaxPool2d;
use crate::kernels::softmax::Softmax;
use crate::tape::Type;

/// What the operands of a product hold.
fn dtype(f: &mut CaseFields<'_>) -> Result<DType> {
    f.one_of("dtype", &[("f32", DType::F32), ("f16", DType::F16)])
}

fn operand(name: &'static str, shape: Shape, dtype: DType) -> Input {
    (name, Type { shape, dtype }, Fill::Normal)
}

pub(super) fn conv2d(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (x, weight, dtype) = (f.shape("x")?, f.shape("weight")?, dtype(f)?);
    let conv = Conv2d {
        stride: f.whole("stride", 1)?,
        padding: f.whole("padding", 0)?,
        dilation: f.whole("dilation", 1)?,
        groups: f.whole("groups", 1)?,
        result: DType::F32,
    };
    made(conv, vec![operand("x", x, dtype), operand("weight", weight, dtype)])
}

pub(super) fn matmul(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (a, b, dtype) = (f.shape("a")?, f.shape("b")?, dtype(f)?);
    let op = MatMul::new(f.flag("trans_a")?, f.flag("trans_b")?);
    made(op, vec![operand("a", a, dtype), operand("b", b, dtype)])
}

pub(super) fn add_bias(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let [m, n] = f.shape_of("x", "M N")?;
    made(AddBias, vec![normal("x", [m, n]), normal("bias", [n])])
}

pub(super) fn attention(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    if f.has("qkv") {
        let heads = f.count("heads")?;
        // q, k and v as a transformer's qkv layer writes them.
        let qkv: [usize; 3] = f.shape_of("qkv", "B T 3·H·E")?;
        return made(Attention { causal: false, scale: None, packed: Some(heads) }, vec![normal("qkv", qkv)]);
    }
    let (q, k, causal) = (f.shape("q")?, f.shape("k")?, f.flag("causal")?);
    made(Attention { causal, scale: None, packed: None }, vec![normal("q", q), normal("k", k), normal("v", k)])
}

// Norms and softmax

/// x with a weight and a bias of the size of its axis `axis`.
fn affine(f: &mut CaseFields<'_>, axis: usize) -> Result<Vec<Input>> {
    let x = f.shape("x")?;
    let need = || format!("x of {} needs at least {} dimensions, and {x} has {}", f.op(), axis + 1, x.rank());
    let size = *x.dims().get(axis).ok_or_else(|| f.wrong(&need()))? as usize;
    Ok(vec![normal("x", x), ("weight", Type::f32([size]), Fill::Uniform(0.5, 1.5)), normal("bias", [size])])
}

pub(super) fn batch_norm(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let op = BatchNorm { eps: f.real("eps", 1e-5)?, splits: f.whole("splits", 1)? as usize };
    made(op, affine(f, 1)?)
}

pub(super) fn batch_norm_relu(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (eps, splits, residual) = (f.real("eps", 1e-5)?, f.whole("splits", 1)? as usize, f.flag("residual")?);
    let mut inputs = affine(f, 1)?;
    inputs.extend(residual.then(|| normal("residual", inputs[0].1.shape)));
    made(BatchNormRelu { eps, splits, residual }, inputs)
}

pub(super) fn group_norm(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let op = GroupNorm { groups: f.count("groups")?, eps: f.real("eps", 1e-5)? };
    made(op, affine(f, 1)?)
}

pub(super) fn layer_norm(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let op = LayerNorm { eps: f.real("eps", 1e-5)? };
    made(op, affine(f, 1)?)
}

pub(super) fn l2_normalize(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let x = f.shape("x")?;
    made(L2Normalize { eps: f.real("eps", 1e-12)? }, vec![normal("x", x)])
}

pub(super) fn softmax(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let x = f.shape("x")?;
    made(Softmax { temperature: f.real("temperature", 1.0)?, log: f.flag("log")? }, vec![normal("x", x)])
}

// Pools

pub(super) fn max_pool2d(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let x = f.shape("x")?;
    let kernel = f.count("kernel")? as u32;
    let op = MaxPool2d { kernel, stride: f.whole("stride", kernel)?, padding: f.whole("padding", 0)? };
    made(op, vec![normal("x", x)])
}

pub(super) fn avg_pool2d(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (x, kernel) = (f.shape("x")?, f.pair("kernel", [2, 2])?);
    let op = AvgPool2d { kernel, stride: f.pair("stride", kernel)?, padding: f.pair("padding", [0, 0])? };
    made(op, vec![normal("x", x)])
}

pub(super) fn adaptive_avg_pool2d(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let x = f.shape("x")?;
    made(AdaptiveAvgPool2d { out: f.pair("out", [1, 1])? }, vec![normal("x", x)])
}

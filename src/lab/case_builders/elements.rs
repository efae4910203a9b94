//! Functions of each element; shapes, sums and selection.

use super::super::case_fields::CaseFields;
use super::{BuiltCase, made, normal, scalars};
use crate::base::Result;
use crate::kernels::Fill;
use crate::kernels::binary::Binary;
use crate::kernels::broadcast::Broadcast;
use crate::kernels::draw::{Keep, Stream};
use crate::kernels::dropout::Dropout;
use crate::kernels::gather::Gather;
use crate::kernels::permute::Permute;
use crate::kernels::reduce::{Reduce, Reduction};
use crate::kernels::top_k::TopK;
use crate::kernels::unary::{Approximate, Unary};
use crate::tape::Type;

pub(super) fn unary(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
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

pub(super) fn binary(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
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

pub(super) fn dropout(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (x, p) = (f.shape("x")?, f.real("p", 0.5)?);
    let stream = Stream { seed: 1, stream: 5, counter: 0 };
    made(Dropout { keep: Keep::Fraction(1.0 - p), stream }, vec![normal("x", x), scalars(1.0)])
}

// Shapes, sums and selection

pub(super) fn broadcast(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (x, shape) = (f.shape("x")?, f.shape("shape")?);
    made(Broadcast { shape }, vec![normal("x", x)])
}

pub(super) fn permute(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (x, axes) = (f.shape("x")?, f.axes("axes")?);
    made(Permute { axes }, vec![normal("x", x)])
}

pub(super) fn reduce(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let var = Reduction::Var { correction: 1 };
    let (sum, mean) = (Reduction::Sum, Reduction::Mean);
    let kinds = [("sum", sum), ("mean", mean), ("var", var), ("max", Reduction::Max), ("argmax", Reduction::Argmax)];
    let op = Reduce { kind: f.one_of("kind", &kinds)?, axes: f.axes("axes")?, keepdim: f.flag("keepdim")? };
    let x = f.shape("x")?;
    made(op, vec![normal("x", x)])
}

pub(super) fn gather(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (table, n) = (f.shape("table")?, f.count("indices")?);
    let rows = table.dims().first().copied().unwrap_or(1);
    made(Gather, vec![normal("table", table), ("indices", Type::u32([n]), Fill::Below(rows))])
}

pub(super) fn top_k(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let (x, k) = (f.shape("x")?, f.count("k")?);
    made(TopK { k: k as u32 }, vec![normal("x", x)])
}

//! The ops that have fields of their own in a set file, and the fields of each. Names are PyTorch's where it has the op.
//! Some inputs follow from the others (the weight of a norm, the labels of a loss) and are not written in the file; they
//! are filled as in the op's own cases. Any other op is described by one of its named cases and the shapes of its inputs
//! (`listed.rs`).

mod elements;
mod layers;
mod listed;
mod losses;
mod training;

use super::case_fields::CaseFields;
use crate::base::{Result, Shape};
use crate::kernels::{Case, Fill};
use crate::tape::record::SCALARS;
use crate::tape::{Op, Type};

/// An op with named inputs.
pub(super) struct BuiltCase {
    /// The op, and how its inputs are filled. Its name is empty: the set file gives it.
    pub case: Case,
    /// A name for each input.
    pub names: Vec<&'static str>,
}

type Input = (&'static str, Type, Fill);
pub(super) type Build = fn(&mut CaseFields<'_>) -> Result<BuiltCase>;

/// The builder of each op that has fields of its own, by the op's name.
const BUILDERS: &[(&str, Build)] = &[
    ("abs", elements::unary),
    ("adam", training::adam),
    ("adaptive_avg_pool2d", layers::adaptive_avg_pool2d),
    ("add", elements::binary),
    ("add_bias", layers::add_bias),
    ("attention", layers::attention),
    ("avg_pool2d", layers::avg_pool2d),
    ("barlow_twins", losses::barlow_twins),
    ("batch_norm", layers::batch_norm),
    ("batch_norm_relu", layers::batch_norm_relu),
    ("bce_with_logits", losses::bce_with_logits),
    ("broadcast", elements::broadcast),
    ("clamp", elements::unary),
    ("color_jitter", training::color_jitter),
    ("conv2d", layers::conv2d),
    ("crop_resize", training::crop_resize),
    ("cross_entropy", losses::cross_entropy),
    ("div", elements::binary),
    ("dropout", elements::dropout),
    ("exp", elements::unary),
    ("gather", elements::gather),
    ("gaussian_blur", training::gaussian_blur),
    ("gce", losses::gce),
    ("gelu", elements::unary),
    ("group_norm", layers::group_norm),
    ("info_nce", losses::info_nce),
    ("l2_normalize", layers::l2_normalize),
    ("lars", training::lars),
    ("layer_norm", layers::layer_norm),
    ("leaky_relu", elements::unary),
    ("log", elements::unary),
    ("matmul", layers::matmul),
    ("max_pool2d", layers::max_pool2d),
    ("maximum", elements::binary),
    ("minimum", elements::binary),
    ("mse", losses::mse),
    ("mul", elements::binary),
    ("neg", elements::unary),
    ("negative_cosine", losses::negative_cosine),
    ("normalize", training::normalize),
    ("nt_xent", losses::nt_xent),
    ("permute", elements::permute),
    ("pow", elements::unary),
    ("reciprocal", elements::unary),
    ("reduce", elements::reduce),
    ("relu", elements::unary),
    ("sgd", training::sgd),
    ("sigmoid", elements::unary),
    ("silu", elements::unary),
    ("softmax", layers::softmax),
    ("sqrt", elements::unary),
    ("sub", elements::binary),
    ("tanh", elements::unary),
    ("top_k", elements::top_k),
];

/// How a case of `op` is built; `None` if there is no such op.
pub(super) fn builder(op: &str) -> Option<Build> {
    let own = BUILDERS.iter().find(|f| f.0 == op).map(|f| f.1);
    own.or_else(|| listed::cases(op).map(|_| listed::listed as Build))
}

fn made(op: impl Op, inputs: Vec<Input>) -> Result<BuiltCase> {
    let names = inputs.iter().map(|i| i.0).collect();
    Ok(BuiltCase { case: Case::new("", op, inputs.into_iter().map(|(_, ty, fill)| (ty, fill)).collect()), names })
}

fn normal(name: &'static str, shape: impl Into<Shape>) -> Input {
    (name, Type::f32(shape), Fill::Normal)
}

/// The scalars of a step, all of one value.
fn scalars(value: f32) -> Input {
    ("scalars", Type::f32([SCALARS]), Fill::Values(vec![value]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of the table is no surprise to a reader, and every row is of an op that exists.
    #[test]
    fn builders_are_sorted_ops() {
        assert!(BUILDERS.is_sorted_by_key(|f| f.0));
        for (name, _) in BUILDERS {
            assert!(listed::cases(name).is_some(), "{name}");
        }
    }
}

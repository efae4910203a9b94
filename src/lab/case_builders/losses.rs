//! Losses.

use super::super::case_fields::CaseFields;
use super::{BuiltCase, Input, made, normal};
use crate::base::Result;
use crate::kernels::Fill;
use crate::kernels::barlow_twins::BarlowTwins;
use crate::kernels::bce_with_logits::BceWithLogits;
use crate::kernels::cross_entropy::CrossEntropy;
use crate::kernels::gce::Gce;
use crate::kernels::info_nce::InfoNce;
use crate::kernels::mse::Mse;
use crate::kernels::negative_cosine::NegativeCosine;
use crate::kernels::nt_xent::NtXent;
use crate::kernels::row_loss::RowLoss;
use crate::tape::Type;

/// Logits, a label for each row and a weight for each row.
fn labelled(f: &mut CaseFields<'_>) -> Result<Vec<Input>> {
    let [n, k] = f.shape_of("logits", "N K")?;
    let labels = ("labels", Type::u32([n]), Fill::Below(k as u32));
    Ok(vec![normal("logits", [n, k]), labels, ("weights", Type::f32([n]), Fill::Values(vec![1.0]))])
}

pub(super) fn cross_entropy(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let op = RowLoss(CrossEntropy { label_smoothing: f.real("label_smoothing", 0.0)? });
    made(op, labelled(f)?)
}

pub(super) fn gce(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let op = RowLoss(Gce { q: f.real("q", 0.7)? });
    made(op, labelled(f)?)
}

pub(super) fn bce_with_logits(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let [n, k] = f.shape_of("logits", "N K")?;
    let targets = ("targets", Type::f32([n, k]), Fill::Uniform(0.0, 1.0));
    let weights = ("weights", Type::f32([n]), Fill::Values(vec![1.0]));
    made(RowLoss(BceWithLogits), vec![normal("logits", [n, k]), targets, weights])
}

/// Two matrices of one shape and a weight for each row.
fn pair(f: &mut CaseFields<'_>, names: [&'static str; 2]) -> Result<Vec<Input>> {
    let [n, d] = f.shape_of("x", "N D")?;
    let weights = ("weights", Type::f32([n]), Fill::Values(vec![1.0]));
    Ok(vec![normal(names[0], [n, d]), normal(names[1], [n, d]), weights])
}

pub(super) fn mse(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    made(RowLoss(Mse), pair(f, ["x", "target"])?)
}

pub(super) fn negative_cosine(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let op = RowLoss(NegativeCosine { eps: f.real("eps", 1e-8)? });
    made(op, pair(f, ["x", "target"])?)
}

pub(super) fn nt_xent(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let [n, d] = f.shape_of("z", "2N D")?;
    let reach = (3.0 / d as f32).sqrt(); // rows of about length 1, as they come from l2_normalize
    let op = NtXent { temperature: f.real("temperature", 0.5)? };
    made(op, vec![("z", Type::f32([n, d]), Fill::Uniform(-reach, reach))])
}

pub(super) fn info_nce(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let ([n, d], [k, dk]) = (f.shape_of("query", "N D")?, f.shape_of("queue", "K D")?);
    let reach = (3.0 / d as f32).sqrt();
    let rows = |name, n, d| (name, Type::f32([n, d]), Fill::Uniform(-reach, reach));
    let weights = ("weights", Type::f32([n]), Fill::Values(vec![1.0]));
    let op = InfoNce { temperature: f.real("temperature", 0.07)? };
    made(op, vec![rows("query", n, d), rows("key", n, d), rows("queue", k, dk), weights])
}

pub(super) fn barlow_twins(f: &mut CaseFields<'_>) -> Result<BuiltCase> {
    let [d, e] = f.shape_of("correlation", "D D")?;
    let op = RowLoss(BarlowTwins { samples: f.count("samples")?, lambda: f.real("lambda", 5e-3)? });
    made(op, vec![normal("correlation", [d, e])])
}

//! Random cases of the losses: sizes of one to a few workgroups, whole vec4 or not, rows with and without padding, and
//! every option of an op. Values stay away from kinks, so that gradients can be checked as well.

use crate::properties::Generator;
use wgslab::base::rng::Rng;
use wgslab::kernels::barlow_twins::BarlowTwins;
use wgslab::kernels::bce_with_logits::BceWithLogits;
use wgslab::kernels::center::Center;
use wgslab::kernels::cross_entropy::CrossEntropy;
use wgslab::kernels::elr::{Elr, ElrTargets};
use wgslab::kernels::gce::Gce;
use wgslab::kernels::hinge::Hinge;
use wgslab::kernels::info_nce::InfoNce;
use wgslab::kernels::kl_div::KlDiv;
use wgslab::kernels::kl_gaussian::KlGaussian;
use wgslab::kernels::mse::Mse;
use wgslab::kernels::nce_rce::NceRce;
use wgslab::kernels::negative_cosine::NegativeCosine;
use wgslab::kernels::nt_xent::NtXent;
use wgslab::kernels::row_loss::RowLoss;
use wgslab::kernels::sce::Sce;
use wgslab::kernels::vicreg::VicregView;
use wgslab::kernels::{Case, Fill};
use wgslab::tape::{Op, Type};

/// The name of an op file and the function that draws a case of it.
pub const GENERATORS: &[(&str, Generator)] = &[
    ("barlow_twins", barlow_twins),
    ("bce_with_logits", bce_with_logits),
    ("center", |r| case(Center, vec![matrix(size(r), size(r), Fill::Normal)])),
    ("cross_entropy", cross_entropy),
    ("elr", elr),
    ("gce", |r| {
        let q = between(r, 0.05, 1.0);
        labelled(r, 1, RowLoss(Gce { q }))
    }),
    ("hinge", hinge),
    ("info_nce", info_nce),
    ("kl_div", |r| {
        let temperature = between(r, 0.5, 4.0);
        pair(r, RowLoss(KlDiv { temperature }), Fill::Normal)
    }),
    ("kl_gaussian", |r| pair(r, RowLoss(KlGaussian), Fill::Uniform(-2.0, 2.0))),
    ("mse", |r| pair(r, RowLoss(Mse), Fill::Normal)),
    ("nce_rce", |r| {
        let (alpha, beta) = (between(r, 0.1, 10.0), between(r, 0.1, 1.0));
        labelled(r, 2, RowLoss(NceRce { alpha, beta, log_zero: -9.210_34 }))
    }),
    ("negative_cosine", |r| pair(r, RowLoss(NegativeCosine { eps: 1e-8 }), Fill::AwayFromZero)),
    ("nt_xent", |r| {
        let (n, d, temperature) = (size(r), size(r), between(r, 0.1, 1.0));
        let reach = 1.0 / (d as f32).sqrt();
        case(NtXent { temperature }, vec![matrix(2 * n, d, Fill::Uniform(-reach, reach))])
    }),
    ("sce", |r| {
        let (alpha, beta) = (between(r, 0.1, 6.0), between(r, 0.1, 1.0));
        labelled(r, 1, RowLoss(Sce { alpha, beta, log_zero: -4.0 }))
    }),
    ("vicreg", |r| {
        let (d, samples) = (size(r), 2 + r.below(60));
        let op = VicregView { samples, variance: between(r, 0.1, 25.0), covariance: between(r, 0.01, 1.0) };
        case(RowLoss(op), vec![matrix(d, d, Fill::Uniform(0.05, 2.0))])
    }),
];

fn case(op: impl Op, inputs: Vec<(Type, Fill)>) -> Case {
    Case::new("random", op, inputs)
}

fn matrix(rows: usize, columns: usize, fill: Fill) -> (Type, Fill) {
    (Type::f32([rows, columns]), fill)
}

/// From one to slightly more than a workgroup. Small sizes are more likely, and every second one is a multiple of four.
fn size(r: &mut Rng) -> usize {
    let limit = [4, 20, 70][r.below(3)];
    let n = 1 + r.below(limit);
    if r.below(2) == 0 { n.next_multiple_of(4) } else { n }
}

fn between(r: &mut Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * r.uniform()
}

fn weights(n: usize) -> (Type, Fill) {
    (Type::f32([n]), Fill::Weights)
}

/// Logits, labels and weights, with at least `classes` classes.
fn labelled(r: &mut Rng, classes: usize, op: impl Op) -> Case {
    let (n, k) = (size(r), size(r).max(classes));
    let labels = (Type::u32([n]), Fill::Below(k as u32));
    case(op, vec![matrix(n, k, Fill::Normal), labels, weights(n)])
}

/// Two matrices and weights.
fn pair(r: &mut Rng, op: impl Op, second: Fill) -> Case {
    let (n, k) = (size(r), size(r));
    case(op, vec![matrix(n, k, Fill::Normal), matrix(n, k, second), weights(n)])
}

fn barlow_twins(r: &mut Rng) -> Case {
    let (d, samples, lambda) = (size(r), 1 + r.below(60), between(r, 1e-3, 1.0));
    case(RowLoss(BarlowTwins { samples, lambda }), vec![matrix(d, d, Fill::Normal)])
}

fn bce_with_logits(r: &mut Rng) -> Case {
    let mut c = pair(r, RowLoss(BceWithLogits), Fill::Uniform(0.0, 1.0));
    if r.below(2) == 0 {
        let k = c.inputs[0].0.shape.dim(1);
        c.inputs.insert(2, (Type::f32([k]), Fill::Uniform(0.5, 3.0)));
    }
    c
}

fn cross_entropy(r: &mut Rng) -> Case {
    let label_smoothing = if r.below(2) == 0 { 0.0 } else { between(r, 0.0, 0.9) };
    let mut c = labelled(r, 1, RowLoss(CrossEntropy { label_smoothing }));
    let (n, k) = (c.inputs[0].0.shape.dim(0), c.inputs[0].0.shape.dim(1));
    if r.below(2) == 0 {
        c.inputs[1] = matrix(n, k, Fill::Uniform(0.0, 2.0 / k as f32));
    }
    if r.below(2) == 0 {
        c.inputs.insert(2, (Type::f32([k]), Fill::Uniform(0.5, 2.0)));
    }
    c
}

fn elr(r: &mut Rng) -> Case {
    let (n, k, m) = (size(r), size(r), size(r));
    let table = matrix(m, k, Fill::Uniform(0.0, 1.0 / k as f32));
    let indices = (Type::u32([n]), Fill::Below(m as u32));
    if r.below(2) == 0 {
        let mut inputs = vec![table, matrix(n, k, Fill::Normal), indices, weights(n)];
        if r.below(2) == 0 {
            inputs.push((Type::u32([1]), Fill::Words(vec![r.below(2) as u32])));
        }
        return case(ElrTargets { keep: between(r, 0.1, 0.99) }, inputs);
    }
    let labels = (Type::u32([n]), Fill::Below(k as u32));
    let op = RowLoss(Elr { lambda: between(r, 0.5, 7.0) });
    case(op, vec![matrix(n, k, Fill::Normal), labels, indices, table, weights(n)])
}

fn hinge(r: &mut Rng) -> Case {
    let of = [Hinge::Real, Hinge::Fake, Hinge::Generator][r.below(3)];
    let (n, k) = (size(r), size(r));
    let scores = Fill::Values((0..31).map(|i| (i as f32 - 15.0) * 0.21 + 0.07).collect());
    case(RowLoss(of), vec![matrix(n, k, scores), weights(n)])
}

fn info_nce(r: &mut Rng) -> Case {
    let (n, d, temperature) = (size(r), size(r), between(r, 0.1, 1.0));
    let k = if r.below(4) == 0 { 300 + r.below(400) } else { size(r) };
    let reach = Fill::Uniform(-1.0 / (d as f32).sqrt(), 1.0 / (d as f32).sqrt());
    let rows = [n, n, k].map(|rows| matrix(rows, d, reach.clone()));
    case(InfoNce { temperature }, rows.into_iter().chain([weights(n)]).collect())
}

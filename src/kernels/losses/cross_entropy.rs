//! cross_entropy: loss_i = −Σ_k T_ik log softmax(x_i)_k with T_ik = c_k ((1 − ε) t_ik + ε / K): t the targets (1 at the
//! label, or probabilities), c the class weights, ε the label smoothing (Szegedy et al. 2015, arXiv:1512.00567, 7).
//! loss = Σ w_i loss_i / max(Σ w_i, tiny), with labels and class weights / max(Σ w_i c_label, tiny): PyTorch's
//! `cross_entropy`. A row of weight 0 is padding. Labels past the last class count as the last; the host checks them first.
//! dx_ik = f_i (softmax(x_i)_k Σ_j T_ij − T_ik). Plain labels have pieces of their own that need no sum over T.
//! Shaders: shaders/losses/cross_entropy/, shaders/core/row_loss/.

use crate::base::{DType, Error, Result};
use crate::kernels::row_loss::{Formula, Names, RowLoss, Rule, Walk, labelled, labelled_case, names, pair};
use crate::kernels::{Case, Fill};
use crate::tape::{Tape, Type, Var};
use crate::{params, piece};

/// (logits [N, K], labels u32 [N] or probabilities f32 [N, K], class weights [K]?, weights [N]) -> (loss, losses, …).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CrossEntropy {
    /// ε: how much of the target is spread over all classes.
    pub label_smoothing: f32,
}

params! {
    pub(crate) struct Params { rows: u32, vectors: u32, classes: u32, smoothing: f32 }
}

static PLAIN: Rule = Rule {
    terms: false,
    flops: 4,
    pieces: &[
        piece!("core/row_loss/logits.wgsl"),
        piece!("core/row_loss/labels.wgsl"),
        piece!("core/row_loss/at_label.wgsl"),
        piece!("losses/cross_entropy/labels.wgsl"),
    ],
    ..Rule::LOGITS
};
static LABELS: Rule = Rule {
    flops: 9,
    pieces: &[
        piece!("core/row_loss/logits.wgsl"),
        piece!("core/row_loss/labels.wgsl"),
        piece!("losses/cross_entropy/of_labels.wgsl"),
        piece!("losses/cross_entropy/class_even.wgsl"),
        piece!("losses/cross_entropy/full.wgsl"),
    ],
    ..Rule::LOGITS
};
static WEIGHTED_LABELS: Rule = Rule {
    by_class: true,
    flops: 9,
    pieces: &[
        piece!("core/row_loss/logits.wgsl"),
        piece!("core/row_loss/labels.wgsl"),
        piece!("losses/cross_entropy/of_labels.wgsl"),
        piece!("losses/cross_entropy/class_weights.wgsl"),
        piece!("losses/cross_entropy/full.wgsl"),
    ],
    ..Rule::LOGITS
};
static PROBABILITIES: Rule = Rule {
    flops: 9,
    pieces: &[
        piece!("core/row_loss/logits.wgsl"),
        piece!("losses/cross_entropy/of_probabilities.wgsl"),
        piece!("losses/cross_entropy/class_even.wgsl"),
        piece!("losses/cross_entropy/full.wgsl"),
    ],
    ..Rule::LOGITS
};
static WEIGHTED_PROBABILITIES: Rule = Rule {
    flops: 9,
    pieces: &[
        piece!("core/row_loss/logits.wgsl"),
        piece!("losses/cross_entropy/of_probabilities.wgsl"),
        piece!("losses/cross_entropy/class_weights.wgsl"),
        piece!("losses/cross_entropy/full.wgsl"),
    ],
    ..Rule::LOGITS
};

impl Tape {
    /// Weighted mean cross-entropy of logits [N, K] against labels u32 [N] with weights [N]: [loss [1], losses [N]
    /// without weights, shares [N], what each row counts in the mean]. The loss and the losses have a gradient.
    pub fn cross_entropy(&mut self, logits: Var, labels: Var, weights: Var) -> Result<[Var; 3]> {
        self.cross_entropy_with(logits, labels, weights, None, 0.0)
    }

    /// The same in full: targets are labels u32 [N] or probabilities f32 [N, K] (no gradient), class weights are f32 [K].
    pub fn cross_entropy_with(
        &mut self,
        logits: Var,
        targets: Var,
        weights: Var,
        class_weights: Option<Var>,
        label_smoothing: f32,
    ) -> Result<[Var; 3]> {
        let inputs: Vec<Var> = [logits, targets].into_iter().chain(class_weights).chain([weights]).collect();
        let y = self.apply(RowLoss(CrossEntropy { label_smoothing }), &inputs)?;
        Ok([y[0], y[1], y[2]])
    }
}

impl Formula for CrossEntropy {
    type Params = Params;
    const NAMES: Names = names!("cross_entropy");

    fn walk(&self, x: &[Type]) -> Result<Walk> {
        let op = "cross_entropy";
        let (of_labels, weighted) = (x[1].dtype == DType::U32, x.len() > 2);
        let [rows, columns] = if of_labels { labelled(op, x)? } else { pair(op, x, ["logits", "probabilities"])? };
        if weighted && x[2] != Type::f32([columns]) {
            let need = "class weights must be f32 with one element for each class";
            return Err(Error::shapes(op, ("class weights", x[2].shape), ("logits", x[0].shape), need));
        }
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(Error::shape(op, format!("label smoothing is {}, not in 0 to 1", self.label_smoothing)));
        }
        let rule = match (of_labels, weighted) {
            (true, false) if self.label_smoothing == 0.0 => &PLAIN,
            (true, false) => &LABELS,
            (true, true) => &WEIGHTED_LABELS,
            (false, false) => &PROBABILITIES,
            (false, true) => &WEIGHTED_PROBABILITIES,
        };
        Ok(Walk { rule, rows, columns })
    }

    fn params(&self, _x: &[Type], w: &Walk) -> Params {
        let (rows, vectors, classes) = (w.rows as u32, w.vectors() as u32, w.columns as u32);
        Params { rows, vectors, classes, smoothing: self.label_smoothing }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let plain = RowLoss(CrossEntropy { label_smoothing: 0.0 });
    let case = |name, n: usize, k: usize, logits: Fill, weights: Fill| {
        let mut case = labelled_case(name, plain.clone(), n, k, logits);
        case.inputs[2].1 = weights;
        case
    };
    let full = |name, n: usize, k: usize, labels: bool, classes: bool, label_smoothing: f32| {
        let mut case = labelled_case(name, RowLoss(CrossEntropy { label_smoothing }), n, k, Fill::Normal);
        if !labels {
            case.inputs[1] = (Type::f32([n, k]), Fill::Uniform(0.0, 2.0 / k as f32));
        }
        if classes {
            case.inputs.insert(2, (Type::f32([k]), Fill::Uniform(0.5, 2.0)));
        }
        case
    };
    vec![
        case("one row", 1, 2, Fill::Normal, Fill::Weights),
        case("one class", 3, 1, Fill::Normal, Fill::Weights),
        case("prime", 7, 5, Fill::Normal, Fill::Weights),
        case("exp would overflow", 13, 3, Fill::Uniform(-120.0, 120.0), Fill::Weights),
        case("a workgroup", 64, 10, Fill::Normal, Fill::Weights),
        case("a workgroup and one", 65, 10, Fill::Normal, Fill::Weights),
        case("many", 257, 101, Fill::Normal, Fill::Weights),
        case("long rows of whole vec4", 9, 1000, Fill::Normal, Fill::Weights),
        case("nothing but padding", 5, 4, Fill::Normal, Fill::Values(vec![0.0])),
        full("smoothing", 7, 5, true, false, 0.1),
        full("class weights", 13, 8, true, true, 0.0),
        full("class weights and smoothing", 7, 5, true, true, 0.3),
        full("probabilities", 7, 5, false, false, 0.0),
        full("probabilities, class weights and smoothing", 13, 8, false, true, 0.1),
        full("probabilities, more than a workgroup", 65, 101, false, true, 0.0),
    ]
}

//! elr, early-learning regularization (Liu et al. 2020, arXiv:2007.00151, eq. 6) against noisy labels:
//! loss_i = ce_i + λ log(1 − ⟨p_i, t_i⟩), t a table with a target for each sample, moved before it is used:
//! t = β t + (1 − β) p / Σ p (eq. 9). As the authors' code has it, p is the softmax clamped to [1e-4, 1 − 1e-4]; no gradient
//! passes where it is clamped, and none to t.
//! dx_ik = f_i (p_k − [k = label] − λ / (1 − ⟨p, t⟩) p_k (g_k − Σ_j g_j p_j)), g_k = t_k where p_k is not clamped, else 0.
//! Shaders: shaders/losses/elr/, shaders/core/row_loss/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Piece};
use crate::kernels::lanes::and_subgroups;
use crate::kernels::row_loss::{self, Formula, Names, RowLoss, Rule, Walk, labelled, names};
use crate::kernels::{Case, Fill, guarded};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (logits [N, K], labels u32 [N], indices u32 [N], table [M, K], weights [N]) -> (loss, losses, …).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Elr {
    /// λ; the paper uses 3 for CIFAR-10 and 7 for CIFAR-100.
    pub lambda: f32,
}

/// (table [M, K], logits [N, K], indices u32 [N], weights [N], guard?) -> table', in place: the rows `indices` names move
/// towards the clamped softmax of the logits. Rows of weight 0 move nothing; of rows with one index the last one counts.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ElrTargets {
    /// β, how much of the old target stays; the paper uses 0.7 and 0.9.
    pub keep: f32,
}

params! {
    pub(crate) struct Params { rows: u32, vectors: u32, classes: u32, samples: u32, lambda: f32 }
}
params! {
    struct Move { rows: u32, vectors: u32, samples: u32, keep: f32 }
}

static RULE: Rule = Rule {
    flops: 9,
    pieces: &[
        piece!("core/row_loss/logits.wgsl"),
        piece!("core/row_loss/at_label.wgsl"),
        piece!("losses/elr/clamped.wgsl"),
        piece!("losses/elr/row.wgsl"),
    ],
    ..Rule::LOGITS
};

const TARGETS: &[Piece] =
    &[piece!("core/row_loss/logits.wgsl"), piece!("losses/elr/clamped.wgsl"), piece!("losses/elr/targets.wgsl")];
const UNGUARDED: &[Piece] = &[piece!("common/unguarded.wgsl")];
const GUARDED: &[Piece] = &[piece!("common/guarded.wgsl")];

impl Tape {
    /// Moves the targets of the samples `indices` u32 [N] in the state `table` [samples, K] by `keep` (β), then gives the
    /// loss of logits [N, K] against labels u32 [N] under weights [N]: [loss [1], losses [N]]. Set the step's guard before.
    pub fn elr(
        &mut self,
        (table, samples): (&str, usize),
        [logits, labels, indices, weights]: [Var; 4],
        keep: f32,
        lambda: f32,
    ) -> Result<[Var; 2]> {
        let moved = self.elr_targets((table, samples), [logits, indices, weights], keep)?;
        self.row_loss(Elr { lambda }, &[logits, labels, indices, moved, weights])
    }

    /// Moves the targets of the samples `indices` u32 [N] in the state `table` [samples, K] by `keep` (β) towards what logits
    /// [N, K] say, under weights [N]. Gives the table, already assigned. Set the step's guard before.
    pub fn elr_targets(
        &mut self,
        (table, samples): (&str, usize),
        [logits, indices, weights]: [Var; 3],
        keep: f32,
    ) -> Result<Var> {
        let [_, k] = self.shape(logits).matrix("elr_targets", "logits")?;
        let detached = self.detach(logits)?;
        let mut x = vec![self.state(table, Type::f32([samples, k]))?, detached, indices, weights];
        x.extend(self.guard());
        let moved = self.apply1(ElrTargets { keep }, &x)?;
        self.assign(table, moved)?;
        Ok(moved)
    }
}

/// Samples of the table, after checking it and the indices against logits [n, k].
fn samples(op: &'static str, table: Type, indices: Type, [n, k]: [usize; 2]) -> Result<usize> {
    table.expect_dtype(op, "table", DType::F32)?;
    indices.expect_dtype(op, "indices", DType::U32)?;
    let [m, columns] = table.shape.matrix(op, "table")?;
    if columns != k || m == 0 || indices.shape.vector(op, "indices")? != n {
        let what = format!(
            "table is {} and indices are {}; logits of {n} rows of {k} need a table of rows of {k} and {n} indices",
            table.shape, indices.shape
        );
        return Err(Error::shape(op, what));
    }
    Ok(m)
}

impl Formula for Elr {
    type Params = Params;
    const NAMES: Names = names!("elr");

    fn walk(&self, x: &[Type]) -> Result<Walk> {
        let [rows, columns] = labelled("elr", x)?;
        samples("elr", x[3], x[2], [rows, columns])?;
        Ok(Walk { rule: &RULE, rows, columns })
    }

    fn params(&self, x: &[Type], w: &Walk) -> Params {
        let (rows, vectors, classes) = (w.rows as u32, w.vectors() as u32, w.columns as u32);
        Params { rows, vectors, classes, samples: x[3].shape.dim(0) as u32, lambda: self.lambda }
    }
}

impl Op for ElrTargets {
    fn name(&self) -> &'static str {
        "elr_targets"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let op = "elr_targets";
        x[1].expect_dtype(op, "logits", DType::F32)?;
        let [n, k] = x[1].shape.matrix(op, "logits")?;
        samples(op, x[0], x[2], [n, k])?;
        if x[3] != Type::f32([n]) || n == 0 {
            let need = "weights must be f32 with one element for each row";
            return Err(Error::shapes(op, ("weights", x[3].shape), ("logits", x[1].shape), need));
        }
        Ok(vec![x[0]])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }

    fn unguarded(&self) -> Option<usize> {
        Some(4)
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        and_subgroups(row_loss::variants(x[1].shape.dim(1), caps), caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [n, k] = e.x[1].shape.matrix("elr_targets", "logits")?;
        let (lanes, size, grid) = row_loss::lanes(e.variant, e.caps, n);
        let whole = k.is_multiple_of(4);
        let vectors = if whole { k / 4 } else { k };
        let params =
            Move { rows: n as u32, vectors: vectors as u32, samples: e.x[0].shape.dim(0) as u32, keep: self.keep };
        let kernel = |guard| row_loss::walk("elr.targets", e.variant, whole, lanes, guard).followed_by(TARGETS);
        let under_guard = kernel(GUARDED).pieces;
        let kernel = kernel(UNGUARDED).with("LANES", lanes).with("SIZE", size).with("SOURCES", 1);
        let buffers = vec![Slot::In(1), Slot::In(2), Slot::In(3), Slot::Out(0)];
        let (kernel, buffers) = guarded(self, e.x.len(), kernel, &under_guard, buffers);
        e.launch(kernel, &buffers, &params, grid);
        Ok(())
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 8 * x[1].shape.numel() as u64, bytes: 3 * x[1].bytes() + x[2].bytes() + x[3].bytes() }
    }
}

/// Named cases of [`Elr`] and [`ElrTargets`].
pub fn cases() -> Vec<Case> {
    let loss = |name, m: usize, [n, k]: [usize; 2], logits| {
        let inputs = vec![
            (Type::f32([n, k]), logits),
            (Type::u32([n]), Fill::Below(k as u32)),
            (Type::u32([n]), Fill::Below(m as u32)),
            (Type::f32([m, k]), Fill::Uniform(0.0, 1.0 / k as f32)),
            (Type::f32([n]), Fill::Weights),
        ];
        Case::new(name, RowLoss(Elr { lambda: 3.0 }), inputs)
    };
    let targets = |name, m: usize, [n, k]: [usize; 2], indices, guard: Option<u32>| {
        let mut inputs = vec![
            (Type::f32([m, k]), Fill::Uniform(0.0, 1.0 / k as f32)),
            (Type::f32([n, k]), Fill::Normal),
            (Type::u32([n]), indices),
            (Type::f32([n]), Fill::Weights),
        ];
        inputs.extend(guard.map(|g| (Type::u32([1]), Fill::Words(vec![g]))));
        Case::new(name, ElrTargets { keep: 0.7 }, inputs)
    };
    vec![
        loss("one row", 1, [1, 2], Fill::Normal),
        loss("prime", 11, [7, 5], Fill::Normal),
        loss("clamped", 20, [13, 3], Fill::Uniform(-30.0, 30.0)),
        loss("whole vec4", 70, [65, 8], Fill::Normal),
        loss("more than a workgroup", 9, [5, 260], Fill::Normal),
        targets("targets, one", 1, [1, 2], Fill::Words(vec![0]), None),
        targets("targets, the same sample again", 11, [7, 5], Fill::Words(vec![3, 9, 3, 10, 9, 0, 3]), None),
        targets("targets, guard down", 70, [65, 8], Fill::Below(70), Some(0)),
        targets("targets, guard up", 20, [13, 3], Fill::Below(20), Some(1)),
        targets("targets, more than a workgroup", 9, [5, 260], Fill::Below(9), None),
    ]
}

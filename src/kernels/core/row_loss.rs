//! row_loss: the one walk of every loss that is a sum over the rows of matrices. A row's loss is
//! loss_i = f(log-sum-exp of the row, Σ_k term_ik); the loss is its weighted mean Σ w_i loss_i / max(Σ w_i, tiny) or its
//! plain sum; dx_ik = (dy w_i / max(Σ w_i, tiny) + dlosses_i) · slope_ik. A row of weight 0 is padding.
//!
//! A loss gives a [`Formula`]: its checks, its `Params` and the WGSL pieces of term, row loss and slope; the walk, its
//! variants, its reduction and its gradients are here and in shaders/core/row_loss/, whose forward.wgsl says what the pieces
//! bring. Rows are walked in units of four elements where they are whole.

mod rule;

use crate::base::{DType, Error, Result, Shape};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::lanes::{SUBGROUPS, and_subgroups, shared, sum64};
use crate::kernels::{Case, Fill, same_types, units};
use crate::tape::op::ParamBlock;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};
use std::any::Any;
use std::fmt::Debug;

pub(crate) use rule::{Names, Rule, names};

/// What a unit of a row is, beside [`units`]: a vec4, or one number.
const OF_VEC4: &[Piece] = &[piece!("core/row_loss/of_vec4.wgsl")];
const OF_SCALAR: &[Piece] = &[piece!("core/row_loss/of_scalar.wgsl")];
/// Lanes of a row.
const LANES_1: &[Piece] = &[piece!("common/lane.wgsl"), piece!("core/row_loss/lanes_1.wgsl")];
const LANES_64: &[Piece] = &[piece!("common/lane.wgsl"), piece!("core/row_loss/lanes_64.wgsl")];
const LANES_64_SUBGROUPS: &[Piece] =
    &[piece!("common/lane_subgroups.wgsl"), piece!("core/row_loss/lanes_64_subgroups.wgsl")];
const SHIFT: &[Piece] = &[piece!("core/row_loss/shift.wgsl")];
/// What the cotangent belongs to: a mean, a sum, each row's loss.
const OF_LOSS: &[Piece] = &[piece!("core/row_loss/of_loss.wgsl")];
const OF_SUM: &[Piece] = &[piece!("core/row_loss/of_sum.wgsl")];
const OF_LOSSES: &[Piece] = &[piece!("core/row_loss/of_losses.wgsl")];
/// The walks.
const FORWARD: &[Piece] = &[piece!("core/row_loss/forward.wgsl")];
const GRAD: &[Piece] = &[piece!("core/row_loss/grad.wgsl")];
const MEAN: &[Piece] = &[piece!("core/row_loss/count_one.wgsl"), piece!("core/row_loss/mean.wgsl")];
const MEAN_BY_CLASS: &[Piece] = &[piece!("losses/cross_entropy/count_class.wgsl"), piece!("core/row_loss/mean.wgsl")];
const SUM: &[Piece] = &[piece!("core/row_loss/sum.wgsl")];

params! {
    struct Mean { rows: u32, classes: u32 }
}
params! {
    struct Sum { rows: u32, scale: f32 }
}

/// The matrices of a call, as the walk sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// What is computed of each row.
    pub rule: &'static Rule,
    /// N.
    pub rows: usize,
    /// K.
    pub columns: usize,
}

impl Walk {
    /// Units of a row.
    pub fn vectors(&self) -> usize {
        if self.is_whole() { self.columns / 4 } else { self.columns }
    }

    fn is_whole(&self) -> bool {
        self.columns.is_multiple_of(4)
    }
}

/// A loss over rows, as plain data.
pub(crate) trait Formula: Any + Debug + Clone + PartialEq + serde::Serialize + Send + Sync {
    /// The `Params` of its pieces: rows and vectors first.
    type Params: ParamBlock;
    /// Its names.
    const NAMES: Names;

    /// Whether the loss is a mean under weights [N], the op's last input; otherwise it is a sum.
    const WEIGHTED: bool = true;

    /// The walk over inputs of these types (without weights), or an error that names both shapes.
    fn walk(&self, x: &[Type]) -> Result<Walk>;

    /// Its `Params` for a walk over inputs of these types (without weights).
    fn params(&self, x: &[Type], walk: &Walk) -> Self::Params;
}

/// (inputs of the formula, weights [N] but for a sum) -> (loss [1], losses [N], shares [N] but for a sum, stats [N, 4]
/// where the formula keeps some). Only the first two have a gradient.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RowLoss<F>(pub F);

/// Gradients of inputs `from..to` from (inputs of the formula, stats?, dloss and shares | dloss of a sum | dlosses).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct RowLossGrad<F> {
    of: F,
    /// How many inputs are the formula's.
    own: usize,
    from: usize,
    to: usize,
    of_losses: bool,
}

impl Tape {
    /// Records a loss over rows: (loss [1], losses [N]).
    pub(crate) fn row_loss<F: Formula>(&mut self, formula: F, inputs: &[Var]) -> Result<[Var; 2]> {
        let y = self.apply(RowLoss(formula), inputs)?;
        Ok([y[0], y[1]])
    }
}

/// N and K of logits [N, K] with labels u32 [N], inputs 0 and 1.
pub(crate) fn labelled(op: &'static str, x: &[Type]) -> Result<[usize; 2]> {
    x[0].expect_dtype(op, "logits", DType::F32)?;
    x[1].expect_dtype(op, "labels", DType::U32)?;
    let [n, k] = x[0].shape.matrix(op, "logits")?;
    if x[1].shape.vector(op, "labels")? != n {
        let need = "there must be one label for each row";
        return Err(Error::shapes(op, ("labels", x[1].shape), ("logits", x[0].shape), need));
    }
    Ok([n, k])
}

/// N and K of two f32 matrices of one shape, inputs 0 and 1.
pub(crate) fn pair(op: &'static str, x: &[Type], names: [&str; 2]) -> Result<[usize; 2]> {
    same_types(op, &[(names[0], x[0]), (names[1], x[1])])?;
    x[0].shape.matrix(op, names[0])
}

/// D of a square f32 matrix, input 0.
pub(crate) fn square(op: &'static str, x: &[Type]) -> Result<usize> {
    x[0].expect_dtype(op, "products", DType::F32)?;
    let [a, b] = x[0].shape.matrix(op, "products")?;
    if a != b {
        return Err(Error::shape(op, format!("products are {} and must be square", x[0].shape)));
    }
    Ok(a)
}

/// N and D of two views, both f32 [N, D].
pub(crate) fn same_pair(t: &Tape, op: &'static str, views: [Var; 2]) -> Result<[usize; 2]> {
    pair(op, &views.map(|v| t.ty(v)), ["view 0", "view 1"])
}

/// A case of a loss over logits [N, K], labels and weights.
pub(crate) fn labelled_case(name: &'static str, op: impl Op, n: usize, k: usize, logits: Fill) -> Case {
    let labels = (Type::u32([n]), Fill::Below(k as u32));
    Case::new(name, op, vec![(Type::f32([n, k]), logits), labels, (Type::f32([n]), Fill::Weights)])
}

/// A case of a loss over two matrices [N, K] and weights.
pub(crate) fn pair_case(name: &'static str, op: impl Op, n: usize, k: usize, fills: [Fill; 2]) -> Case {
    let mut x: Vec<(Type, Fill)> = fills.into_iter().map(|fill| (Type::f32([n, k]), fill)).collect();
    x.push((Type::f32([n]), Fill::Weights));
    Case::new(name, op, x)
}

/// Lanes of a row. With few classes most of 64 lanes would idle; a software adapter gains nothing from lanes that read
/// neighbours.
pub(crate) fn variants(columns: usize, caps: &Caps) -> Vec<&'static str> {
    if caps.software || columns <= 32 { vec!["rows", "groups"] } else { vec!["groups", "rows"] }
}

/// (lanes of a row, invocations of a workgroup, grid) of a variant over `rows`.
pub(crate) fn lanes(variant: &str, caps: &Caps, rows: usize) -> (u32, u32, [u32; 3]) {
    let (lanes, size) = match (variant, caps.software) {
        ("rows", true) => (1, 8),
        ("rows", false) => (1, 64),
        _ => (64, 64),
    };
    (lanes, size, groups_1d(rows.div_ceil((size / lanes) as usize)))
}

/// A kernel over rows of units, whole vec4 or not.
fn kernel(name: &'static str, variant: &'static str, whole: bool) -> Kernel {
    Kernel::new(name, variant, units(whole)).followed_by(if whole { OF_VEC4 } else { OF_SCALAR })
}

/// What a kernel begins with that walks each row with so many lanes; `guard` says whether it runs.
pub(crate) fn walk(name: &'static str, variant: &'static str, whole: bool, lanes: u32, guard: &[Piece]) -> Kernel {
    let together = match (variant, lanes) {
        (_, 1) => LANES_1,
        (SUBGROUPS, _) => LANES_64_SUBGROUPS,
        _ => LANES_64,
    };
    let kernel = kernel(name, variant, whole).followed_by(together);
    kernel.followed_by(guard).followed_by(SHIFT)
}

/// What belongs to the formula of the op's inputs: all but the weights.
fn own<F: Formula, T>(inputs: &[T]) -> &[T] {
    &inputs[..inputs.len() - usize::from(F::WEIGHTED)]
}

impl<F: Formula> Op for RowLoss<F> {
    fn name(&self) -> &'static str {
        F::NAMES.op
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let w = self.0.walk(own::<F, _>(x))?;
        if w.rows == 0 || w.columns == 0 {
            return Err(Error::shape(F::NAMES.op, format!("{} has no element; give one row and column or more", x[0])));
        }
        let mut y = vec![Type::f32([1]), Type::f32([w.rows])];
        if F::WEIGHTED {
            let weights = x[x.len() - 1];
            weights.expect_dtype(F::NAMES.op, "weights", DType::F32)?;
            if weights.shape != Shape::from([w.rows]) {
                let need = "weights must have one element for each row";
                return Err(Error::shapes(F::NAMES.op, ("weights", weights.shape), ("the rows", x[0].shape), need));
            }
            y.push(Type::f32([w.rows]));
        }
        if w.rule.keeps {
            y.push(Type::f32([w.rows, 4]));
        }
        Ok(y)
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        and_subgroups(variants(self.0.walk(own::<F, _>(x)).map_or(1, |w| w.columns), caps), caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let x = own::<F, _>(e.x);
        let w = self.0.walk(x)?;
        let (lanes, size, grid) = lanes(e.variant, e.caps, w.rows);
        let kernel = walk(F::NAMES.forward, e.variant, w.is_whole(), lanes, &[])
            .followed_by(w.rule.pieces)
            .followed_by(FORWARD)
            .with("LANES", lanes)
            .with("SIZE", size)
            .with("SOURCES", w.rule.sources)
            .with("TERMS", u32::from(w.rule.terms))
            .with("KEEPS", u32::from(w.rule.keeps))
            .with("LOSSES", x.len() as u32 + 1);
        let mut buffers: Vec<Slot> = (0..x.len()).map(Slot::In).collect();
        buffers.push(Slot::Out(1));
        if w.rule.keeps {
            buffers.push(Slot::Out(e.y.len() - 1));
        }
        let params = self.0.params(x, &w);
        e.launch(kernel, &buffers, &params, grid);
        if F::WEIGHTED {
            let classes = w.rule.by_class.then_some(w.columns);
            mean(e, F::NAMES.reduce, [Slot::Out(1), Slot::In(x.len()), Slot::Out(0), Slot::Out(2)], w.rows, classes);
        } else {
            sum(e, F::NAMES.reduce, Slot::Out(1), w.rows, 1.0);
        }
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        if dy[2..].iter().any(Option::is_some) {
            let what = "only its loss and losses have a gradient; detach its other outputs";
            return Err(Error::no_gradient(F::NAMES.op, what));
        }
        let types: Vec<Type> = x.iter().map(|&v| t.ty(v)).collect();
        let rule = self.0.walk(own::<F, _>(&types))?.rule;
        let mut dx = vec![None; x.len()];
        let wanted: Vec<usize> = (0..rule.slopes).filter(|&i| t.wants(x[i])).collect();
        let (Some(&from), Some(&last)) = (wanted.first(), wanted.last()) else { return Ok(dx) };
        let mut base = own::<F, _>(x).to_vec();
        base.extend(rule.keeps.then(|| y[y.len() - 1]));
        let shares = F::WEIGHTED.then(|| y[2]);
        for (of_losses, cotangent, shares) in [(false, dy[0], shares), (true, dy[1], None)] {
            let Some(cotangent) = cotangent else { continue };
            let inputs: Vec<Var> = base.iter().copied().chain([cotangent]).chain(shares).collect();
            let op = RowLossGrad { of: self.0.clone(), own: own::<F, _>(x).len(), from, to: last + 1, of_losses };
            for (d, g) in dx[from..].iter_mut().zip(t.apply(op, &inputs)?) {
                *d = Some(d.map_or(Ok(g), |have| t.add(have, g))?);
            }
        }
        Ok(dx)
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let flops = self.0.walk(own::<F, _>(x)).map_or(0, |w| w.rule.flops);
        Cost { flops: flops * x[0].shape.numel() as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

/// Launches the weighted mean over (losses, weights) into (loss, shares); with `classes` a row counts as much as its
/// class weighs.
pub(crate) fn mean(e: &mut Emit<'_>, name: &'static str, buffers: [Slot; 4], rows: usize, classes: Option<usize>) {
    let params = Mean { rows: rows as u32, classes: classes.unwrap_or(0) as u32 };
    let mut buffers = buffers.to_vec();
    if classes.is_some() {
        buffers.extend([Slot::In(1), Slot::In(2)]);
    }
    let pieces = if classes.is_some() { MEAN_BY_CLASS } else { MEAN };
    let kernel = sum64(Kernel::new(name, shared(e.variant), &[])).followed_by(pieces);
    e.launch(kernel, &buffers, &params, [1, 1, 1]);
}

/// Launches scale · Σ losses into output 0.
pub(crate) fn sum(e: &mut Emit<'_>, name: &'static str, losses: Slot, rows: usize, scale: f32) {
    let params = Sum { rows: rows as u32, scale };
    let kernel = sum64(Kernel::new(name, shared(e.variant), &[])).followed_by(SUM);
    e.launch(kernel, &[losses, Slot::Out(0)], &params, [1, 1, 1]);
}

impl<F: Formula> Op for RowLossGrad<F> {
    fn name(&self) -> &'static str {
        F::NAMES.grad
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(x[self.from..self.to].to_vec())
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(self.of.walk(&x[..self.own]).map_or(1, |w| w.columns), caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let w = self.of.walk(&e.x[..self.own])?;
        let (lanes, size, grid) = lanes(e.variant, e.caps, w.rows);
        let shares = F::WEIGHTED && !self.of_losses;
        let dy = e.x.len() - usize::from(shares); // the cotangent is input dy − 1
        let of = match (self.of_losses, F::WEIGHTED) {
            (true, _) => OF_LOSSES,
            (false, true) => OF_LOSS,
            (false, false) => OF_SUM,
        };
        let kernel = kernel(F::NAMES.grad, e.variant, w.is_whole())
            .followed_by(of)
            .followed_by(w.rule.pieces)
            .followed_by(GRAD)
            .with("LANES", lanes)
            .with("SIZE", size)
            .with("KEEPS", u32::from(w.rule.keeps))
            .with("STATS", dy as u32 - 1)
            .with("DY", dy as u32)
            .with("DX", e.x.len() as u32 + 1)
            .with("FROM", self.from as u32)
            .with("TO", self.to as u32);
        let buffers: Vec<Slot> = (0..e.x.len()).map(Slot::In).chain((0..e.y.len()).map(Slot::Out)).collect();
        let params = self.of.params(&e.x[..self.own], &w);
        e.launch(kernel, &buffers, &params, grid);
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let flops = self.of.walk(&x[..self.own]).map_or(0, |w| w.rule.flops);
        Cost { flops: flops * x[0].shape.numel() as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

//! cross_entropy: loss_i = log Σ_k exp(x_ik) − x_i,label; loss = Σ w_i loss_i / max(Σ w_i, tiny).
//! A row of weight 0 is padding. Labels past the last class count as the last one; the host checks them first.
//! dx_ik = f_i (softmax(x_i)_k − [k = label_i]), f_i = dy w_i / max(Σ w, tiny) + dlosses_i. Shaders:
//! shaders/cross_entropy/.

use crate::base::{Error, Result};
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill, classification};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (logits [N, K], labels u32 [N], weights [N]) -> (loss [1], losses [N], lse [N]).
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropy;

/// dlogits from (logits, labels, lse, dloss, weights), or from (logits, labels, lse, dlosses).
#[derive(Clone, Debug, PartialEq)]
struct CrossEntropyGrad;

params! {
    struct Rows { rows: u32, classes: u32 }
}
params! {
    struct Loss { rows: u32 }
}

const ROWS: &[Piece] = &[piece!("common/index.wgsl"), piece!("cross_entropy/rows.wgsl")];
const LOSS: &[Piece] = &[piece!("common/sum64.wgsl"), piece!("cross_entropy/loss.wgsl")];
const GRAD_OF_LOSS: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/sum64.wgsl"),
    piece!("cross_entropy/of_loss.wgsl"),
    piece!("cross_entropy/grad.wgsl"),
];
const GRAD_OF_LOSSES: &[Piece] =
    &[piece!("common/index.wgsl"), piece!("cross_entropy/of_losses.wgsl"), piece!("cross_entropy/grad.wgsl")];

impl Tape {
    /// Weighted mean cross-entropy of logits [N, K] against labels u32 [N] with weights [N]: [loss [1], losses [N]
    /// without weights, lse [N]]. The loss and the losses have a gradient, lse has none.
    pub fn cross_entropy(&mut self, logits: Var, labels: Var, weights: Var) -> Result<[Var; 3]> {
        let y = self.apply(CrossEntropy, &[logits, labels, weights])?;
        Ok([y[0], y[1], y[2]])
    }
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let (n, _) = classification("cross_entropy", x)?;
        Ok(vec![Type::f32([1]), Type::f32([n]), Type::f32([n])])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [n, k] = e.x[0].shape.matrix("cross_entropy", "logits")?;
        let rows = Rows { rows: n as u32, classes: k as u32 };
        let buffers = [Slot::In(0), Slot::In(1), Slot::Out(1), Slot::Out(2)];
        e.launch(Kernel::new("cross_entropy.rows", "portable", ROWS), &buffers, &rows, groups_1d(n.div_ceil(64)));
        let buffers = [Slot::Out(1), Slot::In(2), Slot::Out(0)];
        let loss = Loss { rows: n as u32 };
        e.launch(Kernel::new("cross_entropy.loss", "portable", LOSS), &buffers, &loss, [1, 1, 1]);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        if dy[2].is_some() {
            return Err(Error::Failed("cross_entropy: its lse output has no gradient; detach it".into()));
        }
        let loss = dy[0].map(|d| t.apply1(CrossEntropyGrad, &[x[0], x[1], y[2], d, x[2]])).transpose()?;
        let losses = dy[1].map(|d| t.apply1(CrossEntropyGrad, &[x[0], x[1], y[2], d])).transpose()?;
        let dx = match (loss, losses) {
            (Some(a), Some(b)) => Some(t.add(a, b)?),
            (a, b) => a.or(b),
        };
        Ok(vec![dx, None, None])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let bytes = x.iter().chain(y).map(Type::bytes).sum();
        Cost { flops: 4 * x[0].shape.numel() as u64, bytes }
    }
}

impl Op for CrossEntropyGrad {
    fn name(&self) -> &'static str {
        "cross_entropy.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [n, k] = e.x[0].shape.matrix("cross_entropy.grad", "logits")?;
        let params = Rows { rows: n as u32, classes: k as u32 };
        let grid = groups_1d(n.div_ceil(64));
        let mut buffers = vec![Slot::In(0), Slot::In(1), Slot::In(2), Slot::In(3), Slot::Out(0)];
        if e.x.len() == 5 {
            buffers.push(Slot::In(4));
            e.launch(Kernel::new("cross_entropy.grad", "of_loss", GRAD_OF_LOSS), &buffers, &params, grid);
        } else {
            e.launch(Kernel::new("cross_entropy.grad", "of_losses", GRAD_OF_LOSSES), &buffers, &params, grid);
        }
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let bytes = x.iter().chain(y).map(Type::bytes).sum();
        Cost { flops: 4 * x[0].shape.numel() as u64, bytes }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, k: usize, logits: Fill, weights: Fill| {
        let labels = (Type::u32([n]), Fill::Below(k as u32));
        Case::new(name, CrossEntropy, vec![(Type::f32([n, k]), logits), labels, (Type::f32([n]), weights)])
    };
    vec![
        case("one row", 1, 2, Fill::Normal, Fill::Weights),
        case("one class", 3, 1, Fill::Normal, Fill::Weights),
        case("prime", 7, 5, Fill::Normal, Fill::Weights),
        case("exp would overflow", 13, 3, Fill::Uniform(-120.0, 120.0), Fill::Weights),
        case("a workgroup", 64, 10, Fill::Normal, Fill::Weights),
        case("a workgroup and one", 65, 10, Fill::Normal, Fill::Weights),
        case("many", 257, 101, Fill::Normal, Fill::Weights),
        case("nothing but padding", 5, 4, Fill::Normal, Fill::Values(vec![0.0])),
    ]
}

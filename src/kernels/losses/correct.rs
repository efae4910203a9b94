//! correct: Σ w_i [argmax_k x_ik = label_i], the first of equal maxima; what an accuracy is counted from.
//! It has no gradient. Shaders: shaders/losses/correct/.

use crate::base::Result;
use crate::device::{Kernel, Piece};
use crate::kernels::{Case, Fill, classification, lanes};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (logits [N, K], labels u32 [N], weights [N]) -> count [1].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Correct;

params! {
    struct Params { rows: u32, classes: u32 }
}

const FORWARD: &[Piece] = &[piece!("losses/correct/forward.wgsl")];

impl Tape {
    /// Weighted count of rows of logits [N, K] whose first largest entry is at labels u32 [N]: an f32 [1].
    pub fn correct(&mut self, logits: Var, labels: Var, weights: Var) -> Result<Var> {
        self.apply1(Correct, &[logits, labels, weights])
    }
}

impl Op for Correct {
    fn name(&self) -> &'static str {
        "correct"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        classification("correct", x)?;
        Ok(vec![Type::f32([1])])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [n, k] = e.x[0].shape.matrix("correct", "logits")?;
        let params = Params { rows: n as u32, classes: k as u32 };
        let buffers = [Slot::In(0), Slot::In(1), Slot::In(2), Slot::Out(0)];
        let kernel = lanes::sum64(Kernel::new("correct.forward", "portable", &[])).followed_by(FORWARD);
        e.launch(kernel, &buffers, &params, [1, 1, 1]);
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, _x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None, None, None])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: x[0].shape.numel() as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, k: usize, logits: Fill| {
        let labels = (Type::u32([n]), Fill::Below(k as u32));
        Case::new(name, Correct, vec![(Type::f32([n, k]), logits), labels, (Type::f32([n]), Fill::Weights)])
    };
    vec![
        case("one", 1, 2, Fill::Normal),
        case("prime", 67, 3, Fill::Normal),
        case("ties", 31, 4, Fill::Values(vec![1.0, 2.0, 2.0, 0.0, 2.0])),
        case("more than a workgroup", 129, 10, Fill::Normal),
    ]
}

//! nt_xent: the loss of SimCLR (Chen et al. 2020, arXiv:2002.05709, eq. 1) over z [2N, D], view 1 of all N samples,
//! then view 2 of all N: s_ij = z_i·z_j / τ, pos(i) = (i + N) mod 2N, lse_i = log Σ_{j≠i} exp(s_ij),
//! loss = mean_i (lse_i − s_i,pos(i)).
//! dz_i = dy/(2N τ) Σ_j (P_ij + P_ji − 2 [j = pos(i)]) z_j with P_ij = exp(s_ij − lse_i) for j ≠ i. The similarities
//! are computed again, so that no 2N × 2N matrix is ever kept. Shaders: shaders/losses/nt_xent/, shaders/core/contrast/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Piece};
use crate::kernels::contrast::{self, Walk};
use crate::kernels::row_loss;
use crate::kernels::{Case, Fill};
use crate::piece;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};

/// z [2N, D], its rows already normalised -> (loss [1], lse [2N]).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct NtXent {
    /// τ.
    pub temperature: f32,
}

/// dz from (z, lse, dloss).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct NtXentGrad {
    temperature: f32,
}

const PAIRS: &[Piece] = &[piece!("losses/nt_xent/pairs.wgsl")];
const FINISH: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("core/contrast/params.wgsl"),
    piece!("losses/nt_xent/start.wgsl"),
    piece!("core/contrast/finish.wgsl"),
];
const GRAD: &[Piece] =
    &[piece!("losses/nt_xent/pairs.wgsl"), piece!("core/row_loss/of_sum.wgsl"), piece!("losses/nt_xent/pull.wgsl")];

impl Tape {
    /// The NT-Xent loss of z [2N, D], whose rows are normalised: row i and row (i + N) mod 2N are two views of one
    /// sample. An f32 [1].
    pub fn nt_xent(&mut self, z: Var, temperature: f32) -> Result<Var> {
        Ok(self.apply(NtXent { temperature }, &[z])?[0])
    }
}

/// How a variant walks z against itself.
fn walk(z: Type, variant: &str) -> Walk {
    let (rows, d) = (z.shape.dim(0), z.shape.dim(1));
    Walk::new([rows, rows, d], variant)
}

impl Op for NtXent {
    fn name(&self) -> &'static str {
        "nt_xent"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("nt_xent", "z", DType::F32)?;
        let [rows, d] = x[0].shape.matrix("nt_xent", "z")?;
        if rows < 2 || !rows.is_multiple_of(2) || d == 0 {
            let what =
                format!("z is {} and must have two rows for each sample, view 1 of all before view 2", x[0].shape);
            return Err(Error::shape("nt_xent", what));
        }
        Ok(vec![Type::f32([1]), Type::f32([rows])])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        contrast::variants(caps)
    }

    fn workspace(&self, x: &[Type], y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        vec![walk(x[0], variant).partials(), y[1]] // and the rows' losses
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (w, rows) = (walk(e.x[0], e.variant), e.y[1].shape.numel());
        let params = w.params(self.temperature, 1.0);
        let names = ["nt_xent.forward", "nt_xent.finish"];
        let to = [Slot::Out(1), Slot::Work(1)];
        w.forward(e, names, (PAIRS, &[Slot::In(0)]), (FINISH, &[]), to, params);
        row_loss::sum(e, "nt_xent.loss", Slot::Work(1), rows, 1.0 / rows as f32);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        if dy[1].is_some() {
            return Err(Error::no_gradient("nt_xent", "its lse output has no gradient; detach it"));
        }
        let op = NtXentGrad { temperature: self.temperature };
        Ok(vec![dy[0].map(|dy| t.apply1(op, &[x[0], y[1], dy])).transpose()?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let (rows, elements) = (y[1].shape.numel() as u64, x[0].shape.numel() as u64);
        Cost { flops: rows * (2 * elements + 4 * rows), bytes: x[0].bytes() + y[1].bytes() }
    }
}

impl Op for NtXentGrad {
    fn name(&self) -> &'static str {
        "nt_xent.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        contrast::variants(caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        walk(x[0], variant).partial_gradients()
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (w, rows) = (walk(e.x[0], e.variant), e.x[1].shape.numel());
        let params = w.params(self.temperature, 1.0 / (self.temperature * rows as f32));
        let names = ["nt_xent.grad", "nt_xent.grad_sum"];
        let inputs = [Slot::In(0), Slot::In(1), Slot::In(2)];
        w.grad(e, names, (GRAD, &inputs), 3, Slot::Out(0), params);
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let (rows, elements) = (x[1].shape.numel() as u64, x[0].shape.numel() as u64);
        Cost { flops: rows * (4 * elements + 6 * rows), bytes: x[0].bytes() + x[1].bytes() + y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, rows: usize, d: usize, temperature: f32, reach: f32| {
        let z = (Type::f32([rows, d]), Fill::Uniform(-reach, reach));
        Case::new(name, NtXent { temperature }, vec![z])
    };
    vec![
        case("one sample", 2, 1, 0.5, 1.0),
        case("prime", 14, 5, 0.5, 0.8),
        case("whole vec4", 22, 16, 0.07, 0.4),
        case("a tile less two", 62, 20, 0.5, 0.4),
        case("a tile", 64, 32, 0.2, 0.3),
        case("a tile and two", 66, 7, 0.5, 0.6),
        case("exp would overflow", 34, 12, 0.02, 1.0),
        case("many", 130, 64, 0.2, 0.2),
        case("more than small blocks are for", 522, 4, 0.5, 0.7),
    ]
}

//! nt_xent: the loss of SimCLR (Chen et al. 2020, arXiv:2002.05709, eq. 1) over z [2N, D], view 1 of all N samples,
//! then view 2 of all N: s_ij = z_i·z_j / τ, pos(i) = (i + N) mod 2N, lse_i = log Σ_{j≠i} exp(s_ij),
//! loss = mean_i (lse_i − s_i,pos(i)).
//! dz_i = dy/(2N τ) Σ_j (P_ij + P_ji − 2 [j = pos(i)]) z_j with P_ij = exp(s_ij − lse_i) for j ≠ i. The similarities
//! are computed again, so that no 2N × 2N matrix is ever kept. Shaders: shaders/nt_xent/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// z [2N, D], its rows already normalised -> (loss [1], lse [2N]).
#[derive(Clone, Debug, PartialEq)]
pub struct NtXent {
    /// τ.
    pub temperature: f32,
}

/// dz from (z, lse, dloss).
#[derive(Clone, Debug, PartialEq)]
struct NtXentGrad {
    temperature: f32,
}

params! {
    struct Forward { rows: u32, vectors: u32, inverse_temperature: f32 }
}
params! {
    struct Loss { rows: u32 }
}
params! {
    struct Grad { rows: u32, vectors: u32, inverse_temperature: f32, scale: f32 }
}

/// The pieces of a variant: for rows of whole vec4, and for the rest.
type Widths = [&'static [Piece]; 2];

const FORWARD_ROWS: Widths = [
    &[piece!("common/index.wgsl"), piece!("common/vec4.wgsl"), piece!("nt_xent/forward_rows.wgsl")],
    &[piece!("common/index.wgsl"), piece!("common/scalar.wgsl"), piece!("nt_xent/forward_rows.wgsl")],
];
const GRAD_ROWS: Widths = [
    &[piece!("common/index.wgsl"), piece!("common/vec4.wgsl"), piece!("nt_xent/grad_rows.wgsl")],
    &[piece!("common/index.wgsl"), piece!("common/scalar.wgsl"), piece!("nt_xent/grad_rows.wgsl")],
];
const FORWARD_TILES: Widths = [
    &[
        piece!("common/index.wgsl"),
        piece!("common/vec4.wgsl"),
        piece!("nt_xent/tile.wgsl"),
        piece!("nt_xent/forward_tiles.wgsl"),
    ],
    &[
        piece!("common/index.wgsl"),
        piece!("common/scalar.wgsl"),
        piece!("nt_xent/tile.wgsl"),
        piece!("nt_xent/forward_tiles.wgsl"),
    ],
];
const GRAD_TILES: Widths = [
    &[
        piece!("common/index.wgsl"),
        piece!("common/vec4.wgsl"),
        piece!("nt_xent/tile.wgsl"),
        piece!("nt_xent/grad_tiles.wgsl"),
    ],
    &[
        piece!("common/index.wgsl"),
        piece!("common/scalar.wgsl"),
        piece!("nt_xent/tile.wgsl"),
        piece!("nt_xent/grad_tiles.wgsl"),
    ],
];
const LOSS: &[Piece] = &[piece!("common/sum64.wgsl"), piece!("nt_xent/loss.wgsl")];

/// Rows i of an invocation and rows j of a group, of the variant `rows`: few i keep every core busy on small batches,
/// more of them save loads on large ones.
fn block(rows: usize) -> (u32, u32) {
    if rows <= 512 { (2, 8) } else { (4, 8) }
}

impl Tape {
    /// The NT-Xent loss of z [2N, D], whose rows are normalised: row i and row (i + N) mod 2N are two views of one
    /// sample. An f32 [1].
    pub fn nt_xent(&mut self, z: Var, temperature: f32) -> Result<Var> {
        Ok(self.apply(NtXent { temperature }, &[z])?[0])
    }
}

/// `rows`: an invocation owns rows and loads as little as it can. `tiles`: a workgroup stages tiles.
fn variants(caps: &Caps) -> Vec<&'static str> {
    if caps.software { vec!["rows", "tiles"] } else { vec!["tiles", "rows"] }
}

/// The kernel, its grid, and how many units a row has.
fn kernel(e: &Emit<'_>, name: &'static str, pieces: [&Widths; 2]) -> Result<(Kernel, [u32; 3], usize)> {
    let [n, d] = e.x[0].shape.matrix("nt_xent", "z")?;
    let (width, vectors) = if d.is_multiple_of(4) { (0, d / 4) } else { (1, d) };
    if e.variant == "rows" {
        let (ti, tj) = block(n);
        let kernel = Kernel::new(name, "rows", pieces[0][width]).with("TI", ti).with("TJ", tj);
        return Ok((kernel, groups_1d(n.div_ceil(8 * ti as usize)), vectors));
    }
    Ok((Kernel::new(name, "tiles", pieces[1][width]), groups_1d(n.div_ceil(32)), vectors))
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
        variants(caps)
    }

    fn workspace(&self, _x: &[Type], y: &[Type], _variant: &'static str, _caps: &Caps) -> Vec<Type> {
        vec![y[1]] // the rows' losses
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (kernel, grid, vectors) = kernel(e, "nt_xent.forward", [&FORWARD_ROWS, &FORWARD_TILES])?;
        let rows = e.y[1].shape.numel() as u32;
        let params = Forward { rows, vectors: vectors as u32, inverse_temperature: 1.0 / self.temperature };
        e.launch(kernel, &[Slot::In(0), Slot::Out(1), Slot::Work(0)], &params, grid);
        let kernel = Kernel::new("nt_xent.loss", "portable", LOSS);
        e.launch(kernel, &[Slot::Work(0), Slot::Out(0)], &Loss { rows }, [1, 1, 1]);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        if dy[1].is_some() {
            return Err(Error::Failed("nt_xent: its lse output has no gradient; detach it".into()));
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
        variants(caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (kernel, grid, vectors) = kernel(e, "nt_xent.grad", [&GRAD_ROWS, &GRAD_TILES])?;
        let rows = e.x[1].shape.numel();
        let inverse_temperature = 1.0 / self.temperature;
        let scale = inverse_temperature / rows as f32;
        let params = Grad { rows: rows as u32, vectors: vectors as u32, inverse_temperature, scale };
        e.launch(kernel, &[Slot::In(0), Slot::In(1), Slot::In(2), Slot::Out(0)], &params, grid);
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

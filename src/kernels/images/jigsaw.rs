//! jigsaw (Noroozi & Favaro 2016, arXiv:1603.09246): an image is cut into side × side tiles and tile t of y is tile table[r, t]
//! of x, where row r of a table of permutations is drawn for the sample. Which row it was is the label to predict. There
//! is no gradient towards images. Shaders: shaders/images/jigsaw/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::draw::Draws;
use crate::kernels::tiles::Tiles;
use crate::kernels::{Case, Fill};
use crate::tape::record::SCALARS;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// Inputs: x f32 [B, C, H, W], indices u32 [B], the scalars, table u32 [R, side²]. Outputs: as x, and the row drawn for
/// each sample, u32 [B].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Jigsaw {
    /// Where the draws come from.
    pub draws: Draws,
    /// Tiles a side; it divides H and W.
    pub side: u32,
}

params! {
    struct Params {
        seed_low: u32, seed_high: u32, stream: u32, epoch: u32, planes: u32, tile: u32, height: u32, width: u32,
        side: u32, rows: u32, high: u32, wide: u32,
    }
}

const FORWARD: &[Piece] = &[
    piece!("common/rng.wgsl"),
    piece!("common/draw.wgsl"),
    piece!("common/tile.wgsl"),
    piece!("images/jigsaw/forward.wgsl"),
];

impl Tape {
    /// [x with its tiles in a random order of `table` u32 [R, side²], the row of it drawn u32 [B]]; tiles are counted row
    /// by row. `scalars` holds the epoch.
    pub fn jigsaw(&mut self, op: Jigsaw, x: Var, indices: Var, table: Var, scalars: Var) -> Result<[Var; 2]> {
        let y = self.apply(op, &[x, indices, scalars, table])?;
        Ok([y[0], y[1]])
    }
}

impl Op for Jigsaw {
    fn name(&self) -> &'static str {
        "jigsaw"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let [batch, _, height, width] = self.draws.check_images("jigsaw", x)?;
        let side = self.side as usize;
        if side == 0 || height % side != 0 || width % side != 0 {
            let what = format!("x is {} and must be cut into {side} × {side} tiles of one size", x[0].shape);
            return Err(Error::shape("jigsaw", what));
        }
        x[3].expect_dtype("jigsaw", "table", DType::U32)?;
        let [rows, tiles] = x[3].shape.matrix("jigsaw", "table")?;
        if rows == 0 || tiles != side * side {
            let what = format!("table is {} and must have rows of {} tiles", x[3].shape, side * side);
            return Err(Error::shape("jigsaw", what));
        }
        Ok(vec![x[0], Type::u32([batch])])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [batch, channels, height, width] = e.x[0].shape.nchw("jigsaw", "x")?;
        let [seed_low, seed_high, stream, epoch] = self.draws.fields();
        let (height, width) = (height as u32, width as u32);
        let tiles = Tiles::new(batch, [height, width], 8, e.caps);
        let params = Params {
            seed_low,
            seed_high,
            stream,
            epoch,
            planes: batch as u32,
            tile: tiles.tile,
            height,
            width,
            side: self.side,
            rows: e.x[3].shape.dim(0) as u32,
            high: height / self.side,
            wide: width / self.side,
        };
        let kernel = tiles.on(Kernel::new("jigsaw.forward", "portable", FORWARD).with("C", channels as u32));
        let mut buffers: Vec<Slot> = (0..4).map(Slot::In).collect();
        buffers.extend([Slot::Out(0), Slot::Out(1)]);
        e.launch(kernel, &buffers, &params, tiles.grid);
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; x.len()])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: 2 * y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, side: u32, rows: usize, shape: [usize; 4], table: Fill| {
        let draws = Draws { seed: 0x7165_a300, stream: 14, view: 0, epoch: 1 };
        let x = (Type::f32(shape), Fill::Normal);
        let indices = (Type::u32([shape[0]]), Fill::Below(1000));
        let scalars = (Type::f32([SCALARS]), Fill::Values(vec![5.0]));
        let table = (Type::u32([rows, (side * side) as usize]), table);
        Case::new(name, Jigsaw { draws, side }, vec![x, indices, scalars, table])
    };
    let four = || Fill::Words(vec![3, 2, 1, 0, 1, 0, 3, 2, 0, 1, 2, 3]);
    vec![
        case("one tile", 1, 1, [1, 1, 1, 1], Fill::Words(vec![0])),
        case("four tiles", 2, 3, [9, 3, 6, 10], four()),
        // One tile past the end now and then: it must be clamped, not read.
        case("nine tiles", 3, 7, [11, 1, 12, 9], Fill::Below(10)),
        case("wide images", 2, 3, [3, 3, 4, 134], four()),
    ]
}

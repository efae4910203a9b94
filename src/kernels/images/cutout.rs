//! cutout (DeVries & Taylor 2017, arXiv:1708.04552): with a probability, a square around a uniformly random pixel, cut at
//! the border, takes one value; all else is copied. There is no gradient towards images. Shaders: shaders/images/cutout/.

use crate::base::{Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::draw::Draws;
use crate::kernels::tiles::Tiles;
use crate::kernels::{Case, Fill};
use crate::tape::record::SCALARS;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// Inputs: x f32 [B, C, H, W], indices u32 [B], the scalars. Output: as x.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Cutout {
    /// Where the draws come from.
    pub draws: Draws,
    /// Probability of a cut.
    pub probability: f32,
    /// Rows and columns of the square, at least 1.
    pub side: u32,
    /// What it is filled with.
    pub value: f32,
}

params! {
    struct Params {
        seed_low: u32, seed_high: u32, stream: u32, epoch: u32, planes: u32, tile: u32, height: u32, width: u32,
        probability: f32, side: u32, value: f32,
    }
}

const FORWARD: &[Piece] = &[
    piece!("common/rng.wgsl"),
    piece!("common/draw.wgsl"),
    piece!("common/tile.wgsl"),
    piece!("common/box.wgsl"),
    piece!("images/cutout/forward.wgsl"),
];

impl Tape {
    /// x with a square cut out at random; `scalars` holds the epoch.
    pub fn cutout(&mut self, op: Cutout, x: Var, indices: Var, scalars: Var) -> Result<Var> {
        self.apply1(op, &[x, indices, scalars])
    }
}

impl Op for Cutout {
    fn name(&self) -> &'static str {
        "cutout"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        self.draws.check_images("cutout", x)?;
        if self.side == 0 {
            return Err(Error::shape("cutout", "the square's side must be at least 1"));
        }
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [batch, channels, height, width] = e.x[0].shape.nchw("cutout", "x")?;
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
            probability: self.probability,
            side: self.side,
            value: self.value,
        };
        let kernel = tiles.on(Kernel::new("cutout.forward", "portable", FORWARD).with("C", channels as u32));
        let buffers = [Slot::In(0), Slot::In(1), Slot::In(2), Slot::Out(0)];
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
    let case = |name, probability, side, shape: [usize; 4]| {
        let draws = Draws { seed: 0xc07_0001, stream: 10, view: 0, epoch: 1 };
        let x = (Type::f32(shape), Fill::Uniform(0.0, 1.0));
        let indices = (Type::u32([shape[0]]), Fill::Below(1000));
        let scalars = (Type::f32([SCALARS]), Fill::Values(vec![5.0]));
        Case::new(name, Cutout { draws, probability, side, value: 0.5 }, vec![x, indices, scalars])
    };
    vec![
        case("one pixel", 1.0, 1, [1, 1, 1, 1]),
        case("even", 1.0, 4, [7, 3, 11, 13]),
        case("odd, some", 0.5, 5, [13, 3, 9, 8]),
        case("wider than the image", 1.0, 40, [3, 1, 8, 17]),
        case("wide images", 1.0, 16, [2, 3, 33, 130]),
        case("never", 0.0, 4, [2, 3, 5, 5]),
    ]
}

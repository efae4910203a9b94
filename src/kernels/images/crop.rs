//! crop: y[b, c, i, j] = x[b, c, top_b + i, left_b + j], a window of each image. Where it begins is given as shares u in [0, 1):
//! top = ⌊u · (H − OH + 1)⌋, left likewise, at most the last that a window fits. There is no gradient towards images.
//! A share that is NaN counts as 0. Shaders: shaders/images/crop/.

use crate::base::{DType, Error, Result, Shape};
use crate::device::{Kernel, Piece};
use crate::kernels::tiles::Tiles;
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (x f32 [B, C, H, W], shares f32 [B, 2]) -> y f32 [B, C, OH, OW].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Crop {
    /// Rows and columns of the window, at most those of x.
    pub out: [u32; 2],
}

params! {
    struct Params {
        planes: u32, tile: u32, channels: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    }
}

const FORWARD: &[Piece] = &[piece!("common/tile.wgsl"), piece!("images/crop/forward.wgsl")];

impl Tape {
    /// The windows of x f32 [B, C, H, W], `out` rows and columns each, where `shares` f32 [B, 2] in [0, 1) put their first row
    /// and column.
    pub fn crop(&mut self, x: Var, shares: Var, out: [u32; 2]) -> Result<Var> {
        self.apply1(Crop { out }, &[x, shares])
    }
}

impl Op for Crop {
    fn name(&self) -> &'static str {
        "crop"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("crop", "x", DType::F32)?;
        x[1].expect_dtype("crop", "shares", DType::F32)?;
        let [batch, channels, height, width] = x[0].shape.nchw("crop", "x")?;
        let [out_height, out_width] = self.out.map(|v| v as usize);
        if out_height == 0 || out_width == 0 || out_height > height || out_width > width {
            let what =
                format!("windows of {out_height} × {out_width} must be above 0 and fit x, which is {}", x[0].shape);
            return Err(Error::shape("crop", what));
        }
        if x[1].shape != Shape::new(&[batch, 2]) {
            let need = "shares must have a row and a column for each image";
            return Err(Error::shapes("crop", ("shares", x[1].shape), ("x", x[0].shape), need));
        }
        Ok(vec![Type::f32([batch, channels, out_height, out_width])])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [batch, channels, height, width] = e.x[0].shape.nchw("crop", "x")?;
        let tiles = Tiles::new(batch * channels, self.out, 1, e.caps);
        let params = Params {
            planes: (batch * channels) as u32,
            tile: tiles.tile,
            channels: channels as u32,
            height: height as u32,
            width: width as u32,
            out_height: self.out[0],
            out_width: self.out[1],
        };
        let kernel = tiles.on(Kernel::new("crop.forward", "portable", FORWARD));
        e.launch(kernel, &[Slot::In(0), Slot::In(1), Slot::Out(0)], &params, tiles.grid);
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
    let case = |name, shape: [usize; 4], out, shares: Fill| {
        Case::new(name, Crop { out }, vec![(Type::f32(shape), Fill::Normal), (Type::f32([shape[0], 2]), shares)])
    };
    let within = || Fill::Uniform(0.0, 1.0);
    vec![
        case("one pixel", [1, 1, 1, 1], [1, 1], within()),
        case("the whole image", [2, 3, 5, 4], [5, 4], within()),
        case("windows", [5, 3, 13, 11], [7, 6], within()),
        case("shares outside", [7, 1, 9, 8], [4, 5], Fill::Uniform(-1.0, 2.0)),
        case("first and last", [2, 1, 9, 8], [4, 5], Fill::Values(vec![0.0, 0.999_999, 0.999_999, 0.0])),
        case("wide windows", [2, 2, 6, 150], [3, 131], within()),
    ]
}

//! magnify: the centre of each image at several magnifications m, all resized to one size: H/m × W/m pixels, to the nearest
//! and at least one, around the centre, resized bilinearly with antialias (the filter of crop_resize). The views of
//! a pathologist's objectives. There is no gradient towards images. Shaders: shaders/images/magnify/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::tiles::Tiles;
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// x f32 [B, C, H, W] -> y f32 [M·B, C, OH, OW]: all images at the first of M magnifications, then all at the next.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Magnify {
    /// The magnifications, each at least 1; 1 is the whole image.
    pub magnifications: Vec<f32>,
    /// Rows and columns of each view.
    pub out: [u32; 2],
}

params! {
    struct Params {
        planes: u32, tile: u32, first: u32, height: u32, width: u32, top: u32, left: u32, high: u32, wide: u32,
        out_height: u32, out_width: u32,
    }
}

const FORWARD: &[Piece] =
    &[piece!("common/tile.wgsl"), piece!("common/triangle.wgsl"), piece!("images/magnify/forward.wgsl")];

impl Tape {
    /// Concentric views of x, one a magnification: [M·B, C, OH, OW], view after view.
    pub fn magnify(&mut self, x: Var, magnifications: &[f32], out: [u32; 2]) -> Result<Var> {
        self.apply1(Magnify { magnifications: magnifications.to_vec(), out }, &[x])
    }
}

/// How many of `n` pixels are seen at a magnification.
pub fn seen(n: usize, magnification: f32) -> u32 {
    ((n as f64 / f64::from(magnification)).round() as u32).clamp(1, n as u32)
}

impl Op for Magnify {
    fn name(&self) -> &'static str {
        "magnify"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("magnify", "x", DType::F32)?;
        let [batch, channels, ..] = x[0].shape.nchw("magnify", "x")?;
        let [out_h, out_w] = self.out.map(|v| v as usize);
        let bad = self.magnifications.iter().any(|m| !(m.is_finite() && *m >= 1.0));
        if bad || self.magnifications.is_empty() || out_h == 0 || out_w == 0 {
            let what =
                format!("magnifications {:?} must be 1 or more, and {:?} above 0", self.magnifications, self.out);
            return Err(Error::shape("magnify", what));
        }
        Ok(vec![Type::f32([self.magnifications.len() * batch, channels, out_h, out_w])])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [batch, channels, h, w] = e.x[0].shape.nchw("magnify", "x")?;
        let planes = batch * channels;
        let tiles = Tiles::new(planes, self.out, 1, e.caps);
        for (i, &m) in self.magnifications.iter().enumerate() {
            let (high, wide) = (seen(h, m), seen(w, m));
            let params = Params {
                planes: planes as u32,
                tile: tiles.tile,
                first: (i * planes) as u32,
                height: h as u32,
                width: w as u32,
                top: (h as u32 - high) / 2,
                left: (w as u32 - wide) / 2,
                high,
                wide,
                out_height: self.out[0],
                out_width: self.out[1],
            };
            let kernel = tiles.on(Kernel::new("magnify.forward", "portable", FORWARD));
            e.launch(kernel, &[Slot::In(0), Slot::Out(0)], &params, tiles.grid);
        }
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; x.len()])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        // Four taps of a multiply and an add where nothing shrinks.
        let read = x[0].bytes() * self.magnifications.len() as u64;
        Cost { flops: 8 * y[0].shape.numel() as u64, bytes: read + y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, magnifications: &[f32], out, shape: [usize; 4]| {
        let op = Magnify { magnifications: magnifications.to_vec(), out };
        Case::new(name, op, vec![(Type::f32(shape), Fill::Uniform(0.0, 1.0))])
    };
    vec![
        case("one pixel", &[1.0], [1, 1], [1, 1, 1, 1]),
        case("three objectives", &[1.0, 2.0, 4.0], [8, 8], [3, 3, 16, 16]),
        case("odd sizes", &[1.0, 1.7, 3.0], [5, 7], [2, 3, 13, 11]),
        case("down to a pixel", &[1.0, 100.0], [6, 3], [5, 1, 9, 8]),
        case("wide views", &[1.5], [3, 131], [1, 2, 7, 20]),
    ]
}

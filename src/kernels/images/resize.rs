//! resize: y[n, c] = x[n, c] at another size, as torch.nn.functional.interpolate without antialias. Bilinear, corners not
//! aligned: output o stands at s = max((o + ½)·H/OH − ½, 0) and is (1 − f)·x[⌊s⌋] + f·x[⌊s⌋ + 1], f = s − ⌊s⌋, in both
//! directions, the last element repeated. Nearest: x[⌊o·H/OH⌋]. dx gathers dy with the same weights: exact, in a fixed
//! order. Shaders: shaders/images/resize/.

use crate::base::{DType, Error, Result, Shape};
use crate::device::{Kernel, Piece};
use crate::kernels::tiles::Tiles;
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// How a value between elements is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Filter {
    /// From the four elements around it.
    Bilinear,
    /// The element before it.
    Nearest,
}

/// x f32 [N, C, H, W] -> y [N, C, OH, OW].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Resize {
    /// Rows and columns of y.
    pub out: [u32; 2],
    /// How values are made.
    pub filter: Filter,
}

/// dx of `shape` from (dy).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct ResizeGrad {
    shape: Shape,
    filter: Filter,
}

params! {
    struct Params { planes: u32, tile: u32, height: u32, width: u32, out_height: u32, out_width: u32 }
}

/// Pieces by filter: bilinear, nearest.
const FORWARD: [&[Piece]; 2] = [
    &[
        piece!("images/resize/params.wgsl"),
        piece!("common/tile.wgsl"),
        piece!("images/resize/bilinear.wgsl"),
        piece!("images/resize/forward.wgsl"),
    ],
    &[
        piece!("images/resize/params.wgsl"),
        piece!("common/tile.wgsl"),
        piece!("images/resize/nearest.wgsl"),
        piece!("images/resize/forward.wgsl"),
    ],
];
const GRAD: [&[Piece]; 2] = [
    &[
        piece!("images/resize/params.wgsl"),
        piece!("common/tile.wgsl"),
        piece!("images/resize/bilinear.wgsl"),
        piece!("images/resize/grad.wgsl"),
    ],
    &[
        piece!("images/resize/params.wgsl"),
        piece!("common/tile.wgsl"),
        piece!("images/resize/nearest.wgsl"),
        piece!("images/resize/grad.wgsl"),
    ],
];

/// Products of two sizes and a few must fit 32 bits.
const LARGEST: usize = 32_768;

impl Tape {
    /// x f32 [N, C, H, W] at `out` (rows, columns): [N, C, OH, OW]. Sizes are at most 32768.
    pub fn resize(&mut self, x: Var, out: [u32; 2], filter: Filter) -> Result<Var> {
        self.apply1(Resize { out, filter }, &[x])
    }
}

/// Params, spread and kernel of a walk over the planes of x (forward: `to_x` false) or dx.
fn launch(e: &mut Emit<'_>, [x, y]: [Shape; 2], filter: Filter, to_x: bool) -> Result<()> {
    let ([n, c, h, w], [_, _, out_h, out_w]) = (x.nchw("resize", "x")?, y.nchw("resize", "y")?);
    let over = if to_x { [h, w] } else { [out_h, out_w] };
    let tiles = Tiles::new(n * c, over.map(|v| v as u32), 1, e.caps);
    let params = Params {
        planes: (n * c) as u32,
        tile: tiles.tile,
        height: h as u32,
        width: w as u32,
        out_height: out_h as u32,
        out_width: out_w as u32,
    };
    let which = usize::from(filter == Filter::Nearest);
    let kernel = match to_x {
        true => Kernel::new("resize.grad", "portable", GRAD[which]),
        false => Kernel::new("resize.forward", "portable", FORWARD[which]).with("TAPS", [2, 1][which]),
    };
    e.launch(tiles.on(kernel), &[Slot::In(0), Slot::Out(0)], &params, tiles.grid);
    Ok(())
}

impl Op for Resize {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("resize", "x", DType::F32)?;
        let [n, c, h, w] = x[0].shape.nchw("resize", "x")?;
        let [out_h, out_w] = self.out.map(|v| v as usize);
        if [h, w, out_h, out_w].iter().any(|&v| v == 0 || v > LARGEST) {
            let what = format!("x is {} and becomes {:?}; sizes are 1 to {LARGEST}", x[0].shape, self.out);
            return Err(Error::shape("resize", what));
        }
        Ok(vec![Type::f32([n, c, out_h, out_w])])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        launch(e, [e.x[0].shape, e.y[0].shape], self.filter, false)
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let op = ResizeGrad { shape: t.shape(x[0]), filter: self.filter };
        Ok(vec![dy[0].map(|dy| t.apply1(op, &[dy])).transpose()?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 12 * y[0].shape.numel() as u64, bytes: x[0].bytes() + y[0].bytes() }
    }
}

impl Op for ResizeGrad {
    fn name(&self) -> &'static str {
        "resize.grad"
    }

    fn infer(&self, _x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![Type::f32(self.shape)])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        launch(e, [self.shape, e.x[0].shape], self.filter, true)
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 12 * x[0].shape.numel() as u64, bytes: x[0].bytes() + y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: [usize; 4], out, filter| {
        Case::new(name, Resize { out, filter }, vec![(Type::f32(shape), Fill::Normal)])
    };
    let [bilinear, nearest] = [Filter::Bilinear, Filter::Nearest];
    vec![
        case("one", [1, 1, 1, 1], [1, 1], bilinear),
        case("one to many", [1, 2, 1, 1], [3, 5], bilinear),
        case("larger", [2, 3, 5, 7], [13, 11], bilinear),
        case("twice as large", [1, 3, 6, 8], [12, 16], bilinear),
        case("smaller", [2, 3, 13, 11], [5, 7], bilinear),
        case("far smaller, most elements unread", [1, 2, 31, 37], [3, 2], bilinear),
        case("wider and lower", [3, 2, 9, 4], [4, 70], bilinear),
        case("the same", [2, 2, 5, 6], [5, 6], bilinear),
        case("nearest, larger", [2, 3, 5, 7], [13, 11], nearest),
        case("nearest, smaller", [2, 3, 13, 11], [5, 7], nearest),
        case("nearest, wider and lower", [3, 2, 9, 4], [4, 70], nearest),
    ]
}

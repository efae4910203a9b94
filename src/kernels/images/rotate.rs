//! rotate: each image turned counter-clockwise about its centre c by an angle θ, drawn or given: y(q) = x(c + R(q − c)),
//! R = [cos θ, −sin θ; sin θ, cos θ] with y downwards, bilinear between pixels. What comes from outside is zero, or the
//! image mirrored at its edge (PyTorch's grid_sample, padding_mode "zeros" or "reflection", align_corners false).
//! There is no gradient towards images. Shaders: shaders/images/rotate/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::draw::{Draws, check_images, check_per_sample};
use crate::kernels::tiles::Tiles;
use crate::kernels::{Case, Fill};
use crate::tape::record::SCALARS;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// Where the angle of a sample comes from.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub enum Angle {
    /// With a probability, uniform between two bounds, in degrees.
    Random {
        /// Where the draws come from.
        draws: Draws,
        /// Probability of a turn.
        probability: f32,
        /// Least and greatest angle.
        degrees: [f32; 2],
    },
    /// An input, f32 [B], in degrees.
    Given,
}

/// What lies outside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Border {
    /// Zeros.
    Zero,
    /// The image, mirrored at its edge.
    Reflect,
}

/// Inputs: x f32 [B, C, H, W], then indices u32 [B] and the scalars, or angles f32 [B] in degrees. Output: as x.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Rotate {
    /// Where angles come from.
    pub angle: Angle,
    /// What lies outside.
    pub border: Border,
}

params! {
    struct Params {
        seed_low: u32, seed_high: u32, stream: u32, epoch: u32, planes: u32, tile: u32, height: u32, width: u32,
        probability: f32, low: f32, high: f32, reflect: u32,
    }
}

const RANDOM: &[Piece] = &[
    piece!("common/rng.wgsl"),
    piece!("common/draw.wgsl"),
    piece!("common/turn.wgsl"),
    piece!("images/rotate/params.wgsl"),
    piece!("common/tile.wgsl"),
    piece!("images/rotate/random.wgsl"),
    piece!("images/rotate/forward.wgsl"),
];
const GIVEN: &[Piece] = &[
    piece!("common/turn.wgsl"),
    piece!("images/rotate/params.wgsl"),
    piece!("common/tile.wgsl"),
    piece!("images/rotate/given.wgsl"),
    piece!("images/rotate/forward.wgsl"),
];

impl Tape {
    /// x turned at random; `scalars` holds the epoch.
    pub fn rotate(&mut self, op: Rotate, x: Var, indices: Var, scalars: Var) -> Result<Var> {
        self.apply1(op, &[x, indices, scalars])
    }

    /// x f32 [B, C, H, W] turned by `angles` f32 [B], in degrees: what predicting rotations needs.
    pub fn rotate_by(&mut self, x: Var, angles: Var, border: Border) -> Result<Var> {
        self.apply1(Rotate { angle: Angle::Given, border }, &[x, angles])
    }
}

impl Op for Rotate {
    fn name(&self) -> &'static str {
        "rotate"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        match self.angle {
            Angle::Random { draws, degrees: [low, high], .. } => {
                draws.check_images("rotate", x)?;
                if !(low <= high && low.is_finite() && high.is_finite()) {
                    return Err(Error::shape("rotate", format!("degrees {low} to {high} must be finite, low first")));
                }
            }
            Angle::Given => {
                let [batch, _, _, _] = check_images("rotate", x[0])?;
                check_per_sample("rotate", "angles", x[1], DType::F32, batch)?;
            }
        }
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [batch, channels, height, width] = e.x[0].shape.nchw("rotate", "x")?;
        let (height, width) = (height as u32, width as u32);
        let tiles = Tiles::new(batch, [height, width], 8, e.caps);
        let mut params = Params {
            planes: batch as u32,
            tile: tiles.tile,
            height,
            width,
            reflect: u32::from(self.border == Border::Reflect),
            ..bytemuck::Zeroable::zeroed()
        };
        let mut buffers = vec![Slot::In(0), Slot::Out(0), Slot::In(1)];
        let (name, pieces) = match self.angle {
            Angle::Random { draws, probability, degrees } => {
                [params.seed_low, params.seed_high, params.stream, params.epoch] = draws.fields();
                (params.probability, [params.low, params.high]) = (probability, degrees);
                buffers.push(Slot::In(2));
                ("rotate.random", RANDOM)
            }
            Angle::Given => ("rotate.given", GIVEN),
        };
        let kernel = tiles.on(Kernel::new(name, "portable", pieces).with("C", channels as u32));
        e.launch(kernel, &buffers, &params, tiles.grid);
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; x.len()])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 12 * y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let images = |shape: [usize; 4]| (Type::f32(shape), Fill::Uniform(0.0, 1.0));
    let random = |name, probability, degrees, border, shape: [usize; 4]| {
        let draws = Draws { seed: 0x0707_a7e0, stream: 13, view: 2, epoch: 1 };
        let indices = (Type::u32([shape[0]]), Fill::Below(1000));
        let scalars = (Type::f32([SCALARS]), Fill::Values(vec![5.0]));
        let angle = Angle::Random { draws, probability, degrees };
        Case::new(name, Rotate { angle, border }, vec![images(shape), indices, scalars])
    };
    let given = |name, degrees: Vec<f32>, border, shape: [usize; 4]| {
        let angles = (Type::f32([shape[0]]), Fill::Values(degrees));
        Case::new(name, Rotate { angle: Angle::Given, border }, vec![images(shape), angles])
    };
    let [zero, reflect] = [Border::Zero, Border::Reflect];
    vec![
        random("one pixel", 1.0, [-30.0, 30.0], zero, [1, 1, 1, 1]),
        random("a little, in colour", 1.0, [-30.0, 30.0], zero, [7, 3, 11, 13]),
        random("any angle, some, mirrored", 0.5, [-180.0, 180.0], reflect, [9, 3, 12, 7]),
        random("wide images, mirrored", 1.0, [-90.0, 90.0], reflect, [2, 1, 5, 131]),
        given("quarters", vec![0.0, 90.0, 180.0, 270.0], zero, [4, 3, 8, 8]),
        given("quarters of oblong images", vec![0.0, 90.0, -90.0, 360.0], zero, [4, 1, 6, 9]),
        given("given, mirrored", vec![15.0, -72.5, 200.0], reflect, [3, 3, 10, 9]),
    ]
}

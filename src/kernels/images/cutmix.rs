//! cutmix (Yun et al. 2019, arXiv:1905.04899): a box of √(1 − λ)·H × √(1 − λ)·W, to the nearest pixel, around a uniformly
//! random place and cut at the border, is taken from the partner image. What fraction of the pixels stays its own is
//! the weight of its own label: pass it to [`Tape::mix_targets`]. There is no gradient towards images.
//! Shaders: shaders/images/cutmix/.

use crate::base::{DType, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::draw::{Draws, check_per_sample};
use crate::kernels::tiles::Tiles;
use crate::kernels::{Case, Fill};
use crate::tape::record::SCALARS;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// Inputs: x f32 [B, C, H, W], indices u32 [B], the scalars, pair u32 [B], λ f32 [B]. Outputs: as x, and the fraction of
/// each image that stays its own, f32 [B].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Cutmix {
    /// Where the draws come from.
    pub draws: Draws,
}

params! {
    struct Params {
        seed_low: u32, seed_high: u32, stream: u32, epoch: u32, planes: u32, tile: u32, height: u32, width: u32,
    }
}

const FORWARD: &[Piece] = &[
    piece!("common/rng.wgsl"),
    piece!("common/draw.wgsl"),
    piece!("common/tile.wgsl"),
    piece!("common/box.wgsl"),
    piece!("images/cutmix/forward.wgsl"),
];

impl Tape {
    /// [x with a box from each image's partner `pair` [B], the fraction kept [B]]; `lambda` [B], from Beta(α, α), says how
    /// much should be kept, before the box is cut at the border; `scalars` holds the epoch.
    pub fn cutmix(&mut self, op: Cutmix, [x, indices, pair, lambda]: [Var; 4], scalars: Var) -> Result<[Var; 2]> {
        let y = self.apply(op, &[x, indices, scalars, pair, lambda])?;
        Ok([y[0], y[1]])
    }
}

impl Op for Cutmix {
    fn name(&self) -> &'static str {
        "cutmix"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let [batch, _, _, _] = self.draws.check_images("cutmix", x)?;
        check_per_sample("cutmix", "pair", x[3], DType::U32, batch)?;
        check_per_sample("cutmix", "lambda", x[4], DType::F32, batch)?;
        Ok(vec![x[0], Type::f32([batch])])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [batch, channels, height, width] = e.x[0].shape.nchw("cutmix", "x")?;
        let [seed_low, seed_high, stream, epoch] = self.draws.fields();
        let (height, width) = (height as u32, width as u32);
        let tiles = Tiles::new(batch, [height, width], 8, e.caps);
        let (planes, tile) = (batch as u32, tiles.tile);
        let params = Params { seed_low, seed_high, stream, epoch, planes, tile, height, width };
        let kernel = tiles.on(Kernel::new("cutmix.forward", "portable", FORWARD).with("C", channels as u32));
        let mut buffers: Vec<Slot> = (0..5).map(Slot::In).collect();
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
    let case = |name, lambda: Fill, shape: [usize; 4]| {
        let draws = Draws { seed: 0xc0_717e, stream: 11, view: 1, epoch: 1 };
        let x = (Type::f32(shape), Fill::Uniform(0.0, 1.0));
        let per = |dtype, fill| (Type { shape: [shape[0]].into(), dtype }, fill);
        let indices = per(DType::U32, Fill::Below(1000));
        let scalars = (Type::f32([SCALARS]), Fill::Values(vec![5.0]));
        // One partner past the end now and then: it must be clamped, not read.
        let pair = per(DType::U32, Fill::Below(shape[0] as u32 + 1));
        Case::new(name, Cutmix { draws }, vec![x, indices, scalars, pair, per(DType::F32, lambda)])
    };
    vec![
        case("one pixel", Fill::Values(vec![0.3]), [1, 1, 1, 1]),
        case("in colour", Fill::Uniform(0.0, 1.0), [11, 3, 9, 14]),
        case("in gray, wide", Fill::Uniform(0.0, 1.0), [5, 1, 7, 131]),
        case("all kept, all taken", Fill::Values(vec![1.0, 0.0]), [4, 3, 6, 5]),
    ]
}

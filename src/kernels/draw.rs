//! What the random ops on images share: how their draws are addressed. A draw is a word of a Philox block whose key is
//! the seed and whose counter is (block, sample, epoch, stream + view · 2¹⁶), so an image is augmented in one way per
//! (seed, epoch, sample, view), whatever its place in the batch. The twin is shaders/common/draw.wgsl.

use crate::base::rng::philox;
use crate::base::{DType, Error, Result};
use crate::tape::{Scalar, Type};

/// Where the draws of a random op come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    /// The seed of the run.
    pub seed: u64,
    /// The stream of the op, below 2¹⁶: two random ops never share one.
    pub stream: u32,
    /// Which view of the sample, below 2¹⁶.
    pub view: u32,
    /// The slot of the scalar that holds the epoch, a whole number below 2²⁴.
    pub epoch: u32,
}

impl Draws {
    /// Draws keyed by the scalar `epoch`.
    pub fn new(seed: u64, stream: u32, view: u32, epoch: Scalar) -> Self {
        Draws { seed, stream, view, epoch: epoch.slot }
    }

    /// The four words of a block.
    pub fn words(&self, block: u32, sample: u32, epoch: u32) -> [u32; 4] {
        philox([block, sample, epoch, self.counter()], self.key())
    }

    /// The last word of the counter.
    pub(crate) fn counter(&self) -> u32 {
        self.stream | (self.view << 16)
    }

    /// The low and the high word of the seed.
    pub(crate) fn key(&self) -> [u32; 2] {
        [self.seed as u32, (self.seed >> 32) as u32]
    }

    /// An error unless the fields fit the counter and the slot fits `scalars`.
    pub(crate) fn check(&self, op: &'static str, scalars: Type) -> Result<()> {
        if self.stream >= 1 << 16 || self.view >= 1 << 16 {
            let what = format!("stream {} and view {} must be below 65536", self.stream, self.view);
            return Err(Error::shape(op, what));
        }
        scalars.expect_dtype(op, "scalars", DType::F32)?;
        let have = scalars.shape.vector(op, "scalars")?;
        if self.epoch as usize >= have {
            return Err(Error::shape(op, format!("scalars is {} and has no slot {}", scalars.shape, self.epoch)));
        }
        Ok(())
    }
}

/// The dimensions of images x [B, C, H, W] that come with one index each, or an error.
pub(crate) fn check_images(op: &'static str, x: &[Type]) -> Result<[usize; 4]> {
    x[0].expect_dtype(op, "x", DType::F32)?;
    x[1].expect_dtype(op, "indices", DType::U32)?;
    let dims = x[0].shape.nchw(op, "x")?;
    if x[1].shape.vector(op, "indices")? != dims[0] {
        return Err(Error::shapes(op, ("x", x[0].shape), ("indices", x[1].shape), "there must be one index an image"));
    }
    if !matches!(dims[1], 1 | 3) {
        return Err(Error::shape(op, format!("x is {}; images have 1 or 3 channels", x[0].shape)));
    }
    Ok(dims)
}

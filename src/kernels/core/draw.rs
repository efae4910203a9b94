//! What the random ops share: how their draws are addressed.
//!
//! Ops on images, [`Draws`]: a draw is a word of a Philox block whose key is the seed and whose counter is (block,
//! sample, epoch, stream + view · 2¹⁶), so an image is augmented in one way per (seed, epoch, sample, view), whatever its
//! place in the batch. Images that are there twice, one copy below the other, are two views: the second half of the rows draws
//! as the view after [`Draws::view`]. The twin is shaders/common/draw.wgsl.
//!
//! Ops on tensors, [`Stream`]: the words of [`Rng::new`] for (seed, stream, counter), one an element, where the counter is
//! a scalar of the step. The twin is shaders/common/stream.wgsl.

use crate::base::rng::{Rng, philox};
use crate::base::{DType, Error, Result};
use crate::tape::{Scalar, Type};

/// Where the draws of a random op come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
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

    /// The same for the view that is `more` views after this one.
    pub fn after(&self, more: u32) -> Self {
        Draws { view: self.view + more, ..*self }
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

    /// Seed, stream and slot as the `Params` of a kernel begin: (seed_low, seed_high, stream, epoch).
    pub(crate) fn fields(&self) -> [u32; 4] {
        let [low, high] = self.key();
        [low, high, self.counter(), self.epoch]
    }

    /// The dimensions of images x [B, C, H, W] that come first, then an index for each and the scalars, or an error.
    pub(crate) fn check_images(&self, op: &'static str, x: &[Type]) -> Result<[usize; 4]> {
        let dims = check_images(op, x[0])?;
        check_per_sample(op, "indices", x[1], DType::U32, dims[0])?;
        self.check(op, x[2])?;
        Ok(dims)
    }

    /// The same for one view or two of the samples: x [B, C, H, W] or [2 · B, C, H, W], where row B + b is the second
    /// view of sample b.
    pub(crate) fn check_views(&self, op: &'static str, x: &[Type]) -> Result<[usize; 4]> {
        let dims = check_images(op, x[0])?;
        let images = x[1].shape.vector(op, "indices")?;
        let once = if dims[0] == 2 * images { images } else { dims[0] };
        check_per_sample(op, "indices", x[1], DType::U32, once)?;
        self.after(u32::from(dims[0] != once)).check(op, x[2])?;
        Ok(dims)
    }

    /// An error unless the fields fit the counter and the slot fits `scalars`.
    pub(crate) fn check(&self, op: &'static str, scalars: Type) -> Result<()> {
        if self.stream >= 1 << 16 || self.view >= 1 << 16 {
            let what = format!("stream {} and view {} must be below 65536", self.stream, self.view);
            return Err(Error::shape(op, what));
        }
        has_slot(op, scalars, self.epoch)
    }
}

/// The outputs of a random op on images: `y`, and, where it tells what was drawn for each sample, these columns of numbers
/// after it. An op that tells nothing runs the very same kernel without the lines that write them.
pub(crate) fn with_told(y: Type, told: Option<&[(&'static str, usize)]>) -> Vec<Type> {
    let columns = told.map(|told| told.iter().map(|t| t.1).sum::<usize>());
    [y].into_iter().chain(columns.map(|n| Type::f32([y.shape.dim(0), n]))).collect()
}

/// Where the words of a random op on a tensor come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Stream {
    /// The seed of the run.
    pub seed: u64,
    /// The stream of this op: two random ops never share one.
    pub stream: u32,
    /// The slot of the scalar that holds the counter (a step), a whole number below 2²⁴.
    pub counter: u32,
}

impl Stream {
    /// The words keyed by the scalar `counter`.
    pub fn new(seed: u64, stream: u32, counter: Scalar) -> Self {
        Stream { seed, stream, counter: counter.slot }
    }

    /// The same words on the host.
    pub fn rng(&self, counter: u32) -> Rng {
        Rng::new(self.seed, self.stream, u64::from(counter))
    }

    /// The low and the high word of the seed.
    pub(crate) fn key(&self) -> [u32; 2] {
        [self.seed as u32, (self.seed >> 32) as u32]
    }

    /// An error unless the slots fit `scalars`.
    pub(crate) fn check(&self, op: &'static str, scalars: Type, keep: &Keep) -> Result<()> {
        let (slot, rate) = keep.parts();
        if !(0.0..=1.0).contains(&rate) {
            return Err(Error::shape(op, format!("{rate} is kept and must be between 0 and 1")));
        }
        has_slot(op, scalars, self.counter.max(slot.unwrap_or(0)))
    }
}

/// Which fraction of a tensor a random op keeps.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub enum Keep {
    /// This one, between 0 and 1.
    Fraction(f32),
    /// The one in this slot of the scalars, between 0 and 1.
    Slot(u32),
}

impl Keep {
    /// The slot where it is scheduled, and the fraction where it is not.
    pub(crate) fn parts(&self) -> (Option<u32>, f32) {
        match *self {
            Keep::Fraction(f) => (None, f),
            Keep::Slot(s) => (Some(s), 0.0),
        }
    }

    /// The fraction, given the scalars.
    pub fn value(&self, scalars: &[f64]) -> f64 {
        match *self {
            Keep::Fraction(f) => f64::from(f),
            Keep::Slot(s) => scalars[s as usize],
        }
    }
}

/// An error unless `scalars` is a vector that has this slot.
fn has_slot(op: &'static str, scalars: Type, slot: u32) -> Result<()> {
    scalars.expect_dtype(op, "scalars", DType::F32)?;
    if slot as usize >= scalars.shape.vector(op, "scalars")? {
        return Err(Error::shape(op, format!("scalars is {} and has no slot {slot}", scalars.shape)));
    }
    Ok(())
}

/// The dimensions of images x [B, C, H, W] f32 of 1 or 3 channels, or an error.
pub(crate) fn check_images(op: &'static str, x: Type) -> Result<[usize; 4]> {
    x.expect_dtype(op, "x", DType::F32)?;
    let dims = x.shape.nchw(op, "x")?;
    if !matches!(dims[1], 1 | 3) {
        return Err(Error::shape(op, format!("x is {}; images have 1 or 3 channels", x.shape)));
    }
    Ok(dims)
}

/// An error unless `x` is one u32 or f32 for each sample of a batch.
pub(crate) fn check_per_sample(op: &'static str, name: &str, x: Type, dtype: DType, batch: usize) -> Result<()> {
    x.expect_dtype(op, name, dtype)?;
    match x.shape.vector(op, name)? == batch {
        true => Ok(()),
        false => {
            Err(Error::shape(op, format!("{name} is {} and must have one entry for each of {batch} samples", x.shape)))
        }
    }
}

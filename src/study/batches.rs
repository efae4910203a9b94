//! How many images each step of an epoch takes.

use super::config::LastBatch;
use crate::base::{Error, Result};

/// How an epoch's images are cut into steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batches {
    pub images: usize,
    /// Images in a step.
    pub whole: usize,
    /// What happens to the images that do not fill the last step.
    pub last: LastBatch,
}

impl Batches {
    /// Images in the smaller step at the end of an epoch; 0 if there is no such step. A step has at least two images,
    /// because batch statistics need two.
    pub fn rest(&self) -> usize {
        let left = self.images % self.whole;
        if self.last == LastBatch::Keep && left > 1 { left } else { 0 }
    }

    /// How many steps an epoch has.
    pub fn steps(&self) -> usize {
        self.images / self.whole + usize::from(self.rest() > 0)
    }

    /// The different sizes of its steps.
    pub fn sizes(&self) -> Vec<usize> {
        [self.whole, self.rest()].into_iter().filter(|&n| n > 0).collect()
    }

    /// How many images the first `steps` steps of an epoch take.
    pub fn taken(&self, steps: usize) -> usize {
        (steps * self.whole).min(self.images / self.whole * self.whole + self.rest())
    }
}

/// How many images a step takes: as many as the config says, or all if there are fewer.
pub(super) fn batch_of(wanted: usize, images: usize) -> Result<usize> {
    if images < 2 {
        return Err(Error::Data(format!("{images} training images are too few; at least 2 are needed")));
    }
    Ok(wanted.min(images))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_batch_is_kept_where_it_is_a_batch() {
        let of = |images, last| {
            let b = Batches { images, whole: 8, last };
            (b.rest(), b.steps(), b.taken(1), b.taken(b.steps()))
        };
        let keep = |images| of(images, LastBatch::Keep);
        assert_eq!(keep(16), (0, 2, 8, 16));
        assert_eq!(keep(17), (0, 2, 8, 16), "one image alone is no batch");
        assert_eq!([keep(18), keep(23)], [(2, 3, 8, 18), (7, 3, 8, 23)]);
        assert_eq!([17, 18, 23].map(|n| of(n, LastBatch::Drop)), [(0, 2, 8, 16); 3]);
    }
}

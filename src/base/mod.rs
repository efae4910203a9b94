//! base: what needs no device: shapes, dtypes, randomness, errors, hashes, whole-file writes, similar names, ranges of
//! values, text for terminals, progress of long jobs, and line plots for pages.

pub mod contained;
pub mod error;
pub mod files;
pub mod hash;
pub mod nearest;
#[cfg(feature = "study")]
pub mod plot;
pub mod progress;
pub mod range;
pub mod rng;
pub mod seal;
pub mod shape;
pub mod text;

pub use contained::contained;
pub use error::{Error, Result};
pub use nearest::nearest;
pub use progress::Progress;
pub use shape::{DType, Shape};

//! base: what needs no device: shapes, dtypes, randomness, errors, hashes, whole-file writes, similar names, ranges of
//! values, counts of classes taken for each other, groups by a key, text for terminals, progress of long jobs, and, where studies are, line plots and event files.

pub mod confusion;
pub mod contained;
pub mod error;
#[cfg(feature = "study")]
pub mod event_file;
pub mod files;
#[cfg(feature = "study")]
pub mod grouped;
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

pub use confusion::ConfusionMatrix;
pub use contained::contained;
pub use error::{Error, Result};
pub use nearest::nearest;
pub use progress::Progress;
pub use shape::{DType, Shape};

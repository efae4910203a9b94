//! base: vocabulary that needs no device: shapes, dtypes, randomness, errors, hashes, whole-file writes.

pub mod error;
pub mod files;
pub mod hash;
pub mod rng;
pub mod shape;

pub use error::{Error, Result};
pub use shape::{DType, Shape};

//! noise: labels that may be wrong. `corrupt/` makes labels wrong in known ways, one kind per file. `learn/` holds the
//! ways to learn from such labels, one learner per file. `audit/` finds labels that are probably wrong.

pub mod audit;
pub mod corrupt;
pub mod learn;
mod matrix;

pub use corrupt::{Corrupted, Kind, NoiseKind, realised_rate};

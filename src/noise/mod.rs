//! noise: what is done to labels. `corrupt/` makes them wrong in known ways, one kind per file; methods that learn
//! from wrong labels get their own room.

pub mod corrupt;

pub use corrupt::{Corrupted, Kind, NoiseKind, realised_rate};

//! catalog: cases, the listing, the tuner and what it expects: everything that goes over all ops.

pub mod case;
pub mod estimate;
pub mod listing;
pub mod sizes;
pub mod tune;

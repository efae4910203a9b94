//! catalog: cases, the listing and the tuner: everything that goes over all ops.

pub mod case;
pub mod listing;
pub mod sizes;
pub mod tune;

//! wgslab
pub mod base;
pub mod device;
pub mod tape;

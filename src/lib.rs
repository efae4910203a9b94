//! wgslab
pub mod base;
pub mod device;
pub mod kernels;
pub mod tape;

//! wgslab
pub mod base;
pub mod data;
pub mod device;
pub mod kernels;
pub mod tape;

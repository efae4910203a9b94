//! wgslab
pub mod base;
pub mod device;
pub mod kernels;
pub mod noise;
pub mod study;
pub mod tape;

//! wgslab
pub mod base;
pub mod data;
pub mod device;
pub mod kernels;
pub mod nn;
pub mod noise;
pub mod ssl;
pub mod study;
pub mod tape;

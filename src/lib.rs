//! wgslab
pub mod base;
pub mod noise;
pub mod study;

//! wgslab
pub mod base;
pub mod noise;

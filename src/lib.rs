//! wgslab
pub mod base;

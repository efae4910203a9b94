//! wgslab
pub mod base;
pub mod data;

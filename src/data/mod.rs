//! data: images on the device, and what is done to them before a network sees them.

pub mod augment;
pub mod store;

//! Methods that only tests know.

use super::Method;
use crate::nn::listed::Entry;

/// Their list.
pub const METHODS: &[&Entry<dyn Method>] = &[];

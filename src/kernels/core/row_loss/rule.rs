//! What a loss over rows brings to the walk: its names, its WGSL pieces, and what they have.

use crate::device::Piece;

/// Names of a loss's op, kernels and gradient.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) op: &'static str,
    pub(crate) forward: &'static str,
    pub(crate) reduce: &'static str,
    pub(crate) grad: &'static str,
}

/// [`Names`] of an op.
macro_rules! names {
    ($op:literal) => {
        $crate::kernels::row_loss::Names {
            op: $op,
            forward: concat!($op, ".forward"),
            reduce: concat!($op, ".reduce"),
            grad: concat!($op, ".grad"),
        }
    };
}
pub(crate) use names;

/// The pieces of a loss and what they bring.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Rows of logits that are normalised first.
    pub sources: u32,
    /// Whether there are terms.
    pub terms: bool,
    /// Whether slopes need numbers that the forward keeps.
    pub keeps: bool,
    /// How many inputs, from the first on, have a gradient.
    pub slopes: usize,
    /// A row counts as much in the mean as its class weighs: labels are input 1, class weights input 2.
    pub by_class: bool,
    /// Operations an element of the forward.
    pub flops: u64,
    /// What the walks, forward and gradient, take from the loss.
    pub pieces: &'static [Piece],
}

impl Rule {
    /// What most losses share: one input of logits with terms, whose slope needs what the forward keeps. A loss gives what
    /// differs, its flops and its pieces.
    pub const LOGITS: Rule =
        Rule { sources: 1, terms: true, keeps: true, slopes: 1, by_class: false, flops: 0, pieces: &[] };
}

//! What a convolution is: its sizes, its three passes and their products. How each pass is computed is in
//! conv2d_route.rs.

use crate::base::DType;
use crate::tape::{Cost, Slot, Type};

/// Every size of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub n: usize,
    pub c: usize,
    pub h: usize,
    pub w: usize,
    pub k: usize,
    pub r: usize,
    pub s: usize,
    pub p: usize,
    pub q: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
    pub groups: usize,
}

/// Which of a convolution's three products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// y from x and w.
    Forward,
    /// dx from w and dy.
    GradInput,
    /// dw from dy and x.
    GradWeight,
}

/// One pass of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub sizes: Sizes,
    pub direction: Direction,
    /// The elements of its operands.
    pub operands: DType,
}

impl Sizes {
    /// All three directions do the same arithmetic.
    pub fn cost(&self, types: &[Type]) -> Cost {
        let terms = self.k * self.n * self.p * self.q * (self.c / self.groups * self.r * self.s);
        Cost { flops: 2 * terms as u64, bytes: types.iter().map(Type::bytes).sum() }
    }
}

impl Direction {
    /// The left operand, the right one and the result.
    pub fn slots(self) -> [Slot; 3] {
        let [left, right] = match self {
            Direction::Forward => [1, 0], // the weight stands left
            Direction::GradInput | Direction::GradWeight => [0, 1],
        };
        [Slot::In(left), Slot::In(right), Slot::Out(0)]
    }

    /// Names of the product, and of the sum of its slices.
    pub fn names(self) -> [&'static str; 2] {
        match self {
            Direction::Forward => ["conv2d.forward", "conv2d.forward_sum"],
            Direction::GradInput => ["conv2d.grad_input", "conv2d.grad_input_sum"],
            Direction::GradWeight => ["conv2d.grad_weight", "conv2d.grad_weight_sum"],
        }
    }
}

impl Pass {
    /// (M, N, K) of a group's product.
    pub fn mnk(&self) -> (usize, usize, usize) {
        let Sizes { n, h, w, r, s, p, q, .. } = self.sizes;
        let (k, c) = (self.sizes.k / self.sizes.groups, self.sizes.c / self.sizes.groups);
        match self.direction {
            Direction::Forward => (k, n * p * q, c * r * s),
            Direction::GradInput => (c, n * h * w, k * r * s),
            Direction::GradWeight => (k, c * r * s, n * p * q),
        }
    }
}

//! How far one NaN may spread in a convolution and in attention. Products multiply by 0 what does not exist (a border, a
//! key that a mask hides), and Winograd adds and subtracts neighbours, so that a NaN reaches elements of its own plane that
//! the formula keeps from it. It must reach no other image, channel, filter, head or query.

use wgslab::base::Shape;

/// An element of a tensor of a case: x0, x1, x2, y, or the gradient of one.
#[derive(Clone, Copy)]
pub struct Element<'a> {
    pub tensor: &'a str,
    pub shape: Shape,
    pub at: usize,
}

impl Element<'_> {
    /// The first two indices: image and channel, filter and channel, or batch and head.
    fn plane(&self) -> (usize, usize) {
        let plane = self.at / (self.shape.dim(2) * self.shape.dim(3));
        (plane / self.shape.dim(1), plane % self.shape.dim(1))
    }

    /// The third index: a query or a key of attention.
    fn row(&self) -> usize {
        self.at / self.shape.dim(3) % self.shape.dim(2)
    }

    /// The tensor whose planes these are: a gradient has those of what it is the gradient of.
    fn of(&self) -> &str {
        self.tensor.trim_start_matches("grad_")
    }
}

/// Whether a plane of `result` is a sum over products with the plane of `put`. `groups` is that of a conv2d.
pub fn may_reach(op: &str, groups: usize, put: Element, result: Element) -> bool {
    match op {
        "conv2d" => in_convolution(put, result, |k, c| (k, c), groups),
        // Its weights are [C, K, R, S].
        "conv_transpose2d" => in_convolution(put, result, |c, k| (k, c), 1),
        "attention" => in_attention(put, result),
        _ => false,
    }
}

/// `filter` gives output channel and input channel (of its group) of a plane of weights.
fn in_convolution(
    put: Element,
    result: Element,
    filter: impl Fn(usize, usize) -> (usize, usize),
    groups: usize,
) -> bool {
    let find = |name: &str| [put, result].into_iter().find(|e| e.of() == name);
    match (find("x0"), find("x1"), find("y")) {
        (Some(x), Some(w), None) => {
            let (i, j) = w.plane();
            let (k, c) = filter(i, j);
            let (filters, channels) = filter(w.shape.dim(0), w.shape.dim(1));
            x.plane().1 == k / (filters / groups) * channels + c
        }
        (Some(x), None, Some(y)) => {
            let group = |e: Element| e.plane().1 / (e.shape.dim(1) / groups);
            x.plane().0 == y.plane().0 && group(x) == group(y)
        }
        (None, Some(w), Some(y)) => filter(w.plane().0, w.plane().1).0 == y.plane().1,
        _ => false,
    }
}

/// A query, its output and their gradients are of one row; keys and values meet every row of their head.
fn in_attention(put: Element, result: Element) -> bool {
    let rows = |e: Element| ["x0", "y"].contains(&e.of());
    put.plane() == result.plane() && (!rows(put) || !rows(result) || put.row() == result.row())
}

//! Random cases of the ops that are matrix products.

use wgslab::base::rng::Rng;
use wgslab::kernels::conv2d::Conv2d;
use wgslab::kernels::matmul::MatMul;
use wgslab::kernels::{Case, Fill};
use wgslab::tape::Type;

/// Products of up to 16 × 16 × 40, plain or in batches, all transposes.
pub fn matmul(rng: &mut Rng) -> Case {
    let [m, n, k] = [16, 16, 40].map(|most| 1 + rng.below(most));
    let op = MatMul { trans_a: rng.below(2) == 0, trans_b: rng.below(2) == 0 };
    let (a, b) = (if op.trans_a { [k, m] } else { [m, k] }, if op.trans_b { [n, k] } else { [k, n] });
    let ty = |[rows, columns]: [usize; 2], z: usize| match z {
        0 => Type::f32([rows, columns]),
        _ => Type::f32([z, rows, columns]),
    };
    let z = rng.below(4); // 0: matrices, no batch
    Case::new("random", op, vec![(ty(a, z), Fill::Normal), (ty(b, z), Fill::Normal)])
}

/// Convolutions of every stride, padding, dilation and grouping over small images. Windows and strides stand in a
/// kernel's text, so they come from a short list.
pub fn conv2d(rng: &mut Rng) -> Case {
    let (r, s, stride) = [(1, 1, 1), (1, 1, 2), (3, 3, 1), (3, 3, 2), (2, 3, 1)][rng.below(5)];
    let (dilation, padding) = (1 + rng.below(4) / 3, rng.below(3));
    let (reach_h, reach_w) = (dilation * (r - 1) + 1, dilation * (s - 1) + 1);
    let least = |reach: usize| reach.saturating_sub(2 * padding).max(1);
    let (h, w) = (least(reach_h) + rng.below(6), least(reach_w) + rng.below(6));
    let groups = if rng.below(3) == 0 { 1 + rng.below(3) } else { 1 };
    let [n, c, k] = [2, 5, 6].map(|most| 1 + rng.below(most));
    let x = Type::f32([n, c * groups, h, w]);
    let weight = Type::f32([k * groups, c, r, s]);
    let [stride, padding, dilation, groups] = [stride, padding, dilation, groups].map(|v| v as u32);
    let op = Conv2d { stride, padding, dilation, groups };
    Case::new("random", op, vec![(x, Fill::Normal), (weight, Fill::Normal)])
}

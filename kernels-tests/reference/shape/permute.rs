//! permute: axis i of y is axis `axes[i]` of x.

use crate::reference::slice::{coordinates, element, moved, picked};
use crate::reference::{Answer, Tensor, cast};
use wgslab::kernels::permute::Permute;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let axes = &cast::<Permute>(op).axes;
    let dims = x[0].shape.dims();
    let y_dims: Vec<u32> = axes.iter().map(|&a| dims[a as usize]).collect();
    let from = |i: usize| {
        let mut c = vec![0; dims.len()];
        for (&axis, at) in axes.iter().zip(coordinates(i, &y_dims)) {
            c[axis as usize] = at;
        }
        element(&c, dims)
    };
    let at: Vec<usize> = (0..x[0].shape.numel()).map(from).collect();
    moved(x, Answer::new(vec![picked(&x[0], &at)]))
}

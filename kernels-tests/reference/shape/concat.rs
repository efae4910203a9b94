//! concat: each element of y comes from the input that its place along the axis belongs to.

use crate::reference::slice::{coordinates, element, moved};
use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::concat::Concat;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let axis = cast::<Concat>(op).axis as usize;
    let mut dims = x[0].shape.dims().to_vec();
    dims[axis] = x.iter().map(|x| x.dim(axis) as u32).sum();
    let (mut floats, mut words) = (Vec::new(), Vec::new());
    for i in 0..dims.iter().product::<u32>() as usize {
        let mut c = coordinates(i, &dims);
        let mut part = 0;
        while c[axis] >= x[part].dim(axis) {
            c[axis] -= x[part].dim(axis);
            part += 1;
        }
        let at = element(&c, x[part].shape.dims());
        floats.extend(x[part].f.get(at));
        words.extend(x[part].u.get(at));
    }
    let y = if words.is_empty() { Expected::exact(floats) } else { Expected::Words(words) };
    moved(x, Answer::new(vec![y]))
}

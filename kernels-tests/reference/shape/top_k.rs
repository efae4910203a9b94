//! top_k: the places of the first k elements in a stable descending sort.

use crate::reference::rank::ascending;
use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::top_k::TopK;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let k = cast::<TopK>(op).k as usize;
    let length = x[0].dim(x[0].shape.rank() - 1);
    let (mut indices, mut picks) = (Vec::new(), Vec::new());
    for (i, row) in x[0].f.chunks(length).enumerate() {
        let mut places: Vec<usize> = (0..length).collect();
        places.sort_by(|&a, &b| ascending(row[b], row[a]));
        indices.extend(places[..k].iter().map(|&at| at as u32));
        picks.extend(places[..k].iter().map(|at| i * length + at));
    }
    let values = Expected::exact(picks.iter().map(|&i| x[0].f[i]).collect());
    Answer::new(vec![values, Expected::Words(indices)]).gradient(&[0], &[0]).picks(picks)
}

//! rank: the places of a row in a stable sort by value, with NaN last.

use crate::reference::{Answer, Expected, Tensor};
use std::cmp::Ordering;
use wgslab::tape::Op;

/// Values in ascending order, both zeros equal, every NaN equal and last.
pub fn ascending(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

pub fn reference(_op: &dyn Op, x: &[Tensor]) -> Answer {
    let mut y = Vec::new();
    for row in x[0].f.chunks(x[0].dim(x[0].shape.rank() - 1)) {
        let mut places: Vec<u32> = (0..row.len() as u32).collect();
        places.sort_by(|&a, &b| ascending(row[a as usize], row[b as usize]));
        y.extend(places);
    }
    Answer::new(vec![Expected::Words(y)])
}

//! Random cases of the ops that move, reduce and order elements.

use crate::properties::Generator;
use wgslab::base::rng::Rng;
use wgslab::base::{DType, Shape};
use wgslab::kernels::concat::Concat;
use wgslab::kernels::gather::Gather;
use wgslab::kernels::permute::Permute;
use wgslab::kernels::reduce::{Reduce, Reduction};
use wgslab::kernels::scatter_add::ScatterAdd;
use wgslab::kernels::slice::Slice;
use wgslab::kernels::softmax::Softmax;
use wgslab::kernels::top_k::TopK;
use wgslab::kernels::{Case, Fill};
use wgslab::tape::Type;

/// The name of an op file and the function that draws a case of it.
pub const GENERATORS: &[(&str, Generator)] = &[
    ("concat", concat),
    ("gather", gather),
    ("permute", permute),
    ("reduce", reduce),
    ("scatter_add", scatter_add),
    ("slice", slice),
    ("softmax", softmax),
    ("top_k", top_k),
];

/// A size up to `most`: often small, often a multiple of four, sometimes one more than a multiple of 32.
fn size(rng: &mut Rng, most: usize) -> usize {
    let some = 1 + rng.below(most);
    let n = match rng.below(4) {
        0 => 1 + rng.below(7),
        1 => some.next_multiple_of(4),
        2 => some.next_multiple_of(32) + 1,
        _ => some,
    };
    n.min(most)
}

/// One to four dimensions, with some hundreds of elements; one time in ten with thousands.
fn dims(rng: &mut Rng) -> Vec<usize> {
    let (rank, large) = (1 + rng.below(4), rng.below(10) == 0);
    let long = rng.below(rank);
    let most = |i| match (large, i == long) {
        (false, true) => [300, 40, 12, 8],
        (false, false) => [1, 8, 5, 4],
        (true, true) => [3000, 300, 80, 60],
        (true, false) => [1, 40, 12, 8],
    };
    (0..rank).map(|i| size(rng, most(i)[rank - 1])).collect()
}

/// Floats, of which one tensor in three is of halves.
fn floats(rng: &mut Rng, dims: &[usize]) -> (Type, Fill) {
    let dtype = if rng.below(3) == 0 { DType::F16 } else { DType::F32 };
    (Type { shape: Shape::new(dims), dtype }, Fill::Normal)
}

/// Words, floats or halves, each a third of the time.
fn anything(rng: &mut Rng, dims: &[usize]) -> (Type, Fill) {
    let dtype = [DType::F32, DType::F16, DType::U32][rng.below(3)];
    let fill = if dtype == DType::U32 { Fill::Bytes } else { Fill::Normal };
    (Type { shape: Shape::new(dims), dtype }, fill)
}

fn reduce(rng: &mut Rng) -> Case {
    let dims = dims(rng);
    let mut axes: Vec<u32> = (0..dims.len() as u32).filter(|_| rng.below(2) == 0).collect();
    if axes.is_empty() {
        axes.push(rng.below(dims.len()) as u32);
    }
    let terms: usize = axes.iter().map(|&a| dims[a as usize]).product();
    let kind = match rng.below(5) {
        0 => Reduction::Sum,
        1 => Reduction::Mean,
        2 => Reduction::Var { correction: u32::from(terms > 1 && rng.below(2) == 0) },
        3 => Reduction::Max,
        _ => Reduction::Argmax,
    };
    // Distinct numbers may round to the same half.
    let x = match kind {
        Reduction::Max => (Type::f32(Shape::new(&dims)), Fill::Distinct),
        _ => floats(rng, &dims),
    };
    let op = Reduce { kind, axes, keepdim: rng.below(2) == 0 };
    Case::new("random", op, vec![x])
}

fn softmax(rng: &mut Rng) -> Case {
    let dims = dims(rng);
    let op = Softmax { temperature: 0.1 + 2.0 * rng.uniform(), log: rng.below(2) == 0 };
    Case::new("random", op, vec![floats(rng, &dims)])
}

fn permute(rng: &mut Rng) -> Case {
    let dims = dims(rng);
    let axes = rng.permutation(dims.len()).into_iter().map(|a| a as u32).collect();
    Case::new("random", Permute { axes }, vec![anything(rng, &dims)])
}

fn concat(rng: &mut Rng) -> Case {
    let mut dims = dims(rng);
    let (axis, (Type { dtype, .. }, fill)) = (rng.below(dims.len()), anything(rng, &[1]));
    let mut parts = Vec::new();
    for _ in 0..1 + rng.below(4) {
        dims[axis] = size(rng, 40);
        parts.push((Type { shape: Shape::new(&dims), dtype }, fill.clone()));
    }
    Case::new("random", Concat { axis: axis as u32 }, parts)
}

fn slice(rng: &mut Rng) -> Case {
    let dims = dims(rng);
    let axis = rng.below(dims.len());
    let length = size(rng, dims[axis]);
    let start = rng.below(dims[axis] - length + 1) as u32;
    let op = Slice { axis: axis as u32, start, length: length as u32 };
    Case::new("random", op, vec![anything(rng, &dims)])
}

fn gather(rng: &mut Rng) -> Case {
    let (dims, n) = (dims(rng), size(rng, 70));
    // Some indices are past the end.
    let indices = (Type::u32([n]), Fill::Below(dims[0] as u32 + 1));
    Case::new("random", Gather, vec![anything(rng, &dims), indices])
}

fn scatter_add(rng: &mut Rng) -> Case {
    let (dims, rows) = (dims(rng), size(rng, 300) as u32);
    let indices = (Type::u32([dims[0]]), Fill::Below(rows + 1));
    Case::new("random", ScatterAdd { rows }, vec![floats(rng, &dims), indices])
}

fn top_k(rng: &mut Rng) -> Case {
    let dims = dims(rng);
    let k = size(rng, dims[dims.len() - 1].min(256)) as u32;
    Case::new("random", TopK { k }, vec![(Type::f32(Shape::new(&dims)), Fill::Distinct)])
}

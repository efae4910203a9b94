//! held: how a kernel's cells lie in memory, in f32 or f16. One text serves both: it reads cell i of a buffer of `Held` as
//! `got(buffer[place(i)], i)`, and what it makes goes through `put(i, v)`; the pieces here say what these are. Arithmetic
//! is in f32, and an f16 cell is rounded once, where it is put. Halves lie two to a word: where a row or a plane has an odd
//! number of them, two invocations share a word (shaders/common/put_half.wgsl says how none loses the other's).
//! Shaders: shaders/common/.

use crate::base::DType;
use crate::device::{Kernel, Piece};
use crate::piece;

/// What a kernel takes for one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cells {
    /// One element.
    Each,
    /// Four neighbours, the first at a multiple of four.
    Fours,
}

const F32: &[Piece] = &[piece!("common/held_f32.wgsl")];
const HALF: &[Piece] = &[piece!("common/half.wgsl"), piece!("common/held_half.wgsl")];
const HALVES: &[Piece] =
    &[piece!("common/half.wgsl"), piece!("common/quads_f16.wgsl"), piece!("common/held_halves.wgsl")];
const PUT_F32: &[Piece] = &[piece!("common/put_f32.wgsl")];
const PUT_HALF: &[Piece] = &[piece!("common/half.wgsl"), piece!("common/put_half.wgsl")];
const PUT_HALVES: &[Piece] =
    &[piece!("common/half.wgsl"), piece!("common/quads_f16.wgsl"), piece!("common/put_halves.wgsl")];

/// The pieces that read cells of `dtype`, which is f32 or f16. They need `Cell`.
pub(crate) fn read(cells: Cells, dtype: DType) -> &'static [Piece] {
    match (dtype, cells) {
        (DType::F16, Cells::Each) => HALF,
        (DType::F16, Cells::Fours) => HALVES,
        _ => F32,
    }
}

/// `kernel`, which makes cells of `dtype` in the buffer of binding `at`.
pub(crate) fn made(kernel: Kernel, cells: Cells, dtype: DType, at: u32) -> Kernel {
    let pieces = match (dtype, cells) {
        (DType::F16, Cells::Each) => PUT_HALF,
        (DType::F16, Cells::Fours) => PUT_HALVES,
        _ => PUT_F32,
    };
    with(kernel, pieces).with("MADE", at)
}

/// `kernel` with those of `pieces` that it lacks.
pub(crate) fn with(kernel: Kernel, pieces: &[Piece]) -> Kernel {
    let lacking: Vec<Piece> = pieces.iter().filter(|piece| !kernel.pieces.contains(piece)).copied().collect();
    kernel.followed_by(&lacking)
}

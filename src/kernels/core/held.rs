//! held: how a kernel's cells lie in memory, in f32 or f16. One text serves both: it reads cell i of a buffer of `Held` as
//! `got(buffer[place(i)], i)`, and what it makes goes through `put(i, v)`; the pieces here say what these are. Arithmetic
//! is in f32, and an f16 cell is rounded once, where it is put. Halves lie two to a word: where a row or a plane has an odd
//! number of them, two invocations share a word (shaders/common/put_half.wgsl says how none loses the other's).
//! Shaders: shaders/common/.

use crate::base::DType;
use crate::device::{Kernel, Piece};
use crate::kernels::units;
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
    &[piece!("common/half.wgsl"), piece!("common/quad_f16.wgsl"), piece!("common/held_halves.wgsl")];
const PUT_F32: &[Piece] = &[piece!("common/put_f32.wgsl")];
const PUT_HALF: &[Piece] = &[piece!("common/half.wgsl"), piece!("common/put_half.wgsl")];
const PUT_HALVES: &[Piece] =
    &[piece!("common/half.wgsl"), piece!("common/quad_f16.wgsl"), piece!("common/put_halves.wgsl")];

/// Four neighbours as elementwise kernels know them.
const QUADS_F32: &[Piece] = &[piece!("common/quads_f32.wgsl")];
const QUADS_F16: &[Piece] =
    &[piece!("common/half.wgsl"), piece!("common/quad_f16.wgsl"), piece!("common/quads_f16.wgsl")];
const QUADS_U32: &[Piece] = &[piece!("common/quads_u32.wgsl")];

const INDEX: &[Piece] = &[piece!("common/index.wgsl")];
/// Cells of one float, of a row's unit, of a word and of four words.
const ONE: &[Piece] = &[piece!("common/one.wgsl")];
const UNIT: &[Piece] = &[piece!("common/cell.wgsl")];
const WORD: &[Piece] = &[piece!("common/word.wgsl")];
const WORDS: &[Piece] = &[piece!("common/words4.wgsl")];

/// The pieces that read cells of `dtype`. They need `Cell`. Words lie as f32 does.
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

/// The pieces that read and make four neighbours of `dtype` at a time, where nobody else has a part of their words: `Quad`,
/// `loaded` and `stored`.
pub(crate) fn quads(dtype: DType) -> &'static [Piece] {
    match dtype {
        DType::F16 => QUADS_F16,
        DType::F32 => QUADS_F32,
        DType::U32 => QUADS_U32,
    }
}

/// The cells of rows that are `whole` vec4, or not.
pub(crate) fn cells(whole: bool) -> Cells {
    if whole { Cells::Fours } else { Cells::Each }
}

/// A kernel over rows whose cells are their units ([`units`]).
pub(crate) fn rows(name: &'static str, variant: &'static str, whole: bool) -> Kernel {
    Kernel::new(name, variant, units(whole)).followed_by(UNIT)
}

/// The same, which reads rows of `dtype`.
pub(crate) fn over_rows(name: &'static str, variant: &'static str, whole: bool, dtype: DType) -> Kernel {
    rows(name, variant, whole).followed_by(read(cells(whole), dtype))
}

/// `kernel` with what reads floats of `dtype` one at a time.
pub(crate) fn floats(kernel: Kernel, dtype: DType) -> Kernel {
    with(kernel.followed_by(ONE), read(Cells::Each, dtype))
}

/// A kernel that moves elements of `dtype` to the binding `at` without looking at them, and how many it moves at a time: the
/// most of 4 words, 1 word and 1 half of which all `lengths` are multiples. So halves move as words do, but where a row may
/// begin within one: there they pass through f32 and back, which keeps every value; of a NaN it keeps that it is one.
pub(crate) fn moving(name: &'static str, dtype: DType, lengths: &[u32], at: u32) -> (Kernel, u32) {
    let whole = |unit: &u32| lengths.iter().all(|length| length.is_multiple_of(*unit));
    let word = if dtype == DType::F16 { 2 } else { 1 };
    let unit = [4 * word, word].into_iter().find(whole).unwrap_or(1);
    let (cell, lies) = match unit {
        unit if unit == 4 * word => (WORDS, DType::U32),
        unit if unit == word => (WORD, DType::U32),
        _ => (ONE, DType::F16),
    };
    let kernel = Kernel::new(name, "portable", INDEX).followed_by(cell).followed_by(read(Cells::Each, lies));
    (made(kernel, Cells::Each, lies, at), unit)
}

/// `kernel` with those of `pieces` that it lacks.
pub(crate) fn with(kernel: Kernel, pieces: &[Piece]) -> Kernel {
    let lacking: Vec<Piece> = pieces.iter().filter(|piece| !kernel.pieces.contains(piece)).copied().collect();
    kernel.followed_by(&lacking)
}

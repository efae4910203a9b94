//! The inverse cosine transform of a block, to the bits of libjpeg's `jidctint.c` and of the vector code of libjpeg-turbo.
//!
//! That is the algorithm of Loeffler, Ligtenberg and Moschytz (ICASSP 1989) in whole numbers, with 13 bits for its constants:
//! first down the columns, with two bits kept behind the point, then along the rows. It rounds nowhere else, so each pass
//! is a product with a matrix of whole numbers, which holds sums of the algorithm's constants. As such it becomes vector code
//! without a word of it here, and no sum of 16-bit numbers overflows.

/// 64 coefficients or samples, in rows of 8.
pub type Block = [i16; 64];

/// Where a coefficient comes in a file, its place in the block (figure A.6).
pub const PLACE: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Bits of the constants behind the point.
const CONSTANT: u32 = 13;

/// Bits that are kept behind the point between the two passes.
const KEPT: u32 = 2;

/// What the coefficients 0, 2, 4 and 6 give to the samples 0 to 3. The samples 7 to 4 get the same.
const EVEN: [[i16; 4]; 4] =
    [[8192, 8192, 8192, 8192], [10703, 4433, -4433, -10703], [8192, -8192, -8192, 8192], [4433, -10704, 10704, -4433]];

/// What the coefficients 1, 3, 5 and 7 give to the samples 0 to 3. The samples 7 to 4 lose the same.
const ODD: [[i16; 4]; 4] =
    [[11363, 9633, 6437, 2260], [9633, -2259, -11362, -6436], [6437, -11362, 2261, 9633], [2260, -6436, 9633, -11363]];

/// How many coefficients come in a file before the first that lies outside of the first four rows and columns.
pub const FEW: usize = 10;

/// Writes the samples of a block whose coefficients are dequantized into rows that are `stride` bytes apart. Those
/// from `count` on, in the order of the file, are zero.
pub fn inverse(block: &Block, count: usize, out: &mut [u8], stride: usize) {
    let mut columns = [0; 64];
    match count {
        0 | 1 => flat(block[0], out, stride),
        2..=FEW => {
            down::<4>(block, &mut columns);
            along::<4>(&columns, out, stride);
        }
        _ => {
            down::<8>(block, &mut columns);
            along::<8>(&columns, out, stride);
        }
    }
}

/// A block in which only the first coefficient is not zero.
fn flat(first: i16, out: &mut [u8], stride: usize) {
    let level = ((i32::from(first) + 4) >> 3) + 128;
    write(&[[level.clamp(0, 255) as u8; 8]; 8], out, stride);
}

fn write(samples: &[[u8; 8]; 8], out: &mut [u8], stride: usize) {
    for (y, samples) in samples.iter().enumerate() {
        if let Some(out) = out[y * stride..].first_chunk_mut() {
            *out = *samples;
        }
    }
}

// Each of the passes alone becomes vector code, which both together do not: hence `inline(never)`. They call nothing of the
// standard library that has no `inline`, because a build without link-time optimization would really call it.

/// The columns of a block of which the first `N` rows and columns are not zero.
#[inline(never)]
fn down<const N: usize>(block: &Block, out: &mut Block) {
    for x in 0..N {
        let mut column = [0; N];
        for (y, value) in column.iter_mut().enumerate() {
            *value = block[8 * y + x];
        }
        let levels = one::<N, { CONSTANT - KEPT }>(&column, 0);
        for (y, level) in levels.iter().enumerate() {
            out[8 * y + x] = (*level).clamp(i16::MIN as i32, i16::MAX as i32) as i16;
        }
    }
}

/// The rows, of which the first `N` columns are not zero, as samples from 0 to 255.
#[inline(never)]
fn along<const N: usize>(block: &Block, out: &mut [u8], stride: usize) {
    let mut samples = [[0; 8]; 8];
    for (y, samples) in samples.iter_mut().enumerate() {
        let mut row = [0; N];
        for (x, value) in row.iter_mut().enumerate() {
            *value = block[8 * y + x];
        }
        let levels = one::<N, { CONSTANT + KEPT + 3 }>(&row, 128);
        for (sample, level) in samples.iter_mut().zip(&levels) {
            *sample = (*level).clamp(0, 255) as u8;
        }
    }
    write(&samples, out, stride);
}

/// The samples of `N` coefficients, rounded by `DOWN` bits, and `more`.
#[inline(always)]
fn one<const N: usize, const DOWN: u32>(x: &[i16; N], more: i32) -> [i32; 8] {
    let mut out = [0; 8];
    for i in 0..4 {
        let (mut even, mut odd) = ((more << DOWN) + (1 << (DOWN - 1)), 0);
        for k in 0..N / 2 {
            even += x[2 * k] as i32 * EVEN[k][i] as i32;
            odd += x[2 * k + 1] as i32 * ODD[k][i] as i32;
        }
        (out[i], out[7 - i]) = ((even + odd) >> DOWN, (even - odd) >> DOWN);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::f64::consts::PI;

    /// The samples by the formula (A.3.3), before they are rounded.
    fn exact(block: &Block) -> Vec<f64> {
        let c = |k: usize| if k == 0 { 0.5f64.sqrt() } else { 1.0 };
        let wave = |at: usize, k: usize| c(k) * ((2 * at + 1) as f64 * k as f64 * PI / 16.0).cos();
        let sample = |at: usize| {
            let term = |k: usize| f64::from(block[k]) * wave(at / 8, k / 8) * wave(at % 8, k % 8);
            (0..64).map(term).sum::<f64>() / 4.0 + 128.0
        };
        (0..64).map(sample).collect()
    }

    fn samples(block: &Block, count: usize) -> Vec<u8> {
        let mut out = vec![7; 8 * 11];
        inverse(block, count, &mut out, 11);
        assert!(out.chunks_exact(11).all(|row| row[8..] == [7; 3]), "what is beside the block stays");
        out.chunks_exact(11).flat_map(|row| row[..8].to_vec()).collect()
    }

    #[test]
    fn samples_are_those_of_the_formula_and_zeros_change_none() {
        let mut rng = Rng::new(5, 0, 0);
        for trial in 0..600 {
            let (count, most) = ([1, 2, FEW, FEW + 1, 64][trial % 5], [4, 60, 900][trial % 3]);
            let mut block = [0; 64];
            for &place in &PLACE[..count] {
                block[usize::from(place)] = rng.below(2 * most) as i16 - most as i16;
            }
            let got = samples(&block, count);
            assert_eq!(got, samples(&block, 64), "{count} coefficients as 64");
            for (got, exact) in got.iter().zip(exact(&block)) {
                let exact = exact.clamp(0.0, 255.0);
                assert!((f64::from(*got) - exact).abs() < 1.0, "{got} for {exact} of {block:?}");
            }
        }
        // The largest numbers of damaged files overflow nothing.
        for block in [[i16::MAX; 64], [i16::MIN; 64], std::array::from_fn(|i| [i16::MAX, i16::MIN][i % 2])] {
            samples(&block, 64);
        }
    }
}

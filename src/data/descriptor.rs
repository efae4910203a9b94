//! What a picture looks like in a few hundred numbers, where no network says it: histograms of oriented gradients (Dalal
//! & Triggs 2005) beside the colours of its parts. Of 32 × 32 pixels.
//!
//! Gradients are taken in gray, their 9 orientations without sign, shared between the two nearest, in 4 × 4 cells of
//! 8 × 8 pixels. Each block of 2 × 2 cells is divided by its length, cut at 0.2 and divided again. Then follow the mean
//! and the standard deviation of each channel in each cell.

use super::Images;
use super::decode::{Resizer, in_parallel, luma, resized};
use crate::base::Result;

const SIDE: usize = 32;
const CELL: usize = 8;
const CELLS: usize = SIDE / CELL;
const BINS: usize = 9;
/// The most that one orientation has of a block.
const MOST: f32 = 0.2;

/// Numbers of a picture with so many channels.
pub fn width(channels: usize) -> usize {
    (CELLS - 1) * (CELLS - 1) * 4 * BINS + CELLS * CELLS * channels * 2
}

/// A row of [`width`] numbers for each image. `told` hears how many are done.
pub fn describe(images: &Images, told: &dyn Fn(usize) -> Result<()>) -> Result<Vec<f32>> {
    let mut rows = Vec::with_capacity(images.len() * width(images.channels));
    let one = |i: usize, resizer: &mut Resizer| {
        Ok(row(&resized(images, i, SIDE, images.channels, resizer)?, images.channels))
    };
    in_parallel(images.len(), one, |i, row: Result<Vec<f32>>| {
        rows.extend(row?);
        told(i + 1)
    })?;
    Ok(rows)
}

/// The row of SIDE × SIDE pixels.
fn row(pixels: &[u8], channels: usize) -> Vec<f32> {
    let gray: Vec<f32> = match channels {
        3 => pixels.chunks_exact(3).map(|p| f32::from(luma(p[0], p[1], p[2])) / 255.0).collect(),
        _ => pixels.iter().map(|&v| f32::from(v) / 255.0).collect(),
    };
    let cells = histograms(&gray);
    let mut row = Vec::with_capacity(width(channels));
    for block in 0..(CELLS - 1) * (CELLS - 1) {
        let (y, x) = (block / (CELLS - 1), block % (CELLS - 1));
        let four = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(dy, dx)| cells[(y + dy) * CELLS + x + dx]);
        let mut values = four.concat();
        divided(&mut values);
        values.iter_mut().for_each(|v| *v = v.min(MOST));
        divided(&mut values);
        row.extend(values);
    }
    for cell in 0..CELLS * CELLS {
        for channel in 0..channels {
            let at = |k: usize| {
                let (y, x) = (cell / CELLS * CELL + k / CELL, cell % CELLS * CELL + k % CELL);
                f32::from(pixels[(y * SIDE + x) * channels + channel]) / 255.0
            };
            let mean = (0..CELL * CELL).map(at).sum::<f32>() / (CELL * CELL) as f32;
            let spread = (0..CELL * CELL).map(|k| (at(k) - mean).powi(2)).sum::<f32>() / (CELL * CELL) as f32;
            row.extend([mean, spread.sqrt()]);
        }
    }
    row
}

/// The gradients of each cell by orientation.
fn histograms(gray: &[f32]) -> [[f32; BINS]; CELLS * CELLS] {
    let mut cells = [[0.0; BINS]; CELLS * CELLS];
    let at = |y: usize, x: usize| gray[y.min(SIDE - 1) * SIDE + x.min(SIDE - 1)];
    for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
        let gx = at(y, x + 1) - at(y, x.saturating_sub(1));
        let gy = at(y + 1, x) - at(y.saturating_sub(1), x);
        let turn = gy.atan2(gx).rem_euclid(std::f32::consts::PI) / std::f32::consts::PI * BINS as f32;
        let (bin, part) = (turn as usize % BINS, turn.fract());
        let (length, cell) = ((gx * gx + gy * gy).sqrt(), &mut cells[y / CELL * CELLS + x / CELL]);
        cell[bin] += length * (1.0 - part);
        cell[(bin + 1) % BINS] += length * part;
    }
    cells
}

fn divided(values: &mut [f32]) {
    let length = (values.iter().map(|v| v * v).sum::<f32>() + 1e-4).sqrt();
    values.iter_mut().for_each(|v| *v /= length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_and_colours_are_seen() {
        let stripes = |down: bool| -> Vec<u8> {
            let v = move |k: usize| if (if down { k / SIDE } else { k % SIDE }) / 4 % 2 == 0 { 40 } else { 200 };
            (0..SIDE * SIDE).flat_map(|k| [v(k), v(k), 255 - v(k)]).collect()
        };
        let [across, down] = [false, true].map(|d| row(&stripes(d), 3));
        assert_eq!(across.len(), width(3));
        // Stripes across have gradients of orientation 0 alone, stripes down of a right angle: between bins 4 and 5.
        let of = |row: &[f32], bin: usize| row[..36].iter().skip(bin).step_by(BINS).sum::<f32>();
        assert!(of(&across, 0) > 1.0 && of(&across, 4) + of(&across, 5) < 1e-3, "{across:?}");
        assert!(of(&down, 0) < 1e-3 && of(&down, 4) > 0.5 && of(&down, 5) > 0.5, "{down:?}");
        let colour = &across[across.len() - 6..];
        assert!((colour[0] - 120.0 / 255.0).abs() < 1e-5 && (colour[1] - 80.0 / 255.0).abs() < 1e-5, "{colour:?}");
    }

    #[test]
    fn images_of_any_size_have_rows() {
        let images = Images {
            height: 9,
            width: 9,
            channels: 1,
            pixels: (0..162).map(|v| v as u8).collect::<Vec<u8>>().into(),
            labels: vec![0, 0],
            names: vec!["a".into(), "b".into()],
        };
        let rows = describe(&images, &|_| Ok(())).unwrap();
        assert!(rows.len() == 2 * width(1) && rows.iter().all(|v| v.is_finite()));
    }
}

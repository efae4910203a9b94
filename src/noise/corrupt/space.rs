//! The space in which a noise kind compares images: the features of a network where they are known, else the images
//! themselves as means of at most 16 × 16 blocks of pixels, channel by channel. Each dimension is shifted and scaled to mean 0
//! and variance 1 over the samples; a constant one is 0.

use super::{Corrupted, Pixels};
use crate::base::Result;

/// Blocks a side.
const BLOCKS: usize = 16;

/// A vector for each sample.
pub(super) struct Space {
    /// Samples × width.
    values: Vec<f64>,
    pub width: usize,
}

impl Space {
    pub fn of(on: &Corrupted<'_>) -> Result<Space> {
        let n = on.labels.len();
        let (mut values, width) = match on.features {
            Some(f) => (f.values.iter().map(|&v| f64::from(v)).collect(), f.width),
            None => {
                let pixels = on.pixels()?;
                let values = (0..n).map(|i| blocks(&pixels, i)).collect::<Result<Vec<_>>>()?.concat();
                let width = values.len() / n.max(1);
                (values, width)
            }
        };
        standardize(&mut values, width);
        Ok(Space { values, width })
    }

    /// The vector of sample `i`.
    pub fn sample(&self, i: usize) -> &[f64] {
        &self.values[i * self.width..(i + 1) * self.width]
    }

    /// The mean of each class, and the mean squared distance of its samples from it.
    pub fn classes(&self, labels: &[u32], classes: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
        let (mut means, mut counts) = (vec![vec![0.0; self.width]; classes], vec![0.0; classes]);
        for (i, &c) in labels.iter().enumerate() {
            counts[c as usize] += 1.0;
            means[c as usize].iter_mut().zip(self.sample(i)).for_each(|(m, x)| *m += x);
        }
        for (mean, count) in means.iter_mut().zip(&counts) {
            mean.iter_mut().for_each(|m| *m /= f64::max(*count, 1.0));
        }
        let mut spreads = vec![0.0; classes];
        for (i, &c) in labels.iter().enumerate() {
            let squares = self.sample(i).iter().zip(&means[c as usize]).map(|(x, m)| (x - m) * (x - m));
            spreads[c as usize] += squares.sum::<f64>() / counts[c as usize];
        }
        (means, spreads)
    }
}

/// Fisher's criterion of two classes, ‖μ_a − μ_b‖² / (s_a² + s_b²), with their means and their mean squared distances from them:
/// small where they are hard to tell apart.
pub fn fisher([a, b]: [&[f64]; 2], spreads: [f64; 2]) -> f64 {
    let apart: f64 = a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum();
    apart / (spreads[0] + spreads[1]).max(f64::MIN_POSITIVE)
}

/// The mean of each block of an image, for each channel.
fn blocks(pixels: &Pixels<'_>, i: usize) -> Result<Vec<f64>> {
    let (shown, [height, width, channels]) = (pixels.image(i)?, pixels.shape);
    let image: &[u8] = &shown;
    let (rows, columns) = (height.min(BLOCKS), width.min(BLOCKS));
    let mut means = Vec::with_capacity(rows * columns * channels);
    for row in 0..rows {
        for column in 0..columns {
            let (ys, xs) = (part(row, rows, height), part(column, columns, width));
            for c in 0..channels {
                let of_row = |y: usize| xs.clone().map(move |x| f64::from(image[(y * width + x) * channels + c]));
                let sum: f64 = ys.clone().flat_map(of_row).sum();
                means.push(sum / (ys.len() * xs.len()) as f64);
            }
        }
    }
    Ok(means)
}

/// Part `i` of `n` nearly equal parts of 0 to `length`.
fn part(i: usize, n: usize, length: usize) -> std::ops::Range<usize> {
    i * length / n..(i + 1) * length / n
}

fn standardize(values: &mut [f64], width: usize) {
    let n = (values.len() / width.max(1)) as f64;
    for d in 0..width {
        let column = || values.iter().skip(d).step_by(width);
        let mean = column().sum::<f64>() / n;
        let deviation = (column().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt();
        let scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
        values.iter_mut().skip(d).step_by(width).for_each(|v| *v = (*v - mean) * scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_the_means_of_its_blocks() {
        // 32 × 18 pixels of two channels: blocks of two rows, and of one or two columns.
        let byte = |i: usize| ((i / 2 % 18) * 10 + i % 2) as u8;
        let bytes: Vec<u8> = (0..32 * 18 * 2).map(byte).collect();
        let means = blocks(&Pixels { bytes: &bytes, shape: [32, 18, 2] }, 0).unwrap();
        assert_eq!(means.len(), 16 * 16 * 2);
        assert_eq!(means[..4], [0.0, 1.0, 10.0, 11.0], "columns 0 and 1 stand alone");
        assert_eq!(means[14..16], [75.0, 76.0], "columns 7 and 8 are one block");
    }

    #[test]
    fn dimensions_have_mean_0_and_variance_1() {
        let mut values = vec![1.0, 5.0, 3.0, 5.0];
        standardize(&mut values, 2);
        assert_eq!(values, [-1.0, 0.0, 1.0, 0.0]);
        let space = Space { values: vec![-1.0, 0.0, 1.0, 0.0, 5.0, 1.0], width: 2 };
        let (means, spreads) = space.classes(&[0, 0, 2], 3);
        assert_eq!((means, spreads), (vec![vec![0.0, 0.0], vec![0.0, 0.0], vec![5.0, 1.0]], vec![1.0, 0.0, 0.0]));
    }
}

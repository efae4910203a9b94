//! A picture of a backbone's features of test images: their projection on the two directions of largest variance
//! (principal component analysis, Pearson 1901). A run keeps it as `projection.json`, and the report draws it.
//!
//! With X the features less their mean, the scores on direction i are √λ·u of the i-th eigenvector u of X·Xᵀ, and λ
//! over the trace is the direction's share of the variance. The sign of a direction has no meaning. Here the score
//! farthest from 0 is made positive.

use super::collapse::products;
use super::folder::Done;
use super::names::{PROJECTION, REDO};
use super::owner::still_mine;
use crate::base::progress::Progress;
use crate::base::rng::Rng;
use crate::base::{Error, Result, files, seal};
use crate::data::Dataset;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The most images that are projected. They are spread evenly over the split, whose order may be that of classes.
const MOST_IMAGES: usize = 300;
/// How many vectors are iterated together. Two are needed, and more make these two converge sooner.
const BLOCK: usize = 8;
/// The most rounds of iteration, and how far a vector may be from an eigenvector, as a share of the largest eigenvalue.
const ROUNDS: usize = 400;
const RESIDUAL: f64 = 1e-9;
/// The random stream of the start vectors. They are the same for all features.
const STREAM: u32 = 0x0070_6361; // "pca"

/// Test images projected on two directions of their features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Projection {
    /// The names of the classes.
    pub classes: Vec<String>,
    /// The true class of each image that is shown.
    pub labels: Vec<u32>,
    /// The scores of each image.
    pub points: Vec<[f32; 2]>,
    /// Each direction's share of the variance.
    pub shares: [f64; 2],
    /// How many test images there are.
    pub test_images: usize,
}

impl Projection {
    /// Projects the features of the test images of `data`, rows of `width`.
    pub fn of(features: &[f32], width: usize, data: &Dataset) -> Projection {
        let images = data.test.len();
        let count = images.min(MOST_IMAGES);
        let shown: Vec<usize> = (0..count).map(|i| i * images / count).collect();
        let rows: Vec<&[f32]> = shown.iter().map(|&i| &features[i * width..][..width]).collect();
        let (points, shares) = scores(&rows, width);
        let labels = shown.iter().map(|&i| data.test.labels[i]).collect();
        Projection { classes: data.classes.clone(), labels, points, shares, test_images: images }
    }

    /// Writes the projection into a run's folder. Returns false, and says so, if features are not finite, because they
    /// cannot be drawn.
    pub fn write(&self, folder: &Path, progress: &dyn Progress) -> Result<bool> {
        let path = folder.join(PROJECTION);
        still_mine(folder)?;
        if let Err(why) = self.plausible() {
            let folder = folder.display();
            progress
                .note(&format!("warning: {folder} gets no picture of its features, since {why}; are they all finite?"));
            if files::exists(&path)? {
                // An earlier try may have left one.
                std::fs::remove_file(&path).map_err(|e| Error::io(&path, "delete", e))?;
            }
            return Ok(false);
        }
        seal::write(&path, self)?;
        Ok(true)
    }

    /// The projection of a finished run. `None` if an earlier version made the run.
    pub fn read(folder: &Path, done: &Done) -> Result<Option<Projection>> {
        if !done.files.contains_key(PROJECTION) {
            return Ok(None);
        }
        let bad = |why: String| Error::damaged(&folder.join(PROJECTION), why, REDO);
        let read: Projection = seal::parse(&done.text(folder, PROJECTION)?).map_err(bad)?;
        read.plausible().map_err(bad)?;
        Ok(Some(read))
    }

    /// It is an error if no run can have written it, even if its checksum is right.
    fn plausible(&self) -> Result<(), String> {
        let (labels, points) = (self.labels.len(), self.points.len());
        if labels != points {
            return Err(format!("it has {labels} labels and {points} points"));
        }
        if let Some(label) = self.labels.iter().find(|l| **l as usize >= self.classes.len()) {
            return Err(format!("it holds the label {label}, and there are {} classes", self.classes.len()));
        }
        let finite = self.points.iter().flatten().all(|v| v.is_finite());
        if !finite || self.shares.iter().any(|s| !(0.0..=1.0).contains(s)) {
            return Err("a number of it is no score or no share".to_string());
        }
        Ok(())
    }
}

/// The scores of rows on two directions, and the shares of variance.
fn scores(rows: &[&[f32]], width: usize) -> (Vec<[f32; 2]>, [f64; 2]) {
    let n = rows.len();
    let mut mean = vec![0.0; width];
    for row in rows {
        mean.iter_mut().zip(*row).for_each(|(m, v)| *m += f64::from(*v) / n as f64);
    }
    let centred = |row: &&[f32]| row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect::<Vec<f64>>();
    let centred: Vec<Vec<f64>> = rows.iter().map(centred).collect();
    let gram = products(&centred);
    let trace: f64 = (0..n).map(|i| gram[i][i]).sum();
    // Rows that are equal except for f32 rounding have no direction.
    let length: f64 = rows.iter().flat_map(|row| row.iter()).map(|v| f64::from(*v).powi(2)).sum();
    let (mut points, mut shares) = (vec![[0.0; 2]; n], [0.0; 2]);
    if !length.is_finite() {
        return (vec![[f32::NAN; 2]; n], shares); // see `plausible`
    }
    if trace <= 1e-12 * length {
        return (points, shares);
    }
    for (i, (value, vector)) in leading(&gram).into_iter().take(2).enumerate() {
        let farthest = vector.iter().fold(0.0f64, |far, v| if v.abs() > far.abs() { *v } else { far });
        let scale = value.max(0.0).sqrt() * farthest.signum();
        shares[i] = (value / trace).clamp(0.0, 1.0);
        points.iter_mut().zip(&vector).for_each(|(p, v)| p[i] = (v * scale) as f32);
    }
    (points, shares)
}

/// The largest eigenvalues of a positive semidefinite matrix and their vectors, by block iteration with the
/// Rayleigh-Ritz step (Golub and Van Loan, Matrix Computations, sections 8.2 and 8.3).
fn leading(a: &[Vec<f64>]) -> Vec<(f64, Vec<f64>)> {
    let n = a.len();
    let mut rng = Rng::new(0, STREAM, 0);
    let mut block: Vec<Vec<f64>> =
        (0..BLOCK.min(n)).map(|_| (0..n).map(|_| f64::from(rng.normal())).collect()).collect();
    let mut values = Vec::new();
    for _ in 0..ROUNDS {
        orthonormal(&mut block);
        let images: Vec<Vec<f64>> = block.iter().map(|v| a.iter().map(|row| dot(row, v)).collect()).collect();
        let small = block.iter().map(|v| images.iter().map(|y| dot(v, y)).collect()).collect();
        let pairs = jacobi(small);
        let mixed = |of: &[Vec<f64>], w: &[f64]| -> Vec<f64> {
            (0..n).map(|i| of.iter().zip(w).map(|(v, w)| v[i] * w).sum()).collect()
        };
        let turned: Vec<Vec<f64>> = pairs.iter().map(|(_, w)| mixed(&block, w)).collect();
        let next: Vec<Vec<f64>> = pairs.iter().map(|(_, w)| mixed(&images, w)).collect();
        values = pairs.iter().zip(&turned).map(|((value, _), v)| (*value, v.clone())).collect();
        let off = |i: usize| {
            let apart = next[i].iter().zip(&turned[i]).map(|(y, v)| (y - pairs[i].0 * v).powi(2)).sum::<f64>();
            apart.sqrt() > RESIDUAL * pairs[0].0.abs()
        };
        if !(0..turned.len().min(2)).any(off) {
            break;
        }
        block = next;
    }
    values
}

/// Makes vectors orthonormal, one after the other. A vector of which nothing is left becomes zero.
fn orthonormal(block: &mut [Vec<f64>]) {
    for i in 0..block.len() {
        let (before, rest) = block.split_at_mut(i);
        let before_length = dot(&rest[0], &rest[0]).sqrt();
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(other, &rest[0]);
                rest[0].iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
            }
        }
        let length = dot(&rest[0], &rest[0]).sqrt();
        let scale = if length > 1e-12 * before_length { 1.0 / length } else { 0.0 };
        rest[0].iter_mut().for_each(|v| *v *= scale);
    }
}

/// All eigenvalues of a small symmetric matrix and their vectors, the largest first, by Jacobi's rotations (section
/// 8.5). `collapse::eigenvalues` is faster for large matrices, but gives no vectors. The matrix here has [`BLOCK`]
/// rows.
fn jacobi(mut a: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let n = a.len();
    let mut vectors: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..30 {
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let sign = if theta < 0.0 { -1.0 } else { 1.0 };
                let tangent = sign / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (tangent * tangent + 1.0).sqrt();
                let s = tangent * c;
                for row in a.iter_mut() {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                for k in 0..n {
                    (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]);
                    (vectors[p][k], vectors[q][k]) =
                        (c * vectors[p][k] - s * vectors[q][k], s * vectors[p][k] + c * vectors[q][k]);
                }
            }
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> = (0..n).map(|i| a[i][i]).zip(vectors).collect();
    pairs.sort_by(|x, y| y.0.total_cmp(&x.0));
    pairs
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;
    use crate::study::collapse::eigenvalues;

    fn of(rows: &[Vec<f32>]) -> (Vec<[f32; 2]>, [f64; 2]) {
        scores(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), rows.first().map_or(1, Vec::len))
    }

    /// A grid on two known directions in ten dimensions, with a little variance in a third. The scores must be the
    /// grid's coordinates.
    #[test]
    fn a_known_plane_is_found() {
        let directions: Vec<Vec<f64>> = (1..4)
            .map(|k| {
                (0..10)
                    .map(|d| (0.2f64).sqrt() * (std::f64::consts::PI * k as f64 * (d as f64 + 0.5) / 10.0).cos())
                    .collect()
            })
            .collect();
        let (mut rows, mut due) = (Vec::new(), Vec::new());
        for (i, x) in [-3.0, 0.0, 0.0, -1.0, 4.0].into_iter().enumerate() {
            for (j, y) in [-2.0, 0.0, -1.0, 3.0].into_iter().enumerate() {
                // Orthogonal to x and to y.
                let z = 0.1 * [1.0, -2.0, 0.0, 2.0, -1.0][i] * [1.0, -1.0, -1.0, 1.0][j];
                let at = |d: usize| 7.0 + x * directions[0][d] + y * directions[1][d] + z * directions[2][d];
                rows.push((0..10).map(|d| at(d) as f32).collect::<Vec<f32>>());
                due.push([x, y]);
            }
        }
        let (points, shares) = of(&rows);
        let variances = [5.2, 3.5, 0.01 * 2.0];
        let all: f64 = variances.iter().sum();
        assert!((0..2).all(|i| (shares[i] - variances[i] / all).abs() < 1e-5), "{shares:?}");
        // The score farthest from 0 is positive: 4 and 3.
        for i in 0..2 {
            let off = points.iter().zip(&due).map(|(p, d)| (f64::from(p[i]) - d[i]).abs()).fold(0.0, f64::max);
            assert!(off < 1e-5, "direction {i}: {off}");
        }
        assert_eq!(of(&rows), (points, shares));
    }

    /// The eigenvalues equal those of another algorithm, and the scores have the variances that the shares say.
    #[test]
    fn directions_of_a_full_cloud_are_eigenvectors() {
        let mut rng = Rng::new(1, 2, 3);
        let rows: Vec<Vec<f32>> =
            (0..60).map(|_| (0..24).map(|d| rng.normal() * (1.0 + 0.05 * d as f32)).collect()).collect();
        let (points, shares) = of(&rows);
        let mean: Vec<f64> = (0..24).map(|d| rows.iter().map(|r| f64::from(r[d])).sum::<f64>() / 60.0).collect();
        let centred: Vec<Vec<f64>> =
            rows.iter().map(|r| r.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect()).collect();
        let all = eigenvalues(products(&centred));
        let trace: f64 = all.iter().sum();
        for i in 0..2 {
            let due = all[all.len() - 1 - i];
            assert!((shares[i] - due / trace).abs() < 1e-9, "{i}: {} {}", shares[i], due / trace);
            let square: f64 = points.iter().map(|p| f64::from(p[i]).powi(2)).sum();
            assert!((square / due - 1.0).abs() < 1e-5, "{i}: {square} {due}");
        }
        let across: f64 = points.iter().map(|p| f64::from(p[0]) * f64::from(p[1])).sum();
        assert!(across.abs() < 1e-4 * all[all.len() - 1], "{across}");
    }

    /// They would be read back as damage, so none is written.
    #[test]
    fn features_that_are_not_finite_leave_no_picture() {
        let dir = tempfile::tempdir().unwrap();
        let made = |rows: &[Vec<f32>]| {
            let (points, shares) = of(rows);
            let (classes, labels) = (vec!["a".to_string()], vec![0; points.len()]);
            Projection { classes, test_images: labels.len(), labels, points, shares }
        };
        let write = |rows: &[Vec<f32>]| {
            let written = made(rows).write(dir.path(), &Silent).unwrap();
            (written, dir.path().join(PROJECTION).exists())
        };
        assert_eq!(write(&[vec![1.0, 2.0], vec![3.0, 5.0]]), (true, true));
        for bad in [f32::NAN, f32::INFINITY] {
            assert_eq!(write(&[vec![1.0, bad], vec![3.0, 5.0]]), (false, false), "{bad}");
        }
    }

    #[test]
    fn features_that_say_nothing_have_no_direction() {
        for rows in [vec![], vec![vec![3.0, 4.0]], vec![vec![0.1, 7.0]; 9]] {
            assert_eq!(of(&rows), (vec![[0.0; 2]; rows.len()], [0.0; 2]));
        }
        let (points, shares) = of(&[vec![1.0, 1.0], vec![3.0, 3.0]]);
        assert!(
            (shares[0] - 1.0).abs() < 1e-9 && shares[1].abs() < 1e-9 && points[0][0] == -points[1][0],
            "{points:?}"
        );
    }
}

//! Whether a pretraining has collapsed, that is, whether a backbone gives nearly the same features for every image.
//!
//! It is measured after each epoch on a fixed part of the training images, without augmentation. The rows are features
//! divided by their length, D numbers each. There are two measures:
//!
//! - The mean over dimensions of the standard deviation over rows, times √D (Chen and He 2021, arXiv 2011.10566, figure 2,
//!   who plot it for the output of their head, without the √D). It is 1 if the directions are spread evenly, and 0 if all
//!   are equal.
//! - The effective rank of the rows less their mean: exp of the entropy of the singular values, each divided by their sum
//!   (Roy and Vetterli 2007). It is how many dimensions the rows use to the same extent. It is 0 if all rows are equal.
//!
//! Features behind a ReLU have no negative value, so their mean is far from zero and the first number is well below 1 in a
//! healthy network, too.

use super::fit::Sizes;
use super::pass::{Eye, Pass};
use super::session::Job;
use crate::base::{Error, Result};
use crate::data::store::ImageStore;
use crate::tape::{State, Tape};
use serde::{Deserialize, Serialize};

/// A smaller standard deviation means that the features have collapsed: two images then differ by less than a hundredth
/// of what evenly spread directions differ by, an angle of a quarter of a degree. Untrained ResNet-18 and ResNet-50
/// gave 0.03 to 0.22 on generated images.
const LEAST_STD: f64 = 0.003;

/// A smaller rank means that the features have collapsed to a line: one number says nearly all that they say of an
/// image.
const LEAST_RANK: f64 = 1.5;

/// How many images are looked at: a sixteenth of the training images, but within these bounds. In an epoch each image
/// goes forward and backward at least once, so the look takes at most a fiftieth of an epoch. A rank needs at least the
/// lower bound and no more than the upper.
const LEAST_IMAGES: usize = 64;
const MOST_IMAGES: usize = 256;

/// How far a backbone is from collapse.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    /// Mean standard deviation of unit features over images, times √D.
    pub feature_std: f64,
    /// Effective rank of unit features less their mean.
    pub effective_rank: f64,
}

impl Spread {
    /// Whether a rank or a spread is so small that features cannot tell images apart.
    pub fn collapsed(&self) -> bool {
        self.feature_std < LEAST_STD || self.effective_rank < LEAST_RANK
    }

    /// The spread of rows of `width` features.
    pub fn of(rows: &[f32], width: usize) -> Spread {
        let n = rows.len() / width.max(1);
        let mut unit: Vec<f64> = rows.iter().map(|v| f64::from(*v)).collect();
        for row in unit.chunks_exact_mut(width) {
            let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
            row.iter_mut().for_each(|v| *v /= length.max(1e-12));
        }
        let mut mean = vec![0.0; width];
        for row in unit.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / n as f64);
        }
        for row in unit.chunks_exact_mut(width) {
            row.iter_mut().zip(&mean).for_each(|(v, m)| *v -= m);
        }
        let variance = |d: usize| unit.iter().skip(d).step_by(width).map(|v| v * v).sum::<f64>() / n as f64;
        let std = (0..width).map(|d| variance(d).sqrt()).sum::<f64>() / width as f64;
        // All rows together have the length √n. Values below a hundred-thousandth of that are rounding of f32.
        let floor = 1e-5 * (n as f64).sqrt();
        let singular: Vec<f64> = eigenvalues(gram(&unit, n, width)).into_iter().map(|e| e.max(0.0).sqrt()).collect();
        Spread {
            feature_std: std * (width as f64).sqrt(),
            effective_rank: effective_rank(singular.into_iter().filter(|s| *s > floor)),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Spread { feature_std, effective_rank } = self;
        write!(
            f,
            "the features of all images are nearly alike or on a line (feature_std {feature_std:.4}, effective_rank \
             {effective_rank:.2}; below {LEAST_STD} or {LEAST_RANK} is collapse); a smaller lr, a longer warm-up or other \
             settings of the method may help"
        )
    }
}

/// Exp of the entropy of the values divided by their sum. It is 0 if there are no values.
fn effective_rank(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    let sum: f64 = values.iter().sum();
    if values.is_empty() {
        return 0.0;
    }
    values.iter().map(|v| v / sum).map(|p| -p * p.ln()).sum::<f64>().exp()
}

/// The smaller one of X·Xᵀ and Xᵀ·X for X [n, width]. Their eigenvalues other than zero are the same.
fn gram(x: &[f64], n: usize, width: usize) -> Vec<Vec<f64>> {
    let vectors: Vec<Vec<f64>> = match n <= width {
        true => x.chunks_exact(width).map(<[f64]>::to_vec).collect(),
        false => (0..width).map(|d| x.iter().skip(d).step_by(width).copied().collect()).collect(),
    };
    products(&vectors)
}

/// The inner products of each two of these vectors.
pub(super) fn products(vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut all = vec![vec![0.0; vectors.len()]; vectors.len()];
    for i in 0..vectors.len() {
        for j in 0..=i {
            let product = dot(&vectors[i], &vectors[j]);
            (all[i][j], all[j][i]) = (product, product);
        }
    }
    all
}

/// The eigenvalues of a symmetric matrix: Householder's reduction to a tridiagonal matrix, then Sturm's count and
/// bisection (Golub and Van Loan, Matrix Computations, sections 8.3 and 8.4). Each has an error of at most 1e-12 times
/// the largest.
pub(super) fn eigenvalues(mut a: Vec<Vec<f64>>) -> Vec<f64> {
    let n = a.len();
    let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n.saturating_sub(1)]);
    for k in 0..n {
        diagonal[k] = a[k][k];
        if k + 1 == n {
            break;
        }
        // The reflection I − v·vᵀ·2/(v·v) that leaves one number below the diagonal in column k.
        let mut v: Vec<f64> = (k + 1..n).map(|i| a[i][k]).collect();
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        beside[k] = if v[0] > 0.0 { -length } else { length };
        v[0] -= beside[k];
        let square: f64 = v.iter().map(|x| x * x).sum();
        if square == 0.0 {
            continue;
        }
        let scale = 2.0 / square;
        let rest = |a: &[Vec<f64>], i: usize| {
            v.iter().enumerate().map(|(j, x)| a[k + 1 + i][k + 1 + j] * x).sum::<f64>() * scale
        };
        let p: Vec<f64> = (0..v.len()).map(|i| rest(&a, i)).collect();
        let half = scale / 2.0 * p.iter().zip(&v).map(|(p, v)| p * v).sum::<f64>();
        let w: Vec<f64> = p.iter().zip(&v).map(|(p, v)| p - half * v).collect();
        for i in 0..v.len() {
            for j in 0..v.len() {
                a[k + 1 + i][k + 1 + j] -= v[i] * w[j] + w[i] * v[j];
            }
        }
    }
    tridiagonal(&diagonal, &beside)
}

/// The eigenvalues of a symmetric tridiagonal matrix, the smallest first.
fn tridiagonal(diagonal: &[f64], beside: &[f64]) -> Vec<f64> {
    let n = diagonal.len();
    let off = |i: usize| beside.get(i).map_or(0.0, |b| b.abs());
    let radius = |i: usize| off(i) + if i > 0 { off(i - 1) } else { 0.0 };
    // By Gershgorin's theorem all of them lie between these bounds.
    let low = (0..n).map(|i| diagonal[i] - radius(i)).fold(f64::INFINITY, f64::min);
    let high = (0..n).map(|i| diagonal[i] + radius(i)).fold(f64::NEG_INFINITY, f64::max);
    let tiny = f64::EPSILON * low.abs().max(high.abs()).max(f64::MIN_POSITIVE);
    let below = |x: f64| {
        let (mut count, mut q) = (0, 1.0);
        for i in 0..n {
            let step = if i > 0 { beside[i - 1] * beside[i - 1] / q } else { 0.0 };
            q = diagonal[i] - x - step;
            if q.abs() < tiny {
                q = -tiny;
            }
            count += usize::from(q < 0.0);
        }
        count
    };
    let nth = |k: usize| {
        let (mut low, mut high) = (low, high);
        for _ in 0..48 {
            let middle = 0.5 * (low + high);
            if below(middle) > k { high = middle } else { low = middle }
        }
        0.5 * (low + high)
    };
    (0..n).map(nth).collect()
}

/// Measures a backbone between the epochs of its training.
pub(super) struct Mirror {
    pass: Pass,
    features: usize,
}

impl Mirror {
    /// The images that are looked at, spread evenly over the training images, whose order may be that of classes.
    fn images(store: &ImageStore) -> Vec<u32> {
        let count = (store.count / 16).clamp(LEAST_IMAGES, MOST_IMAGES).min(store.count);
        (0..count).map(|i| (i * store.count / count) as u32).collect()
    }

    /// How many images the look takes at once. A step of training takes no fewer, so the look fits if the training
    /// fits.
    fn batch(job: &Job<'_>, store: &ImageStore, step: usize) -> usize {
        Mirror::images(store).len().min(job.config.evaluation.batch_size).min(step)
    }

    /// How often the tape of a look runs.
    pub fn runs(job: &Job<'_>, store: &ImageStore, step: usize) -> usize {
        Mirror::images(store).len().div_ceil(Mirror::batch(job, store, step))
    }

    /// The tapes of the look, for a training whose steps take `step` images.
    pub fn tapes(job: &Job<'_>, eye: &Eye, store: &ImageStore, step: usize) -> Result<Vec<Tape>> {
        Pass::tapes(job, eye, &[store], None, Mirror::batch(job, store, step))
    }

    /// Compiles the look with the parameters in `state`. Messages call them `weights`.
    pub fn new(
        job: &Job<'_>,
        eye: &Eye,
        (store, step): (&ImageStore, usize),
        (state, weights): (&State, &str),
    ) -> Result<Mirror> {
        let batch = Mirror::batch(job, store, step);
        let tapes = |batch: usize| Pass::tapes(job, eye, &[store], None, batch);
        let mut plans = job.compile(state, "evaluation.batch_size", batch, Sizes::from(1), &tapes)?;
        let plan = plans.pop().ok_or_else(|| Error::Failed("a pass has no plan".into()))?;
        let pass = Pass::of(plan, (store, weights), batch, Mirror::images(store));
        Ok(Mirror { pass, features: eye.backbone.features() })
    }

    pub fn look(&self, job: &Job<'_>) -> Result<Spread> {
        Ok(Spread::of(&self.pass.features(job)?, self.features))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn normal(rng: &mut Rng, n: usize) -> Vec<f32> {
        (0..n).map(|_| rng.normal()).collect()
    }

    #[test]
    fn eigenvalues_are_those_of_known_matrices() {
        // The eigenvalues are 2 − 2·cos(iπ/(n + 1)), those of a string of n springs. This matrix is tridiagonal
        // already.
        for n in [1, 2, 7] {
            let one = |i: usize, j: usize| if i == j { 2.0 } else { -f64::from(u8::from(i.abs_diff(j) == 1)) };
            let a = (0..n).map(|i| (0..n).map(|j| one(i, j)).collect()).collect();
            for (i, got) in eigenvalues(a).into_iter().enumerate() {
                let due = 2.0 - 2.0 * (std::f64::consts::PI * (i + 1) as f64 / (n + 1) as f64).cos();
                assert!((got - due).abs() < 1e-11, "{n}: {got} {due}");
            }
        }
        // A full matrix. Its eigenvalues must give its trace, the trace of its square, and those of a shifted matrix.
        let mut rng = Rng::new(1, 2, 3);
        let x: Vec<f64> = normal(&mut rng, 30 * 20).into_iter().map(f64::from).collect();
        let a = gram(&x, 30, 20);
        let (trace, square) = ((0..20).map(|i| a[i][i]).sum::<f64>(), a.iter().flatten().map(|v| v * v).sum::<f64>());
        let all = eigenvalues(a);
        assert!(all.len() == 20 && all.windows(2).all(|w| w[0] <= w[1]) && all[0] > 0.0, "{all:?}");
        assert!((all.iter().sum::<f64>() - trace).abs() < 1e-9 * trace);
        assert!((all.iter().map(|v| v * v).sum::<f64>() - square).abs() < 1e-9 * square);
        assert_eq!(eigenvalues(vec![vec![0.0; 4]; 4]).iter().filter(|v| v.abs() > 1e-300).count(), 0);
    }

    #[test]
    fn spread_and_rank_are_those_of_known_features() {
        let mut rng = Rng::new(4, 5, 6);
        // Directions that are uniform on the sphere: √(variance of a unit vector's entry · D) = 1.
        let even = Spread::of(&normal(&mut rng, 256 * 32), 32);
        assert!((even.feature_std - 1.0).abs() < 0.02 && (29.0..32.0).contains(&even.effective_rank), "{even:?}");
        // More features than images: the rank is at most one less than the number of images.
        let wide = Spread::of(&normal(&mut rng, 16 * 512), 512);
        assert!((14.0..15.0).contains(&wide.effective_rank), "{wide:?}");
        // Rows in a plane of 8 dimensions.
        let base = normal(&mut rng, 3 * 8);
        let plane: Vec<f32> = (0..100)
            .flat_map(|_| {
                let w = normal(&mut rng, 3);
                (0..8).map(|d| (0..3).map(|k| w[k] * base[k * 8 + d]).sum::<f32>()).collect::<Vec<_>>()
            })
            .collect();
        let plane = Spread::of(&plane, 8);
        assert!((2.0..3.0).contains(&plane.effective_rank) && !plane.collapsed(), "{plane:?}");
        // One direction with f32 rounding, exactly one direction, and a line.
        let row: Vec<f32> = normal(&mut rng, 64);
        let one: Vec<f32> = (0..80).flat_map(|i| row.iter().map(move |v| v * (1.0 + 3e-7 * (i % 7) as f32))).collect();
        let ways = |bias: f32| (0..80).flat_map(move |i| [1.0 + bias, if i % 2 == 0 { 0.5 } else { -0.5 }]);
        for (rows, width, rank) in [(one, 64, 0.0), (vec![0.0; 640], 64, 0.0), (ways(0.0).collect(), 2, 1.0)] {
            let got = Spread::of(&rows, width);
            assert!(got.collapsed() && (got.effective_rank - rank).abs() < 1e-6, "{got:?}");
        }
        // The spread is too small to tell images apart.
        let close = Spread::of(&ways(500.0).collect::<Vec<_>>(), 2);
        assert!(close.feature_std < LEAST_STD && close.collapsed(), "{close:?}");
    }
}

//! What several experts say together of the classes of an image: the logarithmic opinion pool (Genest & Zidek 1986,
//! "Combining Probability Distributions", Statistical Science 1, section 3). p(c) ∝ Π pₑ(c)^wₑ, with the weights under which
//! the labels of all images are likeliest, as Heskes 1998 ("Selecting Weighting Factors in Logarithmic Opinion Pools", NIPS
//! 10) chooses them: an expert that knows little of the labels counts little. Here their sum is free, and each has a normal
//! distribution before any label is looked at, which decides where the labels do not. A few numbers are learnt from all
//! labels, so they hold nearly nothing of one of them.

use crate::noise::matrix;

/// Steps of Newton's method. Some ten are enough.
const STEPS: usize = 100;
/// The search ends when no weight moves farther.
const NEAR: f64 = 1e-10;
/// A weight below this that would fall is 0 from then on.
const NOTHING: f64 = 1e-6;

/// Experts taken together.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The weight of each expert. None is negative.
    pub weights: Vec<f64>,
    /// Rows of `classes` probabilities.
    pub probabilities: Vec<f64>,
}

/// How likely the labels are with some weights, with its first and second derivatives.
struct Likelihood {
    value: f64,
    slope: Vec<f64>,
    /// The negative second derivatives, rows for each expert.
    bend: Vec<f64>,
}

/// What the experts say, and the labels.
struct Said<'a> {
    logs: &'a [&'a [f64]],
    labels: &'a [u32],
    classes: usize,
}

impl Pool {
    /// The pool of a table of log-probabilities for each expert, rows of `classes`, none of them infinite, and the label of
    /// each row.
    pub fn of(logs: &[&[f64]], labels: &[u32], classes: usize) -> Pool {
        let said = Said { logs, labels, classes };
        let mut weights = vec![said.before(); logs.len()];
        let mut at = said.likelihood(&weights);
        for _ in 0..STEPS {
            let Some((next, found)) = said.better(&weights, &at) else { break };
            let moved = next.iter().zip(&weights).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            (weights, at) = (next, found);
            if moved < NEAR {
                break;
            }
        }
        let probabilities = (0..labels.len()).flat_map(|row| said.pooled(row, &weights).0).collect();
        Pool { weights, probabilities }
    }
}

impl Said<'_> {
    /// The mean of the normal distribution that each weight has before any label is looked at. Its standard deviation is 1.
    /// It decides where the labels do not: experts say the same, or all labels are right.
    fn before(&self) -> f64 {
        1.0 / self.logs.len().max(1) as f64
    }

    /// What the experts say of an image: the logarithms of a row each.
    fn row(&self, at: usize) -> impl Iterator<Item = &[f64]> {
        self.logs.iter().map(move |logs| &logs[at * self.classes..][..self.classes])
    }

    /// The probabilities of an image, and the logarithm of what the products of powers sum to.
    fn pooled(&self, at: usize, weights: &[f64]) -> (Vec<f64>, f64) {
        let mut sums = vec![0.0; self.classes];
        for (row, weight) in self.row(at).zip(weights) {
            sums.iter_mut().zip(row).for_each(|(sum, log)| *sum += weight * log);
        }
        let most = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let all = sums.iter().map(|s| (s - most).exp()).sum::<f64>().ln() + most;
        sums.iter_mut().for_each(|s| *s = (*s - all).exp());
        (sums, all)
    }

    fn likelihood(&self, weights: &[f64]) -> Likelihood {
        let n = weights.len();
        let apart: Vec<f64> = weights.iter().map(|w| w - self.before()).collect();
        let mut value = -0.5 * apart.iter().map(|d| d * d).sum::<f64>();
        let mut slope: Vec<f64> = apart.iter().map(|d| -d).collect();
        let mut bend: Vec<f64> = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect();
        for (at, label) in self.labels.iter().enumerate() {
            let (p, all) = self.pooled(at, weights);
            value -= all;
            let (mut rows, mut means) = (Vec::with_capacity(n), Vec::with_capacity(n));
            for (e, row) in self.row(at).enumerate() {
                let (mean, given) = (row.iter().zip(&p).map(|(l, p)| l * p).sum::<f64>(), row[*label as usize]);
                value += weights[e] * given;
                slope[e] += given - mean;
                rows.push(row);
                means.push(mean);
            }
            for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
                let product = |((a, b), p): ((&f64, &f64), &f64)| p * (a - means[i]) * (b - means[j]);
                bend[i * n + j] += rows[i].iter().zip(rows[j]).zip(&p).map(product).sum::<f64>();
            }
        }
        Likelihood { value, slope, bend }
    }

    /// A step of Newton's method within the weights that are not negative, halved until the labels are likelier. `None` where
    /// no step makes them so.
    fn better(&self, weights: &[f64], at: &Likelihood) -> Option<(Vec<f64>, Likelihood)> {
        let is_free = |e: usize| weights[e] > NOTHING || at.slope[e] > 0.0;
        let free: Vec<usize> = (0..weights.len()).filter(|&e| is_free(e)).collect();
        if free.is_empty() {
            return None;
        }
        let bend: Vec<f64> =
            free.iter().flat_map(|i| free.iter().map(move |j| at.bend[i * weights.len() + j])).collect();
        // The matrix is that of covariances and 1 on its diagonal, so it has an inverse.
        let inverse = matrix::inverse(&bend, free.len())?;
        let mut step = vec![0.0; weights.len()];
        for (row, &i) in inverse.chunks_exact(free.len()).zip(&free) {
            step[i] = row.iter().zip(&free).map(|(v, &j)| v * at.slope[j]).sum();
        }
        let mut share = 1.0;
        while share > 1e-9 {
            let moved = |e: usize| if is_free(e) { (weights[e] + share * step[e]).max(0.0) } else { 0.0 };
            let next: Vec<f64> = (0..weights.len()).map(moved).collect();
            let found = self.likelihood(&next);
            if found.value > at.value {
                return Some((next, found));
            }
            share /= 2.0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: usize = 3;

    /// Log-probabilities of 40 images by a formula.
    fn table(of: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let row = |i: usize| {
            let raw: Vec<f64> = (0..CLASSES).map(|c| of(i as f64, c as f64)).collect();
            let all = raw.iter().map(|v| v.exp()).sum::<f64>().ln();
            raw.into_iter().map(move |v| v - all)
        };
        (0..40).flat_map(row).collect()
    }

    fn first(i: f64, c: f64) -> f64 {
        (1.7 * i + 2.3 * c).sin()
    }

    fn second(i: f64, c: f64) -> f64 {
        (0.9 * i * c + c).cos()
    }

    /// The class of the largest sum of both and of what neither knows.
    fn labels(of_second: f64) -> Vec<u32> {
        let told = |i: f64, c: f64| first(i, c) + of_second * second(i, c) + 0.9 * (5.0 * i + 3.0 * c * c).sin();
        let largest = |i: usize| {
            (1..CLASSES).fold(0, |m, c| if told(i as f64, c as f64) > told(i as f64, m as f64) { c } else { m })
        };
        (0..40).map(|i| largest(i) as u32).collect()
    }

    /// Found by scipy's L-BFGS-B; kernels-tests/golden/pool.py prints them.
    #[test]
    fn weights_are_those_of_scipy() {
        let logs = [table(first), table(second)];
        for (of_second, due) in [(0.5, [1.533767, 0.819591]), (-0.8, [0.928003, 0.0])] {
            let pool = Pool::of(&[&logs[0], &logs[1]], &labels(of_second), CLASSES);
            for (found, due) in pool.weights.iter().zip(due) {
                approx::assert_abs_diff_eq!(*found, due, epsilon = 1e-5);
            }
            let sums = pool.probabilities.chunks_exact(CLASSES).map(|row| row.iter().sum::<f64>());
            assert!(sums.clone().count() == 40 && sums.into_iter().all(|s| (s - 1.0).abs() < 1e-12));
        }
    }

    /// At the best weights nothing rises: the slope is 0, or a weight of 0 would fall. Three of these experts say nearly the
    /// same.
    #[test]
    fn experts_that_say_nearly_the_same_find_their_best_weights() {
        let apart = |k: f64| table(move |i, c| first(i, c) + 0.05 * k * (7.0 * i + k * c).cos());
        let logs = [apart(1.0), apart(2.0), apart(3.0), table(second)];
        let logs: Vec<&[f64]> = logs.iter().map(Vec::as_slice).collect();
        for of_second in [0.5, 0.0, -0.8] {
            let labels = labels(of_second);
            let said = Said { logs: &logs, labels: &labels, classes: CLASSES };
            let pool = Pool::of(&logs, &labels, CLASSES);
            let slope = said.likelihood(&pool.weights).slope;
            for (weight, slope) in pool.weights.iter().zip(&slope) {
                assert!(slope.abs() < 1e-6 || *weight == 0.0 && *slope < 0.0, "{:?}, {slope}", pool.weights);
            }
        }
    }

    /// An expert that says the same of each image gets a weight that changes nothing, and one that was asked twice counts
    /// as one.
    #[test]
    fn who_knows_nothing_changes_nothing() {
        let (known, labels) = (table(first), labels(0.0));
        let alone = Pool::of(&[&known, &table(|_, _| 0.0)], &labels, CLASSES);
        let twice = Pool::of(&[&known, &known], &labels, CLASSES);
        assert!((alone.weights[1] - 0.5).abs() < 1e-9, "{:?}", alone.weights);
        assert!((twice.weights[0] - twice.weights[1]).abs() < 1e-9);
        let apart = alone.probabilities.iter().zip(&twice.probabilities).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f64::max) < 0.02, "only what stood before the labels differs");
    }

    #[test]
    fn labels_that_all_are_right_and_no_labels_give_finite_weights() {
        let sure: Vec<f64> =
            (0..40).flat_map(|i| (0..CLASSES).map(move |c| if c == i % 3 { -1e-9 } else { -20.0 })).collect();
        let right: Vec<u32> = (0..40).map(|i| i % 3).collect();
        let pool = Pool::of(&[&sure, &table(|_, _| 0.0)], &right, CLASSES);
        assert!(pool.weights[0].is_finite() && pool.probabilities.iter().all(|p| p.is_finite()));
        assert_eq!(Pool::of(&[&[], &[]], &[], CLASSES).weights, [0.5; 2]);
    }
}

//! A mixture of two normal distributions over losses, by which DivideMix tells clean labels from wrong ones: expectation
//! maximization as scikit-learn's `GaussianMixture` does it (its regularization, its stopping rule), on the host in f64. Where
//! scikit-learn begins with k-means from random centres, this begins with k-means from the least and the largest value, so
//! that the same losses give the same bits.

use std::f64::consts::TAU;

/// How it is fitted, scikit-learn's names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The most rounds.
    pub max_iter: usize,
    /// Rounds end once the mean log-likelihood changes by less.
    pub tol: f64,
    /// What is added to each variance.
    pub reg_covar: f64,
}

/// One of the two distributions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Component {
    share: f64,
    mean: f64,
    variance: f64,
}

/// For each value, the probability that it is of the component with the smaller mean. All 1 where values do not differ.
pub fn smaller_component(values: &[f64], fit: Fit) -> Vec<f64> {
    let spread = |v: &[f64]| v.iter().fold((f64::MAX, f64::MIN), |(a, b), &x| (a.min(x), b.max(x)));
    let (least, largest) = spread(values);
    if least >= largest {
        return vec![1.0; values.len()];
    }
    let mut first: Vec<f64> = two_means(values, [least, largest]);
    let mut components = maximize(values, &first, fit.reg_covar);
    let mut before = f64::NEG_INFINITY;
    for _ in 0..fit.max_iter {
        let likelihood = expect(values, &components, &mut first);
        components = maximize(values, &first, fit.reg_covar);
        if (likelihood - before).abs() < fit.tol {
            break;
        }
        before = likelihood;
    }
    expect(values, &components, &mut first);
    match components[0].mean <= components[1].mean {
        true => first,
        false => first.into_iter().map(|p| 1.0 - p).collect(),
    }
}

/// k-means of two: 1 for each value nearer to the first centre, else 0.
fn two_means(values: &[f64], mut centres: [f64; 2]) -> Vec<f64> {
    let of = |c: [f64; 2]| values.iter().map(|v| f64::from(u8::from((v - c[0]).abs() <= (v - c[1]).abs()))).collect();
    let mut first: Vec<f64> = of(centres);
    for _ in 0..300 {
        let n: f64 = first.iter().sum();
        let sum: f64 = first.iter().zip(values).map(|(p, v)| p * v).sum();
        let all: f64 = values.iter().sum();
        centres = [sum / n.max(1.0), (all - sum) / (values.len() as f64 - n).max(1.0)];
        let next = of(centres);
        if next == first {
            break;
        }
        first = next;
    }
    first
}

/// Shares, means and variances from the probabilities of the first component.
fn maximize(values: &[f64], first: &[f64], reg_covar: f64) -> [Component; 2] {
    let of = |weight: &dyn Fn(f64) -> f64| {
        let weights = first.iter().map(|&p| weight(p));
        let n = weights.clone().sum::<f64>() + 10.0 * f64::EPSILON;
        let mean = weights.clone().zip(values).map(|(w, v)| w * v).sum::<f64>() / n;
        let variance = weights.zip(values).map(|(w, v)| w * (v - mean).powi(2)).sum::<f64>() / n + reg_covar;
        Component { share: n, mean, variance }
    };
    let mut both = [of(&|p| p), of(&|p| 1.0 - p)];
    let all = both[0].share + both[1].share;
    both.iter_mut().for_each(|c| c.share /= all);
    both
}

/// Writes each value's probability of the first component, and gives the mean log-likelihood.
fn expect(values: &[f64], components: &[Component; 2], first: &mut [f64]) -> f64 {
    let log =
        |c: &Component, v: f64| c.share.ln() - 0.5 * ((TAU * c.variance).ln() + (v - c.mean).powi(2) / c.variance);
    let mut sum = 0.0;
    for (p, &v) in first.iter_mut().zip(values) {
        let [a, b] = components.each_ref().map(|c| log(c, v));
        let top = a.max(b);
        let total = top + ((a - top).exp() + (b - top).exp()).ln();
        *p = (a - total).exp();
        sum += total;
    }
    sum / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIT: Fit = Fit { max_iter: 10, tol: 1e-2, reg_covar: 5e-4 };

    #[test]
    fn small_values_are_told_from_large_ones() {
        let values: Vec<f64> = (0..60).map(|i| if i % 3 == 0 { 0.8 } else { 0.1 } + 0.002 * f64::from(i)).collect();
        let p = smaller_component(&values, FIT);
        assert!(p.iter().enumerate().all(|(i, p)| (*p > 0.99) == (i % 3 != 0)), "{p:?}");
    }

    #[test]
    fn values_that_do_not_differ_are_all_of_one_kind() {
        assert_eq!(smaller_component(&[0.5; 3], FIT), [1.0; 3]);
        assert_eq!(smaller_component(&[], FIT), [0.0; 0]);
        assert!(smaller_component(&[0.1, 0.9], FIT).iter().all(|p| p.is_finite()));
    }
}

//! The study's numbers: what a classifier got right, how sure a mean over repeats is, and the tests that comparisons are
//! judged by, a file for each. A test that has too few values for an answer says so with [`TooFew`].

mod aggregate;
mod bayes;
mod bootstrap;
mod few;
mod friedman;
#[cfg(test)]
mod golden;
mod holm;
mod images;
mod intervals;
mod kendall;
mod pairing;
mod ranking;
mod signed_rank;
mod special;

pub use aggregate::{improvement_interval, iqm, probability_of_improvement, profile, profile_bands};
pub use bayes::{Belief, DRAWS, signed_rank_belief};
pub use bootstrap::{RESAMPLES, bca, bca_levels, between, distribution, percentile, quantile, resample};
pub use few::{ALPHA, TooFew};
pub use friedman::{
    Friedman, critical_difference, fewest_sets, friedman, groups, mean_ranks, nemenyi, pairwise_holm, rank_intervals,
};
pub use holm::holm;
pub use images::{McNemar, mcnemar, mcnemar_of, paired_accuracy};
pub use intervals::{Estimate, Interval, student, student_over_strata};
pub use kendall::{Kendall, kendall, tau};
pub use pairing::{Pairs, pair};
pub use ranking::{average_ranks, tie_sizes};
pub use signed_rank::{EXACT, Manner, SignedRank, fewest_pairs, signed_rank, signed_rank_by};
pub use special::{
    chi_square_above, f_above, fair_coins_at_most, normal_above, normal_quantile, range_above, range_critical,
    t_critical, t_two_sided,
};

use crate::base::{Error, Result};
use std::sync::OnceLock;

/// The area under the ROC curve. With two classes it is that of the second class's probability. With more classes it is
/// the mean of one class against the rest, as scikit-learn's `roc_auc_score` with `multi_class="ovr"`. `probabilities`
/// holds a row of `classes` for each label. Tied scores count one half. `None` if it is not defined, because no sample
/// or every sample has a class, or if a score is not a number.
pub fn macro_auroc(probabilities: &[f64], labels: &[u32], classes: usize) -> Result<Option<f64>> {
    if probabilities.len() != labels.len() * classes {
        let (p, n) = (probabilities.len(), labels.len());
        return Err(Error::Failed(format!("{p} probabilities are not {classes} for each of {n} labels")));
    }
    if probabilities.iter().any(|p| p.is_nan()) {
        return Ok(None);
    }
    let one = |class: usize| {
        let scores = labels.iter().zip(probabilities.chunks_exact(classes));
        auroc(scores.map(|(&y, row)| (row[class], y as usize == class)).collect())
    };
    let curves = if classes == 2 { 1..2 } else { 0..classes };
    let areas: Option<Vec<f64>> = curves.map(one).collect();
    Ok(areas.filter(|areas| !areas.is_empty()).map(|areas| mean(&areas)))
}

/// The number of bins of [`calibration_error`].
pub const BINS: usize = 15;

/// Expected calibration error (Guo et al. 2017, arXiv 1706.04599, eq. 3) with [`BINS`] bins (l, u] of equal width. It
/// is the mean over samples of |share of right samples − mean confidence| in the sample's bin. The confidence of a
/// sample is its largest probability, and `right` says whether the sample was assigned to its class. `None` without
/// samples, and if a probability is not a number.
pub fn calibration_error(probabilities: &[f64], right: &[bool], classes: usize) -> Option<f64> {
    let mut bins = [(0.0, 0.0); BINS];
    for (row, &right) in probabilities.chunks_exact(classes.max(1)).zip(right) {
        let confidence = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if row.iter().any(|p| p.is_nan()) {
            return None;
        }
        let bin = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        bins[bin].0 += f64::from(u8::from(right));
        bins[bin].1 += confidence;
    }
    let gaps: f64 = bins.iter().map(|(right, confidence)| (right - confidence).abs()).sum();
    (!right.is_empty()).then(|| gaps / right.len() as f64)
}

/// The area under the ROC curve of pairs (score, is positive), by the rank sum (Mann and Whitney). It is the share of
/// pairs of a positive and a negative in which the positive has the higher score; ties count one half. `None` without
/// both kinds.
fn auroc(mut scored: Vec<(f64, bool)>) -> Option<f64> {
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = scored.iter().filter(|s| s.1).count() as f64;
    let negatives = scored.len() as f64 - positives;
    let (mut rank_sum, mut first) = (0.0, 0);
    for tied in scored.chunk_by(|a, b| a.0 == b.0) {
        let middle_rank = first as f64 + (tied.len() as f64 + 1.0) / 2.0;
        rank_sum += middle_rank * tied.iter().filter(|s| s.1).count() as f64;
        first += tied.len();
    }
    let pairs = positives * negatives;
    (pairs > 0.0).then(|| (rank_sum - positives * (positives + 1.0) / 2.0) / pairs)
}

/// The mean; NaN without values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean of the last `n` values, or of all if there are fewer; NaN without values.
pub fn mean_last(values: &[f64], n: usize) -> f64 {
    mean(&values[values.len().saturating_sub(n)..])
}

/// A summary of repeats of one measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many repeats there are.
    pub n: usize,
    /// Their mean; NaN without repeats.
    pub mean: f64,
    /// Their standard deviation (over n − 1). `None` below two repeats.
    pub std: Option<f64>,
    /// Half the width of the mean's 95 % confidence interval (Student's t). `None` below two repeats.
    pub ci95: Option<f64>,
}

impl Summary {
    /// Summarises `values`.
    pub fn of(values: &[f64]) -> Self {
        let (n, mean) = (values.len(), mean(values));
        let std = (n > 1).then(|| {
            let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
            (squares / (n - 1) as f64).sqrt()
        });
        Summary { n, mean, std, ci95: std.map(|s| t95(n - 1) * s / (n as f64).sqrt()) }
    }
}

/// Half the width of a 95 % interval in standard errors. Up to 30 degrees of freedom it is computed once: a report asks for
/// it at every number.
fn t95(degrees: usize) -> f64 {
    static KEPT: OnceLock<[f64; 31]> = OnceLock::new();
    let kept = KEPT.get_or_init(|| std::array::from_fn(|v| t_critical(ALPHA, v.max(1) as f64)));
    kept.get(degrees).copied().unwrap_or_else(|| t_critical(ALPHA, degrees as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn auroc_worked_by_hand() {
        let scored = |pairs: &[(f64, u8)]| auroc(pairs.iter().map(|&(s, y)| (s, y == 1)).collect());
        assert_eq!(scored(&[(0.1, 0), (0.4, 0), (0.35, 1), (0.8, 1)]), Some(0.75)); // 3 of 4 pairs
        assert_eq!(scored(&[(0.5, 0), (0.5, 1)]), Some(0.5)); // a tie counts one half
        assert_eq!(
            scored(&[(0.2, 0), (0.5, 0), (0.5, 1), (0.5, 1), (0.9, 1)]),
            Some((1.0 + 1.0 + 1.0 + 2.0 * 0.5 + 1.0) / 6.0)
        );
        assert_eq!(scored(&[(0.2, 1), (0.5, 1)]), None);
    }

    #[test]
    fn auroc_is_the_mean_over_classes_and_none_where_one_has_no_curve() {
        // Class 0: 0.9 > 0.2, 0.3 → 1. Class 1: 0.6 > 0.1, 0.7 > 0.1 → 1. Class 2 is absent.
        let p = [0.9, 0.1, 0.0, 0.2, 0.6, 0.2, 0.3, 0.7, 0.0];
        assert_eq!(macro_auroc(&p, &[0, 1, 1], 3).unwrap(), None);
        assert_eq!(macro_auroc(&p, &[0, 1, 2], 3).unwrap(), Some((1.0 + 0.5 + 0.25) / 3.0));
        assert_eq!(macro_auroc(&[0.9, 0.1, 0.6, 0.4, 0.65, 0.35, 0.2, 0.8], &[0, 0, 1, 1], 2).unwrap(), Some(0.75));
        assert_eq!(macro_auroc(&p, &[1, 1, 1], 3).unwrap(), None);
        assert_eq!(macro_auroc(&[0.4, 0.6], &[1], 2).unwrap(), None);
        assert_eq!(macro_auroc(&[f64::NAN, 0.0, 0.5, 0.5], &[0, 1], 2).unwrap(), None);
        assert!(macro_auroc(&p, &[0], 3).is_err());
    }

    #[test]
    fn a_calibration_error_worked_by_hand() {
        // Confidences 0.9 and 0.88 share a bin, in which one of the two is right. 0.6 has its own bin, and is right.
        let p = [0.9, 0.1, 0.12, 0.88, 0.6, 0.4];
        let due = ((1.0 - 1.78f64).abs() + (1.0 - 0.6)) / 3.0;
        assert_abs_diff_eq!(calibration_error(&p, &[true, false, true], 2).unwrap(), due, epsilon = 1e-12);
        assert_eq!(calibration_error(&[0.0, 1.0], &[true], 2), Some(0.0), "the last bin holds 1");
        assert_eq!(calibration_error(&[], &[], 2), None);
        assert_eq!(calibration_error(&[f64::NAN, 0.5], &[true], 2), None);
    }

    #[test]
    fn summaries_worked_by_hand() {
        let s = Summary::of(&[2.0, 4.0, 6.0]);
        assert_eq!((s.n, s.mean, s.std), (3, 4.0, Some(2.0)));
        assert_abs_diff_eq!(s.ci95.unwrap(), 4.302_652_729_7 * 2.0 / 3.0_f64.sqrt(), epsilon = 1e-9);
        for (degrees, due) in [(1, 12.706_204_736_4), (30, 2.042_272_456_3), (31, 2.039_513_446_4)] {
            assert_abs_diff_eq!(t95(degrees), due, epsilon = 1e-9);
        }
        let one = Summary::of(&[0.5]);
        assert_eq!((one.mean, one.std, one.ci95), (0.5, None, None));
        assert!(Summary::of(&[]).mean.is_nan());
        assert_eq!(mean_last(&[9.0, 1.0, 2.0, 3.0], 3), 2.0);
        assert_eq!(mean_last(&[1.0, 2.0], 5), 1.5);
    }
}

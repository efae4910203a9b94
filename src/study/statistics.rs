//! The study's numbers: what a classifier got right, and how sure a mean over repeats is.

use crate::base::{Error, Result};

/// How often each class was taken for each other: rows are the true class, columns the predicted one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Counts the pairs of `truth` and `predicted`, both in 0..classes.
    pub fn new(classes: usize, truth: &[u32], predicted: &[u32]) -> Result<Self> {
        if truth.len() != predicted.len() {
            let (t, p) = (truth.len(), predicted.len());
            return Err(Error::Failed(format!("{t} labels cannot be compared with {p} predictions")));
        }
        let mut counts = vec![0; classes * classes];
        for (i, (&t, &p)) in truth.iter().zip(predicted).enumerate() {
            if t as usize >= classes || p as usize >= classes {
                return Err(Error::Data(format!(
                    "sample {i} has label {t} and prediction {p}; with {classes} classes both are below {classes}"
                )));
            }
            counts[t as usize * classes + p as usize] += 1;
        }
        Ok(ConfusionMatrix { classes, counts })
    }

    /// How many of class `truth` were taken for `predicted`.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.classes + predicted]
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn truth_total(&self, class: usize) -> u64 {
        (0..self.classes).map(|p| self.count(class, p)).sum()
    }

    fn predicted_total(&self, class: usize) -> u64 {
        (0..self.classes).map(|t| self.count(t, class)).sum()
    }

    /// The share of samples predicted right; NaN of no samples.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|c| self.count(c, c)).sum();
        right as f64 / self.total() as f64
    }

    /// The mean over classes of the share predicted right. A class without samples is left out; NaN of no samples.
    pub fn balanced_accuracy(&self) -> f64 {
        let present = (0..self.classes).filter(|&c| self.truth_total(c) > 0);
        mean(&present.map(|c| self.count(c, c) as f64 / self.truth_total(c) as f64).collect::<Vec<_>>())
    }

    /// The mean over classes of F1 = 2·right / (true + predicted). A class neither true nor predicted anywhere is left
    /// out; NaN of no samples.
    pub fn macro_f1(&self) -> f64 {
        let f1 = |c| match self.truth_total(c) + self.predicted_total(c) {
            0 => None,
            both => Some(2.0 * self.count(c, c) as f64 / both as f64),
        };
        mean(&(0..self.classes).filter_map(f1).collect::<Vec<_>>())
    }
}

/// The area under the ROC curve of one class against the rest, averaged over classes. `probabilities` holds a row of
/// `classes` per label; tied scores count one half. A class that no sample has, or that all have, has no curve and is
/// left out; None when no class has one or a score is not a number.
pub fn macro_auroc(probabilities: &[f32], labels: &[u32], classes: usize) -> Result<Option<f64>> {
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
    let areas: Vec<f64> = (0..classes).filter_map(one).collect();
    Ok((!areas.is_empty()).then(|| mean(&areas)))
}

/// The area under the ROC curve of (score, is positive), by the rank sum (Mann and Whitney): the share of pairs of a
/// positive and a negative in which the positive scores higher, ties counting one half. None without both kinds.
fn auroc(mut scored: Vec<(f32, bool)>) -> Option<f64> {
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

/// The mean; NaN of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean of the last `n` values, or of all where there are fewer; NaN of nothing.
pub fn mean_last(values: &[f64], n: usize) -> f64 {
    mean(&values[values.len().saturating_sub(n)..])
}

/// What repeats of one measurement say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many repeats.
    pub n: usize,
    /// Their mean; NaN of none.
    pub mean: f64,
    /// Their standard deviation (over n − 1); none below two repeats.
    pub std: Option<f64>,
    /// Half the width of the mean's 95 % confidence interval (Student's t); none below two repeats.
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

/// The 0.975 quantile of Student's t: from a table to 30 degrees of freedom, then by Cornish and Fisher's expansion
/// around the normal quantile (right to four digits there).
fn t95(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    if (1..=30).contains(&degrees) {
        return TABLE[degrees - 1];
    }
    let (z, v) = (1.959_964_f64, degrees as f64);
    z + (z.powi(3) + z) / (4.0 * v) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * v * v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn a_confusion_matrix_worked_by_hand() {
        //           predicted 0 1 2
        // true 0 (4 samples): 3 1 0      true 1 (2): 0 1 1      true 2 (4): 2 0 2
        let truth = [0, 0, 0, 0, 1, 1, 2, 2, 2, 2];
        let predicted = [0, 0, 0, 1, 1, 2, 0, 0, 2, 2];
        let m = ConfusionMatrix::new(3, &truth, &predicted).unwrap();
        assert_eq!((m.count(0, 1), m.count(2, 0), m.count(1, 0)), (1, 2, 0));
        assert_abs_diff_eq!(m.accuracy(), 0.6, epsilon = 1e-12);
        assert_abs_diff_eq!(m.balanced_accuracy(), (0.75 + 0.5 + 0.5) / 3.0, epsilon = 1e-12);
        // F1: 2·3/(4+5), 2·1/(2+2), 2·2/(4+3)
        assert_abs_diff_eq!(m.macro_f1(), (6.0 / 9.0 + 0.5 + 4.0 / 7.0) / 3.0, epsilon = 1e-12);
    }

    #[test]
    fn absent_classes_are_left_out_and_no_samples_are_nan() {
        let m = ConfusionMatrix::new(4, &[0, 0, 1], &[0, 2, 1]).unwrap();
        assert_abs_diff_eq!(m.balanced_accuracy(), (0.5 + 1.0) / 2.0, epsilon = 1e-12); // 2 and 3 are never true
        assert_abs_diff_eq!(m.macro_f1(), (2.0 / 3.0 + 1.0 + 0.0) / 3.0, epsilon = 1e-12); // 3 is nowhere
        let none = ConfusionMatrix::new(2, &[], &[]).unwrap();
        assert!(none.accuracy().is_nan() && none.balanced_accuracy().is_nan() && none.macro_f1().is_nan());
        assert_eq!(ConfusionMatrix::new(2, &[0, 2], &[0, 0]).unwrap_err().exit_code(), 4);
        assert!(ConfusionMatrix::new(2, &[0], &[]).is_err());
    }

    #[test]
    fn auroc_worked_by_hand() {
        let scored = |pairs: &[(f32, u8)]| auroc(pairs.iter().map(|&(s, y)| (s, y == 1)).collect());
        assert_eq!(scored(&[(0.1, 0), (0.4, 0), (0.35, 1), (0.8, 1)]), Some(0.75)); // 3 of 4 pairs
        assert_eq!(scored(&[(0.5, 0), (0.5, 1)]), Some(0.5)); // a tie counts one half
        assert_eq!(
            scored(&[(0.2, 0), (0.5, 0), (0.5, 1), (0.5, 1), (0.9, 1)]),
            Some((1.0 + 1.0 + 1.0 + 2.0 * 0.5 + 1.0) / 6.0)
        );
        assert_eq!(scored(&[(0.2, 1), (0.5, 1)]), None);
    }

    #[test]
    fn macro_auroc_averages_the_classes_that_have_a_curve() {
        // Class 0: 0.9 > 0.2, 0.3 → 1. Class 1: 0.6 > 0.1, 0.7 > 0.1 → 1. Class 2 is absent.
        let p = [0.9, 0.1, 0.0, 0.2, 0.6, 0.2, 0.3, 0.7, 0.0];
        assert_eq!(macro_auroc(&p, &[0, 1, 1], 3).unwrap(), Some(1.0));
        // Two classes: both curves are the same.
        assert_eq!(macro_auroc(&[0.9, 0.1, 0.6, 0.4, 0.65, 0.35, 0.2, 0.8], &[0, 0, 1, 1], 2).unwrap(), Some(0.75));
        assert_eq!(macro_auroc(&p, &[1, 1, 1], 3).unwrap(), None);
        assert_eq!(macro_auroc(&[f32::NAN, 0.0, 0.5, 0.5], &[0, 1], 2).unwrap(), None);
        assert!(macro_auroc(&p, &[0], 3).is_err());
    }

    #[test]
    fn summaries_worked_by_hand() {
        let s = Summary::of(&[2.0, 4.0, 6.0]);
        assert_eq!((s.n, s.mean, s.std), (3, 4.0, Some(2.0)));
        assert_abs_diff_eq!(s.ci95.unwrap(), 4.303 * 2.0 / 3.0_f64.sqrt(), epsilon = 1e-9);
        let one = Summary::of(&[0.5]);
        assert_eq!((one.mean, one.std, one.ci95), (0.5, None, None));
        assert!(Summary::of(&[]).mean.is_nan());
        assert_abs_diff_eq!(t95(40), 2.0211, epsilon = 2e-4);
        assert_abs_diff_eq!(t95(1000), 1.9623, epsilon = 2e-4);
        assert_eq!(mean_last(&[9.0, 1.0, 2.0, 3.0], 3), 2.0);
        assert_eq!(mean_last(&[1.0, 2.0], 5), 1.5);
    }
}

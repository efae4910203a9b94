//! Pairs of classes counted: what was true against what was given or predicted. Noise, training and results all count here.

use crate::base::{Error, Result};

/// How often each class was taken for each other: rows are the true class, columns the given or predicted one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Counts the pairs of `truth` and `taken`, both in 0..classes.
    pub fn new(classes: usize, truth: &[u32], taken: &[u32]) -> Result<Self> {
        if truth.len() != taken.len() {
            let (t, p) = (truth.len(), taken.len());
            return Err(Error::Failed(format!("{t} true classes cannot be compared with {p} given or predicted ones")));
        }
        let mut counts = vec![0; classes * classes];
        for (i, (&t, &p)) in truth.iter().zip(taken).enumerate() {
            if t as usize >= classes || p as usize >= classes {
                return Err(Error::Data(format!(
                    "sample {i} is of class {t} and was taken for {p}; with {classes} classes both are below {classes}"
                )));
            }
            counts[t as usize * classes + p as usize] += 1;
        }
        Ok(ConfusionMatrix { classes, counts })
    }

    /// How many of class `truth` were taken for `taken`.
    pub fn count(&self, truth: usize, taken: usize) -> u64 {
        self.counts[truth * self.classes + taken]
    }

    /// A row of counts for each true class.
    pub fn rows(&self) -> Vec<Vec<u64>> {
        self.counts.chunks(self.classes.max(1)).map(<[u64]>::to_vec).collect()
    }

    /// All samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Samples of a true class.
    pub fn truth_total(&self, class: usize) -> u64 {
        (0..self.classes).map(|p| self.count(class, p)).sum()
    }

    /// Samples taken for a class.
    pub fn taken_total(&self, class: usize) -> u64 {
        (0..self.classes).map(|t| self.count(t, class)).sum()
    }

    fn right(&self) -> u64 {
        (0..self.classes).map(|c| self.count(c, c)).sum()
    }

    /// The share of samples taken for their class; NaN of no samples.
    pub fn accuracy(&self) -> f64 {
        self.right() as f64 / self.total() as f64
    }

    /// For each class the share of its samples that were taken for it; none of a class without samples.
    pub fn recall(&self) -> Vec<Option<f64>> {
        let of = |c| match self.truth_total(c) {
            0 => None,
            all => Some(self.count(c, c) as f64 / all as f64),
        };
        (0..self.classes).map(of).collect()
    }

    /// The mean over classes of the recall. A class without samples is left out; NaN of no samples.
    pub fn balanced_accuracy(&self) -> f64 {
        mean(self.recall().into_iter().flatten())
    }

    /// The mean over classes of F1 = 2·right / (true + taken). A class neither true nor taken anywhere is left out; NaN of
    /// no samples.
    pub fn macro_f1(&self) -> f64 {
        let f1 = |c| match self.truth_total(c) + self.taken_total(c) {
            0 => None,
            both => Some(2.0 * self.count(c, c) as f64 / both as f64),
        };
        mean((0..self.classes).filter_map(f1))
    }

    /// Matthews' correlation coefficient of several classes (Gorodkin 2004), −1 to 1, with s samples of which c are right,
    /// t_k of class k and p_k taken for it: (c s − Σ p_k t_k) / √((s² − Σ p_k²)(s² − Σ t_k²)). As in scikit-learn it is 0
    /// where the root is: all samples are of one class, or all are taken for one.
    pub fn mcc(&self) -> f64 {
        let (s, c) = (self.total() as f64, self.right() as f64);
        let sum = |of: &dyn Fn(usize) -> u64| (0..self.classes).map(|k| of(k) as f64).map(|n| n * n).sum::<f64>();
        let products = |k: usize| self.truth_total(k) as f64 * self.taken_total(k) as f64;
        let both: f64 = (0..self.classes).map(products).sum();
        let root = ((s * s - sum(&|k| self.taken_total(k))) * (s * s - sum(&|k| self.truth_total(k)))).sqrt();
        if root > 0.0 { (c * s - both) / root } else { 0.0 }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), v| (sum + v, n + 1));
    sum / f64::from(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn a_confusion_matrix_worked_by_hand() {
        //       taken for 0 1 2
        // true 0 (4 samples): 3 1 0      true 1 (2): 0 1 1      true 2 (4): 2 0 2
        let truth = [0, 0, 0, 0, 1, 1, 2, 2, 2, 2];
        let taken = [0, 0, 0, 1, 1, 2, 0, 0, 2, 2];
        let m = ConfusionMatrix::new(3, &truth, &taken).unwrap();
        assert_eq!(m.rows(), [[3, 1, 0], [0, 1, 1], [2, 0, 2]]);
        assert_eq!((m.count(0, 1), m.count(2, 0), m.count(1, 0)), (1, 2, 0));
        assert_eq!(m.recall(), [Some(0.75), Some(0.5), Some(0.5)]);
        assert_abs_diff_eq!(m.accuracy(), 0.6, epsilon = 1e-12);
        assert_abs_diff_eq!(m.balanced_accuracy(), (0.75 + 0.5 + 0.5) / 3.0, epsilon = 1e-12);
        // F1: 2·3/(4+5), 2·1/(2+2), 2·2/(4+3)
        assert_abs_diff_eq!(m.macro_f1(), (6.0 / 9.0 + 0.5 + 4.0 / 7.0) / 3.0, epsilon = 1e-12);
        // (6·10 − (5·4 + 2·2 + 3·4)) / √((100 − 38)(100 − 36))
        assert_abs_diff_eq!(m.mcc(), 24.0 / (62.0f64 * 64.0).sqrt(), epsilon = 1e-12);
    }

    #[test]
    fn absent_classes_are_left_out_and_no_samples_are_nan() {
        let m = ConfusionMatrix::new(4, &[0, 0, 1], &[0, 2, 1]).unwrap();
        assert_abs_diff_eq!(m.balanced_accuracy(), (0.5 + 1.0) / 2.0, epsilon = 1e-12); // 2 and 3 are never true
        assert_abs_diff_eq!(m.macro_f1(), (2.0 / 3.0 + 1.0 + 0.0) / 3.0, epsilon = 1e-12); // 3 is nowhere
        assert_eq!(m.recall(), [Some(0.5), Some(1.0), None, None]);
        let none = ConfusionMatrix::new(2, &[], &[]).unwrap();
        assert!(none.accuracy().is_nan() && none.balanced_accuracy().is_nan() && none.macro_f1().is_nan());
        assert_eq!(none.mcc(), 0.0);
        let one = ConfusionMatrix::new(2, &[0, 0], &[0, 1]).unwrap();
        assert_eq!((one.mcc(), one.balanced_accuracy()), (0.0, 0.5), "one class only");
        assert_eq!(ConfusionMatrix::new(2, &[0, 2], &[0, 0]).unwrap_err().exit_code(), 4);
        assert!(ConfusionMatrix::new(2, &[0], &[]).is_err());
    }
}

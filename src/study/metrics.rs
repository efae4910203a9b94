//! What logits are worth against labels, computed on the host.

use super::statistics::{ConfusionMatrix, macro_auroc};
use crate::base::Result;

/// Softmax of rows of `classes` logits, computed in f64.
fn probabilities(logits: &[f32], classes: usize) -> Vec<f32> {
    let mut p = Vec::with_capacity(logits.len());
    for row in logits.chunks_exact(classes) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
        let e: Vec<f64> = row.iter().map(|&v| (v as f64 - top).exp()).collect();
        let sum: f64 = e.iter().sum();
        p.extend(e.iter().map(|v| (v / sum) as f32));
    }
    p
}

/// The class of each row: the first of the largest logits.
pub(super) fn argmax(logits: &[f32], classes: usize) -> Vec<u32> {
    let first_max = |row: &[f32]| (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    logits.chunks_exact(classes).map(|row| first_max(row) as u32).collect()
}

/// Metrics of a classifier's logits.
pub(super) struct Metrics {
    pub accuracy: f64,
    pub balanced_accuracy: f64,
    pub macro_f1: f64,
    pub auroc: Option<f64>,
}

/// Metrics of logits against labels.
pub(super) fn metrics(logits: &[f32], labels: &[u32], classes: usize) -> Result<Metrics> {
    judged(&argmax(logits, classes), logits, labels, classes)
}

/// The same where the classes were `taken` in another way than as the first of the largest logits.
pub(super) fn judged(taken: &[u32], logits: &[f32], labels: &[u32], classes: usize) -> Result<Metrics> {
    let matrix = ConfusionMatrix::new(classes, labels, taken)?;
    Ok(Metrics {
        accuracy: matrix.accuracy(),
        balanced_accuracy: matrix.balanced_accuracy(),
        macro_f1: matrix.macro_f1(),
        auroc: macro_auroc(&probabilities(logits, classes), labels, classes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_become_classes_and_metrics() {
        let logits = [1.0, 2.0, 0.0, 3.0, 3.0, -1.0];
        assert_eq!(argmax(&logits, 3), [1, 0]);
        let p = probabilities(&logits, 3);
        assert!((p[..3].iter().sum::<f32>() - 1.0).abs() < 1e-6 && p[1] > p[0]);
        assert_eq!(metrics(&logits, &[1, 0], 3).unwrap().accuracy, 1.0);
    }
}

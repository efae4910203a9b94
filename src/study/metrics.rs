//! Metrics of logits against labels, computed on the host.

use super::statistics::{calibration_error, macro_auroc};
use crate::base::{ConfusionMatrix, Result};

/// Softmax of each row of `classes` logits, in f64. A logit of −∞ has the probability 0.
pub(super) fn probabilities(logits: &[f32], classes: usize) -> Vec<f64> {
    let mut p = Vec::with_capacity(logits.len());
    for row in logits.chunks_exact(classes) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
        let e: Vec<f64> = row.iter().map(|&v| (v as f64 - top).exp()).collect();
        let sum: f64 = e.iter().sum();
        p.extend(e.iter().map(|v| v / sum));
    }
    p
}

/// For each row the class with the largest logit, the first of equals.
pub(super) fn argmax<T: PartialOrd>(logits: &[T], classes: usize) -> Vec<u32> {
    let first_max = |row: &[T]| (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    logits.chunks_exact(classes).map(|row| first_max(row) as u32).collect()
}

/// How well a classifier does on labelled images. See [`ConfusionMatrix`] and `statistics.rs` for the definitions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Metrics {
    pub accuracy: f64,
    pub balanced_accuracy: f64,
    pub macro_f1: f64,
    pub mcc: f64,
    /// `None` if a class has no image, or if there is only one class.
    pub auroc: Option<f64>,
    /// Expected calibration error.
    pub ece: Option<f64>,
    /// `None` for a class without images.
    pub recall: Vec<Option<f64>>,
    /// Rows are true classes, columns predicted ones.
    pub confusion: Vec<Vec<u64>>,
}

/// Metrics of logits against labels.
pub(super) fn metrics(logits: &[f32], labels: &[u32], classes: usize) -> Result<Metrics> {
    judged(&argmax(logits, classes), logits, labels, classes)
}

/// Metrics if the classes that images are assigned to, `taken`, are not those with the largest logits.
pub(super) fn judged(taken: &[u32], logits: &[f32], labels: &[u32], classes: usize) -> Result<Metrics> {
    let matrix = ConfusionMatrix::new(classes, labels, taken)?;
    let p = probabilities(logits, classes);
    let right: Vec<bool> = taken.iter().zip(labels).map(|(t, y)| t == y).collect();
    Ok(Metrics {
        accuracy: matrix.accuracy(),
        balanced_accuracy: matrix.balanced_accuracy(),
        macro_f1: matrix.macro_f1(),
        mcc: matrix.mcc(),
        auroc: macro_auroc(&p, labels, classes)?,
        ece: calibration_error(&p, &right, classes),
        recall: matrix.recall(),
        confusion: matrix.rows(),
    })
}

/// A sentence for a test set for which AUROC is not defined. `None` if it is defined.
pub(super) fn undefined_auroc(metrics: &Metrics, classes: &[String], images: &str) -> Option<String> {
    let missing = metrics.recall.iter().zip(classes).filter(|(r, _)| r.is_none()).map(|(_, name)| name.as_str());
    let missing: Vec<&str> = missing.collect();
    (metrics.auroc.is_none() && !missing.is_empty()).then(|| {
        format!(
            "{images} have none of {}: AUROC is not defined there, and left empty in the results",
            missing.join(", ")
        )
    })
}

/// Accuracy of the mean of several networks' softmaxes. Each network has rows of `classes` logits.
pub(super) fn of_mean(networks: &[&[f32]], labels: &[u32], classes: usize) -> Result<f64> {
    let mut sum = vec![0.0; labels.len() * classes];
    for logits in networks {
        sum.iter_mut().zip(probabilities(logits, classes)).for_each(|(s, p)| *s += p);
    }
    Ok(ConfusionMatrix::new(classes, labels, &argmax(&sum, classes))?.accuracy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    #[test]
    fn logits_become_classes_and_metrics() {
        let logits = [1.0, 2.0, 0.0, 3.0, 3.0, -1.0];
        assert_eq!(argmax(&logits, 3), [1, 0]);
        let p = probabilities(&logits, 3);
        assert!((p[..3].iter().sum::<f64>() - 1.0).abs() < 1e-12 && p[1] > p[0]);
        assert_eq!(metrics(&logits, &[1, 0], 3).unwrap().accuracy, 1.0);
    }

    /// Logits and labels whose metrics scikit-learn computed; see kernels-tests/golden/measures.py.
    #[test]
    fn measures_are_those_of_scikit_learn() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels-tests/golden/measures.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let data = |name: String| file.tensor(&name).unwrap().data().to_vec();
        for case in ["many", "two", "absent", "one", "votes"] {
            let logits = bytemuck::pod_collect_to_vec::<u8, f32>(&data(format!("{case}/logits")));
            let labels = bytemuck::pod_collect_to_vec::<u8, u32>(&data(format!("{case}/labels")));
            let of = |key: &str| bytemuck::pod_collect_to_vec::<u8, f64>(&data(format!("{case}/{key}")));
            let classes = logits.len() / labels.len();
            let found = metrics(&logits, &labels, classes).unwrap();
            let nan = |v: Option<f64>| v.unwrap_or(f64::NAN);
            let Metrics { accuracy, balanced_accuracy, macro_f1, mcc, auroc, ece, .. } = found;
            let shares = [accuracy, balanced_accuracy, macro_f1, mcc, nan(auroc), nan(ece)];
            let recall: Vec<f64> = found.recall.iter().map(|r| nan(*r)).collect();
            let confusion: Vec<f64> = found.confusion.iter().flatten().map(|&n| n as f64).collect();
            for (found, key) in [(&shares[..], "shares"), (&recall, "recall"), (&confusion, "confusion")] {
                let due = of(key);
                let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12 || a.is_nan() && b.is_nan();
                assert!(found.len() == due.len() && found.iter().zip(&due).all(near), "{case}: {found:?} {due:?}");
            }
            assert_eq!(auroc.is_none(), ["absent", "one"].contains(&case), "{case}");
        }
    }

    #[test]
    fn a_class_without_images_is_told() {
        let names = ["a", "b", "c"].map(String::from);
        let logits = [1.0, 2.0, 0.0, 3.0, 3.0, -1.0, 0.0, 0.0, 1.0];
        let told = |labels: &[u32]| undefined_auroc(&metrics(&logits, labels, 3).unwrap(), &names, "test images");
        assert_eq!(told(&[1, 0, 2]), None);
        assert!(told(&[1, 0, 0]).unwrap().starts_with("test images have none of c: AUROC"));
    }

    /// One network is sure of the second image and wrong, the other is a little less sure and right.
    #[test]
    fn two_networks_are_averaged_as_probabilities() {
        let (a, b) = ([2.0, 0.0, 3.0, 0.0], [1.0, 0.0, 0.0, 4.0]);
        assert_eq!(of_mean(&[&a, &b], &[0, 1], 2).unwrap(), 1.0);
        assert_eq!(of_mean(&[&a], &[0, 1], 2).unwrap(), 0.5);
    }
}

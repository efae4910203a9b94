//! The scores of an audit: what the classifier and the neighbours say of each label.

use super::{Evidence, Judged, combined};

/// The scores of the images that can be judged.
pub(super) struct Scores {
    /// The images.
    pub judged: Vec<usize>,
    /// For each of them: the class that the classifier and the neighbours together find most likely.
    pub likely: Vec<usize>,
    /// For each of them: see [`super::Suspect::self_confidence`].
    pub confidence: Vec<f64>,
    /// For each of them: see [`super::Suspect::normalized_margin`].
    pub margin: Vec<f64>,
    /// For each of them: see [`super::Suspect::neighbours`].
    pub votes: Vec<f64>,
    /// For each of them: see [`super::Suspect::score`].
    pub combined: Vec<f64>,
    /// For each class: how many of its labels are wrong, by the confident joint.
    pub wrong: Vec<usize>,
    /// See [`super::AuditSummary::agreement`].
    pub agreement: f64,
}

impl Scores {
    pub fn of(evidence: &Evidence, labels: &[u32], classes: usize) -> Scores {
        let judged: Vec<usize> = (0..labels.len()).filter(|&i| evidence.judged[i]).collect();
        let given: Vec<u32> = judged.iter().map(|&i| labels[i]).collect();
        let rows = |of: &[f64]| -> Vec<f64> {
            judged.iter().flat_map(|&i| of[i * classes..][..classes].iter().copied()).collect()
        };
        let (probabilities, shares) = (rows(&evidence.probabilities), rows(&evidence.shares));
        let by_probe = Judged { probabilities: &probabilities, labels: &given, classes };
        let by_votes = Judged { probabilities: &shares, labels: &given, classes };
        let (confidence, margin) = (by_probe.self_confidence(), by_probe.normalized_margin());
        let votes: Vec<f64> = by_votes.normalized_margin().into_iter().map(|m| 2.0 * m - 1.0).collect();
        let quiet: Vec<f64> = judged.iter().map(|&i| -evidence.loss[i]).collect();
        let combined = combined(&[(0.25, &confidence), (0.25, &quiet), (0.5, &votes)]);
        let largest = |p: &[f64]| (1..p.len()).fold(0, |best, c| if p[c] > p[best] { c } else { best });
        let agree = probabilities.chunks_exact(classes).zip(&given).filter(|(p, l)| largest(p) == **l as usize).count();
        let sums = |k: usize| -> Vec<f64> {
            (0..classes).map(|c| probabilities[k * classes + c] + shares[k * classes + c]).collect()
        };
        let likely = (0..judged.len()).map(|k| largest(&sums(k))).collect();
        let agreement = agree as f64 / judged.len().max(1) as f64;
        Scores { likely, confidence, margin, votes, combined, wrong: by_probe.wrong(), agreement, judged }
    }
}

//! The scores of an audit: what the classifier and the neighbours say of each label.

use super::{Evidence, Judged};
use crate::noise::audit::pool::Pool;

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
    pub together: Vec<f64>,
    /// See [`super::AuditSummary::powers`].
    pub powers: Vec<f64>,
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
        let said: Vec<Vec<f64>> = evidence.logs.iter().chain([&evidence.log_shares]).map(|logs| rows(logs)).collect();
        let said: Vec<&[f64]> = said.iter().map(Vec::as_slice).collect();
        let pool = Pool::of(&said, &given, classes);
        let by_both = Judged { probabilities: &pool.probabilities, labels: &given, classes };
        let largest = |p: &[f64]| (1..p.len()).fold(0, |best, c| if p[c] > p[best] { c } else { best });
        let agree = probabilities.chunks_exact(classes).zip(&given).filter(|(p, l)| largest(p) == **l as usize).count();
        let likely = pool.probabilities.chunks_exact(classes).map(largest).collect();
        let agreement = agree as f64 / judged.len().max(1) as f64;
        let (together, powers, wrong) = (by_both.self_confidence(), pool.weights, by_probe.wrong());
        Scores { likely, confidence, margin, votes, together, powers, wrong, agreement, judged }
    }
}

//! Pairs of images whose features are nearly the same.

use super::found::{Close, Described};
use crate::base::text::counted;
use crate::data::DecodedData;
use crate::data::alike::places;
use serde::Serialize;
use std::collections::BTreeMap;

/// Near duplicates by features, beside those by pixels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CloseInFeatures {
    /// Whose features were compared.
    pub features: String,
    /// The SHA-256 of the file of weights.
    pub weights_sha256: String,
    /// As [`super::AuditSummary::close_below`].
    pub close_below: f64,
    /// Pairs across two splits.
    pub in_two_splits: usize,
    /// Pairs with two labels.
    pub with_two_labels: usize,
    /// As [`super::AuditSummary::close`].
    pub pairs: Vec<Close>,
}

impl CloseInFeatures {
    pub(super) fn of(data: &DecodedData, near: &[Vec<(f32, usize)>], features: String, weights_sha256: String) -> Self {
        let (pairs, close_below) = Described { data, places: places(data) }.close(near);
        let count = |two: fn(&Close) -> bool| pairs.iter().filter(|p| two(p)).count();
        let in_two_splits = count(|p| p.split != p.other_split);
        let with_two_labels = count(|p| p.given != p.other_given);
        CloseInFeatures { features, weights_sha256, close_below, in_two_splits, with_two_labels, pairs }
    }

    /// In a sentence.
    pub fn told(&self) -> String {
        format!(
            "close in {}, beside those that are alike: {}; in two splits {}, with two labels {}",
            self.features,
            counted(self.pairs.len(), "pair"),
            self.in_two_splits,
            self.with_two_labels
        )
    }
}

impl Described<'_> {
    /// Pairs below a fence, and the fence.
    pub fn close(&self, near: &[Vec<(f32, usize)>]) -> (Vec<Close>, f64) {
        let logs: Vec<f64> = near.iter().filter_map(|n| n.first()).map(|n| distance(n.0).ln()).collect();
        let Some([first, third]) = quartiles(&logs) else { return (Vec::new(), 0.0) };
        let fence = (first - 3.0 * (third - first)).exp();
        let one = |(cosine, indices): (f32, [usize; 2])| {
            let [(path, split, given), (other, other_split, other_given)] = indices.map(|i| self.image(i));
            Close { path, split, given, other, other_split, other_given, cosine, indices }
        };
        (closer(near, fence).into_iter().map(one).collect(), fence)
    }
}

fn distance(cos: f32) -> f64 {
    (1.0 - f64::from(cos)).max(1e-9)
}

/// Pairs that are closer than `fence`, the closest first, each once. One image alone may list the other: in a crowd of
/// nearer ones the other lists them instead.
fn closer(near: &[Vec<(f32, usize)>], fence: f64) -> Vec<(f32, [usize; 2])> {
    let mut pairs = BTreeMap::new();
    for (i, near) in near.iter().enumerate() {
        let close = near.iter().filter(|(cos, _)| distance(*cos) < fence);
        close.for_each(|&(cos, j)| _ = pairs.insert([i.min(j), i.max(j)], cos));
    }
    let mut found: Vec<_> = pairs.into_iter().map(|(pair, cos)| (cos, pair)).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
}

/// The first and the third quartile; none of fewer than eight values, of which too little can be said.
pub(super) fn quartiles(values: &[f64]) -> Option<[f64; 2]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted.len() >= 8).then(|| [sorted[sorted.len() / 4], sorted[sorted.len() * 3 / 4]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_close_whichever_of_its_images_lists_the_other() {
        // 0 lists 1 and 2; of these 1 lists 0, too. 3 alone lists 0, and 2 and 3 are not close enough.
        let near = [vec![(0.99, 1), (0.98, 2)], vec![(0.99, 0)], vec![(0.5, 3)], vec![(0.995, 0), (0.5, 2)]];
        assert_eq!(closer(&near, 0.1), [(0.995, [0, 3]), (0.99, [0, 1]), (0.98, [0, 2])]);
        assert_eq!(closer(&near, 0.0), []);
    }
}

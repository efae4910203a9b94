//! audit: which labels are probably wrong, from what a classifier and the neighbours of an image say of it. Pure
//! functions of probabilities, labels and neighbours; whoever calls them sees to it that what says something of an
//! image was not learnt from its label.

pub mod confident;
pub mod folds;
pub mod votes;

/// The rank of each score, from 0 for the smallest; of equals, the mean of their ranks.
pub fn ranks(scores: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut ranks = vec![0.0; scores.len()];
    for equal in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let first = order.partition_point(|&i| scores[i].total_cmp(&scores[equal[0]]).is_lt());
        let mean = first as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|&i| ranks[i] = mean);
    }
    ranks
}

/// Scores in which the smallest is the most suspicious, taken together: of each image the mean of its ranks, by
/// weight, as a share of the number of images. 0 is the most suspicious there can be, near 1 the least.
pub fn combined(scores: &[(f64, &[f64])]) -> Vec<f64> {
    let images = scores.first().map_or(0, |s| s.1.len());
    let weights: f64 = scores.iter().map(|s| s.0).sum();
    let mut sum = vec![0.0; images];
    for (weight, scores) in scores {
        sum.iter_mut().zip(ranks(scores)).for_each(|(sum, rank)| *sum += weight * rank);
    }
    sum.iter_mut().for_each(|v| *v /= weights * images.max(1) as f64);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_share_their_rank() {
        assert_eq!(ranks(&[0.5, -1.0, 0.5, 2.0, 0.5]), [2.0, 0.0, 2.0, 4.0, 2.0]);
        assert_eq!(ranks(&[]), [0.0; 0]);
    }

    #[test]
    fn ranks_are_taken_together_by_weight() {
        let (a, b) = ([3.0, 1.0, 2.0, 0.0], [0.0, 10.0, 20.0, 30.0]);
        assert_eq!(combined(&[(1.0, &a)]), [0.75, 0.25, 0.5, 0.0]);
        assert_eq!(combined(&[(1.0, &a), (1.0, &b)]), [0.375, 0.25, 0.5, 0.375]);
        assert_eq!(combined(&[(3.0, &a), (1.0, &b)]), [0.5625, 0.25, 0.5, 0.1875]);
        assert_eq!(combined(&[]), [0.0; 0]);
    }
}

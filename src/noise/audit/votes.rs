//! Agreement of neighbours: what the labels of the images nearest in a space of features say of an image's own label.
//! Zhu, Dong & Liu 2022 ("Detecting Corrupted Labels Without Training a Model to Predict", ICML) show that good features
//! need no training on the noisy labels. A vote weighs exp((cos − the largest cos) / τ), as in Wu et al. 2018
//! (arXiv 1805.01978).

/// The votes that each class has of these neighbours, nearest first. The nearest has one vote.
pub fn weighted(near: &[(f32, usize)], labels: &[u32], classes: usize, temperature: f64) -> Vec<f64> {
    let most = near.first().map_or(0.0, |n| f64::from(n.0));
    let mut votes = vec![0.0; classes];
    for (cos, at) in near {
        // The largest is subtracted, so that no power overflows.
        votes[labels[*at] as usize] += ((f64::from(*cos) - most) / temperature).exp();
    }
    votes
}

/// The share of the votes that each class has, for each image: rows of `classes`. `near` holds, for each image, the
/// cosine and the place of its neighbours, nearest first, none of which may be the image itself. An image without
/// neighbours has equal shares.
pub fn shares(near: &[Vec<(f32, usize)>], labels: &[u32], classes: usize, temperature: f64) -> Vec<f64> {
    shares_with(near, labels, temperature, &vec![0.0; classes])
}

/// The same with one vote more, of all classes in equal parts, so that no share is 0 and few neighbours say little. The labels
/// of the images are no guide to its parts: an image's own label would vote for itself.
pub fn smoothed_shares(near: &[Vec<(f32, usize)>], labels: &[u32], classes: usize, temperature: f64) -> Vec<f64> {
    shares_with(near, labels, temperature, &vec![1.0 / classes.max(1) as f64; classes])
}

fn shares_with(near: &[Vec<(f32, usize)>], labels: &[u32], temperature: f64, more: &[f64]) -> Vec<f64> {
    let classes = more.len();
    let one = |near: &Vec<(f32, usize)>| {
        let mut votes = weighted(near, labels, classes, temperature);
        votes.iter_mut().zip(more).for_each(|(votes, more)| *votes += more);
        let all: f64 = votes.iter().sum();
        let equal = 1.0 / classes.max(1) as f64;
        votes.iter().map(|v| if all > 0.0 { v / all } else { equal }).collect::<Vec<_>>()
    };
    near.iter().flat_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_votes_weigh_more() {
        let near = [vec![(0.9, 0), (0.8, 1), (0.8, 2)], vec![(1.0, 2)], vec![]];
        let found = shares(&near, &[0, 1, 1], 2, 0.1);
        let one = 1.0 / (1.0 + 2.0 * (-1f64).exp());
        let due = [one, 1.0 - one, 0.0, 1.0, 0.5, 0.5];
        assert!(found.iter().zip(due).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    /// An image's own label changes nothing of what it is told.
    #[test]
    fn smoothed_shares_have_one_vote_more() {
        let near = [vec![(0.9, 1)], vec![]];
        let found = smoothed_shares(&near, &[0, 1, 1], 2, 0.1);
        let due = [0.25, 0.75, 0.5, 0.5];
        assert!(found.iter().zip(due).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        assert_eq!(smoothed_shares(&near, &[1, 1, 1], 2, 0.1)[..2], found[..2]);
    }
}

//! k nearest neighbours: what a backbone's features are worth without a classifier. Training images vote for the class of
//! an image, by the cosine of their features with its own: each alike, and each by exp(cos / τ) (Wu et al. 2018, arXiv
//! 1805.01978), the protocol of most papers on self-supervision.

use super::config;
use rayon::prelude::*;

/// Shares of images that neighbours take for their class, by two ways to vote.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Neighbours {
    /// Each neighbour has one vote.
    pub accuracy: f64,
    /// A neighbour's vote weighs exp(cos / τ).
    pub weighted_accuracy: f64,
}

/// Shares of `test` rows whose label wins the votes of their nearest `train` rows by cosine; each is rows of `width` with
/// their labels. `c` says how many vote, and τ.
pub(super) fn knn(train: (&[f32], &[u32]), test: (&[f32], &[u32]), width: usize, c: &config::Evaluation) -> Neighbours {
    let won = winners(train, test.0, width, c.knn_neighbours, c.knn_temperature);
    let share = |vote: usize| {
        let right = won.iter().zip(test.1).filter(|(won, label)| won[vote] == Some(**label));
        right.count() as f64 / test.1.len().max(1) as f64
    };
    Neighbours { accuracy: share(0), weighted_accuracy: share(1) }
}

/// The labels that win the plain and the weighted vote for each of `rows`. Ties go to the class of the nearest.
fn winners(
    (near_rows, labels): (&[f32], &[u32]),
    rows: &[f32],
    width: usize,
    k: usize,
    temperature: f64,
) -> Vec<[Option<u32>; 2]> {
    let (near_rows, rows) = (unit(near_rows, width), unit(rows, width));
    let classes = labels.iter().max().map_or(0, |&most| most as usize + 1);
    // Nearest first, the earlier of equals: the same on any number of threads.
    let nearer = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let one = |row: &[f32]| {
        let cosine = |r: &[f32]| r.iter().zip(row).map(|(a, b)| a * b).sum::<f32>();
        let mut near: Vec<(f32, usize)> = near_rows.chunks_exact(width).map(cosine).zip(0..).collect();
        if k < near.len() {
            near.select_nth_unstable_by(k, nearer);
            near.truncate(k.max(1));
        }
        near.sort_unstable_by(nearer);
        let most = near.first().map_or(0.0, |n| f64::from(n.0));
        let mut votes = vec![[0.0; 2]; classes];
        for (cos, i) in &near {
            // Less the largest, which changes no order: no power is past the largest number.
            let weight = ((f64::from(*cos) - most) / temperature).exp();
            votes[labels[*i] as usize].iter_mut().zip([1.0, weight]).for_each(|(sum, w)| *sum += w);
        }
        [0, 1].map(|vote| {
            let votes = |l: u32| votes[l as usize][vote];
            // The first with the most votes, nearest first.
            near.iter().map(|n| labels[n.1]).reduce(|best, l| if votes(l) > votes(best) { l } else { best })
        })
    };
    rows.par_chunks_exact(width).map(one).collect()
}

/// Rows of `width`, each divided by its length.
fn unit(rows: &[f32], width: usize) -> Vec<f32> {
    let one = |r: &[f32]| {
        let norm = r.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
        r.iter().map(|v| v / norm).collect::<Vec<f32>>()
    };
    rows.chunks_exact(width).flat_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    #[test]
    fn neighbours_vote() {
        let train = ([1.0, 0.0, 0.9, 0.1, 0.0, 1.0], [0, 0, 1]);
        let test = ([1.0, 0.05, 0.05, 1.0], [0, 1]);
        let found = |knn_neighbours| {
            let c = config::Evaluation { batch_size: 1, knn_neighbours, knn_temperature: 0.07 };
            knn((&train.0, &train.1), (&test.0, &test.1), 2, &c)
        };
        assert_eq!(found(1).accuracy, 1.0);
        // A tie of two goes to the nearest; with three neighbours class 0 always has the majority.
        assert_eq!([2, 3, 20].map(|k| found(k).accuracy), [1.0, 0.5, 0.5]);
        // By weight the one near neighbour of class 1 outvotes two far ones.
        assert_eq!([1, 2, 3, 20].map(|k| found(k).weighted_accuracy), [1.0; 4]);
    }

    #[test]
    fn nothing_votes_for_nothing() {
        assert_eq!(winners((&[], &[]), &[1.0, 0.0], 2, 3, 0.07), [[None, None]]);
    }

    /// Features whose neighbours scikit-learn found; see kernels-tests/golden/knn.py.
    #[test]
    fn votes_are_those_of_scikit_learn() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels-tests/golden/knn.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let floats = |name: &str| bytemuck::pod_collect_to_vec::<u8, f32>(file.tensor(name).unwrap().data());
        let words = |name: &str| bytemuck::pod_collect_to_vec::<u8, u32>(file.tensor(name).unwrap().data());
        let width = file.tensor("train").unwrap().shape()[1];
        let (train, labels, test) = (floats("train"), words("labels"), floats("test"));
        let mut plain_and_weighted_differ = 0;
        for k in [1, 5, 20, 200] {
            for (name, temperature) in [("0.07", 0.07), ("0.1", 0.1)] {
                let won = winners((&train, &labels), &test, width, k, temperature);
                let vote = |v: usize| won.iter().map(|w| w[v].unwrap()).collect::<Vec<_>>();
                assert_eq!(vote(0), words(&format!("plain_{k}")), "{k} neighbours");
                assert_eq!(vote(1), words(&format!("weighted_{k}_{name}")), "{k} neighbours, τ = {name}");
                plain_and_weighted_differ += usize::from(vote(0) != vote(1));
            }
        }
        assert!(plain_and_weighted_differ >= 4, "the two ways are told apart");
    }
}

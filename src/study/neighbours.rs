//! k nearest neighbours measure a backbone's features without a classifier. The training images whose features have the
//! largest cosines with the features of an image vote for the image's class. There are two votes: in one all votes are
//! equal, in the other a vote weighs exp(cos / τ) (Wu et al. 2018, arXiv 1805.01978), as in most papers on
//! self-supervision.

mod search;

use super::config;
use super::session::Job;
use crate::base::Result;
use crate::noise::audit::votes;
pub(super) use search::Near;
use search::Search;

/// Shares of images whose class wins the vote, for both ways to vote.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Neighbours {
    /// Each neighbour has one vote.
    pub accuracy: f64,
    /// A neighbour's vote weighs exp(cos / τ).
    pub weighted_accuracy: f64,
}

/// Shares of `test` rows whose label wins the vote of their nearest `train` rows by cosine. Both are rows of `width`
/// with their labels. The config says how many vote, and τ.
pub(super) fn knn(job: &Job<'_>, train: (&[f32], &[u32]), test: (&[f32], &[u32]), width: usize) -> Result<Neighbours> {
    let near = nearest(job, train.0, test.0, width)?;
    Ok(shares(&near, train.1, test.1, &job.config.evaluation))
}

/// For each row of `test` the nearest rows of `train`, as many as the config says.
pub(super) fn nearest(job: &Job<'_>, train: &[f32], test: &[f32], width: usize) -> Result<Vec<Near>> {
    nearest_of(job, train, test, width, job.config.evaluation.knn_neighbours)
}

/// For each row of `queries` the `k` nearest rows of `bank`.
pub(super) fn nearest_of(job: &Job<'_>, bank: &[f32], queries: &[f32], width: usize, k: usize) -> Result<Vec<Near>> {
    let (bank, queries) = (unit(bank, width), unit(queries, width));
    Search { bank: &bank, queries: &queries, width, k }.run(job)
}

/// For each row the label that wins the weighted vote of its neighbours, and the logarithms of the classes' votes.
pub(super) fn votes(near: &[Near], labels: &[u32], c: &config::Evaluation, classes: usize) -> (Vec<u32>, Vec<f32>) {
    let (mut won, mut logits) = (Vec::new(), Vec::new());
    for row in counted(near, labels, classes, c.knn_temperature) {
        won.push(row.won[1].unwrap_or(0));
        logits.extend(row.votes.iter().map(|v| v[1].ln() as f32));
    }
    (won, logits)
}

/// Shares of rows whose label wins the vote of their neighbours.
pub(super) fn shares(near: &[Near], voters: &[u32], labels: &[u32], c: &config::Evaluation) -> Neighbours {
    let classes = voters.iter().max().map_or(0, |&most| most as usize + 1);
    let won: Vec<_> = counted(near, voters, classes, c.knn_temperature).map(|row| row.won).collect();
    let share = |vote: usize| {
        let right = won.iter().zip(labels).filter(|(won, label)| won[vote] == Some(**label));
        right.count() as f64 / labels.len().max(1) as f64
    };
    Neighbours { accuracy: share(0), weighted_accuracy: share(1) }
}

/// The equal and the weighted vote of a row's neighbours.
struct Counted {
    /// The label that wins each vote. In a tie the class of the nearest wins.
    won: [Option<u32>; 2],
    /// The votes for each class. Weighted votes are divided by the vote of the nearest neighbour.
    votes: Vec<[f64; 2]>,
}

/// Counts the votes of each row's neighbours.
fn counted(near: &[Near], labels: &[u32], classes: usize, temperature: f64) -> impl Iterator<Item = Counted> {
    let one = move |near: &Near| {
        let weighted = votes::weighted(near, labels, classes, temperature);
        let mut votes: Vec<[f64; 2]> = weighted.into_iter().map(|w| [0.0, w]).collect();
        near.iter().for_each(|(_, i)| votes[labels[*i] as usize][0] += 1.0);
        let won = [0, 1].map(|vote| {
            let votes = |l: u32| votes[l as usize][vote];
            // The first one with the most votes. Neighbours are sorted, nearest first.
            near.iter().map(|n| labels[n.1]).reduce(|best, l| if votes(l) > votes(best) { l } else { best })
        });
        Counted { won, votes }
    };
    near.iter().map(one)
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

    fn nearest(bank: &[f32], queries: &[f32], width: usize, k: usize) -> Vec<Near> {
        let (bank, queries) = (unit(bank, width), unit(queries, width));
        Search { bank: &bank, queries: &queries, width, k }.on_host().unwrap()
    }

    fn evaluation(knn_neighbours: usize, knn_temperature: f64) -> config::Evaluation {
        let c = config::Config::parse("t", "").unwrap().evaluation;
        config::Evaluation { knn_neighbours, knn_temperature, ..c }
    }

    #[test]
    fn neighbours_vote() {
        let train = ([1.0, 0.0, 0.9, 0.1, 0.0, 1.0], [0, 0, 1]);
        let test = ([1.0, 0.05, 0.05, 1.0], [0, 1]);
        let found = |knn_neighbours| {
            let c = evaluation(knn_neighbours, 0.07);
            shares(&nearest(&train.0, &test.0, 2, knn_neighbours), &train.1, &test.1, &c)
        };
        assert_eq!(found(1).accuracy, 1.0);
        // A tie of two goes to the nearest; with three neighbours class 0 always has the majority.
        assert_eq!([2, 3, 20].map(|k| found(k).accuracy), [1.0, 0.5, 0.5]);
        // By weight the one near neighbour of class 1 outvotes two far ones.
        assert_eq!([1, 2, 3, 20].map(|k| found(k).weighted_accuracy), [1.0; 4]);
    }

    #[test]
    fn nothing_votes_for_nothing() {
        let near = nearest(&[], &[1.0, 0.0], 2, 3);
        let won: Vec<_> = counted(&near, &[], 0, 0.07).map(|row| row.won).collect();
        assert_eq!(won, [[None, None]]);
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
                let near = nearest(&train, &test, width, k);
                let vote = |v: usize| -> Vec<u32> {
                    counted(&near, &labels, 4, temperature).map(|row| row.won[v].unwrap()).collect()
                };
                assert_eq!(vote(0), words(&format!("plain_{k}")), "{k} neighbours");
                assert_eq!(vote(1), words(&format!("weighted_{k}_{name}")), "{k} neighbours, τ = {name}");
                let (taken, logits) = votes(&near, &labels, &evaluation(k, temperature), 4);
                assert_eq!(taken, vote(1));
                let due = floats(&format!("shares_{k}_{name}"));
                for (row, due) in logits.chunks_exact(4).zip(due.chunks_exact(4)) {
                    let all: f32 = row.iter().map(|v| v.exp()).sum();
                    let off = row.iter().zip(due).map(|(v, due)| (v.exp() / all - due).abs()).fold(0.0, f32::max);
                    assert!(off < 1e-4, "{row:?} {due:?}");
                }
                plain_and_weighted_differ += usize::from(vote(0) != vote(1));
            }
        }
        assert!(plain_and_weighted_differ >= 4, "the two ways are told apart");
    }
}

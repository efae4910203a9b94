//! Methods compared over several datasets: Friedman's test, and which methods its ranks tell apart (Demšar 2006, 3.2).

use super::bootstrap::{RESAMPLES, between, resample};
use super::few::{ALPHA, TooFew, enough};
use super::holm::holm;
use super::intervals::Interval;
use super::ranking::{average_ranks, tie_sizes};
use super::special::{chi_square_above, f_above, normal_above, range_above, range_critical};

/// What Friedman's test says of a table of scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Friedman {
    /// The mean rank of each method over the datasets: 1 is the highest score everywhere.
    pub ranks: Vec<f64>,
    /// How many datasets were ranked.
    pub sets: usize,
    /// Friedman's χ² with k − 1 degrees of freedom, corrected for ties.
    pub chi_square: f64,
    /// Its p.
    pub chi_square_p: f64,
    /// The F of Iman and Davenport (1980) with k − 1 and (k − 1)(N − 1) degrees of freedom, which is less conservative.
    pub f: f64,
    /// Its p.
    pub f_p: f64,
}

/// How many datasets it takes at the least so that [`critical_difference`] can tell the best of `methods` from the worst:
/// q² k (k + 1) / 6 (k − 1)².
pub fn fewest_sets(methods: usize) -> usize {
    let (k, q) = (methods as f64, q_alpha(methods));
    ((q * q * k * (k + 1.0) / 6.0 / (k - 1.0).powi(2)).ceil() as usize).max(2)
}

/// Friedman's test of `scores`, a row for each dataset with a column for each method; a higher score is better.
pub fn friedman(scores: &[Vec<f64>]) -> Result<Friedman, TooFew> {
    const WHAT: &str = "Friedman's test";
    let methods = scores.first().map_or(0, Vec::len);
    enough(WHAT, methods, 3, "methods")?;
    enough(WHAT, scores.len(), fewest_sets(methods), "datasets")?;
    let (n, k) = (scores.len() as f64, methods as f64);
    let ranks = mean_ranks(scores);
    let sum: f64 = ranks.iter().map(|r| (r - (k + 1.0) / 2.0).powi(2)).sum();
    let ties: f64 = scores.iter().flat_map(|row| tie_sizes(row)).map(|t| (t * t * t - t) as f64).sum();
    let correction = 1.0 - ties / (n * k * (k * k - 1.0));
    // Where every method ties everywhere, nothing differs.
    let chi_square = if correction > 0.0 { 12.0 * n / (k * (k + 1.0)) * sum / correction } else { 0.0 };
    let most = n * (k - 1.0);
    // The most that χ² can be is a perfect agreement, up to rounding.
    let f = if most - chi_square > 1e-12 * most { (n - 1.0) * chi_square / (most - chi_square) } else { f64::INFINITY };
    Ok(Friedman {
        ranks,
        sets: scores.len(),
        chi_square,
        chi_square_p: chi_square_above(chi_square, k - 1.0),
        f,
        f_p: f_above(f, k - 1.0, (k - 1.0) * (n - 1.0)),
    })
}

/// The mean rank of each column over the rows; rank 1 is the highest score of a row.
pub fn mean_ranks(scores: &[Vec<f64>]) -> Vec<f64> {
    let mut sums = vec![0.0; scores.first().map_or(0, Vec::len)];
    for row in scores {
        let negated: Vec<f64> = row.iter().map(|v| -v).collect();
        sums.iter_mut().zip(average_ranks(&negated)).for_each(|(sum, rank)| *sum += rank);
    }
    sums.iter().map(|s| s / scores.len() as f64).collect()
}

/// The standard error of a difference of two mean ranks: √(k (k + 1) / 6 N).
fn error(methods: usize, sets: usize) -> f64 {
    let k = methods as f64;
    (k * (k + 1.0) / (6.0 * sets as f64)).sqrt()
}

/// q of Nemenyi's test: the critical value of the studentized range over √2.
fn q_alpha(methods: usize) -> f64 {
    range_critical(ALPHA, methods) / std::f64::consts::SQRT_2
}

/// Nemenyi's critical difference of mean ranks (1963): two methods whose mean ranks differ by less are not told apart.
pub fn critical_difference(methods: usize, sets: usize) -> f64 {
    q_alpha(methods) * error(methods, sets)
}

/// Nemenyi's p of each two methods, from the studentized range.
pub fn nemenyi(ranks: &[f64], sets: usize) -> Vec<Vec<f64>> {
    let (k, error) = (ranks.len(), error(ranks.len(), sets));
    let p = |a: f64, b: f64| range_above((a - b).abs() / error * std::f64::consts::SQRT_2, k);
    ranks.iter().map(|&a| ranks.iter().map(|&b| p(a, b)).collect()).collect()
}

/// p of each two methods by z = (Rᵢ − Rⱼ) / √(k (k + 1) / 6 N), adjusted by Holm over all pairs; 1 of a method with itself.
pub fn pairwise_holm(ranks: &[f64], sets: usize) -> Vec<Vec<f64>> {
    let (k, error) = (ranks.len(), error(ranks.len(), sets));
    let pairs: Vec<(usize, usize)> = (0..k).flat_map(|i| (i + 1..k).map(move |j| (i, j))).collect();
    let p: Vec<f64> = pairs.iter().map(|&(i, j)| 2.0 * normal_above((ranks[i] - ranks[j]).abs() / error)).collect();
    let mut all = vec![vec![1.0; k]; k];
    for ((i, j), p) in pairs.into_iter().zip(holm(&p)) {
        (all[i][j], all[j][i]) = (p, p);
    }
    all
}

/// The bars of a critical-difference diagram: the largest groups of methods, neighbours by rank, of which no two are told
/// apart at [`ALPHA`] by `p`. Each as positions in `order`, which holds the methods from the best rank on; groups of one are
/// left out.
pub fn groups(order: &[usize], p: &[Vec<f64>]) -> Vec<std::ops::RangeInclusive<usize>> {
    let alike = |i: usize, j: usize| (i..=j).all(|a| (a..=j).all(|b| p[order[a]][order[b]] >= ALPHA));
    let mut found: Vec<std::ops::RangeInclusive<usize>> = Vec::new();
    for i in 0..order.len() {
        let Some(j) = (i + 1..order.len()).rev().find(|&j| alike(i, j)) else { continue };
        if found.last().is_none_or(|last| *last.end() < j) {
            found.push(i..=j);
        }
    }
    found
}

/// How stable ranks are: the interval of each method's mean rank when the datasets are drawn again (Wiesenfarth et al. 2021).
pub fn rank_intervals(scores: &[Vec<f64>], seed: u64) -> Vec<Interval> {
    let methods = scores.first().map_or(0, Vec::len);
    let mut drawn = vec![Vec::with_capacity(RESAMPLES); methods];
    for i in 0..RESAMPLES {
        let rows: Vec<Vec<f64>> = resample(&[scores.len()], seed, i)[0].iter().map(|&r| scores[r].clone()).collect();
        drawn.iter_mut().zip(mean_ranks(&rows)).for_each(|(all, rank)| all.push(rank));
    }
    let interval = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        between(&all)
    };
    drawn.into_iter().map(interval).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::statistics::golden::{Golden, near, within};

    #[test]
    fn tests_are_those_of_scipy_and_scikit_posthocs() {
        for case in Golden::read().cases("friedman") {
            let scores = case.rows("scores");
            let f = friedman(&scores).unwrap();
            let what = |name: &str| format!("{name} of {} × {}", scores.len(), scores[0].len());
            for (got, name) in [
                (f.chi_square, "chi_square"),
                (f.chi_square_p, "chi_square_p"),
                (f.f, "f"),
                (f.f_p, "f_p"),
                (critical_difference(scores[0].len(), scores.len()), "critical_difference"),
            ] {
                near(got, case.number(name), 1e-9, &what(name));
            }
            for (got, due) in f.ranks.iter().zip(case.numbers("ranks")) {
                near(*got, due, 1e-12, &what("rank"));
            }
            for (matrix, name) in [(nemenyi(&f.ranks, f.sets), "nemenyi"), (pairwise_holm(&f.ranks, f.sets), "holm")] {
                for (got, due) in matrix.concat().iter().zip(case.rows(name).concat()) {
                    near(*got, due, 1e-9, &what(name));
                }
            }
        }
    }

    /// autorank prints the critical difference with the constants of its own table.
    #[test]
    fn the_critical_difference_is_that_of_autorank() {
        for case in Golden::read().cases("autorank") {
            let scores = case.rows("scores");
            let got = critical_difference(scores[0].len(), scores.len());
            within(got, case.number("critical_difference"), case.number("digits"), "critical difference");
            let mut due = case.numbers("ranks");
            let mut ranks = mean_ranks(&scores);
            due.sort_by(f64::total_cmp);
            ranks.sort_by(f64::total_cmp);
            ranks.iter().zip(due).for_each(|(got, due)| near(*got, due, 1e-9, "rank"));
        }
    }

    /// The worked example of Demšar 2006, 3.2.2: four variants of C4.5 on 14 datasets.
    #[test]
    fn the_example_of_demsar() {
        let scores: Vec<Vec<f64>> = [
            [0.763, 0.768, 0.771, 0.798],
            [0.599, 0.591, 0.590, 0.569],
            [0.954, 0.971, 0.968, 0.967],
            [0.628, 0.661, 0.654, 0.657],
            [0.882, 0.888, 0.886, 0.898],
            [0.936, 0.931, 0.916, 0.931],
            [0.661, 0.668, 0.609, 0.685],
            [0.583, 0.583, 0.563, 0.625],
            [0.775, 0.838, 0.866, 0.875],
            [1.000, 1.000, 1.000, 1.000],
            [0.940, 0.962, 0.965, 0.962],
            [0.619, 0.666, 0.614, 0.669],
            [0.972, 0.981, 0.9751, 0.975],
            [0.957, 0.978, 0.946, 0.970],
        ]
        .map(|row| row.to_vec())
        .to_vec();
        let f = friedman(&scores).unwrap();
        for (got, due) in f.ranks.iter().zip([3.143, 2.000, 2.893, 1.964]) {
            within(*got, due, 6e-4, "mean rank");
        }
        within(critical_difference(4, 14), 1.25, 0.005, "critical difference");
    }

    #[test]
    fn agreement_ties_and_few_sets() {
        let agreed = vec![vec![3.0, 2.0, 1.0]; 4];
        let f = friedman(&agreed).unwrap();
        assert_eq!((f.chi_square, f.f, f.f_p), (8.0, f64::INFINITY, 0.0));
        assert_eq!(rank_intervals(&agreed, 0)[2], Interval { low: 3.0, high: 3.0 });
        let tied = friedman(&vec![vec![1.0; 3]; 4]).unwrap();
        assert_eq!((tied.chi_square, tied.chi_square_p, tied.f_p), (0.0, 1.0, 1.0));
        let few = friedman(&[vec![1.0, 2.0, 3.0]]).unwrap_err();
        assert_eq!((few.need, few.of), (3, "datasets"));
        assert_eq!(friedman(&[vec![1.0, 2.0]]).unwrap_err().of, "methods");
        for k in 3..12 {
            let n = fewest_sets(k);
            assert!(critical_difference(k, n) <= (k - 1) as f64, "{k} methods");
            assert!(n == 2 || critical_difference(k, n - 1) > (k - 1) as f64, "{k} methods");
        }
    }

    #[test]
    fn groups_are_the_longest_runs_without_a_difference() {
        let p = |different: &[(usize, usize)]| {
            let mut all = vec![vec![1.0; 4]; 4];
            different.iter().for_each(|&(i, j)| (all[i][j], all[j][i]) = (0.01, 0.01));
            all
        };
        assert_eq!(groups(&[0, 1, 2, 3], &p(&[(0, 3), (0, 2)])), [0..=1, 1..=3]);
        assert_eq!(groups(&[3, 2, 1, 0], &p(&[])), [0..=3]);
        let apart = p(&[(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]);
        assert!(groups(&[0, 1, 2, 3], &apart).is_empty());
    }
}

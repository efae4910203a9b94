//! What many runs say together, where each dataset has few (Agarwal et al. 2021, rliable). Scores are strata: the runs of each
//! dataset. Intervals come from [`super::bootstrap`], which draws runs again within each dataset.

use super::bootstrap::{RESAMPLES, between, resample};
use super::few::{TooFew, enough};
use super::intervals::Interval;

/// The interquartile mean: the mean of what is left without the lowest and the highest ⌊n / 4⌋ values, as SciPy's
/// `trim_mean(0.25)`. In the unit of the values; NaN of none.
pub fn iqm(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 4;
    super::mean(&sorted[cut..sorted.len() - cut])
}

/// The probability of improvement: the mean over datasets of the chance that a run of `ours` beats one of `theirs`, ties
/// counting one half (Mann and Whitney's U over n m). 0 to 1. The strata of both are the same datasets.
pub fn probability_of_improvement(ours: &[Vec<f64>], theirs: &[Vec<f64>]) -> f64 {
    let of_set = |(a, b): (&Vec<f64>, &Vec<f64>)| {
        let wins = a.iter().flat_map(|x| {
            b.iter().map(move |y| {
                if x > y {
                    1.0
                } else if x == y {
                    0.5
                } else {
                    0.0
                }
            })
        });
        wins.sum::<f64>() / (a.len() * b.len()) as f64
    };
    super::mean(&ours.iter().zip(theirs).map(of_set).collect::<Vec<_>>())
}

/// The bootstrap interval of [`probability_of_improvement`]: runs of both are drawn again apart, as rliable does.
pub fn improvement_interval(ours: &[Vec<f64>], theirs: &[Vec<f64>], seed: u64) -> Result<Interval, TooFew> {
    let sizes: Vec<usize> = ours.iter().chain(theirs).map(Vec::len).collect();
    enough("the interval of the probability of improvement", sizes.iter().copied().min().unwrap_or(0), 2, "repeats")?;
    let both: Vec<&Vec<f64>> = ours.iter().chain(theirs).collect();
    let one = |i: usize| {
        let drawn: Vec<Vec<f64>> = resample(&sizes, seed, i)
            .into_iter()
            .zip(&both)
            .map(|(at, from)| at.into_iter().map(|j| from[j]).collect())
            .collect();
        let (a, b) = drawn.split_at(ours.len());
        probability_of_improvement(a, b)
    };
    let mut all: Vec<f64> = (0..RESAMPLES).map(one).collect();
    all.sort_by(f64::total_cmp);
    Ok(between(&all))
}

/// The performance profile: for each τ of `at` the share of all runs whose score is above it (rliable's run-score
/// distribution: the mean over datasets of the share of their runs).
pub fn profile(strata: &[Vec<f64>], at: &[f64]) -> Vec<f64> {
    let above = |tau: f64| {
        let share = |s: &Vec<f64>| s.iter().filter(|v| **v > tau).count() as f64 / s.len() as f64;
        super::mean(&strata.iter().map(share).collect::<Vec<_>>())
    };
    at.iter().map(|&tau| above(tau)).collect()
}

/// How many resamples a band has: rliable's default of a profile.
const BAND_RESAMPLES: usize = 2000;

/// The bootstrap interval of [`profile`] at each τ of `at` alone, which rise.
pub fn profile_bands(strata: &[Vec<f64>], at: &[f64], seed: u64) -> Result<Vec<Interval>, TooFew> {
    let fewest = strata.iter().map(Vec::len).min().unwrap_or(0);
    enough("the band of a performance profile", fewest, 2, "repeats")?;
    // A resample is counted by how many τ lie below each score, so that its time does not grow with τ.
    let below: Vec<Vec<usize>> =
        strata.iter().map(|s| s.iter().map(|v| at.partition_point(|tau| tau < v)).collect()).collect();
    let sizes: Vec<usize> = strata.iter().map(Vec::len).collect();
    let one = |i: usize| {
        let mut ends = vec![0.0; at.len() + 1];
        for (drawn, below) in resample(&sizes, seed, i).into_iter().zip(&below) {
            let weight = 1.0 / (drawn.len() * strata.len()) as f64;
            drawn.into_iter().for_each(|j| ends[below[j]] += weight);
        }
        // A score that lies above k values of τ counts at the first k of them.
        let mut above = 0.0;
        (0..at.len()).rev().for_each(|k| {
            above += ends[k + 1];
            ends[k + 1] = above;
        });
        ends.split_off(1)
    };
    let all: Vec<Vec<f64>> = (0..BAND_RESAMPLES).map(one).collect();
    let of = |k: usize| {
        let mut shares: Vec<f64> = all.iter().map(|shares| shares[k]).collect();
        shares.sort_by(f64::total_cmp);
        between(&shares)
    };
    Ok((0..at.len()).map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::statistics::bootstrap::percentile;
    use crate::study::statistics::golden::{Golden, near, within};

    #[test]
    fn aggregates_are_those_of_rliable() {
        for case in Golden::read().cases("rliable") {
            let (ours, theirs) = (case.rows("ours"), case.rows("theirs"));
            near(iqm(&ours.concat()), case.number("iqm"), 1e-12, "IQM");
            near(probability_of_improvement(&ours, &theirs), case.number("improvement"), 1e-12, "improvement");
            for (got, due) in profile(&ours, &case.numbers("taus")).iter().zip(case.numbers("profile")) {
                near(*got, due, 1e-12, "profile");
            }
            let of_iqm = percentile(&ours, |s| iqm(&s.concat()), 0).unwrap();
            let of_improvement = improvement_interval(&ours, &theirs, 0).unwrap();
            for (name, got) in [("iqm", of_iqm), ("improvement", of_improvement)] {
                for (got, end) in [(got.low, "low"), (got.high, "high")] {
                    let (due, error) =
                        (case.number(&format!("{name}_{end}")), case.number(&format!("{name}_{end}_error")));
                    within(got, due, 5.0 * error, &format!("{name} {end}"));
                }
            }
        }
    }

    #[test]
    fn a_band_holds_the_quantiles_of_the_binomial_that_counts_what_is_drawn() {
        // Of 20 runs k lie above τ: a resample's count is binomial(20, k / 20). Quantiles at 2.5 and 97.5 %: scipy.stats.binom.ppf.
        let runs: Vec<f64> = (0..20).map(f64::from).collect();
        let at = [-1.0, 3.5, 9.5, 15.5, 19.0];
        let bands = profile_bands(std::slice::from_ref(&runs), &at, 0).unwrap();
        for (band, [low, high]) in bands.iter().zip([[20.0, 20.0], [12.0, 19.0], [6.0, 14.0], [1.0, 8.0], [0.0, 0.0]]) {
            near(band.low * 20.0, low, 1e-9, "low");
            near(band.high * 20.0, high, 1e-9, "high");
        }
        // Two datasets weigh the same, however many runs each has.
        let two = profile_bands(&[runs, vec![5.0; 3]], &[4.5], 0).unwrap();
        assert!(two[0].low > 0.5 && two[0].high < 1.0, "{two:?}");
        assert_eq!(profile_bands(&[vec![1.0, 2.0], vec![1.0]], &at, 0).unwrap_err().need, 2);
    }

    #[test]
    fn one_repeat_has_no_interval_of_improvement() {
        let one = [vec![1.0], vec![2.0]];
        assert_eq!(improvement_interval(&one, &one, 0).unwrap_err().need, 2);
        assert_eq!(probability_of_improvement(&one, &one), 0.5);
        assert!(iqm(&[]).is_nan());
    }
}

//! Bootstrap intervals: values are drawn again with replacement, in each stratum as many as it has, and the statistic of
//! each resample is looked at (Efron 1979; Agarwal et al. 2021 for the strata). A resample is addressed by its seed and
//! number, so that the same values give the same interval.

use super::few::{ALPHA, TooFew, enough};
use super::intervals::Interval;
use super::special::{normal_above, normal_quantile};
use crate::base::rng::Rng;

/// The stream of resamples ("boot").
const STREAM: u32 = 0x626f_6f74;

/// How many resamples an interval has: the Monte Carlo error of an end is then about a fiftieth of the interval's width.
pub const RESAMPLES: usize = 4000;

/// Resample `i`: for each stratum as many indices as it has values.
pub fn resample(sizes: &[usize], seed: u64, i: usize) -> Vec<Vec<usize>> {
    let mut rng = Rng::new(seed, STREAM, i as u64);
    sizes.iter().map(|&n| (0..n).map(|_| rng.below(n)).collect()).collect()
}

/// The statistic of `resamples` resamples of strata, sorted.
pub fn distribution(
    strata: &[Vec<f64>],
    statistic: impl Fn(&[Vec<f64>]) -> f64,
    seed: u64,
    resamples: usize,
) -> Vec<f64> {
    let sizes: Vec<usize> = strata.iter().map(Vec::len).collect();
    let one = |i: usize| {
        let drawn = resample(&sizes, seed, i);
        let values = |(s, at): (&Vec<f64>, Vec<usize>)| at.into_iter().map(|j| s[j]).collect::<Vec<f64>>();
        statistic(&strata.iter().zip(drawn).map(values).collect::<Vec<_>>())
    };
    let mut all: Vec<f64> = (0..resamples).map(one).collect();
    all.sort_by(f64::total_cmp);
    all
}

/// The interval between the α/2 and the 1 − α/2 quantile of the resamples.
pub fn percentile(strata: &[Vec<f64>], statistic: impl Fn(&[Vec<f64>]) -> f64, seed: u64) -> Result<Interval, TooFew> {
    repeated("a bootstrap interval", strata)?;
    Ok(between(&distribution(strata, statistic, seed, RESAMPLES)))
}

/// The α/2 and the 1 − α/2 quantile of a sorted distribution.
pub fn between(sorted: &[f64]) -> Interval {
    Interval { low: quantile(sorted, ALPHA / 2.0), high: quantile(sorted, 1.0 - ALPHA / 2.0) }
}

/// The bias-corrected and accelerated interval (Efron 1987): quantiles of the resamples at levels that allow for a
/// statistic whose resamples lie to one side of it, and whose spread changes with its value.
pub fn bca(strata: &[Vec<f64>], statistic: impl Fn(&[Vec<f64>]) -> f64, seed: u64) -> Result<Interval, TooFew> {
    repeated("a bootstrap interval", strata)?;
    let sorted = distribution(strata, &statistic, seed, RESAMPLES);
    Ok(match bca_levels(strata, &statistic, &sorted) {
        Some([low, high]) => Interval { low: quantile(&sorted, low), high: quantile(&sorted, high) },
        None => between(&sorted),
    })
}

/// Φ(z₀ + (z₀ + z) / (1 − a (z₀ + z))) at z of α/2 and of 1 − α/2. z₀ is the normal quantile of the share of resamples below
/// the statistic, those equal counting one half; a = Σᵢ Σⱼ Uᵢⱼ³ / nᵢ³ / 6 (Σᵢ Σⱼ Uᵢⱼ² / nᵢ²)^(3/2), with U of leaving out
/// value j of stratum i, (nᵢ − 1) (mean − θ₍ᵢⱼ₎) (Efron and Tibshirani 1993, 14.15, for several samples as SciPy). None
/// where nothing varies, or where all resamples lie on one side.
pub fn bca_levels(strata: &[Vec<f64>], statistic: impl Fn(&[Vec<f64>]) -> f64, sorted: &[f64]) -> Option<[f64; 2]> {
    let estimate = statistic(strata);
    let (below, upto) = (sorted.partition_point(|v| *v < estimate), sorted.partition_point(|v| *v <= estimate));
    let z0 = normal_quantile((below + upto) as f64 / 2.0 / sorted.len() as f64);
    let (mut cubes, mut squares) = (0.0, 0.0);
    for (i, stratum) in strata.iter().enumerate() {
        let without = |j: usize| {
            let mut left = strata.to_vec();
            left[i].remove(j);
            statistic(&left)
        };
        let values: Vec<f64> = (0..stratum.len()).map(without).collect();
        let (n, mean) = (stratum.len() as f64, super::mean(&values));
        for v in values {
            let u = (n - 1.0) * (mean - v);
            cubes += u.powi(3) / n.powi(3);
            squares += u.powi(2) / n.powi(2);
        }
    }
    let a = cubes / squares.powf(1.5) / 6.0;
    let level = |p: f64| {
        let z = z0 + normal_quantile(p);
        normal_above(-(z0 + z / (1.0 - a * z)))
    };
    let levels = [level(ALPHA / 2.0), level(1.0 - ALPHA / 2.0)];
    levels.iter().all(|l| l.is_finite()).then_some(levels)
}

/// The quantile of sorted values at `p`, linear between neighbours (NumPy's default, type 7 of Hyndman and Fan); NaN of none.
pub fn quantile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = p * last as f64;
    let below = (at.floor() as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}

/// An error where a stratum has fewer than two values: it would never vary.
fn repeated(what: &'static str, strata: &[Vec<f64>]) -> Result<(), TooFew> {
    enough(what, strata.len(), 1, "samples")?;
    enough(what, strata.iter().map(Vec::len).min().unwrap_or(0), 2, "repeats")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::statistics::golden::{Golden, near, within};
    use crate::study::statistics::{iqm, mean};

    fn mean_of_means(strata: &[Vec<f64>]) -> f64 {
        mean(&strata.iter().map(|s| mean(s)).collect::<Vec<_>>())
    }

    /// Both sides draw at random. The file has the standard error of an end from repeats of SciPy's own draws.
    #[test]
    fn intervals_are_those_of_scipy_within_the_error_of_the_draws() {
        for case in Golden::read().cases("bootstrap") {
            let strata = case.rows("strata");
            for (name, got) in
                [("percentile", percentile(&strata, mean_of_means, 0)), ("bca", bca(&strata, mean_of_means, 0))]
            {
                let got = got.unwrap();
                for (got, end) in [(got.low, "low"), (got.high, "high")] {
                    let (due, error) =
                        (case.number(&format!("{name}_{end}")), case.number(&format!("{name}_{end}_error")));
                    within(got, due, 5.0 * error, &format!("{name} {end} of {strata:?}"));
                }
            }
        }
    }

    /// Of resamples that are given nothing is drawn, so that the levels are SciPy's to rounding.
    #[test]
    fn bca_levels_are_those_of_scipy() {
        for case in Golden::read().cases("bca_levels") {
            let (strata, mut drawn) = (case.rows("strata"), case.numbers("resamples"));
            drawn.sort_by(f64::total_cmp);
            let levels = bca_levels(&strata, mean_of_means, &drawn).unwrap();
            for (got, due) in levels.iter().zip(case.numbers("levels")) {
                near(*got, due, 1e-9, &format!("a level of {strata:?}"));
            }
        }
    }

    #[test]
    fn equal_values_have_no_width_and_one_value_is_too_few() {
        let same = [vec![3.0, 3.0], vec![5.0, 5.0, 5.0]];
        assert_eq!(bca(&same, mean_of_means, 0).unwrap(), Interval { low: 4.0, high: 4.0 });
        let few = percentile(&[vec![1.0]], |s| iqm(&s.concat()), 0).unwrap_err();
        assert_eq!((few.have, few.need), (1, 2));
        let strata = [vec![1.0, 2.3, 4.1, 8.9, -0.7, 3.3, 5.2]];
        assert_eq!(percentile(&strata, mean_of_means, 3), percentile(&strata, mean_of_means, 3), "seeded");
        assert_ne!(percentile(&strata, mean_of_means, 3), percentile(&strata, mean_of_means, 4));
    }

    #[test]
    fn quantiles_worked_by_hand() {
        let v = [1.0, 2.0, 4.0, 8.0];
        assert_eq!([0.0, 0.5, 0.75, 1.0].map(|p| quantile(&v, p)), [1.0, 3.0, 5.0, 8.0]);
        assert!(quantile(&[], 0.5).is_nan());
    }
}

//! Order statistics of samples. A shared machine has outliers on the slow side, so the median and quartiles are given
//! and never the mean.

use serde::{Deserialize, Serialize};

/// Median and quartiles of some samples, in their unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Half the samples lie below.
    pub median: f64,
    /// A quarter lies below.
    pub q1: f64,
    /// Three quarters lie below.
    pub q3: f64,
}

impl Spread {
    /// The order statistics of some samples, linear between neighbours as in numpy's quantiles. NaN without samples.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = sorted.len().saturating_sub(1) as f64 * share;
            let low = sorted.get(place as usize).copied().unwrap_or(f64::NAN);
            let high = sorted.get(place.ceil() as usize).copied().unwrap_or(f64::NAN);
            low + (high - low) * place.fract()
        };
        Spread { median: at(0.5), q1: at(0.25), q3: at(0.75) }
    }

    /// The distance of the quartiles over the median: how noisy the samples are.
    pub fn relative_iqr(&self) -> f64 {
        (self.q3 - self.q1) / self.median
    }
}

/// The mean of the middle half: as robust against outliers as the median, and more exact without them. NaN without
/// samples.
pub fn midmean(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 4;
    let middle = &sorted[cut..sorted.len() - cut];
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// A number with `n` significant digits: 0.00123, 12.35. No digit before the point is dropped: 12346. 0 below 10⁻⁹.
pub fn figures(v: f64, n: i32) -> String {
    if v.abs() < 1e-9 {
        return "0".into();
    }
    let digits = (n - 1 - v.abs().log10().floor() as i32).clamp(0, 12) as usize;
    format!("{v:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_that_count() {
        assert_eq!([0.001234, 0.5, 12.345, 12345.6].map(|v| figures(v, 4)), ["0.001234", "0.5000", "12.35", "12346"]);
        assert_eq!([0.0456, 0.5, 34.21, 1234.6].map(|v| figures(v, 2)), ["0.046", "0.50", "34", "1235"]);
    }

    #[test]
    fn the_midmean_leaves_out_a_quarter_at_each_end() {
        assert_eq!(midmean(&[900.0, 1.0, 3.0, 4.0, -70.0, 2.0, 5.0, 6.0]), 3.5);
        assert_eq!((midmean(&[2.0]), midmean(&[1.0, 2.0, 6.0])), (2.0, 3.0));
        assert!(midmean(&[]).is_nan());
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([1, 2, 4, 8], [0.25, 0.5, 0.75])
        assert_eq!(Spread::of(&[8.0, 1.0, 4.0, 2.0]), Spread { q1: 1.75, median: 3.0, q3: 5.0 });
        assert_eq!(Spread::of(&[3.0]), Spread { q1: 3.0, median: 3.0, q3: 3.0 });
        assert!(Spread::of(&[]).median.is_nan());
        assert_eq!(Spread::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).relative_iqr(), 2.0 / 3.0);
    }
}

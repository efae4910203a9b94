//! Two classifiers compared image by image on one test set. It speaks of these two trained networks; what another seed would
//! have given it does not know.

use super::bootstrap::{RESAMPLES, between, resample};
use super::few::{TooFew, enough};
use super::intervals::Interval;
use super::special::{chi_square_above, fair_coins_at_most};

/// McNemar's test (1947).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct McNemar {
    /// Images that only the first has right.
    pub only_first: u64,
    /// Images that only the second has right.
    pub only_second: u64,
    /// The two-sided p by the binomial distribution of the smaller count.
    pub exact_p: f64,
    /// (|b − c| − 1)² / (b + c), with the correction for continuity (Edwards 1948); 0 where no image tells them apart.
    pub chi_square: f64,
    /// Its p with one degree of freedom.
    pub chi_square_p: f64,
}

/// The test of which images two classifiers have right, in the same order of images. It needs 6 images that one of the two
/// has right: with fewer p cannot fall below 0.05.
pub fn mcnemar(first: &[bool], second: &[bool]) -> Result<McNemar, TooFew> {
    let count = |a: bool| first.iter().zip(second).filter(|(x, y)| **x == a && **y != a).count() as u64;
    let test = mcnemar_of(count(true), count(false));
    enough("McNemar's test", (test.only_first + test.only_second) as usize, 6, "images that one of the two has right")?;
    Ok(test)
}

/// The test of counts, of any size.
pub fn mcnemar_of(only_first: u64, only_second: u64) -> McNemar {
    let (n, less) = (only_first + only_second, only_first.min(only_second));
    let apart = (only_first.abs_diff(only_second) as f64 - 1.0).abs();
    let chi_square = if n == 0 { 0.0 } else { apart * apart / n as f64 };
    McNemar {
        only_first,
        only_second,
        exact_p: (2.0 * fair_coins_at_most(less, n)).min(1.0),
        chi_square,
        chi_square_p: chi_square_above(chi_square, 1.0),
    }
}

/// The accuracy of the first less that of the second, a share, with its interval: images are drawn again with both answers.
pub fn paired_accuracy(first: &[bool], second: &[bool], seed: u64) -> Result<(f64, Interval), TooFew> {
    let difference = |(x, y): (&bool, &bool)| i32::from(*x) - i32::from(*y);
    let all: Vec<i32> = first.iter().zip(second).map(difference).collect();
    enough("the bootstrap over images", all.len(), 2, "images")?;
    let n = all.len() as f64;
    let one = |i: usize| f64::from(resample(&[all.len()], seed, i)[0].iter().map(|&j| all[j]).sum::<i32>()) / n;
    let mut drawn: Vec<f64> = (0..RESAMPLES).map(one).collect();
    drawn.sort_by(f64::total_cmp);
    Ok((f64::from(all.iter().sum::<i32>()) / n, between(&drawn)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::statistics::golden::{Golden, near, within};

    #[test]
    fn tests_over_images_are_those_of_statsmodels_and_scipy() {
        for case in Golden::read().cases("images") {
            let right = |name: &str| case.numbers(name).iter().map(|v| *v == 1.0).collect::<Vec<bool>>();
            let (first, second) = (right("first"), right("second"));
            let m = mcnemar(&first, &second).unwrap();
            near(m.exact_p, case.number("exact_p"), 1e-12, "exact p");
            near(m.chi_square, case.number("chi_square"), 1e-12, "χ²");
            near(m.chi_square_p, case.number("chi_square_p"), 1e-12, "p");
            let (difference, interval) = paired_accuracy(&first, &second, 0).unwrap();
            near(difference, case.number("difference"), 1e-12, "difference");
            for (got, end) in [(interval.low, "low"), (interval.high, "high")] {
                // A resample's difference is a multiple of 1 / n, so that two quantiles may be one step apart.
                let allowed = 5.0 * case.number(&format!("{end}_error")) + 1.0 / first.len() as f64;
                within(got, case.number(end), allowed, end);
            }
        }
    }

    #[test]
    fn few_images_are_told() {
        let few = mcnemar(&[true, true, false], &[false, true, false]).unwrap_err();
        assert_eq!((few.have, few.need), (1, 6));
        assert_eq!(
            mcnemar_of(0, 0),
            McNemar { only_first: 0, only_second: 0, exact_p: 1.0, chi_square: 0.0, chi_square_p: 1.0 }
        );
        near(mcnemar_of(0, 6).exact_p, 2.0 / 64.0, 1e-14, "six images");
        assert!(paired_accuracy(&[true], &[true], 0).is_err());
    }
}

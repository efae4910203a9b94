//! Confidence intervals of a mean by Student's t, of one sample and of a mean over strata.

use super::few::{ALPHA, TooFew, enough};
use super::special::{t_critical, t_two_sided};

/// From where to where an estimate may lie, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether it spans 0, ends included: then the sign of the estimate is not known.
    pub fn spans_zero(&self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }
}

/// A mean with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its interval of confidence 1 − [`ALPHA`].
    pub interval: Interval,
    /// The two-sided p of a mean of 0 by the same t.
    pub p: f64,
    /// The degrees of freedom.
    pub degrees: f64,
}

/// The mean of one sample: x̄ ± t · s / √n with n − 1 degrees of freedom (Student 1908).
pub fn student(values: &[f64]) -> Result<Estimate, TooFew> {
    student_over_strata(&[values.to_vec()])
}

/// The mean of the means of strata, each a sample of its own: θ = Σ x̄ᵢ / D with the variance Σ sᵢ² / nᵢ / D², and the
/// degrees of freedom of Welch and Satterthwaite, (Σ vᵢ)² / Σ vᵢ² / (nᵢ − 1) with vᵢ = sᵢ² / nᵢ. Strata are fixed: it
/// speaks of these strata, not of others like them.
pub fn student_over_strata(strata: &[Vec<f64>]) -> Result<Estimate, TooFew> {
    const WHAT: &str = "Student's interval";
    enough(WHAT, strata.len(), 1, "samples")?;
    enough(WHAT, strata.iter().map(Vec::len).min().unwrap_or(0), 2, "repeats")?;
    let d = strata.len() as f64;
    let means: Vec<f64> = strata.iter().map(|s| super::mean(s)).collect();
    let of_mean = |(s, mean): (&Vec<f64>, &f64)| {
        let squares: f64 = s.iter().map(|v| (v - mean).powi(2)).sum();
        squares / (s.len() - 1) as f64 / s.len() as f64
    };
    let variances: Vec<f64> = strata.iter().zip(&means).map(of_mean).collect();
    let total: f64 = variances.iter().sum();
    let squares: f64 = variances.iter().zip(strata).map(|(v, s)| v * v / (s.len() - 1) as f64).sum();
    let mean = super::mean(&means);
    let error = total.sqrt() / d;
    // Repeats that agree, but for the rounding of a last digit, say nothing of how far others would lie from them.
    let largest = strata.iter().flatten().fold(0.0, |most: f64, v| most.max(v.abs()));
    if error <= 1e-12 * largest {
        return Err(TooFew { what: WHAT, have: 0, need: 2, of: "repeats that differ" });
    }
    let degrees = total * total / squares;
    let half = t_critical(ALPHA, degrees) * error;
    let interval = Interval { low: mean - half, high: mean + half };
    Ok(Estimate { mean, interval, p: t_two_sided(mean / error, degrees), degrees })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::statistics::golden::{Golden, near};

    #[test]
    fn intervals_are_those_of_scipy() {
        let golden = Golden::read();
        for case in golden.cases("student") {
            let strata = case.rows("strata");
            let e = student_over_strata(&strata).unwrap();
            for (got, name) in [
                (e.mean, "mean"),
                (e.interval.low, "low"),
                (e.interval.high, "high"),
                (e.p, "p"),
                (e.degrees, "degrees"),
            ] {
                near(got, case.number(name), 1e-9, &format!("{name} of {strata:?}"));
            }
        }
    }

    #[test]
    fn one_repeat_is_too_few_and_so_are_equal_ones() {
        let few = student_over_strata(&[vec![1.0, 2.0], vec![3.0]]).unwrap_err();
        assert_eq!(few.to_string(), "Student's interval needs at least 2 repeats, and there are 1");
        assert!(student(&[]).is_err());
        // The second is a difference of percentages that differ in their last bit alone.
        for equal in [[0.0, 0.0, 0.0], [56.25 - 50.0, 56.3 - 50.05, 6.25], [2.0, 2.0, 2.0]] {
            let few = student(&equal).unwrap_err().to_string();
            assert_eq!(few, "Student's interval needs at least 2 repeats that differ, and there are 0");
        }
        assert!(student(&[2.0, 2.0 + 1e-9]).is_ok());
    }
}

//! When a row has enough samples. It needs at least [`SamplingRule::samples`] samples and [`SamplingRule::seconds`] of
//! sampling. After that it stops as soon as the samples lie close together (their relative interquartile range is at
//! most [`SamplingRule::spread`]), or when [`SamplingRule::limit`] is reached.
//!
//! The samples are taken in turns over the rows of a set. Each of the first [`TURNS`] turns takes an equal share of the
//! least samples. A row that has not settled by then goes on for up to [`MOST_TURNS`] turns, until the turns agree on
//! its centre ([`error`] is at most [`ERROR`]). So only noisy rows take more time. A row whose samples never lie close
//! together is reported as noisy.

use super::Spread;
use super::spread::midmean;

/// A row that lacks its least samples at the limit may take this many times as long.
pub const PATIENCE: f64 = 2.0;

/// The least turns over the cases of a set in which a row is sampled. A disturbance of some seconds then meets only a
/// part of its samples, and shows as a difference between turns.
pub const TURNS: usize = 16;

/// The most turns.
pub const MOST_TURNS: usize = 96;

/// The relative standard error of a row's centre at which it needs no further turn. Two rows whose centres are each
/// known to 1.6 % have a ratio known to about 6 % either way: enough to tell 10 % from 20 %.
pub const ERROR: f64 = 0.016;

/// How long a row is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingRule {
    /// The least samples.
    pub samples: usize,
    /// The least seconds of sampling.
    pub seconds: f64,
    /// The relative interquartile range below which a row has settled.
    pub spread: f64,
    /// The most seconds a row may take once it has its least samples.
    pub limit: f64,
}

impl Default for SamplingRule {
    fn default() -> Self {
        SamplingRule { samples: 10, seconds: 0.5, spread: 0.05, limit: 6.0 }
    }
}

impl SamplingRule {
    /// Whether these samples, taken in `seconds` of wall time, are enough and lie close together.
    pub fn settled(&self, samples_ms: &[f64], seconds: f64) -> bool {
        self.share_settled(1.0, samples_ms, seconds)
    }

    /// Whether sampling is over for the first `turns` turns. At least one sample is always taken.
    pub fn is_over(&self, turns: usize, samples_ms: &[f64], seconds: f64) -> bool {
        let share = (turns as f64 / TURNS as f64).min(1.0);
        let limit = match samples_ms.len() >= self.least(share) {
            true => (self.limit * turns as f64 / MOST_TURNS as f64).max(self.seconds * share),
            false => PATIENCE * self.limit * share,
        };
        self.share_settled(share, samples_ms, seconds) || !samples_ms.is_empty() && seconds >= limit
    }

    fn share_settled(&self, share: f64, samples_ms: &[f64], seconds: f64) -> bool {
        samples_ms.len() >= self.least(share)
            && seconds >= self.seconds * share
            && Spread::of(samples_ms).relative_iqr() <= self.spread
    }

    fn least(&self, share: f64) -> usize {
        (self.samples as f64 * share).ceil() as usize
    }
}

/// The centre of each turn's times: the mean of their middle half. `turns` says how many times each turn has.
pub fn centres(times: &[f64], turns: impl IntoIterator<Item = usize>) -> Vec<f64> {
    let mut rest = times;
    let centre = |n: usize| {
        let (turn, others) = rest.split_at(n.min(rest.len()));
        rest = others;
        midmean(turn)
    };
    turns.into_iter().map(centre).collect()
}

/// The relative standard error of the centre of a row whose turns have these centres. It is estimated from their
/// quartiles, so an outlier among the turns changes neither the centre nor its error. Infinite without turns.
pub fn error(centres: &[f64]) -> f64 {
    /// The distance between the quartiles of a normal distribution, in standard deviations.
    const IQR: f64 = 1.349;
    match centres.is_empty() {
        true => f64::INFINITY,
        false => Spread::of(centres).relative_iqr() / IQR / (centres.len() as f64).sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// Samples around `ms`, `noise` of it apart, taken until the rule ends them; and whether they settled.
    fn simulated(rule: &SamplingRule, ms: f64, noise: f64, seed: u64) -> (Vec<f64>, bool) {
        let (mut rng, mut samples, mut seconds) = (Rng::new(seed, 0, 0), Vec::new(), 0.0);
        while !rule.is_over(MOST_TURNS, &samples, seconds) {
            let one = ms * (1.0 + noise * (rng.normal() as f64).abs());
            samples.push(one);
            seconds += one * 1e-3;
        }
        let settled = rule.settled(&samples, seconds);
        (samples, settled)
    }

    #[test]
    fn quiet_samples_stop_at_the_least() {
        let rule = SamplingRule::default();
        for seed in 0..50 {
            let (samples, settled) = simulated(&rule, 5.0, 0.01, seed);
            assert!(settled && (98..=102).contains(&samples.len()), "{}: half a second of 5 ms", samples.len());
            let (samples, settled) = simulated(&rule, 200.0, 0.01, seed);
            assert!(settled && samples.len() == 10);
        }
    }

    #[test]
    fn noisy_samples_go_on_to_the_limit_and_are_told() {
        let rule = SamplingRule::default();
        for seed in 0..50 {
            let (samples, settled) = simulated(&rule, 5.0, 1.0, seed);
            let seconds = samples.iter().sum::<f64>() * 1e-3;
            assert!(!settled && (6.0..6.1).contains(&seconds), "{seconds}");
        }
    }

    #[test]
    fn turns_share_the_rule() {
        let rule = SamplingRule::default();
        assert!(!rule.is_over(1, &[], 9.0), "no turn of something short is empty");
        // After half the turns: five samples in a quarter of a second, if they lie close; otherwise a share of the
        // limit.
        assert!(!rule.is_over(TURNS / 2, &[1.0; 4], 0.3) && rule.is_over(TURNS / 2, &[1.0; 5], 0.3));
        assert!(!rule.is_over(TURNS / 2, &[1.0; 9], 0.2));
        let apart = [1.0, 2.0].repeat(50);
        assert!(!rule.is_over(TURNS, &apart, 0.9) && rule.is_over(TURNS, &apart, 1.0));
        assert!(!rule.is_over(2 * TURNS, &apart, 1.9) && rule.is_over(2 * TURNS, &apart, 2.0));
        // A short limit is never below the least seconds, and further turns ask for no more samples.
        let short = SamplingRule { limit: 0.5, ..rule };
        assert!(!short.is_over(TURNS, &apart, 0.4) && short.is_over(TURNS, &apart, 0.5));
        assert!(rule.is_over(TURNS + 1, &[1.0; 10], 9.0));
    }

    #[test]
    fn centres_are_of_turns_and_their_error_shrinks_with_more_of_them() {
        let times: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(centres(&times, [1, 3, 96]), [0.0, 2.0, 51.5]);
        assert!(centres(&[], []).is_empty() && error(&[]).is_infinite());
        let (mut rng, mut at) = (Rng::new(1, 0, 0), Vec::new());
        for turns in [TURNS, 4 * TURNS] {
            let rows = (0..400).map(|_| (0..turns).map(|_| 1.0 + 0.1 * rng.normal() as f64).collect::<Vec<_>>());
            let errors: Vec<f64> = rows.map(|row| error(&row)).collect();
            at.push(Spread::of(&errors).median);
        }
        // The true errors are 0.1 / √16 and 0.1 / √64. The quartiles of few values lie a little closer.
        assert!((0.021..0.026).contains(&at[0]) && (0.0115..0.013).contains(&at[1]), "{at:?}");
    }

    /// After a burst of noise at the start, quiet samples settle the row.
    #[test]
    fn a_burst_is_waited_out() {
        let rule = SamplingRule::default();
        let (mut samples, mut seconds) = (Vec::new(), 0.0);
        while !rule.is_over(MOST_TURNS, &samples, seconds) {
            let ms = if samples.len() < 100 { 5.0 + (samples.len() % 7) as f64 } else { 5.0 };
            samples.push(ms);
            seconds += ms * 1e-3;
        }
        assert!(rule.settled(&samples, seconds) && seconds < rule.limit && samples.len() > 150, "{}", samples.len());
    }

    #[test]
    fn what_is_slow_gets_its_least_samples_within_reason() {
        let (samples, settled) = simulated(&SamplingRule::default(), 900.0, 0.01, 1);
        assert!(samples.len() == 10 && settled, "nine seconds for ten samples");
        let (samples, settled) = simulated(&SamplingRule::default(), 800.0, 0.2, 1);
        assert!(samples.len() == 10 && !settled, "and no more of them");
        let (samples, settled) = simulated(&SamplingRule::default(), 4000.0, 0.0, 1);
        assert!(samples.len() == 3 && !settled, "twelve seconds");
        let (samples, settled) =
            simulated(&SamplingRule { seconds: 0.0, limit: 0.0, ..SamplingRule::default() }, 1.0, 0.0, 1);
        assert!(samples.len() == 1 && !settled);
    }
}

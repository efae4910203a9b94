//! When a row has been sampled enough. At least [`Rule::samples`] samples and [`Rule::seconds`] of them; then as soon as
//! they lie close enough together (their relative interquartile range is at most [`Rule::spread`]), or at [`Rule::limit`].
//! What is so slow that it has not its least samples by then goes on for them, to [`PATIENCE`] times the limit. A row that
//! ended without lying close is noisy, and is said to be. All of it is taken in [`TURNS`] turns, a like share in each.

use super::Spread;

/// How many times the limit a row may take for its least samples.
pub const PATIENCE: f64 = 5.0;

/// In how many turns over the cases of a set a row is sampled: what disturbs a machine for seconds meets a part of its
/// samples, and shows as a difference between turns.
pub const TURNS: usize = 16;

/// The rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The least samples.
    pub samples: usize,
    /// The least seconds of sampling.
    pub seconds: f64,
    /// The relative interquartile range below which a row has settled.
    pub spread: f64,
    /// The most seconds a row may take once it has its least samples.
    pub limit: f64,
}

impl Default for Rule {
    fn default() -> Self {
        Rule { samples: 10, seconds: 0.5, spread: 0.05, limit: 2.0 }
    }
}

impl Rule {
    /// What must be there after so many turns.
    pub fn after(&self, turns: usize) -> Rule {
        let share = turns as f64 / TURNS as f64;
        let samples = (self.samples as f64 * share).ceil() as usize;
        Rule { samples, seconds: self.seconds * share, limit: self.limit * share, ..*self }
    }

    /// Whether samples that took `seconds` on the clock are enough and lie close together.
    pub fn settled(&self, samples_ms: &[f64], seconds: f64) -> bool {
        samples_ms.len() >= self.samples
            && seconds >= self.seconds
            && Spread::of(samples_ms).relative_iqr() <= self.spread
    }

    /// Whether no more samples are to be taken; one is always.
    pub fn is_over(&self, samples_ms: &[f64], seconds: f64) -> bool {
        let limit = if samples_ms.len() >= self.samples { self.limit } else { PATIENCE * self.limit };
        self.settled(samples_ms, seconds) || !samples_ms.is_empty() && seconds >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// Samples around `ms`, `noise` of it apart, taken until the rule ends them; and whether they settled.
    fn simulated(rule: &Rule, ms: f64, noise: f64, seed: u64) -> (Vec<f64>, bool) {
        let (mut rng, mut samples, mut seconds) = (Rng::new(seed, 0, 0), Vec::new(), 0.0);
        while !rule.is_over(&samples, seconds) {
            let one = ms * (1.0 + noise * (rng.normal() as f64).abs());
            samples.push(one);
            seconds += one * 1e-3;
        }
        let settled = rule.settled(&samples, seconds);
        (samples, settled)
    }

    #[test]
    fn quiet_samples_stop_at_the_least() {
        let rule = Rule::default();
        for seed in 0..50 {
            let (samples, settled) = simulated(&rule, 5.0, 0.01, seed);
            assert!(settled && (98..=102).contains(&samples.len()), "{}: half a second of 5 ms", samples.len());
            let (samples, settled) = simulated(&rule, 200.0, 0.01, seed);
            assert!(settled && samples.len() == 10);
        }
    }

    #[test]
    fn noisy_samples_go_on_to_the_limit_and_are_told() {
        let rule = Rule::default();
        for seed in 0..50 {
            let (samples, settled) = simulated(&rule, 5.0, 1.0, seed);
            let seconds = samples.iter().sum::<f64>() * 1e-3;
            assert!(!settled && (2.0..2.1).contains(&seconds), "{seconds}");
        }
    }

    #[test]
    fn turns_share_the_rule() {
        let rule = Rule::default();
        assert_eq!(rule.after(TURNS), rule);
        let half = Rule { samples: 5, seconds: 0.25, limit: 1.0, ..rule };
        assert_eq!(rule.after(TURNS / 2), half);
        let first = rule.after(1);
        assert!(first.samples == 1 && first.seconds > 0.0, "no turn of something short is empty: {first:?}");
    }

    /// A burst of noise at the start is outlived by the quiet after it.
    #[test]
    fn a_burst_is_waited_out() {
        let rule = Rule::default();
        let (mut samples, mut seconds) = (Vec::new(), 0.0);
        while !rule.is_over(&samples, seconds) {
            let ms = if samples.len() < 100 { 5.0 + (samples.len() % 7) as f64 } else { 5.0 };
            samples.push(ms);
            seconds += ms * 1e-3;
        }
        assert!(rule.settled(&samples, seconds) && seconds < rule.limit && samples.len() > 150, "{}", samples.len());
    }

    #[test]
    fn what_is_slow_gets_its_least_samples_within_reason() {
        let (samples, settled) = simulated(&Rule::default(), 900.0, 0.01, 1);
        assert!(samples.len() == 10 && settled, "nine seconds for ten samples");
        let (samples, settled) = simulated(&Rule::default(), 800.0, 0.2, 1);
        assert!(samples.len() == 10 && !settled, "and no more of them");
        let (samples, settled) = simulated(&Rule::default(), 4000.0, 0.0, 1);
        assert!(samples.len() == 3 && !settled, "ten seconds");
        let (samples, settled) = simulated(&Rule { limit: 0.0, ..Rule::default() }, 1.0, 0.0, 1);
        assert!(samples.len() == 1 && !settled);
    }
}

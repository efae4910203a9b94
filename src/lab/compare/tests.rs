//! The verdicts on simulated samples, taken as the bench takes them.

use super::*;
use crate::base::rng::Rng;
use crate::device::Timed;
use crate::lab::samples::Samples;
use crate::lab::sampling_rule::{MOST_TURNS, SamplingRule};
use crate::tape::Cost;

/// A simulated machine. Its speed wanders by up to a factor of two, each sample has noise, there is an outlier now and
/// then, and a slow noise that the reference does not see.
struct Machine {
    rng: Rng,
    drift: f64,
    noise: f64,
    slow: f64,
    slow_noise: f64,
}

impl Machine {
    fn new(seed: u64, (noise, slow_noise): (f64, f64)) -> Self {
        let mut rng = Rng::new(seed, 0, 0);
        let slow = slow_noise * rng.normal() as f64;
        Machine { rng, drift: 0.0, noise, slow, slow_noise }
    }

    /// A sample of 5 ms.
    fn time(&mut self, ms: f64) -> f64 {
        self.drift = (self.drift + 0.02 * self.rng.normal() as f64).clamp(0.0, 2f64.ln());
        // Mostly forgotten after 20 samples.
        let kept = 0.95f64;
        self.slow = kept * self.slow + (1.0 - kept * kept).sqrt() * self.slow_noise * self.rng.normal() as f64;
        let outlier = if self.rng.uniform() < 0.05 { 1.0 + self.rng.uniform() as f64 } else { 1.0 };
        ms * (self.drift + self.noise * self.rng.normal() as f64).exp() * outlier
    }

    /// Lets so many samples pass.
    fn wait(&mut self, samples: usize) {
        for _ in 0..samples {
            self.time(1.0);
        }
    }

    /// A row as `bench` samples it by default: 5 ms a sample, in turns with other rows in between, for as many turns as
    /// the rule asks for, with the reference before and after each sample.
    fn row(&mut self, case: usize, ms: f64) -> Row {
        let (rule, mut samples) = (SamplingRule::default(), Samples::default());
        while samples.now < TURNS || samples.now < MOST_TURNS && samples.is_wide(&rule) {
            samples.now += 1;
            self.wait(50);
            let mut before = self.time(2.0);
            while !samples.is_over(&rule) {
                let wall_ms = self.time(ms) * self.slow.exp();
                let after = self.time(2.0);
                samples.add(Timed { device_ms: None, wall_ms }, 1, Some((before + after) / 2.0));
                samples.spent_s += 5e-3 - wall_ms * 1e-3;
                before = after;
            }
        }
        let times = samples.times();
        Row {
            samples_ms: times.samples_ms,
            wall_ms: times.wall_ms,
            reference_ms: times.reference_ms,
            turns: times.turns,
            ..row(case)
        }
    }
}

/// A row of a case without samples.
pub(super) fn row(case: impl std::fmt::Display) -> Row {
    let about = [&*format!("case {case}"), "x [1] f32"];
    Row::unmeasured("relu.forward", "portable", about, Cost { flops: 1, bytes: 8 })
}

/// Noise of a sample with a relative IQR of 4 %, and slow noise.
const NOISE: (f64, f64) = (0.03, 0.02);

/// Two runs of the same row on one machine at two different times; the second is of a build that takes `factor` times
/// as long.
fn runs(seed: u64, noise: (f64, f64), factor: f64) -> [Row; 2] {
    let (mut before, mut after) = (Machine::new(2 * seed, noise), Machine::new(2 * seed + 1, noise));
    after.drift = 2f64.ln() * after.rng.uniform() as f64;
    let ms = 0.1 + 10.0 * before.rng.uniform() as f64;
    [before.row(0, ms), after.row(0, ms * factor)]
}

/// 1,000 rows of a build against one that takes `factor` times as long.
fn verdicts(noise: (f64, f64), factor: f64) -> [usize; 4] {
    let mut count = [0; 4];
    for seed in 0..1000 {
        let [b, n] = runs(seed, noise, factor);
        count[side_by_side(&b, &n, THRESHOLD, "b").unwrap().judgement.verdict as usize] += 1;
    }
    count
}

#[test]
fn a_build_against_itself_is_the_same_under_a_drift_of_two() {
    let [faster, slower, same, noisy] = verdicts(NOISE, 1.0);
    assert!(same >= 990, "faster {faster}, slower {slower}, same {same}, too noisy {noisy} of 1000");
}

#[test]
fn a_fifth_slower_is_found_under_a_drift_of_two() {
    let [faster, slower, same, noisy] = verdicts(NOISE, 1.2);
    assert!(slower >= 950, "faster {faster}, slower {slower}, same {same}, too noisy {noisy} of 1000");
    let [faster, ..] = verdicts(NOISE, 1.0 / 1.2);
    assert!(faster >= 950, "{faster}");
}

/// Without the reference the comparison is wrong on the same machine: so the tests above can fail.
#[test]
fn without_the_reference_drift_looks_like_a_change() {
    let fooled = (0..100).filter(|&seed| {
        let (mut before, mut after) = (Machine::new(seed, NOISE), Machine::new(seed + 500, NOISE));
        after.drift = 2f64.ln();
        let (mut b, n) = (before.row(0, 1.0), after.row(0, 1.0));
        b.reference_ms.clear();
        side_by_side(&b, &n, THRESHOLD, "b").unwrap().judgement.verdict != Verdict::Same
    });
    assert!(fooled.count() > 50);
}

/// The interval holds its error rate if the noise decays within a turn. Taken over all samples, with noise that
/// outlasts them, it would not.
#[test]
fn the_interval_misses_the_truth_in_1_of_100_rows() {
    let missed = |j: &Judgement| !(j.low..=j.high).contains(&1.0);
    let pairs: Vec<[Row; 2]> = (0..1000).map(|seed| runs(seed, (0.03, 0.0), 1.0)).collect();
    let rows = pairs.iter().map(|[b, n]| side_by_side(b, n, THRESHOLD, "b").unwrap().judgement);
    let wrong = rows.filter(missed).count();
    assert!(wrong <= 20, "{wrong} of 1000");
    let slow: Vec<[Row; 2]> = (0..1000).map(|seed| runs(seed, NOISE, 1.0)).collect();
    let samples = slow.iter().map(|[b, n]| judge(&b.steady(), &n.steady(), THRESHOLD));
    assert!(samples.filter(missed).count() > 50);
}

#[test]
fn a_row_counts_as_its_turns() {
    let times: Vec<f64> = (0..100).map(f64::from).collect();
    let mut row = Machine::new(1, NOISE).row(0, 1.0);
    row.turns = vec![1, 3, 96];
    assert_eq!(observations(&times, &row), [0.0, 2.0, 51.5]);
    row.turns.clear();
    assert_eq!(observations(&times, &row).len(), TURNS);
    assert_eq!(observations(&times[..TURNS * 2], &row)[..2], [0.5, 2.5], "a peer's");
    assert_eq!(observations(&times[..3], &row), times[..3]);
    assert!(observations(&[], &row).is_empty());
}

#[test]
fn noise_that_could_hide_a_change_is_told() {
    let wild = (0..100).map(|seed| {
        let [b, n] = runs(seed, (2.0, 0.0), 1.0);
        assert_eq!(n.turns.len(), MOST_TURNS, "sampled on and on");
        side_by_side(&b, &n, THRESHOLD, "b").unwrap().judgement.verdict
    });
    let wild: Vec<Verdict> = wild.collect();
    let count = |verdict| wild.iter().filter(|v| **v == verdict).count();
    assert!(count(Verdict::TooNoisy) > 90 && count(Verdict::Faster) + count(Verdict::Slower) < 5, "{wild:?}");
    assert_eq!(judge(&[1.0, 1.0], &[2.0, 2.0], 0.1).verdict, Verdict::TooNoisy, "two samples prove nothing");
    assert_eq!(judge(&[], &[], 0.1).verdict, Verdict::TooNoisy);
}

/// The 36 differences of two ladders: their median is the shift, the interval's ends are order statistics.
#[test]
fn the_interval_is_made_of_order_statistics() {
    let x: Vec<f64> = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0].map(f64::exp).to_vec();
    let y: Vec<f64> = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0].map(f64::exp).to_vec();
    let j = judge(&x, &y, 0.1);
    let close = |a: f64, b: f64| (a.ln() - b).abs() < 1e-9;
    // 36 / 2 − 2.576 · sqrt(36 · 13 / 12) = 1.9: the smallest and the largest difference.
    assert!(close(j.ratio, 10.0) && close(j.low, 5.0) && close(j.high, 15.0), "{j:?}");
}

fn report(machine: &mut Machine, rows: &[(usize, f64)]) -> Report {
    let environment = crate::lab::environment::tests::made_up();
    let schema = super::super::report::SCHEMA.into();
    let rows = rows.iter().map(|&(case, ms)| machine.row(case, ms)).collect();
    Report { schema, environment, reference: Some(machine.row(0, 2.0)), rows, skipped: Vec::new(), comparison: None }
}

#[test]
fn reports_are_matched_row_by_row() {
    let mut m = Machine::new(1, (0.01, 0.0));
    let base = report(&mut m, &[(1, 1.0), (2, 1.0), (3, 1.0)]);
    let mut new = report(&mut m, &[(2, 1.5), (3, 1.0), (4, 1.0)]);
    new.rows[1].variant = "naive".into();
    let c = compare(&base, &new, THRESHOLD, ["base.json", "now"]).unwrap();
    let found: Vec<_> = c.rows.iter().map(|r| (r.name.as_str(), r.judgement.verdict)).collect();
    assert_eq!(found, [("relu.forward case 2", Verdict::Slower), ("relu.forward case 3", Verdict::Same)]);
    assert_eq!((c.only_base.len(), c.only_new.len()), (1, 1));
    let e = c.expect_no_regression().unwrap_err();
    assert!(e.exit_code() == 5 && e.to_string().contains("case 2"), "{e}");
    new.rows.remove(0);
    compare(&base, &new, THRESHOLD, ["base.json", "now"]).unwrap().expect_no_regression().unwrap();
}

#[test]
fn what_has_no_verdict_is_refused() {
    let mut m = Machine::new(1, (0.01, 0.0));
    let (base, new) = (report(&mut m, &[(1, 1.0)]), report(&mut m, &[(2, 1.0)]));
    let wrong = |base: &Report, new: &Report| compare(base, new, 0.1, ["base.json", "now"]).unwrap_err().to_string();
    assert!(wrong(&base, &new).contains("no row in common"));
    let mut other = base.clone();
    other.environment.adapter = "another".into();
    assert!(wrong(&other, &base).contains("another"));
    let mut twice = base.clone();
    twice.rows.push(twice.rows[0].clone());
    assert!(wrong(&twice, &base).contains("two rows"));
    let mut clock = base.clone();
    clock.rows[0].timer = super::super::Timer::Timestamps;
    assert!(wrong(&clock, &base).contains("clock"));
    assert!(compare(&base, &base, f64::NAN, ["b", "now"]).is_err());
}

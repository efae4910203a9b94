//! Is it faster? A verdict on samples of two builds (or two shader trees), with the error it may have made.
//!
//! Two things fool a plain comparison of medians: noise within a run, and a machine that is slower today than it was
//! yesterday. Against the second, each sample is divided by the time of a reference kernel that no build changes, taken at
//! most 20 ms of sampling before it. Against the first, the change of the logarithm is estimated by Hodges and Lehmann's
//! median of all pairwise differences, with the distribution-free interval of Moses (Hollander & Wolfe, Nonparametric
//! Statistical Methods, 4.2 and 4.3): no outlier moves it and no shape of the noise is assumed.
//!
//! The interval takes what it is given for independent, and samples are not: several share a reference with its noise, and
//! what disturbs a machine outlasts a sample. So a row counts as [`STRETCHES`] observations at most, each the median of a
//! stretch of its samples. What lasts a whole run and spares the reference (where the run's memory lies, say) looks like
//! a change all the same.
//!
//! The verdict: *slower* (or *faster*) where the estimate is past the threshold and the interval does not hold "no change";
//! *same* where the interval rules out a change of twice the threshold; else *too noisy*.

use super::Spread;
use super::report::{Report, Row};
use crate::base::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;

/// What can be said of two lists of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// By more than the threshold.
    Faster,
    /// By more than the threshold.
    Slower,
    /// No change past the threshold is seen, and one of twice its size is ruled out.
    Same,
    /// A change of twice the threshold could hide in the noise.
    TooNoisy,
}

impl Verdict {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Faster => "faster",
            Verdict::Slower => "slower",
            Verdict::Same => "same",
            Verdict::TooNoisy => "too noisy",
        }
    }
}

/// Times of `new` over times of `base`, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// The estimate: 1.2 is a fifth slower.
    pub ratio: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The verdict.
    pub verdict: Verdict,
}

/// A change counts from here on, unless the user says otherwise: 10 %.
pub const THRESHOLD: f64 = 0.1;
/// Quantile of the normal distribution of the interval: of independent observations, it misses the true change in 1 of 100
/// rows.
const Z: f64 = 2.576;
/// The most observations of a row: as many as half a second has references.
pub const STRETCHES: usize = 25;

/// What of a row's times may count as independent: the medians of stretches of equal length, as many as there were
/// references if those are fewer than [`STRETCHES`].
fn observations(times: &[f64], references: &[f64]) -> Vec<f64> {
    let timed = match references {
        [] => times.len(),
        list => list.chunk_by(|a, b| a == b).count(),
    };
    let (n, stretches) = (times.len(), timed.min(STRETCHES));
    (0..stretches).map(|i| Spread::of(&times[i * n / stretches..(i + 1) * n / stretches]).median).collect()
}

/// Judges independent times (or times over a reference's) at a threshold: 0.1 is 10 %.
pub fn judge(base: &[f64], new: &[f64], threshold: f64) -> Judgement {
    let mut changes: Vec<f64> = Vec::with_capacity(base.len() * new.len());
    for b in base {
        changes.extend(new.iter().map(|n| (n / b).ln()));
    }
    changes.sort_by(f64::total_cmp);
    let (m, n, pairs) = (base.len() as f64, new.len() as f64, changes.len());
    // The interval runs from the c-th smallest to the c-th largest of the differences.
    let c = (m * n / 2.0 - Z * (m * n * (m + n + 1.0) / 12.0).sqrt()).floor();
    if c < 1.0 {
        let all = |i: usize| changes.get(i).map_or(f64::NAN, |v| v.exp());
        let (low, high) = (all(0), all(pairs.saturating_sub(1)));
        return Judgement { ratio: all(pairs / 2), low, high, verdict: Verdict::TooNoisy }; // too few samples for any
    }
    let c = c as usize;
    let (low, high) = (changes[c - 1], changes[pairs - c]);
    let ratio = (changes[(pairs - 1) / 2] + changes[pairs / 2]) / 2.0;
    let limit = threshold.ln_1p();
    let verdict = match () {
        () if ratio > limit && low > 0.0 => Verdict::Slower,
        () if ratio < -limit && high < 0.0 => Verdict::Faster,
        () if low.abs().max(high.abs()) < (2.0 * threshold).ln_1p() => Verdict::Same,
        () => Verdict::TooNoisy,
    };
    Judgement { ratio: ratio.exp(), low: low.exp(), high: high.exp(), verdict }
}

/// A row of two reports side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Entry and case.
    pub name: String,
    /// The variant of the base.
    pub base_variant: String,
    /// The variant of the new report.
    pub variant: String,
    /// Median of the base, ms, as it was measured.
    pub base_ms: f64,
    /// Median of the new report, ms, as it was measured.
    pub ms: f64,
    /// The verdict, the machine's drift cancelled.
    #[serde(flatten)]
    pub judgement: Judgement,
}

/// Two reports side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Rows that both have, in the new report's order.
    pub rows: Vec<Compared>,
    /// Rows that only the base has.
    pub only_base: Vec<String>,
    /// Rows that only the new report has.
    pub only_new: Vec<String>,
    /// How much slower the reference kernel ran in the new report: the machine's drift.
    pub drift: Option<f64>,
    /// The threshold of the verdicts.
    pub threshold: f64,
}

/// Compares the rows of two reports of one adapter; `shown` names the base in errors.
///
/// Rows are the same where entry, case, shape, cache mode and variant are. A row whose variant the base does not have
/// is compared with the base's other variant where each report has exactly one of it: another variant by default is a
/// change like any other.
pub fn compare(base: &Report, new: &Report, threshold: f64, shown: &str) -> Result<Comparison> {
    new.environment.expect_same_device(&base.environment, shown)?;
    if !(threshold > 0.0 && threshold.is_finite()) {
        return Err(Error::Usage(format!("--threshold {threshold} must be above 0, such as 0.1 for 10 %")));
    }
    let (old, fresh) = (grouped(base, shown)?, grouped(new, "the new report")?);
    let mut c = Comparison { rows: vec![], only_base: vec![], only_new: vec![], drift: drift(base, new), threshold };
    for row in &new.rows {
        let beside = old.get(&place(row)).map_or(&[][..], Vec::as_slice);
        let alone = beside.len() == 1 && fresh.get(&place(row)).is_some_and(|f| f.len() == 1);
        match beside.iter().find(|b| b.variant == row.variant).or(beside.first().filter(|_| alone)) {
            Some(b) => c.rows.push(side_by_side(b, row, threshold, shown)?),
            None => c.only_new.push(shown_name(row)),
        }
    }
    for (place, rows) in &old {
        let there = fresh.get(place).map_or(&[][..], Vec::as_slice);
        let alone = rows.len() == 1 && there.len() == 1;
        let gone = rows.iter().filter(|b| !alone && there.iter().all(|f| f.variant != b.variant));
        c.only_base.extend(gone.map(|b| shown_name(b)));
    }
    if c.rows.is_empty() {
        return Err(Error::Usage(format!("{shown} and the new report have no row in common; give both the same set")));
    }
    Ok(c)
}

fn side_by_side(base: &Row, new: &Row, threshold: f64, shown: &str) -> Result<Compared> {
    if base.timer != new.timer {
        return Err(Error::Usage(format!(
            "{} was timed with {:?} in {shown} and with {:?} now; two clocks have no verdict",
            new.name(),
            base.timer,
            new.timer
        )));
    }
    // One side without a reference would compare milliseconds with ratios.
    let both = !base.reference_ms.is_empty() && !new.reference_ms.is_empty();
    let of = |r: &Row| match both {
        true => observations(&r.steady(), &r.reference_ms),
        false => observations(&r.samples_ms, &[]),
    };
    Ok(Compared {
        name: new.name(),
        base_variant: base.variant.clone(),
        variant: new.variant.clone(),
        base_ms: base.ms().median,
        ms: new.ms().median,
        judgement: judge(&of(base), &of(new), threshold),
    })
}

/// What makes a row the same row, its variant left out.
pub(super) type Place<'a> = (&'a str, &'a str, &'a str, &'static str);

/// Of a row.
pub(super) fn place(row: &Row) -> Place<'_> {
    let (entry, case, shape, _, cache) = row.key();
    (entry, case, shape, cache.name())
}

fn grouped<'a>(report: &'a Report, shown: &str) -> Result<BTreeMap<Place<'a>, Vec<&'a Row>>> {
    let mut found: BTreeMap<Place<'_>, Vec<&Row>> = BTreeMap::new();
    for row in &report.rows {
        let rows = found.entry(place(row)).or_default();
        if rows.iter().any(|r| r.variant == row.variant) {
            return Err(Error::Data(format!("{shown} has two rows {}; names of cases must differ", shown_name(row))));
        }
        rows.push(row);
    }
    Ok(found)
}

fn shown_name(row: &Row) -> String {
    format!("{} [{}]", row.name(), row.variant)
}

fn drift(base: &Report, new: &Report) -> Option<f64> {
    let median = |r: &Report| r.reference.as_ref().map(|row| row.ms().median);
    Some(median(new)? / median(base)?)
}

impl Comparison {
    /// An error, with exit code 5, where any row became slower.
    pub fn expect_no_regression(&self) -> Result<()> {
        let slower: Vec<&Compared> = self.rows.iter().filter(|r| r.judgement.verdict == Verdict::Slower).collect();
        let Some(worst) = slower.iter().max_by(|a, b| a.judgement.ratio.total_cmp(&b.judgement.ratio)) else {
            return Ok(());
        };
        Err(Error::Regression(format!(
            "{} of {} rows are slower by more than {:.0} %; the worst is {}: {:.2} times its base",
            slower.len(),
            self.rows.len(),
            100.0 * self.threshold,
            worst.name,
            worst.judgement.ratio
        )))
    }

    /// How many rows have a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|r| r.judgement.verdict == verdict).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// A machine whose speed wanders by up to a factor of two, with noise on each sample, now and then an outlier, and a
    /// slow noise that the reference does not see.
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

        /// A row as `bench` samples it by default: half a second of 5 ms each, the reference timed again after 20 ms.
        fn row(&mut self, case: usize, ms: f64) -> Row {
            let (mut pairs, mut reference) = (Vec::new(), 0.0);
            for i in 0..100 {
                if i % 4 == 0 {
                    reference = self.time(2.0);
                }
                let ms = self.time(ms);
                pairs.push((reference, ms * self.slow.exp()));
            }
            Row {
                op: "relu".into(),
                entry: "relu.forward".into(),
                direction: "forward".into(),
                case: format!("case {case}"),
                shape: "x [1] f32".into(),
                variant: "portable".into(),
                flops: 1,
                bytes: 8,
                cache: super::super::Cache::Hot,
                timer: super::super::Timer::Wall,
                repeats: 1,
                samples_ms: pairs.iter().map(|p| p.1).collect(),
                wall_ms: pairs.iter().map(|p| p.1).collect(),
                reference_ms: pairs.iter().map(|p| p.0).collect(),
                noisy: false,
                roof_share: None,
            }
        }
    }

    /// Noise of a sample with a relative IQR of 4 %, and slow noise.
    const NOISE: (f64, f64) = (0.03, 0.02);

    /// Two runs of the same row on one machine in two moods, the second of a build that takes `factor` times as long.
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

    /// Without the reference the same machine fools the comparison: the tests above can fail.
    #[test]
    fn without_the_reference_drift_looks_like_a_change() {
        let fooled = (0..100).filter(|&seed| {
            let (mut before, mut after) = (Machine::new(seed, NOISE), Machine::new(seed + 500, NOISE));
            after.drift = 2f64.ln();
            let (mut b, n) = (before.row(0, 1.0), after.row(0, 1.0));
            b.reference_ms.clear();
            side_by_side(&b, &n, THRESHOLD, "b").unwrap().judgement.verdict == Verdict::Slower
        });
        assert!(fooled.count() > 50);
    }

    /// The interval keeps its word where noise forgets itself within a stretch; over all samples, of which four share
    /// a reference, it would not.
    #[test]
    fn the_interval_misses_the_truth_in_1_of_100_rows() {
        let missed = |j: &Judgement| !(j.low..=j.high).contains(&1.0);
        let pairs: Vec<[Row; 2]> = (0..1000).map(|seed| runs(seed, (0.03, 0.0), 1.0)).collect();
        let rows = pairs.iter().map(|[b, n]| side_by_side(b, n, THRESHOLD, "b").unwrap().judgement);
        let wrong = rows.filter(missed).count();
        assert!(wrong <= 20, "{wrong} of 1000");
        let samples = pairs.iter().map(|[b, n]| judge(&b.steady(), &n.steady(), THRESHOLD));
        assert!(samples.filter(missed).count() > 50);
    }

    #[test]
    fn a_row_has_no_more_observations_than_references() {
        let times: Vec<f64> = (0..100).map(f64::from).collect();
        let shared = |n: usize| (0..100).map(|i| (i / n) as f64).collect::<Vec<_>>();
        assert_eq!(observations(&times, &shared(1)).len(), STRETCHES);
        assert_eq!(observations(&times, &shared(4))[..2], [1.5, 5.5]);
        assert_eq!(observations(&times, &shared(50)), [24.5, 74.5]);
        assert_eq!(observations(&times[..3], &[]), times[..3]);
        assert!(observations(&[], &[]).is_empty());
    }

    #[test]
    fn noise_that_could_hide_a_change_is_told() {
        let [faster, slower, _, noisy] = verdicts((0.4, 0.0), 1.0);
        assert!(noisy > 900 && faster + slower < 20, "faster {faster}, slower {slower}, too noisy {noisy}");
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
        Report { schema, environment, reference: Some(machine.row(0, 2.0)), rows, skipped: Vec::new() }
    }

    #[test]
    fn reports_are_matched_row_by_row() {
        let mut m = Machine::new(1, (0.01, 0.0));
        let base = report(&mut m, &[(1, 1.0), (2, 1.0), (3, 1.0)]);
        let mut new = report(&mut m, &[(2, 1.5), (3, 1.0), (4, 1.0)]);
        new.rows[1].variant = "naive".into();
        let c = compare(&base, &new, THRESHOLD, "base.json").unwrap();
        let found: Vec<_> = c.rows.iter().map(|r| (r.name.as_str(), r.judgement.verdict)).collect();
        assert_eq!(found, [("relu.forward case 2", Verdict::Slower), ("relu.forward case 3", Verdict::Same)]);
        assert_eq!((c.only_base.len(), c.only_new.len()), (1, 1));
        let e = c.expect_no_regression().unwrap_err();
        assert!(e.exit_code() == 5 && e.to_string().contains("case 2"), "{e}");
        new.rows.remove(0);
        compare(&base, &new, THRESHOLD, "base.json").unwrap().expect_no_regression().unwrap();
    }

    #[test]
    fn what_has_no_verdict_is_refused() {
        let mut m = Machine::new(1, (0.01, 0.0));
        let (base, new) = (report(&mut m, &[(1, 1.0)]), report(&mut m, &[(2, 1.0)]));
        let wrong = |base: &Report, new: &Report| compare(base, new, 0.1, "base.json").unwrap_err().to_string();
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
        assert!(compare(&base, &base, f64::NAN, "b").is_err());
    }
}

//! Is it faster? A verdict on the samples of two builds (or of two trees of shaders), with the error that it may make.
//!
//! Two things mislead a plain comparison of medians: noise within a run, and a machine that is slower today than
//! yesterday. Against the second, each sample is divided by the time of a reference kernel that no build changes (the
//! mean of one run before and one after it). Against the first, the change of the logarithm is estimated by Hodges and
//! Lehmann's median of all pairwise differences, with the distribution-free interval of Moses (Hollander & Wolfe,
//! Nonparametric Statistical Methods, 4.2 and 4.3). Outliers hardly move it, and it assumes no shape of the noise.
//!
//! The interval assumes independent observations, and samples are not independent: neighbours share a reference with
//! its noise, and a disturbance lasts longer than a sample. So a row counts as one observation for each of its turns
//! over the set ([`TURNS`] or more): the turn's centre ([`centres`]). A row without turns, from another framework, is
//! cut into as many stretches of equal length. An effect that lasts a whole run and spares the reference (for example
//! where the run's memory lies) still looks like a change.
//!
//! The verdict is *slower* (or *faster*) if the estimate is past the threshold and the interval does not contain "no
//! change". It is *same* if the interval rules out a change of twice the threshold. Otherwise it is *too noisy*.

use super::Environment;
use super::report::{Report, Row, Skipped};
use super::sampling_rule::{TURNS, centres};
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What can be said of two lists of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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

/// The smallest change that counts, by default: 10 %.
pub const THRESHOLD: f64 = 0.1;
/// The normal quantile of the interval. With independent observations the interval misses the true change in 1 of 100
/// rows.
const Z: f64 = 2.576;
/// The times of a row that may count as independent.
fn observations(times: &[f64], row: &Row) -> Vec<f64> {
    let equal = |stretches: usize| {
        let at = |i: usize| i * times.len() / stretches;
        (0..stretches).map(|i| at(i + 1) - at(i)).collect()
    };
    let turns = if row.turns.is_empty() { equal(times.len().min(TURNS)) } else { row.turns.clone() };
    centres(times, turns)
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Whether the machine's drift is cancelled. It is not if one side has no samples of the reference kernel.
    pub steady: bool,
    /// The verdict.
    #[serde(flatten)]
    pub judgement: Judgement,
}

impl Compared {
    /// Its variant, or both where they differ.
    pub fn variants(&self) -> String {
        match self.variant == self.base_variant {
            true => self.variant.clone(),
            false => format!("{} -> {}", self.base_variant, self.variant),
        }
    }
}

/// A row of the base whose case could not run in the new report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stopped {
    /// Entry, case and variant.
    pub name: String,
    /// Why it could not run.
    pub why: String,
}

/// Two reports side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What the base and the new report are called.
    pub names: [String; 2],
    /// Rows that both have, in the new report's order.
    pub rows: Vec<Compared>,
    /// Rows of the base that no longer run.
    pub stopped: Vec<Stopped>,
    /// What could not run in the new report.
    pub skipped: Vec<Skipped>,
    /// Rows that only the base has, though their cases ran.
    pub only_base: Vec<String>,
    /// Rows that only the new report has.
    pub only_new: Vec<String>,
    /// How much slower the reference kernel ran in the new report: the machine's drift.
    pub drift: Option<f64>,
    /// The threshold of the verdicts.
    pub threshold: f64,
}

/// Compares the rows of two reports of one adapter. `names` are what the user called them.
///
/// Two rows are the same if entry, case, shape, cache mode and variant are. If the base lacks a row's variant, and each
/// report has exactly one variant of it, those two are compared: another default variant is a change like any other.
pub fn compare(base: &Report, new: &Report, threshold: f64, names: [&str; 2]) -> Result<Comparison> {
    let [shown, now] = names;
    if !(threshold > 0.0 && threshold.is_finite()) {
        return Err(Error::Usage(format!("--threshold {threshold} must be above 0, such as 0.1 for 10 %")));
    }
    expect_comparable(base, &new.environment, shown)?;
    let (old, fresh) = (grouped(base, shown)?, grouped(new, now)?);
    let (rows, stopped, only_base, only_new) = (vec![], vec![], vec![], vec![]);
    let (drift, skipped) = (drift(base, new), new.skipped.clone());
    let mut c =
        Comparison { names: names.map(String::from), rows, stopped, skipped, only_base, only_new, drift, threshold };
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
        for gone in rows.iter().filter(|b| !alone && there.iter().all(|f| f.variant != b.variant)) {
            match new.skipped.iter().find(|s| s.op == gone.op && s.case == gone.case) {
                Some(s) => c.stopped.push(Stopped { name: shown_name(gone), why: s.why.clone() }),
                None => c.only_base.push(shown_name(gone)),
            }
        }
    }
    if c.rows.is_empty() && c.stopped.is_empty() {
        return Err(no_row_in_common(names, new.skipped.first()));
    }
    Ok(c)
}

/// The error for two reports without a common row. `skipped` may be the reason.
pub fn no_row_in_common([base, new]: [&str; 2], skipped: Option<&Skipped>) -> Error {
    let first = skipped.map(|s| format!("; {} {} was skipped: {}", s.op, s.case, s.why)).unwrap_or_default();
    Error::Usage(format!("{base} and {new} have no row in common; give both the same set{first}"))
}

/// An error if no report from the environment `here` can be compared with `base`. It checks all that is known before
/// anything is measured.
pub fn expect_comparable(base: &Report, here: &Environment, shown: &str) -> Result<()> {
    here.expect_same_device(&base.environment, shown)?;
    here.expect_same_checks(&base.environment, shown)?;
    grouped(base, shown).map(drop)
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
    // If one side has no reference, milliseconds would be compared with ratios.
    let steady = !base.reference_ms.is_empty() && !new.reference_ms.is_empty();
    let of = |r: &Row| match steady {
        true => observations(&r.steady(), r),
        false => observations(&r.samples_ms, r),
    };
    Ok(Compared {
        name: new.name(),
        base_variant: base.variant.clone(),
        variant: new.variant.clone(),
        base_ms: base.ms().median,
        ms: new.ms().median,
        steady,
        judgement: judge(&of(base), &of(new), threshold),
    })
}

/// What identifies a row, apart from its variant.
pub(super) type Place<'a> = (&'a str, &'a str, &'a str, &'static str);

/// The place of a row.
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
    /// An error with exit code 5 if any row became slower or no longer runs.
    pub fn expect_no_regression(&self) -> Result<()> {
        let slower: Vec<&Compared> = self.rows.iter().filter(|r| r.judgement.verdict == Verdict::Slower).collect();
        let worst = slower.iter().max_by(|a, b| a.judgement.ratio.total_cmp(&b.judgement.ratio)).map(|worst| {
            format!(
                "{} of {} rows are slower by more than {:.0} %; the worst is {}: {:.2} times its base",
                slower.len(),
                self.rows.len(),
                100.0 * self.threshold,
                worst.name,
                worst.judgement.ratio
            )
        });
        let stopped = self.stopped.first().map(|first| {
            let n = self.stopped.len();
            format!("{n} rows of the base no longer run; the first is {}: {}", first.name, first.why)
        });
        let what: Vec<String> = stopped.into_iter().chain(worst).collect();
        if what.is_empty() { Ok(()) } else { Err(Error::Regression(what.join("; "))) }
    }

    /// The line of a row of the new report.
    pub fn of(&self, row: &Row) -> Option<&Compared> {
        self.rows.iter().find(|r| r.variant == row.variant && r.name == row.name())
    }

    /// How many rows have a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|r| r.judgement.verdict == verdict).count()
    }
}

#[cfg(test)]
mod guards;

#[cfg(test)]
mod tests;

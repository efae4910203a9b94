//! What the report's tests compare: runs that differ in one thing, paired by dataset, backbone and seed.
//!
//! Of noise only rates count at which labels still say something of the truth: beyond the rate that `no_signal` names, a
//! mean would hide where a method breaks down.

use super::read::{Run, Study};
use crate::base::Result;
use crate::noise::NoiseKind;
use crate::ssl;
use crate::study::statistics::{ALPHA, Interval, TooFew, mean, pair, signed_rank, student, student_over_strata};
use std::collections::{BTreeMap, BTreeSet};

/// Which side of a comparison a run is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Theirs,
}

/// The two sides of a comparison with one seed: test accuracy in percent, each the mean over what both have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SeedPair {
    pub ours: f64,
    pub theirs: f64,
}

/// A comparison on one dataset, by seed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stratum {
    pub dataset: String,
    pub seeds: Vec<SeedPair>,
}

impl Stratum {
    /// Ours less theirs in points, by seed.
    pub fn differences(&self) -> Vec<f64> {
        self.seeds.iter().map(|s| s.ours - s.theirs).collect()
    }

    /// The accuracies of one side, by seed.
    pub fn side(&self, side: Side) -> Vec<f64> {
        self.seeds.iter().map(|s| if side == Side::Ours { s.ours } else { s.theirs }).collect()
    }
}

/// Of each kind of noise and number of classes the rate from which on labels say nothing of the truth, where it has one.
pub(super) struct Signal(Vec<(String, usize, Option<f64>)>);

impl Signal {
    pub fn of(study: &Study) -> Result<Self> {
        let mut all: Vec<(String, usize, Option<f64>)> = Vec::new();
        for r in study.runs.iter().map(|r| &r.result) {
            if all.iter().any(|(kind, classes, _)| (kind, classes) == (&r.noise_kind, &r.classes)) {
                continue;
            }
            // The runs may be another program's, which knows other kinds.
            let rate = match r.noise_kind.parse::<NoiseKind>() {
                Ok(kind) => kind.make(&study.config.noise.of(kind))?.no_signal(r.classes),
                Err(_) => None,
            };
            all.push((r.noise_kind.clone(), r.classes, rate));
        }
        Ok(Signal(all))
    }

    /// Whether a run's labels are noisy and still say something.
    pub fn noisy(&self, run: &Run) -> bool {
        let of =
            |(kind, classes, _): &&(String, usize, _)| (kind, classes) == (&run.result.noise_kind, &run.result.classes);
        let end = self.0.iter().find(of).and_then(|(_, _, end)| *end);
        !run.level.is_clean() && end.is_none_or(|end| run.level.rate.is_none_or(|rate| rate < end))
    }
}

/// What else two runs must share: the backbone, the method or protocol, and the noise.
pub(super) fn shared(run: &Run) -> String {
    format!("{}/{}/{}", run.result.backbone, run.result.method, level(run))
}

/// A noise level as a key.
pub(super) fn level(run: &Run) -> String {
    let rate = run.level.rate.map_or("any".to_string(), |rate| rate.to_string());
    format!("{} {rate}", run.level.kind)
}

/// Both sides of each dataset and seed. `side` says of a run on which side it is, and what must be equal beside dataset and
/// seed; runs without a partner do not count.
pub(super) fn compare(study: &Study, side: &dyn Fn(&Run) -> Option<(Side, String)>) -> Vec<Stratum> {
    type Scores = Vec<(String, f64)>;
    let mut all: BTreeMap<(&str, u64), (Scores, Scores)> = BTreeMap::new();
    for run in &study.runs {
        let Some((side, key)) = side(run) else { continue };
        let (ours, theirs) = all.entry((&run.result.dataset, run.result.seed)).or_default();
        let to = if side == Side::Ours { ours } else { theirs };
        to.push((key, run.result.test_accuracy * 100.0));
    }
    let of_seed = |(ours, theirs): &(Scores, Scores)| {
        let both = pair(ours, theirs).both;
        let of = |value: fn(&(String, f64, f64)) -> f64| mean(&both.iter().map(value).collect::<Vec<_>>());
        (!both.is_empty()).then(|| SeedPair { ours: of(|b| b.1), theirs: of(|b| b.2) })
    };
    let of_set = |dataset: &String| {
        let seeds: Vec<SeedPair> =
            all.iter().filter(|((of, _), _)| of == dataset).filter_map(|(_, both)| of_seed(both)).collect();
        (!seeds.is_empty()).then(|| Stratum { dataset: dataset.clone(), seeds })
    };
    study.datasets.iter().filter_map(|(dataset, _)| of_set(dataset)).collect()
}

/// What `pretraining` gains over `other` in the runs that are kept.
pub(super) fn gains(study: &Study, pretraining: &str, other: &str, kept: &dyn Fn(&Run) -> bool) -> Vec<Stratum> {
    compare(study, &|run| {
        let side = match run.result.pretraining.as_str() {
            name if name == pretraining => Side::Ours,
            name if name == other => Side::Theirs,
            _ => return None,
        };
        kept(run).then(|| (side, shared(run)))
    })
}

/// The pretrainings that were run beside random weights.
pub(super) fn pretrainings(study: &Study) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = study.runs.iter().map(|r| &r.result.pretraining);
    all.filter(|p| *p != ssl::NONE && seen.insert((*p).clone())).cloned().collect()
}

/// Of the pretrainings those that were run on every backbone that random weights were run on, and the others. A mean over
/// all runs compares only the first with each other.
pub(super) fn everywhere(study: &Study) -> (Vec<String>, Vec<String>) {
    let of = |name: &str| -> BTreeSet<&str> {
        let runs = study.runs.iter().filter(|r| r.result.pretraining == name);
        runs.map(|r| r.result.backbone.as_str()).collect()
    };
    let random = of(ssl::NONE);
    pretrainings(study).into_iter().partition(|name| of(name).is_superset(&random))
}

/// The differences of each stratum.
pub(super) fn differences(strata: &[Stratum]) -> Vec<Vec<f64>> {
    strata.iter().map(Stratum::differences).collect()
}

/// A mean difference with what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Effect {
    /// The mean over datasets of the means over seeds.
    pub mean: f64,
    /// Student's interval: over the seeds of these datasets, or over datasets where one has a single seed.
    pub interval: Result<Interval, TooFew>,
    /// The two-sided p of Wilcoxon's test of the same values.
    pub p: Result<f64, TooFew>,
    /// How many values were tested, and what they are.
    pub pairs: usize,
    /// Whether they are datasets, not seeds of datasets.
    pub over_datasets: bool,
}

impl Effect {
    /// Of none there is no effect. `tests` is how many such effects are tested at once.
    pub fn of(strata: &[Stratum], tests: usize) -> Option<Self> {
        let values = differences(strata);
        let means: Vec<f64> = values.iter().map(|v| mean(v)).collect();
        let over_datasets = values.len() > 1 && values.iter().any(|v| v.len() < 2);
        let tested = if over_datasets { means.clone() } else { values.concat() };
        let interval = if over_datasets { student(&means) } else { student_over_strata(&values) };
        (!values.is_empty()).then(|| Effect {
            mean: mean(&means),
            interval: interval.map(|e| e.interval),
            p: signed_rank(&tested, ALPHA / tests.max(1) as f64).map(|t| t.p),
            pairs: tested.len(),
            over_datasets,
        })
    }

    /// Whether the sign is known: the interval leaves out 0 and `p`, adjusted where several are tested, is below the level.
    pub fn is_known(&self, p: f64) -> bool {
        self.interval.as_ref().is_ok_and(|i| !i.spans_zero()) && p < ALPHA
    }
}

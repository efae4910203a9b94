//! Finds the fastest variant of an op on an adapter: the race between candidates, and the table that keeps the results.
//!
//! A race takes interleaved samples, one of each candidate in a round, so that a machine that becomes slower affects
//! all of them alike. A candidate whose best time is far behind leaves early. A result holds a checksum of its
//! candidates' text, so that edited kernels race again.

use crate::base::hash::Hasher;
use crate::base::{Error, Result, files, seal};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a race may take, and when a candidate leaves it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// The most rounds. Each takes one sample of every candidate that is left.
    pub rounds: usize,
    /// After this time no further round begins. There is always one round.
    pub limit: Duration,
    /// A candidate leaves when its best sample is more than this many times the best candidate's.
    pub behind: f64,
    /// A later candidate wins only if its median is below this share of an earlier one's. Candidates come in the order
    /// that is expected of the adapter, and noise should not change that order.
    pub margin: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { rounds: 9, limit: Duration::from_secs(3), behind: 1.5, margin: 0.97 }
    }
}

/// The samples of a race, and the winner.
#[derive(Clone, Debug, PartialEq)]
pub struct Race {
    /// Index of the winner.
    pub winner: usize,
    /// Indices of the candidates that ran to the end, the winner among them.
    pub left: Vec<usize>,
    /// Samples of each candidate, ms. Candidates that left early have fewer.
    pub samples_ms: Vec<Vec<f64>>,
}

/// Runs a race between `candidates`. `sample(i)` times candidate `i` once, in ms.
pub fn race(candidates: usize, rules: &Rules, mut sample: impl FnMut(usize) -> Result<f64>) -> Result<Race> {
    if candidates == 0 {
        return Err(Error::Failed("a race needs a candidate".into()));
    }
    let started = Instant::now();
    let mut samples_ms = vec![Vec::new(); candidates];
    let mut left: Vec<usize> = (0..candidates).collect();
    for round in 0..rules.rounds.max(1) {
        // Each round starts with another candidate, because the first one after a pause is slower.
        let from = round % left.len();
        for at in 0..left.len() {
            let i = left[(from + at) % left.len()];
            let ms: f64 = sample(i)?;
            samples_ms[i].push(ms);
        }
        let best = |i: usize| samples_ms[i].iter().copied().fold(f64::INFINITY, f64::min);
        let leader = left.iter().map(|&i| best(i)).fold(f64::INFINITY, f64::min);
        // A single sample may have been disturbed. So only a hopeless candidate leaves after one, and the first
        // candidate, which is expected to win, never does.
        let early = |i: usize| round < 2 && (i == 0 || best(i) <= 4.0 * leader * rules.behind);
        left.retain(|&i| best(i) <= leader * rules.behind || early(i));
        if left.len() <= 1 || started.elapsed() > rules.limit {
            break;
        }
    }
    let mut winner = left.first().copied().unwrap_or(0);
    for &i in left.iter().skip(1) {
        if median(&samples_ms[i]) < rules.margin * median(&samples_ms[winner]) {
            winner = i;
        }
    }
    Ok(Race { winner, left, samples_ms })
}

/// The median of the samples. Infinity if there are none.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    if sorted.is_empty() { f64::INFINITY } else { (sorted[low] + sorted[high]) / 2.0 }
}

/// The result for an op at one size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedOp {
    /// The variant to run.
    pub variant: String,
    /// Checksum of the text of every candidate.
    pub checksum: String,
    /// Median of each candidate that ran and gave the right values, ms.
    pub median_ms: BTreeMap<String, f64>,
    /// The samples of each candidate, in ms, in the order of the rounds. A candidate that left the race early has
    /// fewer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub samples_ms: BTreeMap<String, Vec<f64>>,
    /// Where times could not be told apart and a compiler's figures decided: which, of the winner and of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tie: Option<String>,
    /// What the model of flops and bytes expected of each candidate before the race, in ms, where it knows all its kernels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub estimate_ms: BTreeMap<String, f64>,
    /// For each candidate that was not allowed to win, the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
}

/// The version of the names of ops in a table. It is raised whenever the meaning of a name changes, so that no table is
/// misread. Tables without it were written when ops were named by their printed form.
pub const KEYS: u32 = 2;

/// Results on one adapter with one driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// [`KEYS`] of the program that tuned it; 0 if it does not say.
    #[serde(default)]
    pub keys: u32,
    /// The name of the adapter.
    pub adapter: String,
    /// The name and version of the driver.
    pub driver: String,
    /// The results by op, its constants and the bucket of its shapes.
    pub entries: BTreeMap<String, TunedOp>,
}

impl Default for Table {
    fn default() -> Self {
        Table::new("", "")
    }
}

impl Table {
    /// An empty table of an adapter.
    pub fn new(adapter: &str, driver: &str) -> Self {
        Table { keys: KEYS, adapter: adapter.into(), driver: driver.into(), entries: BTreeMap::new() }
    }

    /// The table in `path`; `None` if there is no such file. It is an error if the file cannot be read (the message
    /// ends with the caller's way out), or if it belongs to another adapter, driver or version of [`KEYS`].
    pub fn load(path: &Path, adapter: &str, driver: &str, way_out: &str) -> Result<Option<Table>> {
        if !path.exists() {
            return Ok(None);
        }
        let shown = path.display();
        let table = Table::parse(&files::read_text(path)?)
            .map_err(|why| Error::damaged(path, format!("{why}, so it is not a table of kernels"), way_out))?;
        if table.keys != KEYS {
            return Err(Error::Usage(format!(
                "{shown} was tuned by another version of wgslab, which named ops in another way; move it aside and tune \
                 again (runs that began with it go on only with that version; take another --out for new ones)"
            )));
        }
        if table.adapter != adapter || table.driver != driver {
            return Err(Error::Usage(format!(
                "{shown} was tuned on {} ({}), but this is {adapter} ({driver}); take that adapter, or remove the file \
                 to tune again",
                table.adapter, table.driver
            )));
        }
        Ok(Some(table))
    }

    /// Reads a table. A table that a user wrote or changed needs no checksum.
    fn parse(text: &str) -> Result<Table, String> {
        let object: Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if object.contains_key(seal::CHECKSUM) {
            return seal::parse(text).map_err(|why| format!("{why} (if you changed it, remove the key \"checksum\")"));
        }
        serde_json::from_value(object.into()).map_err(|e| e.to_string())
    }

    /// Writes the table, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        seal::write(path, self)
    }

    /// The variant to run for `key`, if there was a race for it.
    pub fn variant(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|e| e.variant.as_str())
    }

    /// A hash of the winners, which differs between different tables. Times do not count.
    pub fn hash(&self) -> String {
        let mut hash = Hasher::new();
        for (key, entry) in &self.entries {
            hash.update(key);
            hash.update(&entry.variant);
        }
        hash.short()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// A race between candidates with these true times. Noise and the machine's drift slow each sample.
    fn simulated(times: &[f64], seed: u64) -> Race {
        let (mut rng, mut drift) = (Rng::new(seed, 0, 0), 1.0);
        race(times.len(), &Rules::default(), |i| {
            drift *= 1.0 + 0.05 * rng.normal() as f64;
            Ok(times[i] * drift * (1.0 + 0.03 * (rng.normal() as f64).abs()))
        })
        .unwrap()
    }

    #[test]
    fn the_fastest_wins_however_the_machine_drifts() {
        for seed in 0..100 {
            assert_eq!(simulated(&[2.0, 1.0, 1.6], seed).winner, 1, "seed {seed}");
        }
    }

    #[test]
    fn equal_candidates_keep_their_order() {
        let firsts = (0..100).filter(|&seed| simulated(&[1.0, 1.0], seed).winner == 0).count();
        assert!(firsts >= 75, "{firsts}");
    }

    #[test]
    fn one_disturbed_sample_loses_no_race() {
        let mut samples = [0; 2];
        let race = race(2, &Rules::default(), |i| {
            samples[i] += 1;
            Ok(if (i, samples[i]) == (0, 1) { 30.0 } else { [1.0, 1.4][i] })
        });
        assert_eq!(race.unwrap().winner, 0);
    }

    #[test]
    fn a_slow_candidate_leaves_after_one_sample() {
        let race = simulated(&[1.0, 50.0, 1.0], 7);
        assert_eq!(race.samples_ms[1].len(), 1);
        assert_eq!(race.samples_ms[0].len(), Rules::default().rounds);
    }

    #[test]
    fn a_table_belongs_to_one_adapter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kernels.json");
        assert_eq!(Table::load(&path, "a", "1", "tune again").unwrap(), None);
        let mut table = Table::new("a", "1");
        let median_ms = BTreeMap::from([("naive".to_string(), 1.5)]);
        let entry = TunedOp { variant: "naive".into(), checksum: "c".into(), median_ms, ..TunedOp::default() };
        table.entries.insert("k".into(), entry);
        table.save(&path).unwrap();
        assert_eq!(Table::load(&path, "a", "1", "tune again").unwrap(), Some(table.clone()));
        assert!(Table::load(&path, "a", "2", "tune again").unwrap_err().to_string().contains("a (1)"));
        std::fs::write(&path, "{").unwrap();
        assert!(Table::load(&path, "a", "1", "tune again").unwrap_err().to_string().contains("tune again"));
        table.save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap().replace("\"naive\"", "\"tiled\"");
        std::fs::write(&path, &text).unwrap();
        let e = Table::load(&path, "a", "1", "tune again").unwrap_err();
        assert!(matches!(e, Error::Damaged { .. }) && e.to_string().contains("checksum"), "{e}");
        let own: String = text.lines().filter(|l| !l.contains("\"checksum\": \"") || l.contains("\"c\"")).collect();
        std::fs::write(&path, own.replace(",}", "}")).unwrap();
        assert_eq!(Table::load(&path, "a", "1", "tune again").unwrap().unwrap().variant("k"), Some("tiled"));
        std::fs::write(&path, "{\"adapter\": \"a\", \"driver\": \"1\", \"entries\": {}}").unwrap();
        let e = Table::load(&path, "a", "1", "tune again").unwrap_err(); // as written before KEYS
        assert!(e.exit_code() == 2 && e.to_string().contains("named ops in another way"), "{e}");
        let before = table.hash();
        table.entries.get_mut("k").unwrap().median_ms.clear();
        assert_eq!(table.hash(), before, "times must not change the hash");
        table.entries.get_mut("k").unwrap().variant = "tiled".into();
        assert_ne!(table.hash(), before);
    }
}

//! What ran a cell: program, adapter, driver, table of kernels, edited shaders. Cells that differ in it are not averaged, because part of
//! their difference may be its.

use super::provenance::Provenance;
use super::results::CellResult;
use crate::base::text::counted;
use std::collections::BTreeMap;

/// What ran a cell. Two cells with the same settings, data and origin have the same bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    wgslab: String,
    results_version: u32,
    adapter: String,
    driver: String,
    backend: String,
    kernel_table: String,
    shaders: String,
}

impl Origin {
    pub fn of(row: &CellResult) -> Origin {
        Origin {
            wgslab: row.wgslab.clone(),
            results_version: row.results_version,
            adapter: row.adapter.clone(),
            driver: row.driver.clone(),
            backend: row.backend.clone(),
            kernel_table: row.kernel_table.clone(),
            shaders: row.shaders.clone(),
        }
    }

    /// The origin of a stage, without the table and the shaders, which its hash of kernels holds.
    pub fn of_made(made: &Provenance) -> Origin {
        Origin {
            wgslab: made.wgslab.clone(),
            results_version: made.results,
            adapter: made.adapter.clone(),
            driver: made.driver.clone(),
            backend: made.backend.clone(),
            kernel_table: String::new(),
            shaders: String::new(),
        }
    }

    /// The origin in words.
    pub fn words(&self) -> String {
        let known = |text: &str| if text.is_empty() { "unknown".to_string() } else { text.to_string() };
        let table = match self.kernel_table.as_str() {
            "" => "no table of kernels".to_string(),
            hash => format!("the table of kernels {hash}"),
        };
        let edited = match self.shaders.as_str() {
            "" => String::new(),
            hash => format!(" and the edited shaders {hash}"),
        };
        format!(
            "wgslab {} (results {}) on {} (driver {}, {}) with {table}{edited}",
            known(&self.wgslab),
            self.results_version,
            known(&self.adapter),
            known(&self.driver),
            known(&self.backend)
        )
    }

    /// In what two origins differ, in words. Empty if they are the same.
    pub fn differences(&self, other: &Origin) -> Vec<String> {
        let version = |o: &Origin| format!("{} (results {})", o.wgslab, o.results_version);
        let each = [
            ("program", version(self), version(other)),
            ("adapter", self.adapter.clone(), other.adapter.clone()),
            ("driver", self.driver.clone(), other.driver.clone()),
            ("backend", self.backend.clone(), other.backend.clone()),
            ("table of kernels", self.kernel_table.clone(), other.kernel_table.clone()),
            ("edited shaders", self.shaders.clone(), other.shaders.clone()),
        ];
        let shown = |text: &str| if text.is_empty() { "none".to_string() } else { text.to_string() };
        let differ = each.into_iter().filter(|(_, a, b)| a != b);
        differ.map(|(what, a, b)| format!("{what}: {} and {}", shown(&a), shown(&b))).collect()
    }
}

/// Comparisons of two stages.
impl Provenance {
    /// In what differs what ran two stages: program, kernels, adapter, driver.
    pub fn ran_by_different(&self, other: &Provenance) -> Vec<String> {
        let mut all = Origin::of_made(self).differences(&Origin::of_made(other));
        // This hash is of what the stage launches of a tuned table and of edited shaders, so that neither is compared whole.
        if self.kernels != other.kernels {
            all.push(format!("kernels: {} and {}", self.kernels, other.kernels));
        }
        all
    }

    /// In what differs what two stages were made from: settings, data, and the backbone that they start from, if the same
    /// ran both.
    pub fn made_from_different(&self, other: &Provenance) -> Vec<String> {
        let ran_by_same = self.ran_by_different(other).is_empty();
        let each = [
            ("settings", self.settings != other.settings),
            ("data", self.data_fingerprint != other.data_fingerprint),
            ("the backbone that it starts from", ran_by_same && self.start != other.start),
        ];
        each.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what.to_string()).collect()
    }
}

/// The origin of most rows, the first of equals, and a sentence for each other one with the number of its rows.
pub(super) fn main_origin<'a>(rows: impl Iterator<Item = &'a CellResult>) -> (Option<Origin>, Vec<String>) {
    let mut counts: BTreeMap<Origin, (usize, usize)> = BTreeMap::new();
    for (at, row) in rows.enumerate() {
        counts.entry(Origin::of(row)).or_insert((0, at)).0 += 1;
    }
    let most = counts.iter().max_by_key(|(_, (n, first))| (*n, usize::MAX - first)).map(|(origin, _)| origin.clone());
    let others = counts.iter().filter(|(origin, _)| Some(*origin) != most.as_ref());
    let sentence =
        |(origin, (n, _)): (&Origin, &(usize, usize))| format!("{}: {}", counted(*n, "cell"), origin.words());
    let apart = others.map(sentence).collect();
    (most, apart)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::results::tests::sample;
    use crate::study::{Config, cells};

    #[test]
    fn the_most_rows_stand_together_and_the_others_are_told() {
        let grid = cells(&Config::parse("t", "").unwrap());
        let row = |driver: &str, table: &str| {
            let (driver, kernel_table) = (driver.to_string(), table.to_string());
            CellResult { driver, kernel_table, ..sample(&grid[0], 0.5) }
        };
        let rows = [row("b", ""), row("a", ""), row("a", ""), row("a", "0a")];
        let (main, apart) = main_origin(rows.iter());
        assert_eq!(main, Some(Origin::of(&rows[1])));
        assert_eq!(apart.len(), 2);
        assert!(apart.iter().any(|s| s.starts_with("1 cell: ") && s.contains("the table of kernels 0a")), "{apart:?}");
        assert_eq!(main_origin(rows[..2].iter()).0, Some(Origin::of(&rows[0])), "of equals the first");
        assert!(main_origin(rows[1..3].iter()).1.is_empty());
        assert_eq!(main_origin([].iter()), (None, vec![]));
        let said = Origin::of(&rows[0]).differences(&Origin::of(&rows[3]));
        assert_eq!(said, ["driver: b and a", "table of kernels: none and 0a"]);
        let edited = CellResult { shaders: "5b".into(), ..row("a", "") };
        let (main, apart) = main_origin(rows[1..3].iter().chain([&edited]));
        assert_eq!((main, apart.len()), (Some(Origin::of(&rows[1])), 1));
        assert!(apart[0].ends_with("no table of kernels and the edited shaders 5b"), "{apart:?}");
        assert_eq!(Origin::of(&rows[1]).differences(&Origin::of(&edited)), ["edited shaders: none and 5b"]);
    }
}

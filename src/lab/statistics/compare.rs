//! Two tables side by side: is a kernel better or worse for an edit? No time is measured, so nothing here is noise.

use super::asked::Asked;
use super::{Row, SCHEMA, Subject, Table};
use crate::base::{Error, Result, files};
use crate::device::Tree;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a change is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The first figure that differs is better.
    Better,
    /// The first figure that differs is worse.
    Worse,
    /// No figure differs.
    Same,
}

/// A row of both tables.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Change {
    /// Before.
    pub base: Row,
    /// Now.
    pub row: Row,
    /// The verdict.
    pub verdict: Verdict,
    /// The figure that decided, before and now; `None` where none differs.
    pub by: Option<(&'static str, Option<u64>, Option<u64>)>,
}

/// A figure by its name, and whether more of it is better.
type Figure = (&'static str, bool, fn(&Row) -> Option<u64>);

/// The figures that decide, the weightiest first: a spill is always worse, fewer waves hide less latency, then the
/// compiler's own estimates, then what costs little.
const FIGURES: [Figure; 7] = [
    ("spills", false, |r| r.spills),
    ("waves", true, |r| r.waves),
    ("inverse throughput", false, |r| r.inverse_throughput),
    ("latency", false, |r| r.latency),
    ("instructions", false, |r| r.instructions),
    ("registers", false, |r| r.registers),
    ("workgroup bytes", false, |r| r.workgroup_bytes),
];

/// The columns of [`Table::csv`]: [`Row::key`], the shares, [`FIGURES`], and those of the loop with the most multiply-adds.
const COLUMNS: [&str; 19] = [
    "entry",
    "variant",
    "case",
    "kernel",
    "family",
    "flops_percent",
    "bytes_percent",
    "spills",
    "waves",
    "inverse_throughput",
    "latency",
    "instructions",
    "registers",
    "workgroup_bytes",
    "fma_percent",
    "loads_per_fma",
    "waits",
    "round_trips",
    "failed",
];

/// Judges a row by the first figure that both have and that differs. A kernel that no longer compiles is worse.
pub fn judge(base: &Row, row: &Row) -> Change {
    let change = |verdict, by| Change { base: base.clone(), row: row.clone(), verdict, by };
    match (base.failed.is_some(), row.failed.is_some()) {
        (false, true) => return change(Verdict::Worse, Some(("compiles", Some(1), Some(0)))),
        (true, false) => return change(Verdict::Better, Some(("compiles", Some(0), Some(1)))),
        _ => {}
    }
    for (name, more, figure) in FIGURES {
        if let (Some(before), Some(now)) = (figure(base), figure(row))
            && before != now
        {
            let verdict = if (now > before) == more { Verdict::Better } else { Verdict::Worse };
            return change(verdict, Some((name, Some(before), Some(now))));
        }
    }
    change(Verdict::Same, None)
}

/// What an edit does to each of `subjects`, whose rows of the built-in text are `base`.
pub fn of_edit(compiler: &mut Asked, subjects: &[Subject], base: &[Row], edited: &Tree) -> Result<Vec<Change>> {
    let now = super::ask(compiler, subjects, edited, |_| Ok(()))?;
    Ok(base.iter().zip(&now).map(|(base, now)| judge(base, now)).collect())
}

/// Every row that both tables have, and the number of rows of `table` that `base` lacks.
///
/// # Errors
/// [`Error::Usage`] where a family was compiled by another driver, whose figures are not comparable, or where no row is
/// in both.
pub fn compare(base: &Table, table: &Table) -> Result<(Vec<Change>, usize)> {
    for (family, driver) in &table.drivers {
        if let Some(before) =
            base.drivers.get(family).filter(|d| (&d.device, &d.driver) != (&driver.device, &driver.driver))
        {
            return Err(Error::Usage(format!(
                "the base was compiled for {family} by {} and this by {}; figures of two compilers say nothing of an edit",
                before.driver, driver.driver
            )));
        }
    }
    let of = |row: &Row| base.rows.iter().find(|b| b.key() == row.key());
    let changes: Vec<Change> = table.rows.iter().filter_map(|row| Some(judge(of(row)?, row))).collect();
    if changes.is_empty() {
        return Err(Error::Usage("no kernel of this table is in the base; name the same kernels and families".into()));
    }
    let new = table.rows.len() - changes.len();
    Ok((changes, new))
}

impl Table {
    /// Writes the table as JSON.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::Failed(e.to_string()))?;
        files::write_atomic(path, (text + "\n").as_bytes())
    }

    /// The rows for a spreadsheet, without what differs from run to run: a driver gives the same text each time.
    pub fn csv(&self) -> Result<String> {
        let failed = |e: String| Error::Failed(format!("the table as CSV: {e}"));
        let mut to = csv::Writer::from_writer(Vec::new());
        to.write_record(COLUMNS).map_err(|e| failed(e.to_string()))?;
        for r in &self.rows {
            let main = r.main_loop().map(|l| l.counts);
            let of = |value: Option<String>| value.unwrap_or_default();
            let rounded = |value: Option<f64>| of(value.map(|v| format!("{v:.1}")));
            let mut cells = r.key().map(String::from).to_vec();
            cells.extend([r.share.map(|s| s.flops), r.share.map(|s| s.bytes)].map(rounded));
            cells.extend(FIGURES.map(|(_, _, figure)| of(figure(r).map(|v| v.to_string()))));
            cells.push(rounded(main.and_then(|c| c.fma_share()).map(|s| 100.0 * s)));
            cells.push(of(main.and_then(|c| c.loads_per_fma()).map(|l| format!("{l:.3}"))));
            cells.extend([main.map(|c| c.waits), main.map(|c| c.round_trips)].map(|n| of(n.map(|n| n.to_string()))));
            cells.push(of(r.failed.clone()));
            to.write_record(cells).map_err(|e| failed(e.to_string()))?;
        }
        let bytes = to.into_inner().map_err(|e| failed(e.to_string()))?;
        String::from_utf8(bytes).map_err(|e| failed(e.to_string()))
    }

    /// Reads a table that [`Table::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Data`] where it is another file.
    pub fn load(path: &Path) -> Result<Table> {
        let bad = |why: String| {
            Error::Data(format!("{} is no table that `wgslab kernels stats --json` wrote: {why}", path.display()))
        };
        let table: Table = serde_json::from_str(&files::read_text(path)?).map_err(|e| bad(e.to_string()))?;
        if table.schema != SCHEMA {
            return Err(bad(format!("its schema is {}, not {SCHEMA}", table.schema)));
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::statistics::Driver;
    use std::collections::BTreeMap;

    fn row(spills: u64, waves: u64, inverse_throughput: u64) -> Row {
        Row {
            entry: "conv2d.forward".into(),
            variant: "tiled_64".into(),
            case: "3x3".into(),
            kernel: "conv2d.forward".into(),
            family: "gfx1100".into(),
            registers: Some(96),
            spills: Some(spills),
            workgroup_bytes: Some(4096),
            waves: Some(waves),
            instructions: Some(1000),
            latency: Some(9000),
            inverse_throughput: Some(inverse_throughput),
            compile_ms: Some(3.0),
            counts: None,
            loops: Vec::new(),
            share: None,
            statistics: BTreeMap::new(),
            failed: None,
        }
    }

    #[test]
    fn a_spill_is_worse_whatever_else_became_better() {
        let judged = judge(&row(0, 8, 5000), &row(1, 16, 2000));
        assert_eq!((judged.verdict, judged.by), (Verdict::Worse, Some(("spills", Some(0), Some(1)))));
        assert_eq!(judge(&row(0, 8, 5000), &row(0, 16, 6000)).verdict, Verdict::Better, "more waves are better");
        assert_eq!(judge(&row(0, 8, 5000), &row(0, 8, 5001)).verdict, Verdict::Worse);
        assert_eq!(judge(&row(0, 8, 5000), &row(0, 8, 5000)).verdict, Verdict::Same);
        let refused = Row { failed: Some("no".into()), spills: None, waves: None, ..row(0, 8, 1) };
        assert_eq!(judge(&row(9, 1, 9000), &refused).verdict, Verdict::Worse);
        assert_eq!(judge(&refused, &row(9, 1, 9000)).verdict, Verdict::Better);
    }

    #[test]
    fn tables_of_two_compilers_are_not_compared() {
        let table = |driver: &str, rows: Vec<Row>| {
            let driver = Driver { device: "AMD".into(), driver: driver.into(), cooperative: Vec::new() };
            Table { schema: SCHEMA.into(), drivers: BTreeMap::from([("gfx1100".into(), driver)]), rows }
        };
        let base = table("radv Mesa 22.3.6", vec![row(0, 8, 5000)]);
        let (changes, new) = compare(&base, &table("radv Mesa 22.3.6", vec![row(0, 8, 4000)])).unwrap();
        assert_eq!((changes[0].verdict, new), (Verdict::Better, 0));
        let e = compare(&base, &table("radv Mesa 25.0.7", vec![row(0, 8, 4000)])).unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("25.0.7"), "{e}");
        let other = Row { case: "1x1".into(), ..row(0, 8, 5000) };
        assert!(compare(&base, &table("radv Mesa 22.3.6", vec![other])).is_err());
    }

    #[test]
    fn a_table_comes_back_and_another_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.json");
        let table = Table { schema: SCHEMA.into(), drivers: BTreeMap::new(), rows: vec![row(0, 8, 5000)] };
        table.save(&path).unwrap();
        assert_eq!(Table::load(&path).unwrap(), table);
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace(SCHEMA, "wgslab-statistics/0")).unwrap();
        assert_eq!(Table::load(&path).unwrap_err().exit_code(), 4);
        std::fs::write(&path, "[]").unwrap();
        assert!(Table::load(&path).unwrap_err().to_string().contains("kernels stats --json"));
    }
}

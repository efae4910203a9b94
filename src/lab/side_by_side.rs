//! Lays reports of other frameworks or machines beside ours. Two rows are the same if entry, case, shape and cache mode
//! are; variants may differ. The ratio is their median time over ours, `times = ms_theirs / ms_ours`: 2 means that
//! wgslab takes half as long. The ratios of an entry are averaged as `exp(mean(ln times))`, in which twice as fast and
//! half as fast cancel (Fleming and Wallace 1986, How not to lie with statistics).
//!
//! There is no verdict here, since the devices may differ. [`super::compare`] judges two runs on the same device.

use super::compare::{Place, place};
use super::report::{Report, Row};
use super::spread::figures;
use crate::base::{Error, Result};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// A report to lay beside ours.
#[derive(Clone, Debug)]
pub struct OtherReport {
    /// What its columns are called: the file's name.
    pub label: String,
    /// Its rows.
    pub report: Report,
}

/// The same row elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Beside {
    /// Its variant.
    pub variant: String,
    /// Its median, ms.
    pub ms: f64,
    /// Its median over ours.
    pub times: f64,
    /// Whether its samples had not settled.
    pub noisy: bool,
}

/// A row of ours with what the others took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// `<op>.<entry>`.
    pub entry: String,
    /// The case.
    pub case: String,
    /// Our variant.
    pub variant: String,
    /// Our median, ms.
    pub ms: f64,
    /// Whether our samples had not settled.
    pub noisy: bool,
    /// One for each other report; `None` if it has no such row.
    pub beside: Vec<Option<Beside>>,
}

/// The ratios of an entry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mean {
    /// `<op>.<entry>`, or [`ALL`].
    pub entry: String,
    /// For each other report: the geometric mean of `times` and the number of rows; `None` without any.
    pub times: Vec<Option<(f64, usize)>>,
}

/// Reports side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SideBySide {
    /// What the columns of each other report are called.
    pub labels: Vec<String>,
    /// What each was measured with.
    pub about: Vec<String>,
    /// Our rows that another report has too, in our order. If a row has several variants, the first is compared: the
    /// one that the adapter runs, unless the run asked for others.
    pub lines: Vec<Line>,
    /// One for each entry, in the order of the lines. The last is over all lines.
    pub means: Vec<Mean>,
    /// How many of our rows no other report has.
    pub alone: usize,
    /// For each other report, the names of its rows that we do not have.
    pub missing: Vec<Vec<String>>,
}

/// The name of the mean over all lines.
pub const ALL: &str = "all rows";

/// Reads the reports of `--against`; columns are named by the files, which must differ in their names.
pub fn load(paths: &[PathBuf]) -> Result<Vec<OtherReport>> {
    let mut others: Vec<OtherReport> = Vec::new();
    for path in paths {
        let label = path.file_stem().map_or_else(|| path.display().to_string(), |s| s.to_string_lossy().into_owned());
        if others.iter().any(|o| o.label == label) {
            let shown = path.display();
            return Err(Error::Usage(format!("--against: two files are called {label}; give {shown} another name")));
        }
        others.push(OtherReport { label, report: Report::load(Path::new(path))? });
    }
    Ok(others)
}

/// The first row of each place, in order.
fn first_rows(report: &Report) -> (Vec<&Row>, HashMap<Place<'_>, &Row>) {
    let (mut list, mut found) = (Vec::new(), HashMap::new());
    for row in &report.rows {
        found.entry(place(row)).or_insert_with(|| {
            list.push(row);
            row
        });
    }
    (list, found)
}

/// Lays `others` beside `ours`. It is an error if one of them has no row in common with ours.
pub fn side_by_side(ours: &Report, others: &[OtherReport]) -> Result<SideBySide> {
    let (rows, here) = first_rows(ours);
    let theirs: Vec<_> = others.iter().map(|o| first_rows(&o.report)).collect();
    for (other, (_, found)) in others.iter().zip(&theirs) {
        if !rows.iter().any(|r| found.contains_key(&place(r))) {
            return Err(Error::Usage(format!(
                "--against: {} has no row in common with this run (of the same kernel, case, shape and cache mode); \
                 measure both at the same set",
                other.label
            )));
        }
    }
    let mut lines = Vec::new();
    for row in &rows {
        let ms = row.ms().median;
        let beside: Vec<_> = theirs.iter().map(|(_, found)| found.get(&place(row)).map(|r| beside(r, ms))).collect();
        if beside.iter().any(Option::is_some) {
            let (entry, case, variant) = (row.entry.clone(), row.case.clone(), row.variant.clone());
            lines.push(Line { entry, case, variant, ms, noisy: row.noisy, beside });
        }
    }
    let missing = |list: &[&Row]| list.iter().filter(|r| !here.contains_key(&place(r))).map(|r| r.name()).collect();
    Ok(SideBySide {
        labels: others.iter().map(|o| o.label.clone()).collect(),
        about: others.iter().map(|o| about(&o.report)).collect(),
        alone: rows.len() - lines.len(),
        means: means(&lines, others.len()),
        missing: theirs.iter().map(|(list, _)| missing(list)).collect(),
        lines,
    })
}

fn beside(row: &Row, ours: f64) -> Beside {
    let ms = row.ms().median;
    Beside { variant: row.variant.clone(), ms, times: ms / ours, noisy: row.noisy }
}

fn about(report: &Report) -> String {
    let e = &report.environment;
    let features = if e.features.len() <= 8 { e.features.join(", ") } else { format!("{} features", e.features.len()) };
    // Another framework writes its name with the version.
    let own = e.wgpu.starts_with(|c: char| c.is_ascii_digit());
    let framework = if own { format!("wgslab with wgpu {}", e.wgpu) } else { e.wgpu.clone() };
    format!("{framework} on {} ({}; {}; {features}), {}", e.adapter, e.backend, e.driver, e.time)
}

fn means(lines: &[Line], others: usize) -> Vec<Mean> {
    let mut order: Vec<&str> = Vec::new();
    let mut logs: BTreeMap<&str, Vec<(f64, usize)>> = BTreeMap::new();
    for line in lines {
        if !order.contains(&line.entry.as_str()) {
            order.push(&line.entry);
        }
        for name in [line.entry.as_str(), ALL] {
            let sums = logs.entry(name).or_insert_with(|| vec![(0.0, 0); others]);
            for (sum, beside) in sums.iter_mut().zip(&line.beside) {
                if let Some(b) = beside {
                    *sum = (sum.0 + b.times.ln(), sum.1 + 1);
                }
            }
        }
    }
    let mean = |&(sum, n): &(f64, usize)| (n > 0).then(|| ((sum / n as f64).exp(), n));
    let of = |name: &str| Mean { entry: name.into(), times: logs[name].iter().map(mean).collect() };
    order.into_iter().chain((!lines.is_empty()).then_some(ALL)).map(of).collect()
}

impl SideBySide {
    /// The lines as a table of words with a head. Each other report has its median and how many times ours that is. The
    /// last column says whose samples had not settled.
    pub fn table(&self) -> Vec<Vec<String>> {
        let mut head: Vec<String> = ["kernel", "case", "variant", "ms"].map(String::from).to_vec();
        head.extend(self.labels.iter().flat_map(|l| [format!("{l} ms"), "times".into()]));
        head.push("noisy".into());
        let mut rows = vec![head];
        for line in &self.lines {
            let mut row = vec![line.entry.clone(), line.case.clone(), line.variant.clone(), digits(line.ms)];
            let mut noisy = if line.noisy { vec!["here"] } else { vec![] };
            for (b, label) in line.beside.iter().zip(&self.labels) {
                row.extend(b.as_ref().map_or(["-".into(), "-".into()], |b| [digits(b.ms), digits(b.times)]));
                noisy.extend(b.as_ref().filter(|b| b.noisy).map(|_| label.as_str()));
            }
            row.push(noisy.join(", "));
            rows.push(row);
        }
        rows
    }

    /// The means as a table of words with its head.
    pub fn mean_table(&self) -> Vec<Vec<String>> {
        let mut head: Vec<String> = vec!["kernel".into()];
        head.extend(self.labels.iter().flat_map(|l| [format!("{l} times"), "rows".into()]));
        let mut rows = vec![head];
        for mean in &self.means {
            let mut row = vec![mean.entry.clone()];
            for m in &mean.times {
                row.extend(m.map_or_else(|| ["-".into(), "0".into()], |(times, n)| [digits(times), n.to_string()]));
            }
            rows.push(row);
        }
        rows
    }
}

fn digits(v: f64) -> String {
    figures(v, 3)
}

#[cfg(test)]
mod tests {
    use super::super::environment::tests::made_up;
    use super::super::report::{Cache, SCHEMA};
    use super::*;
    use crate::tape::Cost;

    fn row(entry: &str, case: &str, variant: &str, ms: f64) -> Row {
        let row = Row::unmeasured(entry, variant, [case, "x [1] f32"], Cost { flops: 1, bytes: 8 });
        Row { samples_ms: vec![ms * 0.9, ms, ms * 1.1], ..row }
    }

    fn report(rows: Vec<Row>) -> Report {
        Report {
            schema: SCHEMA.into(),
            environment: made_up(),
            reference: None,
            rows,
            skipped: Vec::new(),
            comparison: None,
        }
    }

    fn other(label: &str, rows: Vec<Row>) -> OtherReport {
        OtherReport { label: label.into(), report: report(rows) }
    }

    #[test]
    fn rows_are_matched_whatever_their_variants() {
        let ours = report(vec![
            row("relu.forward", "a", "portable", 2.0),
            row("relu.forward", "b", "portable", 2.0),
            row("relu.forward", "b", "naive", 50.0),
            row("relu.forward", "only here", "portable", 2.0),
            row("gelu.forward", "a", "portable", 1.0),
        ]);
        let torch =
            other("torch", vec![row("relu.forward", "b", "torch", 8.0), row("relu.forward", "a", "torch", 1.0)]);
        let burn = other("burn", vec![row("gelu.forward", "a", "burn", 3.0), row("gelu.forward", "z", "burn", 3.0)]);
        let a = side_by_side(&ours, &[torch, burn]).unwrap();
        let times = |l: &Line| l.beside.iter().map(|b| b.as_ref().map(|b| b.times)).collect::<Vec<_>>();
        let found: Vec<_> = a.lines.iter().map(|l| (l.entry.as_str(), l.case.as_str(), times(l))).collect();
        assert_eq!(
            found,
            [
                ("relu.forward", "a", vec![Some(0.5), None]),
                ("relu.forward", "b", vec![Some(4.0), None]),
                ("gelu.forward", "a", vec![None, Some(3.0)]),
            ]
        );
        assert_eq!(a.alone, 1);
        assert_eq!(a.missing, [vec![], vec!["gelu.forward z".to_string()]]);
    }

    #[test]
    fn means_are_geometric() {
        let ours = report(vec![
            row("relu.forward", "a", "portable", 2.0),
            row("relu.forward", "b", "portable", 2.0),
            row("gelu.forward", "a", "portable", 1.0),
        ]);
        let theirs = vec![
            row("relu.forward", "a", "torch", 1.0),
            row("relu.forward", "b", "torch", 16.0),
            row("gelu.forward", "a", "torch", 0.5),
        ];
        let a = side_by_side(&ours, &[other("torch", theirs)]).unwrap();
        let found: Vec<_> = a.means.iter().map(|m| (m.entry.as_str(), m.times[0])).collect();
        let close = |have: Option<(f64, usize)>, times: f64, n: usize| {
            have.is_some_and(|(t, rows)| (t - times).abs() < 1e-12 && rows == n)
        };
        assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), ["relu.forward", "gelu.forward", ALL]);
        assert!(close(found[0].1, 2.0, 2), "sqrt(1/2 · 8), not their mean: {found:?}");
        assert!(close(found[1].1, 0.5, 1) && close(found[2].1, 2f64.powf(1.0 / 3.0), 3), "{found:?}");
    }

    #[test]
    fn a_shape_or_cache_mode_of_another_kind_is_another_row() {
        let ours = report(vec![row("relu.forward", "a", "portable", 2.0)]);
        let mut shape = row("relu.forward", "a", "torch", 1.0);
        shape.shape = "x [2] f32".into();
        let mut cold = row("relu.forward", "a", "torch", 1.0);
        cold.cache = Cache::Cold;
        for rows in [vec![shape], vec![cold], vec![]] {
            let e = side_by_side(&ours, &[other("torch", rows)]).unwrap_err();
            assert_eq!(e.exit_code(), 2);
            assert!(e.to_string().contains("torch has no row in common"), "{e}");
        }
    }

    #[test]
    fn tables_mark_what_is_noisy_or_not_there() {
        let ours =
            report(vec![row("relu.forward", "a", "portable", 2.0), row("exp.forward", "a", "portable", 0.01234)]);
        let mut noisy = row("relu.forward", "a", "torch", 123.4);
        noisy.noisy = true;
        let burn = other("burn", vec![row("exp.forward", "a", "burn", 1.0)]);
        let a = side_by_side(&ours, &[other("torch", vec![noisy]), burn]).unwrap();
        let table = a.table();
        assert_eq!(table[0], ["kernel", "case", "variant", "ms", "torch ms", "times", "burn ms", "times", "noisy"]);
        assert_eq!(table[1][3..], ["2.00", "123", "61.7", "-", "-", "torch"]);
        assert_eq!(table[2][3..], ["0.0123", "-", "-", "1.00", "81.0", ""]);
        assert_eq!(a.mean_table()[1], ["relu.forward", "61.7", "1", "-", "0"]);
    }

    #[test]
    fn files_of_one_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("torch.json");
        report(vec![row("relu.forward", "a", "torch", 1.0)]).save(&path).unwrap();
        let e = load(&[path.clone(), path.clone()]).unwrap_err().to_string();
        assert!(e.contains("two files are called torch"), "{e}");
        assert_eq!(load(&[path]).unwrap()[0].label, "torch");
        assert!(load(&[folder.path().join("none.json")]).is_err());
    }
}

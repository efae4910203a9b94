//! The cells of the grid that have no result yet: which, and why.

use super::names;
use super::page::told;
use crate::base::grouped::Grouped;
use crate::base::plot::escape;
use crate::base::text::counted;
use crate::base::{Error, Result};
use crate::study::config::Config;
use crate::study::failure::Failure;
use crate::study::folder::kept_config;
use crate::study::grid::cells;
use crate::study::results::{Gathered, rows_as_csv, run_folder};
use serde::Serialize;
use std::collections::HashSet;
use std::path::Path;

/// The file beside the page that names all of them.
pub(super) const FILE: &str = "missing.csv";

/// The most reasons of failures that the page names.
const REASONS: usize = 20;

/// The most cells of a dataset and pretraining that the page names.
const NAMED: usize = 4;

/// A cell without a result: a row of `missing.csv`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Missing {
    /// Its place in the grid.
    pub index: usize,
    /// The name of its folder.
    pub cell: String,
    /// `failed`, `damaged` or `not finished`.
    pub state: &'static str,
    /// Why it failed; empty for the others.
    pub reason: String,
    #[serde(skip)]
    dataset: String,
    #[serde(skip)]
    pretraining: String,
}

impl Missing {
    /// Whether nothing stopped it: it has not begun, or goes on.
    pub fn is_unfinished(&self) -> bool {
        self.state == STATES[2]
    }
}

/// The words of the states, in the order in which they are told.
const STATES: [&str; 3] = ["failed", "damaged", "not finished"];

/// The cells of the config's grid that were not gathered from the study's folder `dir`, in the grid's order.
pub(super) fn missing(dir: &Path, config: &Config, gathered: &Gathered) -> Vec<Missing> {
    let found: HashSet<&str> = gathered.cells.iter().map(|(name, _)| name.as_str()).collect();
    let without = cells(config).into_iter().filter(|c| !found.contains(c.name.as_str()));
    let one = |c: crate::study::Cell| {
        let failure = Failure::read(&run_folder(dir, &c.name));
        let [failed, damaged, unfinished] = STATES;
        let (state, reason) = match (gathered.damaged.contains(&c.name), failure) {
            (true, _) => (damaged, String::new()),
            (false, Some(f)) => (failed, f.reason),
            (false, None) => (unfinished, String::new()),
        };
        let (dataset, pretraining) = (c.dataset.to_string(), c.pretraining.to_string());
        Missing { index: c.index, cell: c.name, state, reason, dataset, pretraining }
    };
    without.map(one).collect()
}

/// What is missing of the study in `dir`, in a sentence or two. `None` if nothing is.
pub fn missing_in_words(dir: &Path, gathered: &Gathered) -> Result<Option<String>> {
    let all = missing(dir, &kept_config(dir)?, gathered);
    if all.is_empty() {
        return Ok(None);
    }
    let places = by_place(&all);
    let places = places.all();
    let place = |((dataset, pretraining), of): &((&str, &str), Vec<&Missing>)| {
        format!("{dataset} with {} {}", names::pretraining(pretraining), of.len())
    };
    let mut named: Vec<String> = places.iter().take(NAMED).map(place).collect();
    if places.len() > NAMED {
        named.push(format!("and {} more", places.len() - NAMED));
    }
    let (n, file) = (counted(all.len(), "cell"), dir.join(super::beside::FOLDER).join(FILE));
    Ok(Some(format!(
        "{n} of the grid {} no result: {} ({}); {} names each",
        if all.len() == 1 { "has" } else { "have" },
        counts(&all),
        named.join(", "),
        file.display()
    )))
}

/// "3 failed, 17 not finished".
fn counts(all: &[Missing]) -> String {
    let of = |state: &&str| all.iter().filter(|m| m.state == *state).count();
    let some = STATES.iter().filter(|s| of(s) > 0).map(|s| format!("{} {s}", of(s)));
    some.collect::<Vec<_>>().join(", ")
}

/// By dataset and pretraining, in the grid's order of the first.
fn by_place(all: &[Missing]) -> Grouped<(&str, &str), Vec<&Missing>> {
    let mut places: Grouped<(&str, &str), Vec<&Missing>> = Grouped::default();
    for m in all {
        places.of((m.dataset.as_str(), m.pretraining.as_str()), Vec::new).push(m);
    }
    places
}

/// The page's section: how many cells failed and why, and which are not done, by dataset and pretraining.
pub(super) fn section(all: &[Missing]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut reasons: Grouped<&str, usize> = Grouped::default();
    for m in all.iter().filter(|m| !m.reason.is_empty()) {
        *reasons.of(&m.reason, || 0) += 1;
    }
    let reasons = reasons.all();
    let failed = all.iter().filter(|m| m.state == STATES[0]).count();
    let mut whys: Vec<String> =
        reasons.iter().take(REASONS).map(|(why, n)| format!("{}: {why}", counted(*n, "cell"))).collect();
    if reasons.len() > REASONS {
        whys.push(format!("{} more reasons", reasons.len() - REASONS));
    }
    let failures = told(&format!("{} failed", counted(failed, "cell")), &whys);
    let states: Vec<&str> = STATES.into_iter().filter(|s| all.iter().any(|m| m.state == *s)).collect();
    let mut rows = String::new();
    for ((dataset, pretraining), of) in by_place(all).all() {
        let n = |state: &str| of.iter().filter(|m| m.state == state).count();
        let mut named: Vec<&str> = of.iter().take(NAMED).map(|m| m.cell.as_str()).collect();
        let more = format!("and {} more", of.len().saturating_sub(NAMED));
        named.extend((of.len() > NAMED).then_some(more.as_str()));
        rows += &format!(
            "<tr><td class=\"words\">{}</td><td class=\"words\">{}</td>{}<td class=\"words\">{}</td></tr>\n",
            escape(dataset),
            escape(names::pretraining(pretraining)),
            states.iter().map(|s| format!("<td>{}</td>", n(s))).collect::<String>(),
            escape(&named.join(", "))
        );
    }
    format!(
        "{failures}<details class=\"card scroll\"><summary>What is missing: {}</summary>\n<table>\n<thead><tr><th class=\"words\">dataset\
         </th><th class=\"words\">pretraining</th>{}<th class=\"words\">cells</th></tr></thead>\n<tbody>\n{rows}</tbody>\n\
         </table>\n<p class=\"soft\">report/{FILE} names each.</p></details>\n",
        counts(all),
        states.iter().map(|s| format!("<th>{s}</th>")).collect::<String>()
    )
}

/// The file that names each; none if nothing is missing.
pub(super) fn file(all: &[Missing]) -> Result<Option<super::beside::Beside>> {
    if all.is_empty() {
        return Ok(None);
    }
    let bytes = rows_as_csv(Path::new(FILE), all).map_err(|e| Error::Failed(e.to_string()))?;
    Ok(Some((FILE.to_string(), bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{files, seal};
    use crate::study::folder::write_config;
    use crate::study::names::{FAILED, RESULT};
    use crate::study::report::read::Study;
    use crate::study::report::{check_report, report};
    use crate::study::results::tests::{finish, sample};
    use crate::study::results::{CellResult, gather, write_csv};

    /// Of eight cells four are done, one of them by another driver; one is damaged, one failed, two have not begun.
    #[test]
    fn what_is_missing_and_what_something_else_ran_is_told_and_not_averaged() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path();
        let config = Config::parse("t", "seeds = [0, 1]\n").unwrap();
        write_config(out, &config).unwrap();
        let grid = cells(&config);
        assert_eq!(grid.len(), 8);
        let folder = |i: usize| run_folder(out, &grid[i].name);
        for i in [0, 1, 2, 4, 5] {
            let driver = if i == 5 { "another" } else { "llvmpipe 25.0" };
            finish(&folder(i), &CellResult { driver: driver.into(), ..sample(&grid[i], 0.5) }, &[]);
        }
        std::fs::write(folder(2).join(RESULT), "{").unwrap();
        let (reason, address) = ("the <loss> is no number".to_string(), "a".to_string());
        let why = Failure { reason, exit_code: 1, address, wgslab: "0".into(), adapter: "a".into() };
        seal::write(&folder(3).join(FAILED), &why).unwrap();
        let mut gathered = gather(out).unwrap();
        write_csv(out, &gathered).unwrap();
        let page = |gathered: &Gathered| files::read_text(&report(out, gathered).unwrap().0).unwrap();
        let apart = page(&gathered);
        for part in [
            "4 of 8 cells are done",
            "<b>2 cells are not finished yet</b>",
            "<b>1 cell failed</b>",
            "1 cell: the &lt;loss&gt; is no number",
            "What is missing: 1 failed, 1 damaged, 2 not finished",
            "Not averaged with the others",
            "driver another",
        ] {
            assert!(apart.contains(part), "{part} is not in the page");
        }
        let shown = |gathered: &Gathered| Study::read(out, gathered).unwrap().runs.len();
        assert_eq!(shown(&gathered), 3);
        let table = files::read_text(&out.join("report").join(FILE)).unwrap();
        assert_eq!(table.lines().count(), 5, "{table}");
        assert!(table.contains(&format!("3,{},failed,the <loss> is no number", grid[3].name)), "{table}");
        assert!(check_report(out).unwrap() > 20, "the page is of results.csv, which has all rows");
        let said = missing_in_words(out, &gathered).unwrap().unwrap();
        assert!(
            said.starts_with("4 cells of the grid have no result: 1 failed, 1 damaged, 2 not finished ("),
            "{said}"
        );
        assert_eq!(
            files::read_text(&out.join("results.csv")).unwrap().lines().count(),
            5,
            "a row for each, whatever ran it"
        );
        gathered.together = true;
        let together = page(&gathered);
        assert!(
            together.contains("Averaged together") && !together.contains("Not averaged"),
            "it is asked for and told"
        );
        assert_eq!(shown(&gathered), 4);
        assert!(check_report(out).is_ok(), "the check knows how the page was made");
        for i in [2, 3, 6, 7] {
            finish(&folder(i), &sample(&grid[i], 0.5), &[]);
        }
        let whole = gather(out).unwrap();
        assert!(!page(&whole).contains("What is missing") && !out.join("report").join(FILE).exists());
        assert_eq!(missing_in_words(out, &whole).unwrap(), None);
    }

    /// Three repeats, of which one has another pretraining; a fourth seed trains its random weights in another way.
    #[test]
    fn cells_of_other_settings_are_told_and_not_averaged() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path();
        let config = Config::parse("t", "seeds = [0, 1, 2, 3]\n[noise]\nrates = [0.4]\n").unwrap();
        write_config(out, &config).unwrap();
        let grid = cells(&config);
        assert_eq!(grid.len(), 8);
        for cell in &grid {
            let random = cell.pretraining.to_string() == "none";
            let settings_hash = match (random, cell.seed) {
                (false, 1) => "another",
                (false, _) => "simclr",
                (true, _) => "random",
            };
            let other = if random && cell.seed == 3 { " otherwise" } else { "" };
            let row = CellResult {
                settings_hash: settings_hash.into(),
                config_hash: format!("{}{other}", cell.seed),
                ..sample(cell, 0.5)
            };
            finish(&run_folder(out, &cell.name), &row, &[]);
        }
        let mut gathered = gather(out).unwrap();
        write_csv(out, &gathered).unwrap();
        let study = Study::read(out, &gathered).unwrap();
        let left_out =
            |at: usize| study.apart.iter().any(|said| said.starts_with(&format!("{}: other", grid[at].name)));
        let named: Vec<usize> = (0..8).filter(|at| left_out(*at)).collect();
        // Of the two cells of seed 3 neither is of more cells than the other: the first stays.
        let due =
            |seed: u64, of: &str| grid.iter().position(|c| c.seed == seed && c.pretraining.to_string() == of).unwrap();
        let second = due(3, "none").max(due(3, "simclr"));
        let mut expected = vec![due(1, "simclr"), second];
        expected.sort_unstable();
        assert_eq!((named, study.apart_cells, study.runs.len()), (expected, 2, 6));
        let page = |gathered: &Gathered| files::read_text(&report(out, gathered).unwrap().0).unwrap();
        assert!(page(&gathered).contains("or other settings made them (2 cells, in results.csv alone)"));
        assert!(check_report(out).unwrap() > 20);
        gathered.together = true;
        assert_eq!(Study::read(out, &gathered).unwrap().runs.len(), 8);
        assert!(page(&gathered).contains("or other settings made them</b>") && check_report(out).is_ok());
    }
}

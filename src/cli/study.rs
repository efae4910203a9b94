//! `wgslab study run`, `list`, `report` and `compare`. `verify` and `merge` have files of their own.

use super::compare::Compare;
use super::forecast;
use super::grid_options::GridOptions;
use super::list::List;
use super::merge::Merge;
use super::options::{Options, config};
use super::output::{complain, print, results};
use super::stats::told;
use super::verify::Verify;
use crate::base::{Error, Result};
use crate::kernels::tune::Tuning;
use crate::study::results::{gather, write_csv};
use crate::study::{self, Failed, Job, Manner, Selection, cells, report};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// Run, list or report a grid of experiments
///
/// A study is a grid: dataset × backbone × pretraining × label noise × learning method × seed.
/// With evaluation.protocols frozen features are judged beside it. A config describes it;
/// configs/base.toml lists every key with its meaning, configs/ssl/recipes/ has recipes.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment, arg_required_else_help = true)]
pub(super) struct Study {
    #[command(subcommand)]
    command: StudyCommand,
}

#[derive(Subcommand, Debug)]
enum StudyCommand {
    Run(Run),
    List(List),
    Report(Report),
    Compare(Compare),
    Verify(Verify),
    Merge(Merge),
}

/// Run the cells of a study; run it again to go on where it stopped
///
/// Trains and tests every cell of the grid, each in its own folder below OUT/runs. Writes
/// OUT/results.csv and OUT/report.html, and prints the table. Ctrl-C saves and stops. The same
/// command goes on, to the same bits as a run that was never stopped. Finished cells are not run
/// again.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab study run configs/smoke.toml
  wgslab study run configs/study/pneumonia.toml --data-root data --out runs/pneumonia
  wgslab study run configs/study/isic9.toml --shard 2/8     the second of eight machines"
)]
struct Run {
    /// The study's config, a TOML file
    config: PathBuf,
    #[command(flatten)]
    grid: GridOptions,
    /// Where the study is written [default: runs/ and the config's file name without its ending]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print what is done, what is left and what that will take, and run no cell; only decoded images are written
    #[arg(long)]
    dry_run: bool,
    /// Run only this cell; `wgslab study list` numbers them from 0. Table and page are left to `wgslab study report`
    #[arg(long, value_name = "N", conflicts_with = "shard")]
    index: Option<usize>,
    /// Run only this pretraining and none of its cells; `wgslab study list --json` numbers them from 0
    #[arg(long, value_name = "N", conflicts_with_all = ["shard", "index"])]
    pretraining: Option<usize>,
    /// Run part I of N parts, from 1/N to N/N
    #[arg(long, value_name = "I/N", value_parser = Selection::shard)]
    shard: Option<Selection>,
    /// Race the variants of every kernel of the study first, as `wgslab tune` does, and keep the table in
    /// OUT/kernels.json [default: on a GPU, unless the study was begun, --kernels names a table, or only a part of the
    /// study is run]
    #[arg(long, conflicts_with_all = ["kernels", "index", "shard", "pretraining", "dry_run"])]
    tune: bool,
    /// Empty the folder of each damaged cell or pretraining and make it again [default: report it, run the others and
    /// end with code 4]
    #[arg(long)]
    redo_damaged: bool,
    /// Run cells again that failed while they were trained [default: report them and leave them, since they would fail in
    /// the same way; a cell whose settings, data or weights could not be used is always looked at again]
    #[arg(long)]
    retry_failed: bool,
    /// End with code 75 if all cells that are left are being run by other processes [default: wait for them]
    #[arg(long)]
    no_wait: bool,
    /// Race nothing, and run the variants that are usually fastest on adapters of this kind [default: on a software
    /// adapter]
    #[arg(long, conflicts_with = "tune")]
    no_tune: bool,
}

/// Gather what a study has so far into a table and a page
///
/// Reads the finished cells below DIR/runs, writes DIR/results.csv, DIR/report.html and its tables
/// and plots in DIR/report, and prints the table. Works on a study that is not finished, and on one
/// whose cells ran on several machines.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  wgslab study report runs/smoke\n  wgslab study report runs/smoke --check"
)]
pub(super) struct Report {
    /// The study's folder
    dir: PathBuf,
    /// Write nothing: compute every number of the page and of its tables again from DIR/results.csv, and end with code 4
    /// and the names of those that differ
    #[arg(long)]
    check: bool,
    /// Average cells that different programs, adapters, drivers, tables of kernels or edited shaders ran; the page says
    /// so. [default: the page is of those that the same ran as most, and tells the others]
    #[arg(long, conflicts_with = "check")]
    together: bool,
}

impl Study {
    pub fn run(&self, options: &Options) -> Result<()> {
        match &self.command {
            StudyCommand::Run(c) => c.run(options),
            StudyCommand::List(c) => c.run(options),
            StudyCommand::Report(c) => c.run(),
            StudyCommand::Compare(c) => c.run(),
            StudyCommand::Verify(c) => c.run(options),
            StudyCommand::Merge(c) => c.run(),
        }
    }
}

/// Where a study is written by default.
pub(super) fn default_out(config: &Path) -> PathBuf {
    Path::new("runs").join(config.file_stem().unwrap_or_default())
}

impl Run {
    fn run(&self, options: &Options) -> Result<()> {
        let config = self.grid.apply(config(Some(&self.config))?)?;
        let pretraining = self.pretraining.map(Selection::Pretraining);
        let selection = self.index.map(Selection::Index).or(self.shard).or(pretraining).unwrap_or_default();
        let all = cells(&config);
        if selection.of(&all)?.is_empty() {
            // If there are more parts than cells, some parts are empty. A scheduler starts them all the same, and an
            // empty one has not failed.
            complain(&format!(
                "this part has no cell to run: the study has only {} cells, fewer than parts",
                all.len()
            ));
            return Ok(());
        }
        let out = self.out.clone().unwrap_or_else(|| default_out(&self.config));
        if self.dry_run {
            return forecast::dry_run(options, &config, &out, selection);
        }
        let found = options.job(&config, &out, |job| {
            let compiler = told(job.gpu);
            let tuning = Tuning { told: Some(&compiler), ..Tuning::usual(job.gpu.caps()) };
            let kernels = if self.races(job)? { job.tuned(&tuning)? } else { job.kernels.clone() };
            let manner = Manner {
                no_wait: self.no_wait,
                redo_damaged: self.redo_damaged,
                retry_failed: self.retry_failed,
                forecast: selection == Selection::All && !study::begun(job.out),
            };
            Job { kernels, ..*job }.run(selection, manner)
        })?;
        if self.pretraining.is_some() {
            return Ok(()); // it has no row of results
        }
        let files = ["results.csv", "report.html"].map(|name| out.join(name));
        let files = files.iter().filter(|f| f.exists()).map(|f| f.display().to_string());
        print(&format!("{}\n\n{}", results(&found.results), files.collect::<Vec<_>>().join("\n")))?;
        let whole = all_whole(&found.damaged, &out.join("report.html"));
        if whole.is_ok() || found.failed.cells == 0 {
            return whole.and_then(|()| none_failed(&found.failed));
        }
        found.failed.reasons.iter().take(TOLD).for_each(|what| complain(&format!("warning: failed: {what}")));
        whole
    }
}

/// An error if cells failed, with the exit code of what stopped them.
fn none_failed(failed: &Failed) -> Result<()> {
    let n = failed.cells;
    let what = match &failed.reasons[..] {
        [] => return Ok(()),
        [one] if n == 1 => format!("one cell failed: {one}"),
        [one] => format!("{n} cells failed: {one}"),
        reasons => {
            reasons.iter().take(TOLD).for_each(|what| complain(&format!("warning: failed: {what}")));
            format!("{n} cells failed, for {} reasons; `wgslab study list` names each with its reason", reasons.len())
        }
    };
    Err(match failed.exit_code {
        2 => Error::Usage(what),
        4 => Error::Data(what),
        _ => Error::Failed(format!("{what}; --retry-failed runs what failed again")),
    })
}

/// This many parts that are left out are reported, one line each, if a page lists the rest.
pub(super) const TOLD: usize = 8;

/// Damaged parts are left out and reported; the exit code says so, too. `page` names all of them.
fn all_whole(damaged: &[String], page: &Path) -> Result<()> {
    let n = damaged.len();
    let told = if page.exists() { n.min(TOLD) } else { n };
    match damaged {
        [] => return Ok(()),
        [one] => return Err(Error::Data(format!("one part of the study is left out: {one}"))),
        _ => damaged.iter().take(told).for_each(|what| complain(&format!("warning: {what}"))),
    }
    let left_out = format!("{n} parts of the study are left out");
    Err(Error::Data(match n - told {
        0 => format!("{left_out}; each is named above"),
        _ => format!("{left_out}; the first {told} are named above, all of them in {}", page.display()),
    }))
}

impl Run {
    /// Whether to tune first. A part of a study does not tune: other parts would tune beside it, and each would get its
    /// own table.
    fn races(&self, job: &Job<'_>) -> Result<bool> {
        let table = !job.kernels.entries.is_empty();
        let begun = study::begun(job.out);
        if self.tune && begun && !table {
            let out = job.out.display();
            return Err(Error::Usage(format!(
                "{out} was begun without a table of kernels; leave --tune out to go on, or take another --out"
            )));
        }
        let part = self.index.is_some() || self.shard.is_some() || self.pretraining.is_some();
        let by_itself = !job.gpu.caps().software && !part && !self.no_tune;
        Ok((self.tune || by_itself) && !begun && !table)
    }
}

impl Report {
    /// Of the study in `dir`.
    pub fn of(dir: &Path) -> Report {
        Report { dir: dir.to_path_buf(), check: false, together: false }
    }

    pub fn run(&self) -> Result<()> {
        if self.check {
            let n = study::check_report(&self.dir)?;
            let dir = self.dir.display();
            return print(&format!("{n} numbers and drawings of the report in {dir} are those of results.csv"));
        }
        let mut found = gather(&self.dir)?;
        found.together = self.together;
        let csv = write_csv(&self.dir, &found)?;
        let (page, not_shown) = report(&self.dir, &found)?;
        found.left_out.extend(not_shown);
        let missing = study::missing_in_words(&self.dir, &found)?.map_or(String::new(), |what| format!("{what}\n"));
        let cells: Vec<_> = found.cells.into_iter().map(|(_, result)| result).collect();
        print(&format!("{}\n\n{missing}{}\n{}", results(&cells), csv.display(), page.display()))?;
        all_whole(&found.left_out, &page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_cells_end_with_their_code() {
        let of = |reasons: &[&str], exit_code: u8| {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            let e = none_failed(&Failed { cells: 3, reasons, exit_code }).unwrap_err();
            (e.exit_code(), e.to_string())
        };
        assert!(none_failed(&Failed::default()).is_ok());
        assert_eq!(of(&["a and 2 cells more: no"], 4), (4, "3 cells failed: a and 2 cells more: no".to_string()));
        assert!(
            of(&["a", "b"], 1)
                .1
                .ends_with("`wgslab study list` names each with its reason; --retry-failed runs what failed again")
        );
        assert_eq!((of(&["a", "b"], 1).0, of(&["a"], 2).0), (1, 2));
    }

    #[test]
    fn an_error_of_many_damaged_cells_is_one_line() {
        let page = tempfile::NamedTempFile::new().unwrap();
        let said = |n: usize| {
            let damaged: Vec<String> = (0..n).map(|i| format!("runs/cell {i} is damaged")).collect();
            all_whole(&damaged, page.path()).map_or_else(|e| e.to_string(), |()| String::new())
        };
        assert_eq!(said(0), "");
        assert!(said(1).contains("runs/cell 0"), "{}", said(1));
        for n in [2, TOLD + 1] {
            assert!(!said(n).contains('\n') && said(n).starts_with(&n.to_string()), "{}", said(n));
            assert_eq!(said(n).contains(page.path().to_str().unwrap()), n > TOLD, "{}", said(n));
        }
    }
}

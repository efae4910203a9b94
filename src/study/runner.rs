//! Runs the cells of a study, one after the other, and writes the study's results. It is the only place where data,
//! self-supervision and label noise meet.

mod checks;
mod pictures;
mod weights;

use super::config::Protocol;
use super::dataset::Loaded;
use super::folder::{clear, kept_config, locked_soon, sweep, wait_for_any, write_config};
use super::grid::{Cell, Selection, cells};
use super::names::CONFIG;
use super::pretrain::Pretraining;
use super::provenance::expect_table;
use super::report::report;
use super::results::{CellResult, gather, run_folder, write_csv};
use super::session::Job;
use super::start::{Beginning, Begun, Start};
use super::{pretrain, probe, train};
use crate::base::text::counted;
use crate::base::{Error, Result, files};
pub use checks::expect_usable;
use checks::sets;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
pub use weights::expect_weights;
use weights::start_of;

/// How to go through the cells of a study.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// End at once if only cells are left that other processes work on, instead of waiting for them.
    pub no_wait: bool,
    /// Empty the folder of a damaged cell or pretraining, and make it again.
    pub redo_damaged: bool,
    /// Say before the first cell what the study will take.
    pub forecast: bool,
}

/// The end of a study.
#[derive(Debug)]
pub struct Outcome {
    /// The results of the chosen cells, in the grid's order.
    pub results: Vec<CellResult>,
    /// A sentence for each damage, with the cells that were left out because of it. The cells of a damaged pretraining
    /// share one sentence.
    pub damaged: Vec<String>,
}

/// The results and the damage so far.
#[derive(Default)]
struct Found {
    results: BTreeMap<usize, CellResult>,
    damaged: Vec<Damage>,
}

/// A damage, and the cells that it stops.
struct Damage {
    /// The text of the error.
    what: String,
    /// The name of the first cell, and the number of further cells.
    first: String,
    more: usize,
}

impl Damage {
    fn sentence(self) -> String {
        let more = if self.more > 0 { format!(" and {} more", counted(self.more, "cell")) } else { String::new() };
        format!("{}{more}: {}", self.first, self.what)
    }
}

impl Found {
    /// Adds a damaged cell. Returns whether no earlier cell had this damage.
    fn damaged(&mut self, cell: &str, what: String) -> bool {
        if let Some(same) = self.damaged.iter_mut().find(|d| d.what == what) {
            same.more += 1;
            return false;
        }
        self.damaged.push(Damage { what, first: cell.to_string(), more: 0 });
        true
    }
}

/// How often results are gathered while cells run. Gathering reads all cells that are done, so it takes longer with
/// each cell.
#[derive(Default)]
struct Pace {
    /// When results were gathered last, and how long that took.
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// Calls `gather`, but only so often that gathering takes at most a hundredth of the study's time.
    fn take(&mut self, gather: impl FnOnce() -> Result<()>) -> Result<()> {
        let now = Instant::now();
        if self.last.is_some_and(|(ended, took)| now - ended < 99 * took) {
            return Ok(());
        }
        gather()?;
        let ended = Instant::now();
        self.last = Some((ended, ended - now));
        Ok(())
    }
}

impl Job<'_> {
    /// Runs the selected cells of the grid, goes on with cells that were begun, and writes `results.csv` and
    /// `report.html`. A cell that another process works on is left out, and looked at again when the other cells are
    /// done. A damaged cell is reported, and the other cells go on.
    pub fn run(&self, selection: Selection, manner: Manner) -> Result<Outcome> {
        let all = cells(self.config);
        let chosen = selection.of(&all)?;
        let pretrained = chosen.iter().any(|cell| cell.pretrained_by().is_some());
        expect_usable(self.config, self.data_root, &sets(chosen), pretrained)?;
        expect_weights(self.config, self.data_root, chosen)?;
        self.check_sets(chosen)?;
        sweep(self.out, Duration::from_secs(2));
        expect_table(self.out, &self.kernels)?;
        self.tell_other_settings()?;
        self.keep_kernels()?;
        if manner.forecast {
            self.forecast(selection)?.lines(self.gpu).iter().for_each(|line| self.progress.note(line));
        }
        if let (Selection::Pretraining(_), Some(cell)) = (selection, chosen.first()) {
            self.pretrain_alone(cell, manner)?;
            return Ok(Outcome { results: Vec::new(), damaged: Vec::new() });
        }
        // Each of many processes with one cell would read all cells that are done. `wgslab study report` does it once.
        let alone = matches!(selection, Selection::Index(_));
        let (mut found, mut pace) = (Found::default(), Pace::default());
        let ended = self.cells(chosen, manner, &mut found, &mut |job| match alone {
            true => job.keep_config(),
            false => pace.take(|| job.gather().map(drop)),
        });
        // However the cells ended, the finished cells are written to the table and the page.
        let gathered = if alone || found.results.is_empty() { Ok(Vec::new()) } else { self.gather() };
        ended?;
        gathered?.iter().for_each(|what| self.progress.note(&format!("warning: {what}")));
        let damaged = found.damaged.into_iter().map(Damage::sentence).collect();
        Ok(Outcome { results: found.results.into_values().collect(), damaged })
    }

    /// Warns if the folder holds a study with other settings, because its cells stay in the table and the report.
    fn tell_other_settings(&self) -> Result<()> {
        if !files::exists(&self.out.join(CONFIG))? {
            return Ok(());
        }
        // A damaged config is reported where it is needed.
        let Ok(old) = kept_config(self.out) else { return Ok(()) };
        let differing = self.config.differences(&old)?;
        if !differing.is_empty() {
            self.progress.note(&format!(
                "warning: {} holds a study with other settings ({}); its results stay in the table and the report beside these; \
                 take another --out to keep them apart",
                self.out.display(),
                differing.join("; ")
            ));
        }
        Ok(())
    }

    /// Runs cells until each is done or damaged. With `no_wait`, cells that other processes work on are left out.
    /// `finished` is called after each cell.
    fn cells(
        &self,
        chosen: &[Cell],
        manner: Manner,
        found: &mut Found,
        finished: &mut dyn FnMut(&Self) -> Result<()>,
    ) -> Result<()> {
        let mut loaded: Option<Loaded> = None;
        let mut left: Vec<&Cell> = chosen.iter().collect();
        while !left.is_empty() {
            let (mut busy, mut held) = (Vec::new(), Vec::new());
            for cell in left {
                if loaded.as_ref().is_none_or(|l| *l.spec != *cell.spec) {
                    drop(loaded.take()); // frees the pages of its images before the next are made
                    loaded = Some(self.load(&cell.spec)?);
                }
                let Some(set) = &loaded else { continue };
                match self.cell(cell, set, manner) {
                    Ok(result) => {
                        found.results.insert(cell.index, result);
                        finished(self)?;
                    }
                    Err(Error::Busy(folder)) => {
                        busy.push(cell);
                        held.push(folder);
                    }
                    Err(e @ Error::Damaged { .. }) => {
                        if found.damaged(&cell.name, e.to_string()) {
                            self.progress.note(&format!("damaged: {}: {e}", cell.name));
                        }
                    }
                    Err(e) => return Err(e),
                }
            }
            if let (Some(folder), true) = (held.first(), manner.no_wait) {
                return Err(Error::Busy(folder.clone()));
            }
            if let Some(folder) = held.first() {
                let (n, folder) = (busy.len(), folder.display());
                self.progress
                    .note(&format!("waiting for other processes: {} left; one works in {folder}", counted(n, "cell")));
                wait_for_any(&held, self.stop)?;
            }
            left = busy;
        }
        Ok(())
    }

    /// Makes the pretraining of a cell, and waits for it if another process makes it.
    fn pretrain_alone(&self, cell: &Cell, manner: Manner) -> Result<()> {
        let set = self.load(&cell.spec)?;
        loop {
            match self.redone(manner, || self.start_of(cell, &set)) {
                Err(Error::Busy(folder)) if !manner.no_wait => wait_for_any(&[folder], self.stop)?,
                other => return other.map(drop),
            }
        }
    }

    /// Writes the study's config.
    fn keep_config(&self) -> Result<()> {
        locked_soon(self.out, self.stop, || write_config(self.out, self.config))
    }

    /// Writes the study's config, table and report. Returns the report's sentences about what is damaged and not shown.
    /// The folder is locked, so that an earlier gathering never replaces the results of a later one.
    fn gather(&self) -> Result<Vec<String>> {
        // This is called only when a cell is done, so a study that cannot run leaves nothing behind.
        locked_soon(self.out, self.stop, || {
            write_config(self.out, self.config)?;
            let gathered = gather(self.out)?;
            write_csv(self.out, &gathered)?;
            Ok(report(self.out, &gathered)?.1)
        })
    }

    /// Runs a cell.
    fn cell(&self, cell: &Cell, set: &Loaded, manner: Manner) -> Result<CellResult> {
        self.redone(manner, || self.cell_once(cell, set))
    }

    /// Runs `make`. With `redo_damaged`, each folder that it finds damaged is emptied once and made again.
    fn redone<T>(&self, manner: Manner, make: impl Fn() -> Result<T>) -> Result<T> {
        let mut cleared = BTreeSet::new();
        loop {
            match make() {
                Err(Error::Damaged { path, what, way_out }) if manner.redo_damaged => {
                    let folder = path.parent().unwrap_or(self.out).to_path_buf();
                    let own = ["runs", "pretraining"].iter().any(|f| folder.parent() == Some(&self.out.join(f)));
                    if !own || !cleared.insert(folder.clone()) {
                        return Err(Error::Damaged { path, what, way_out });
                    }
                    self.progress.note(&format!("{} is made again, because {what}", folder.display()));
                    clear(&folder)?;
                }
                other => return other,
            }
        }
    }

    /// What a cell's backbone starts from: nothing, a file, or a pretraining, which is made if it is not done.
    fn start_of(&self, cell: &Cell, set: &Loaded) -> Result<Option<Start>> {
        Ok(match (&cell.weights, cell.pretrained_by()) {
            (Some(file), _) => Some(start_of(self.config, self.data_root, cell, file)?),
            (None, None) => None,
            (None, Some(name)) => {
                let method = self.config.pretraining_on(name, &cell.backbone)?;
                let begun = Begun::read(self.config, self.data_root, Beginning::Config)?;
                let (images, seed) = (&set.train, cell.seed);
                let one = Pretraining { images, method: &method, seed, begun: &begun, limit: None };
                let made = pretrain::provenance(self, one)?;
                let folder = pretrain::folder_of(self.out, cell, &made);
                let (path, done) = pretrain::run(self, one, &folder, &made)?;
                Some(Start::pretrained(path, name, &done)?)
            }
        })
    }

    fn cell_once(&self, cell: &Cell, set: &Loaded) -> Result<CellResult> {
        let start = self.start_of(cell, set)?;
        let folder = run_folder(self.out, &cell.name);
        let result = match cell.protocol {
            Protocol::Finetune => train::run(self, set, cell, start.as_ref(), &folder)?,
            Protocol::Linear | Protocol::Knn => probe::run(self, set, cell, start.as_ref(), &folder)?,
        };
        self.pictures(cell, set)?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests;

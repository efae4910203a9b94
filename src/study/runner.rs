//! Runs the cells of a study, one after the other, and writes the study's results. It is the only place where data,
//! self-supervision and label noise meet.

mod checks;
mod failed;
mod pictures;
mod times;
mod weights;

use super::config::Protocol;
use super::dataset::Loaded;
use super::failure::Failure;
use super::folder::{begun, clear, kept_config, locked_soon, sweep, wait_for_any, write_config};
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
use crate::study::failure::forget_failure;
pub use checks::expect_usable;
use checks::sets;
use failed::Stops;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};
pub use weights::expect_weights;
use weights::{expect_own_pretraining, start_of};

/// How to go through the cells of a study.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// End at once if only cells are left that other processes work on, instead of waiting for them.
    pub no_wait: bool,
    /// Empty the folder of a damaged cell or pretraining, and make it again.
    pub redo_damaged: bool,
    /// Run cells again that failed by their numbers. Without it they are reported and left, since they would fail in the
    /// same way. Cells that failed by their settings or data are always looked at again.
    pub retry_failed: bool,
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
    /// The cells that failed.
    pub failed: Failed,
}

/// The cells of a study that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// How many cells.
    pub cells: usize,
    /// A sentence for each reason, with the cells that share it.
    pub reasons: Vec<String>,
    /// The exit code of their errors: that of all of them if it is the same, else 1.
    pub exit_code: u8,
}

/// The results, the damage and the failures so far.
#[derive(Default)]
struct Found {
    results: BTreeMap<usize, CellResult>,
    damaged: Stops,
    failed: Stops,
    failed_cells: BTreeMap<usize, u8>,
    /// Pretrainings that failed in this process. They are not tried again for each of their cells.
    tried: BTreeSet<PathBuf>,
}

impl Found {
    fn outcome(self) -> Outcome {
        let codes: BTreeSet<u8> = self.failed_cells.values().copied().collect();
        let exit_code = if codes.len() == 1 { codes.first().copied().unwrap_or(1) } else { 1 };
        let failed = Failed { cells: self.failed_cells.len(), reasons: self.failed.sentences(), exit_code };
        Outcome { damaged: self.damaged.sentences(), results: self.results.into_values().collect(), failed }
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
    /// done. A cell that is damaged or fails is reported, and the other cells go on. Before a study has begun, nothing can
    /// be lost: a dataset or weights that cannot be used are then an error before the first step.
    pub fn run(&self, selection: Selection, manner: Manner) -> Result<Outcome> {
        let all = cells(self.config);
        let chosen = selection.of(&all)?;
        if !begun(self.out) {
            let pretrained = chosen.iter().any(|cell| cell.pretrained_by().is_some());
            expect_usable(self.config, self.data_root, &sets(chosen), pretrained)?;
            expect_weights(self.config, self.data_root, chosen)?;
            self.check_sets(chosen)?;
        }
        sweep(self.out, Duration::from_secs(2));
        expect_table(self.out, &self.kernels)?;
        self.tell_other_settings()?;
        self.keep_kernels()?;
        if manner.forecast {
            self.forecast(selection)?.lines(self.gpu).iter().for_each(|line| self.progress.note(line));
        }
        // It says what the folder is of, also while no cell is finished, and where all fail. That of a study with other
        // settings stays until a cell with these is finished.
        if !files::exists(&self.out.join(CONFIG))? {
            locked_soon(self.out, self.stop, || write_config(self.out, self.config))?;
        }
        let (mut found, mut pace) = (Found::default(), Pace::default());
        if let (Selection::Pretraining(_), Some(cell)) = (selection, chosen.first()) {
            let ended = self.pretrain_alone(cell, manner);
            self.tell_times();
            ended?;
            return Ok(found.outcome());
        }
        // Each of many processes with one cell would read all cells that are done. `wgslab study report` does it once.
        let alone = matches!(selection, Selection::Index(_));
        let ended = self.cells(chosen, manner, &mut found, &mut |job| match alone {
            true => Ok(()),
            false => pace.take(|| job.gather(false).map(drop)),
        });
        // However the cells ended, the finished cells are written to the table and the page.
        let gathered = if alone || found.results.is_empty() { Ok(Vec::new()) } else { self.gather(ended.is_ok()) };
        self.tell_times();
        ended?;
        gathered?.iter().for_each(|what| self.progress.note(&format!("warning: {what}")));
        Ok(found.outcome())
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
                "warning: {} holds a study with other settings ({}); its results stay in the table and the report beside these, \
                 but a cell of the same name that other settings made is refused; take another --out to keep them apart",
                self.out.display(),
                differing.join("; ")
            ));
        }
        Ok(())
    }

    /// Runs cells until each is done, damaged or failed. With `no_wait`, cells that other processes work on are left out.
    /// `finished` is called after each cell.
    fn cells(
        &self,
        chosen: &[Cell],
        manner: Manner,
        found: &mut Found,
        finished: &mut dyn FnMut(&Self) -> Result<()>,
    ) -> Result<()> {
        let mut loaded: Option<Loaded> = None;
        let mut unusable: BTreeMap<&str, Failure> = BTreeMap::new();
        let mut left: Vec<&Cell> = chosen.iter().collect();
        let mut told = 0; // how many cells were waited for when that was told last
        while !left.is_empty() {
            let (mut busy, mut held) = (Vec::new(), Vec::new());
            for cell in left {
                match self.cell_of(cell, &mut loaded, &mut unusable, (manner, &mut *found)) {
                    Ok(result) => {
                        forget_failure(&run_folder(self.out, &cell.name))?;
                        found.results.insert(cell.index, result);
                        finished(self)?;
                    }
                    Err(Error::Busy(folder)) => {
                        busy.push(cell);
                        held.push(folder);
                    }
                    Err(e @ Error::Damaged { .. }) => {
                        if found.damaged.add(&cell.name, e.to_string()) {
                            self.progress.note(&format!("damaged: {}: {e}", cell.name));
                        }
                    }
                    Err(e) if e.is_of_one() => self.failed(cell, &e, found)?,
                    Err(e) => return Err(e),
                }
            }
            if let (Some(folder), true) = (held.first(), manner.no_wait) {
                return Err(Error::Busy(folder.clone()));
            }
            if let Some(folder) = held.first() {
                if busy.len() != std::mem::replace(&mut told, busy.len()) {
                    let (n, folder) = (counted(busy.len(), "cell"), folder.display());
                    self.progress.note(&format!("waiting for other processes: {n} left; one works in {folder}"));
                }
                wait_for_any(&held, self.stop)?;
            }
            left = busy;
        }
        Ok(())
    }

    /// Makes the pretraining of a cell, and waits for it if another process makes it.
    fn pretrain_alone(&self, cell: &Cell, manner: Manner) -> Result<()> {
        let (set, mut tried) = (self.load(&cell.spec)?, BTreeSet::new());
        loop {
            match self.redone(manner, || self.start_of(cell, &set, (manner.retry_failed, &mut tried))) {
                Err(Error::Busy(folder)) if !manner.no_wait => wait_for_any(&[folder], self.stop)?,
                other => return other.map(drop),
            }
        }
    }

    /// Runs a cell whose dataset is `loaded`, or is loaded now. A dataset that cannot be used is looked at once.
    fn cell_of<'c>(
        &self,
        cell: &'c Cell,
        loaded: &mut Option<Loaded>,
        unusable: &mut BTreeMap<&'c str, Failure>,
        (manner, found): (Manner, &mut Found),
    ) -> Result<CellResult> {
        if let Some(why) = unusable.get(&*cell.spec) {
            return Err(why.error());
        }
        if loaded.as_ref().is_none_or(|l| *l.spec != *cell.spec) {
            drop(loaded.take()); // frees the pages of its images before the next are made
            match self.load(&cell.spec) {
                Ok(set) => *loaded = Some(set),
                Err(e) => {
                    if e.is_of_one() {
                        unusable.insert(&cell.spec, self.failure(&e));
                    }
                    return Err(e);
                }
            }
        }
        match loaded {
            Some(set) => self.cell(cell, set, manner, found),
            None => Err(Error::Failed("a cell has no dataset".into())),
        }
    }

    /// Writes the study's config, table and report. Returns the report's sentences about what is damaged and not shown.
    /// The folder is locked, so that an earlier gathering never replaces the results of a later one. A study with other settings
    /// keeps its config until this process has made a cell, or has found all of them (`whole`): cells that are the same in both
    /// may stand before one that is refused.
    fn gather(&self, whole: bool) -> Result<Vec<String>> {
        locked_soon(self.out, self.stop, || {
            if whole || self.shared.times().stages > 0 {
                write_config(self.out, self.config)?;
            }
            let gathered = gather(self.out)?;
            write_csv(self.out, &gathered)?;
            Ok(report(self.out, &gathered)?.1)
        })
    }

    /// Runs a cell.
    fn cell(&self, cell: &Cell, set: &Loaded, manner: Manner, found: &mut Found) -> Result<CellResult> {
        let retry = manner.retry_failed;
        self.redone(manner, || {
            let start = self.start_of(cell, set, (retry, &mut found.tried))?;
            let make = || self.cell_from(cell, set, start.as_ref());
            self.unless_failed(cell, (set, start.as_ref()), retry, make)
        })
    }

    /// Runs `make`. With `redo_damaged`, each folder that it finds damaged is emptied once and made again.
    fn redone<T>(&self, manner: Manner, mut make: impl FnMut() -> Result<T>) -> Result<T> {
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
                    clear(&folder, self.stop)?;
                }
                other => return other,
            }
        }
    }

    /// What a cell's backbone starts from: nothing, a file, or a pretraining, which is made if it is not done. `tried` are
    /// the pretrainings that failed in this process.
    fn start_of(
        &self,
        cell: &Cell,
        set: &Loaded,
        (retry, tried): (bool, &mut BTreeSet<PathBuf>),
    ) -> Result<Option<Start>> {
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
                let again = |kept: &Failure| retry || !kept.is_final_of(&made.address);
                if let Some(kept) = Failure::read(&folder).filter(|kept| tried.contains(&folder) || !again(kept)) {
                    return Err(kept.error());
                }
                expect_own_pretraining(self.out, cell, &made)?;
                let (path, done) = match pretrain::run(self, one, &folder, &made) {
                    Err(e) if e.is_of_one() => {
                        self.gpu.check()?;
                        self.keep_failure(&folder, &Failure { address: made.address, ..self.failure(&e) })?;
                        tried.insert(folder);
                        return Err(e);
                    }
                    ended => ended?,
                };
                forget_failure(&folder)?;
                Some(Start::pretrained(path, name, &done)?)
            }
        })
    }

    /// Runs a cell, with its pretraining.
    pub(super) fn cell_once(
        &self,
        cell: &Cell,
        set: &Loaded,
        how: (bool, &mut BTreeSet<PathBuf>),
    ) -> Result<CellResult> {
        let start = self.start_of(cell, set, how)?;
        self.cell_from(cell, set, start.as_ref())
    }

    /// Runs a cell whose backbone begins with `start`.
    fn cell_from(&self, cell: &Cell, set: &Loaded, start: Option<&Start>) -> Result<CellResult> {
        let folder = run_folder(self.out, &cell.name);
        let result = match cell.protocol {
            Protocol::Finetune => train::run(self, set, cell, start, &folder)?,
            Protocol::Linear | Protocol::Knn => probe::run(self, set, cell, start, &folder)?,
        };
        self.pictures(cell, set)?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests;

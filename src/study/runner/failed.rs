//! Cells that fail. What fails one cell (its settings, its data, its numbers) is kept in the cell's folder with its
//! reason, and the other cells go on.

use super::Found;
use crate::base::grouped::Grouped;
use crate::base::text::counted;
use crate::base::{Error, Result, files, seal};
use crate::study::config::Protocol;
use crate::study::dataset::Loaded;
use crate::study::failure::Failure;
use crate::study::folder::{clear, locked};
use crate::study::grid::Cell;
use crate::study::names::{DONE, FAILED};
use crate::study::owner::{Me, is_another_machine_s};
use crate::study::results::{CellResult, run_folder};
use crate::study::session::Job;
use crate::study::start::Start;
use crate::study::{probe, train};
use std::path::Path;

impl Job<'_> {
    /// An error as a failure that is nobody's own, see [`Failure::address`].
    pub(super) fn failure(&self, e: &Error) -> Failure {
        let (wgslab, adapter) = (env!("CARGO_PKG_VERSION").to_string(), self.gpu.adapter().name.clone());
        Failure { reason: e.to_string(), exit_code: e.exit_code(), address: String::new(), wgslab, adapter }
    }

    /// As [`Job::failure`], of a cell.
    fn failure_of(&self, cell: &Cell, e: &Error) -> Failure {
        let mut failure = self.failure(e);
        // The cell is named with it, and cells that share a reason are told together.
        if let Some(own) = failure.reason.strip_prefix(&format!("{}: ", cell.name)) {
            failure.reason = own.to_string();
        }
        failure
    }

    /// Keeps in `folder` why it could not be finished. Where another process works in the folder or has finished it,
    /// nothing is kept: a cell that was finished stays so, if its data is gone now.
    pub(super) fn keep_failure(&self, folder: &Path, failure: &Failure) -> Result<()> {
        let kept = locked(folder, || {
            if files::exists(&folder.join(DONE))? || is_another_machine_s(folder, Me::own()) {
                return Ok(());
            }
            seal::write(&folder.join(FAILED), failure)
        });
        match kept {
            Err(Error::Busy(_)) => Ok(()),
            kept => kept,
        }
    }

    /// Makes a cell with `make`, unless its numbers failed before and would be the same again. Keeps why it fails. With
    /// other settings, data, program or adapter than those that failed, it begins anew: what they left leads nowhere.
    pub(super) fn unless_failed(
        &self,
        cell: &Cell,
        (set, start): (&Loaded, Option<&Start>),
        retry: bool,
        make: impl FnOnce() -> Result<CellResult>,
    ) -> Result<CellResult> {
        let folder = run_folder(self.out, &cell.name);
        let address = || match cell.protocol {
            Protocol::Finetune => train::address(self, set, cell, start),
            Protocol::Linear | Protocol::Knn => probe::address(self, set, cell, start),
        };
        if let Some(kept) = Failure::read(&folder).filter(Failure::is_of_numbers) {
            if !kept.is_final_of(&address()?) {
                let name = &cell.name;
                self.progress.note(&format!("{name} failed when it was made from something else, and begins anew"));
                clear(&folder, self.stop)?;
            } else if !retry {
                return Err(kept.error());
            }
        }
        let made = make();
        if let Some(e) = made.as_ref().err().filter(|e| e.is_of_one()) {
            self.gpu.check()?; // an error of the device is no cell's
            // What has no address fails by its settings, and is looked at again.
            let address = address().unwrap_or_default();
            self.keep_failure(&folder, &Failure { address, ..self.failure_of(cell, e) })?;
        }
        made
    }

    /// Tells that a cell failed, and keeps why, if it is not kept yet. An error of the device is no cell's: it is
    /// returned.
    pub(super) fn failed(&self, cell: &Cell, e: &Error, found: &mut Found) -> Result<()> {
        self.gpu.check()?;
        let (folder, failure) = (run_folder(self.out, &cell.name), self.failure_of(cell, e));
        let same = |kept: &Failure| (&kept.reason, kept.exit_code) == (&failure.reason, failure.exit_code);
        if !Failure::read(&folder).is_some_and(|kept| same(&kept)) {
            self.keep_failure(&folder, &failure)?;
        }
        found.failed_cells.insert(cell.index, failure.exit_code);
        let line = format!("failed: {}: {}", cell.name, failure.reason);
        if found.failed.add(&cell.name, failure.reason) {
            self.progress.note(&line);
        }
        Ok(())
    }
}

/// What stopped cells: each reason with the name of the first cell, and the number of further cells that share it.
#[derive(Default)]
pub(super) struct Stops(Grouped<String, (String, usize)>);

impl Stops {
    /// Adds a cell to those that something stopped. Returns whether no earlier cell was stopped by the same.
    pub fn add(&mut self, cell: &str, what: String) -> bool {
        let mut new = false;
        let stopped = self.0.of(what, || {
            new = true;
            (cell.to_string(), 0)
        });
        stopped.1 += usize::from(!new);
        new
    }

    /// A sentence for each reason.
    pub fn sentences(&self) -> Vec<String> {
        let sentence = |(what, (first, more)): &(String, (String, usize))| {
            let more = if *more > 0 { format!(" and {} more", counted(*more, "cell")) } else { String::new() };
            format!("{first}{more}: {what}")
        };
        self.0.all().iter().map(sentence).collect()
    }
}

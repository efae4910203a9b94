//! Cells that fail. What fails one cell (its settings, its data, its numbers) is kept in the cell's folder with its
//! reason, and the other cells go on.

use crate::base::text::counted;
use crate::base::{Error, Result, files, seal};
use crate::study::folder::locked;
use crate::study::names::FAILED;
use crate::study::session::Job;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// `failed.json`: why a cell or a pretraining could not be finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::study) struct Failure {
    /// The text of the error.
    pub reason: String,
    /// The exit code of the error: 2 for its settings, 4 for its data, 1 for anything else.
    pub exit_code: u8,
    /// The program's version.
    pub wgslab: String,
    /// The adapter that it ran on.
    pub adapter: String,
}

impl Failure {
    /// Reads the failure that is kept in a folder. `None` if there is none. A file that cannot be read counts as none,
    /// because a failure is only tried again then.
    pub fn read(folder: &Path) -> Option<Failure> {
        seal::read(&folder.join(FAILED)).ok()
    }

    /// Whether the same command would fail in the same way: settings and data are mended by people, and looking at them
    /// again costs little; numbers are the same again.
    pub fn is_final(&self) -> bool {
        self.exit_code == 1
    }

    /// The error again.
    pub fn error(&self) -> Error {
        match self.exit_code {
            2 => Error::Usage(self.reason.clone()),
            4 => Error::Data(self.reason.clone()),
            _ => Error::Failed(self.reason.clone()),
        }
    }
}

impl Job<'_> {
    /// An error as the failure of a cell.
    pub(super) fn failure(&self, e: &Error) -> Failure {
        let (wgslab, adapter) = (env!("CARGO_PKG_VERSION").to_string(), self.gpu.adapter().name.clone());
        Failure { reason: e.to_string(), exit_code: e.exit_code(), wgslab, adapter }
    }

    /// Keeps in `folder` why it could not be finished. Where another process works in the folder, nothing is kept.
    pub(super) fn keep_failure(&self, folder: &Path, e: &Error) -> Result<()> {
        let failure = self.failure(e);
        match locked(folder, || seal::write(&folder.join(FAILED), &failure)) {
            Err(Error::Busy(_)) => Ok(()),
            kept => kept,
        }
    }
}

/// Removes the failure that is kept in a folder, which is finished now.
pub(super) fn forget_failure(folder: &Path) -> Result<()> {
    let path = folder.join(FAILED);
    if !files::exists(&path)? {
        return Ok(());
    }
    std::fs::remove_file(&path).map_err(|e| Error::io(&path, "remove", e))
}

/// What stopped some cells: one reason, and the cells that share it.
pub(super) struct Stopped {
    what: String,
    /// The name of the first cell, and the number of further cells.
    first: String,
    more: usize,
}

impl Stopped {
    pub fn sentence(&self) -> String {
        let more = if self.more > 0 { format!(" and {} more", counted(self.more, "cell")) } else { String::new() };
        format!("{}{more}: {}", self.first, self.what)
    }
}

/// Adds a cell to those that something stopped. Returns whether no earlier cell was stopped by the same.
pub(super) fn stopped(all: &mut Vec<Stopped>, cell: &str, what: String) -> bool {
    if let Some(same) = all.iter_mut().find(|d| d.what == what) {
        same.more += 1;
        return false;
    }
    all.push(Stopped { what, first: cell.to_string(), more: 0 });
    true
}

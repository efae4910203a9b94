//! Cells that fail. What fails one cell (its settings, its data, its numbers) is kept in the cell's folder with its
//! reason, and the other cells go on.

use crate::base::text::counted;
use crate::base::{Error, Result, files, seal};
use crate::study::failure::Failure;
use crate::study::folder::locked;
use crate::study::names::FAILED;
use crate::study::session::Job;
use std::path::Path;

impl Job<'_> {
    /// An error as the failure of a cell.
    pub(super) fn failure(&self, e: &Error) -> Failure {
        let (wgslab, adapter) = (env!("CARGO_PKG_VERSION").to_string(), self.gpu.adapter().name.clone());
        Failure { reason: e.to_string(), exit_code: e.exit_code(), wgslab, adapter }
    }

    /// Keeps in `folder` why it could not be finished. Where another process works in the folder, nothing is kept.
    pub(super) fn keep_failure(&self, folder: &Path, failure: &Failure) -> Result<()> {
        match locked(folder, || seal::write(&folder.join(FAILED), failure)) {
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

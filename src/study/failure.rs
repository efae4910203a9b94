//! Why a cell or a pretraining could not be finished, as its folder keeps it.

use super::names::{DONE, FAILED};
use crate::base::{Error, Result, seal};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::Path;

/// `failed.json`: why a cell or a pretraining could not be finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    /// The text of the error.
    pub reason: String,
    /// The exit code of the error: 2 for its settings, 4 for its data, 1 for anything else.
    pub exit_code: u8,
    /// The address of what failed, see [`super::provenance::Provenance`]: settings, data, program, adapter. Empty if the
    /// failure is not its own, as that of a cell whose pretraining failed.
    pub address: String,
    /// The program's version.
    pub wgslab: String,
    /// The adapter that it ran on.
    pub adapter: String,
}

impl Failure {
    /// Reads the failure that is kept in a folder. `None` if there is none. A file that cannot be read counts as none,
    /// because a failure is only tried again then. So does one in a finished folder: its result came later, or from
    /// another folder.
    pub fn read(folder: &Path) -> Option<Failure> {
        if folder.join(DONE).exists() {
            return None;
        }
        seal::read(&folder.join(FAILED)).ok()
    }

    /// Whether what has this address would fail in the same way: settings and data are mended by people, and looking at
    /// them again costs little; numbers are the same again, of the same settings, data, program and adapter.
    pub fn is_final_of(&self, address: &str) -> bool {
        self.is_of_numbers() && self.address == address
    }

    /// Whether it is of the numbers of what failed itself.
    pub fn is_of_numbers(&self) -> bool {
        self.exit_code == 1 && !self.address.is_empty()
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

/// Removes the failure that is kept in a folder, which is finished now. Another process may do so at the same time.
pub(super) fn forget_failure(folder: &Path) -> Result<()> {
    let path = folder.join(FAILED);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(&path, "remove", e)),
        _ => Ok(()),
    }
}

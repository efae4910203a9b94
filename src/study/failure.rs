//! Why a cell or a pretraining could not be finished, as its folder keeps it.

use super::names::FAILED;
use crate::base::{Error, seal};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// `failed.json`: why a cell or a pretraining could not be finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
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

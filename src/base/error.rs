//! One error type for the whole crate. Each variant has a documented exit code. Each message names what is wrong and
//! the way out.

use crate::base::Shape;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// The errors, grouped by who can fix them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line or a config is wrong (exit code 2).
    #[error("{0}")]
    Usage(String),
    /// No adapter fits (exit code 3).
    #[error("{0}")]
    NoAdapter(String),
    /// Files are missing, damaged or hold something unexpected (exit code 4).
    #[error("{0}")]
    Data(String),
    /// A file that the program wrote has changed or is gone (exit code 4).
    #[error("{what}; {way_out}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which file, and why it cannot be used.
        what: String,
        /// What the user can do.
        way_out: String,
    },
    /// A folder holds what another config, other data, another program or another adapter made (exit code 2).
    #[error("{0}")]
    Foreign(String),
    /// A measurement is slower than its base by more than is allowed, or no longer runs (exit code 5).
    #[error("{0}")]
    Regression(String),
    /// An op was given shapes it cannot take.
    #[error("{op}: {what}")]
    Shape {
        /// The op, by the name of its file.
        op: &'static str,
        /// Both shapes and what would fit.
        what: String,
    },
    /// A gradient was asked for that does not exist. No other failure is this variant, because listings and benches
    /// continue without the gradient.
    #[error("{op}: {what}")]
    NoGradient {
        /// The op, by the name of its file.
        op: &'static str,
        /// What has no gradient, and the way out.
        what: String,
    },
    /// Another process works in this folder (exit code 75).
    #[error("another process works in {}; wait for it or take another --out", .0.display())]
    Busy(PathBuf),
    /// The device was lost, or a signal stopped the run after it saved. The same command goes on (exit code 75).
    #[error("{0}")]
    TryAgain(String),
    /// The disk is full, or a quota is (exit code 1). The same command goes on once there is room.
    #[error("{0}")]
    NoRoom(String),
    /// Any other failure (exit code 1).
    #[error("{0}")]
    Failed(String),
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The process exit code of this error: 1 failure, 2 usage or config, 3 no adapter, 4 bad data, 5 performance
    /// regression, 75 try again.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Shape { .. } | Error::NoGradient { .. } | Error::NoRoom(_) | Error::Failed(_) => 1,
            Error::Usage(_) | Error::Foreign(_) => 2,
            Error::NoAdapter(_) => 3,
            Error::Data(_) | Error::Damaged { .. } => 4,
            Error::Regression(_) => 5,
            Error::TryAgain(_) | Error::Busy(_) => 75,
        }
    }

    /// Whether the error is of the one thing that was worked on (its settings, its data, its numbers), so that other work
    /// may go on. The others are of the machine, of the whole folder, or a request to stop.
    pub fn is_of_one(&self) -> bool {
        match self {
            Error::Usage(_) | Error::Data(_) | Error::Shape { .. } | Error::NoGradient { .. } | Error::Failed(_) => {
                true
            }
            Error::NoAdapter(_) | Error::NoRoom(_) | Error::Busy(_) | Error::TryAgain(_) => false,
            Error::Damaged { .. } | Error::Foreign(_) | Error::Regression(_) => false,
        }
    }

    /// A shape error of the op `op`.
    pub fn shape(op: &'static str, what: impl Into<String>) -> Self {
        Error::Shape { op, what: what.into() }
    }

    /// A shape error naming both shapes.
    pub fn shapes(op: &'static str, a: (&str, Shape), b: (&str, Shape), need: &str) -> Self {
        Error::shape(op, format!("{} is {} and {} is {}; {need}", a.0, a.1, b.0, b.1))
    }

    /// An error that `op` has no gradient: with respect to what, and the way out.
    pub fn no_gradient(op: &'static str, what: impl Into<String>) -> Self {
        Error::NoGradient { op, what: what.into() }
    }

    /// An error for a file of this program that cannot be trusted: which one, why, and the way out.
    pub fn damaged(path: &Path, why: impl Display, way_out: &str) -> Self {
        let what = format!("{} is damaged: {why}", path.display());
        Error::Damaged { path: path.to_path_buf(), what, way_out: way_out.to_string() }
    }

    /// An I/O error with its path. A missing or unreadable file is bad data. A full disk is a failure; the same command
    /// goes on once there is room.
    pub fn io(path: &Path, doing: &str, e: io::Error) -> Self {
        let e = inner(e);
        let what = format!("cannot {doing} {}: {e}", path.display());
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Error::NoRoom(format!("{what}; make room, and the same command goes on"))
            }
            _ => Error::Data(what),
        }
    }
}

/// The system's own error. tempfile wraps errors to add a path, but the message names the path already.
fn inner(e: io::Error) -> io::Error {
    let text = e.to_string();
    match text.split_once(" at path \"") {
        Some((own, _)) if e.get_ref().is_some() => io::Error::new(e.kind(), own.to_string()),
        _ => e,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_a_failure_and_a_path_is_named_once() {
        let path = Path::new("a/b");
        let full = Error::io(path, "write", io::Error::from_raw_os_error(28));
        assert!(full.exit_code() == 1 || cfg!(not(unix)), "{full}");
        assert_eq!(Error::io(path, "read", io::ErrorKind::NotFound.into()).exit_code(), 4);
        // tempfile adds the path of its file to its errors.
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let e = tempfile::Builder::new().tempfile_in(&gone).unwrap_err();
        let said = Error::io(&gone, "write in", e).to_string();
        assert_eq!(said.matches("gone").count(), 1, "{said}");
    }
}

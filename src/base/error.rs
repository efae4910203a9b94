//! One error type for the whole crate. Each variant maps to a documented exit code, and each message names the
//! thing that is wrong and the way out of it.

use crate::base::Shape;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong, grouped by who can mend it.
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
    /// A file that the program wrote is not what it wrote (exit code 4): a byte changed, or it is gone.
    #[error("{what}; {way_out}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which file, and why it cannot be used.
        what: String,
        /// What a person can do.
        way_out: String,
    },
    /// A measurement is slower than its base by more than was allowed, or no longer runs (exit code 5).
    #[error("{0}")]
    Regression(String),
    /// An op was given shapes it cannot take.
    #[error("{op}: {what}")]
    Shape {
        /// The op, as its file is named.
        op: &'static str,
        /// Both shapes and what would fit.
        what: String,
    },
    /// A loss was differentiated through what has no gradient. Nothing else is called so, since listings and benches go on
    /// without it.
    #[error("{op}: {what}")]
    NoGradient {
        /// The op, as its file is named.
        op: &'static str,
        /// What has none, and the way out.
        what: String,
    },
    /// Another process works in this folder (exit code 75).
    #[error("another process works in {}; wait for it or take another --out", .0.display())]
    Busy(PathBuf),
    /// The device was lost, or a signal stopped the run after saving: the same command goes on (exit code 75).
    #[error("{0}")]
    TryAgain(String),
    /// Anything else (exit code 1).
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
            Error::Shape { .. } | Error::NoGradient { .. } | Error::Failed(_) => 1,
            Error::Usage(_) => 2,
            Error::NoAdapter(_) => 3,
            Error::Data(_) | Error::Damaged { .. } => 4,
            Error::Regression(_) => 5,
            Error::TryAgain(_) | Error::Busy(_) => 75,
        }
    }

    /// A shape error of `op`.
    pub fn shape(op: &'static str, what: impl Into<String>) -> Self {
        Error::Shape { op, what: what.into() }
    }

    /// A shape error naming both shapes.
    pub fn shapes(op: &'static str, a: (&str, Shape), b: (&str, Shape), need: &str) -> Self {
        Error::shape(op, format!("{} is {} and {} is {}; {need}", a.0, a.1, b.0, b.1))
    }

    /// `op` has no gradient: through what, and the way out.
    pub fn no_gradient(op: &'static str, what: impl Into<String>) -> Self {
        Error::NoGradient { op, what: what.into() }
    }

    /// A file of ours that cannot be trusted: which, why, and the way out.
    pub fn damaged(path: &Path, why: impl Display, way_out: &str) -> Self {
        let what = format!("{} is damaged: {why}", path.display());
        Error::Damaged { path: path.to_path_buf(), what, way_out: way_out.to_string() }
    }

    /// An I/O error with the path it happened at. A missing or unreadable file is bad data; a disk without room is a
    /// failure, and the same command goes on once there is some.
    pub fn io(path: &Path, doing: &str, e: io::Error) -> Self {
        let e = inner(e);
        let what = format!("cannot {doing} {}: {e}", path.display());
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Error::Failed(format!("{what}; make room, and the same command goes on"))
            }
            _ => Error::Data(what),
        }
    }
}

/// The system's own words of an error that tempfile wrapped to name a path: ours is named already.
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
        // tempfile names the path of its file in its errors.
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let e = tempfile::Builder::new().tempfile_in(&gone).unwrap_err();
        let said = Error::io(&gone, "write in", e).to_string();
        assert_eq!(said.matches("gone").count(), 1, "{said}");
    }
}

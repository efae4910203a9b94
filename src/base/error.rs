//! One error type for the whole crate. Each variant maps to a documented exit code, and each message names the
//! thing that is wrong and the way out of it.

use crate::base::Shape;

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
            Error::Shape { .. } | Error::Failed(_) => 1,
            Error::Usage(_) => 2,
            Error::NoAdapter(_) => 3,
            Error::Data(_) => 4,
            Error::Regression(_) => 5,
            Error::TryAgain(_) => 75,
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

    /// An I/O error with the path it happened at; a missing or unreadable file is bad data.
    pub fn io(path: &std::path::Path, doing: &str, e: std::io::Error) -> Self {
        Error::Data(format!("cannot {doing} {}: {e}", path.display()))
    }
}

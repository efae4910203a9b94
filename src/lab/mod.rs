//! lab: kernels under the magnifying glass. What a kernel or a step costs on the adapter at hand, how that compares with
//! the adapter's own peaks, with another run and with another framework, and what an edit of a shader does to it.
//!
//! Everything here prints nothing: it measures, judges and returns records that `cli` shows and writes. Only
//! [`check::skipped`], which is for tests, speaks.

pub mod against;
pub mod bench;
#[cfg(feature = "study")]
mod chart;
pub mod check;
pub mod compare;
pub mod edit;
pub mod environment;
mod fields;
mod forms;
pub mod landscape;
mod own;
#[cfg(feature = "study")]
mod page;
pub mod profile;
pub mod report;
pub mod roofline;
pub mod rule;
mod samples;
pub mod sets;
pub mod spread;
pub mod step;
#[cfg(feature = "cli")]
pub mod watch;

pub use against::{Against, Other, against};
pub use bench::{Asked, bench};
pub use environment::{Environment, Timer};
pub use report::{Cache, Report, Row, Skipped};
pub use rule::Rule;
pub use sets::Set;
pub use spread::Spread;

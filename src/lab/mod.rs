//! lab: measures kernels and steps. What does a kernel cost on this adapter? How does that compare with the adapter's
//! own peaks, with another run, with another framework? What does an edit of a shader do to it?
//!
//! Nothing here prints: it measures, judges and returns records. `cli` shows and writes them. The one exception is
//! [`check::skipped`], which is for tests and says what they skip.

pub mod bench;
mod case_builders;
mod case_fields;
#[cfg(feature = "study")]
mod chart;
pub mod check;
pub mod compare;
pub mod compiled;
pub mod environment;
#[cfg(feature = "study")]
pub mod export;
mod fixed_kernel;
#[cfg(feature = "study")]
pub mod gallery;
#[cfg(feature = "study")]
mod page;
pub mod profile;
pub mod report;
pub mod roofline;
pub mod rows;
mod samples;
pub mod sampling_rule;
pub mod sets;
pub mod shader_trial;
pub mod side_by_side;
pub mod spread;
#[cfg(feature = "cli")]
pub mod statistics;
pub mod step;
pub mod tuning_export;
#[cfg(feature = "cli")]
pub mod watch;

pub use bench::{Asked, bench};
pub use compiled::Figures;
pub use environment::{Environment, Timer};
pub use report::{Cache, Report, Row, Skipped};
pub use sampling_rule::SamplingRule;
pub use sets::Set;
pub use side_by_side::{OtherReport, SideBySide, side_by_side};
pub use spread::Spread;

//! lab: kernels under the magnifying glass. What a kernel or a step costs on the adapter at hand, how that compares with
//! the adapter's own peaks, with another run and with another framework, and what an edit of a shader does to it.
//!
//! Everything here prints nothing: it measures, judges and returns records that `cli` shows and writes. Only
//! [`check::gpu_or_skip`], which is for tests, says that it skips.

pub mod bench;
mod case_builders;
mod case_data;
mod case_fields;
#[cfg(feature = "study")]
mod chart;
pub mod check;
pub mod compare;
pub mod environment;
mod fixed_kernel;
#[cfg(feature = "study")]
mod page;
pub mod profile;
pub mod report;
pub mod roofline;
mod samples;
pub mod sampling_rule;
pub mod sets;
pub mod shader_trial;
pub mod side_by_side;
pub mod spread;
pub mod step;
pub mod tuning_export;
#[cfg(feature = "cli")]
pub mod watch;

pub use bench::{Asked, bench};
pub use environment::{Environment, Timer};
pub use report::{Cache, Report, Row, Skipped};
pub use sampling_rule::SamplingRule;
pub use sets::Set;
pub use side_by_side::{OtherReport, SideBySide, side_by_side};
pub use spread::Spread;

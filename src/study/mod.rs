//! study: the grid of data, pretraining, label noise and learning methods; its configs, numbers and report. The one
//! floor that combines `data`, `ssl` and `noise`.

mod batches;
mod commands;
pub mod config;
mod cursor;
mod dataset;
pub mod evaluate;
mod fit;
mod folder;
pub mod grid;
mod memory;
mod metrics;
mod names;
mod neighbours;
pub mod noisy;
mod pass;
mod plans;
mod pretrain;
mod provenance;
pub mod report;
pub mod results;
mod runner;
mod session;
mod settings;
mod stage;
mod start;
pub mod statistics;
mod step;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod testing;
mod train;
mod turns;

pub use crate::base::Progress;
pub use config::Config;
pub use cursor::{Cursor, Extent};
pub use folder::{begun, kept_config};
pub use grid::{Cell, Selection, cells};
pub use memory::{Planned, Promise};
pub use names::KERNELS;
pub use plans::tune;
pub use provenance::begun_with;
pub use report::report;
pub use results::{CellResult, EpochRecord, LabelRow, Phase, Picture};
pub use runner::{Manner, Outcome};
pub use session::Job;
pub use start::Brought;

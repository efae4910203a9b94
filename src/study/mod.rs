//! study: the grid of data, pretraining, label noise and learning methods; its configs, numbers and report. The one
//! floor that combines `data`, `ssl` and `noise`.

mod batches;
pub mod config;
mod cursor;
pub mod evaluate;
mod fit;
mod folder;
pub mod grid;
pub mod job;
mod neighbours;
mod plans;
pub mod plot;
mod pretrain;
mod provenance;
pub mod report;
pub mod results;
mod run;
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

pub use crate::base::progress::{self, Progress};
pub use config::Config;
pub use folder::kept_config;
pub use grid::{Cell, Selection, cells};
pub use job::{Brought, Job, begun};
pub use plans::tune;
pub use provenance::begun_with;
pub use report::report;
pub use results::{CellResult, EpochRecord, LabelRow, Phase, Picture};
pub use run::{Manner, Outcome};

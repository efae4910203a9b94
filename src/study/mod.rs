//! study: the grid of data, pretraining, label noise and learning methods; its configs, numbers and report. The one
//! floor that combines `data`, `ssl` and `noise`.

pub mod config;
pub mod grid;
pub mod plot;
pub mod progress;
pub mod report;
pub mod results;
pub mod statistics;

pub use config::Config;
pub use grid::{Cell, Selection, cells};
pub use report::report;
pub use results::{CellResult, EpochRecord, LabelRow, Phase, Picture};

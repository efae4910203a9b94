//! Studies: the grid of data, pretraining, label noise and learning methods, with its configs, numbers and report. This
//! is the only floor that combines `data`, `ssl` and `noise`.

pub mod audit;
mod batches;
mod cell;
mod collapse;
mod commands;
mod compare;
pub mod config;
mod cursor;
mod dataset;
pub mod embed;
pub mod evaluate;
mod fit;
mod folder;
pub mod grid;
mod html;
pub mod labels;
mod measured;
mod memory;
mod metrics;
mod micro;
mod names;
mod neighbours;
pub mod noisy;
#[cfg(test)]
mod outside;
mod pass;
mod plans;
mod predictions;
mod pretrain;
mod probe;
mod projection;
mod provenance;
pub mod report;
pub mod results;
mod runner;
mod sample_loss;
mod saved;
mod separability;
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
mod views;

pub use crate::base::Progress;
pub use commands::PretrainOptions;
pub use compare::{CellComparison, compare_cells};
pub use config::{Config, Protocol};
pub use cursor::{Cursor, Extent};
pub use folder::{begun, kept_config};
pub use grid::{AskedNoise, Cell, Selection, cells};
pub use memory::{Planned, Promise};
pub use names::KERNELS;
pub use plans::tune;
pub use provenance::begun_with;
pub use report::{check_report, report};
pub use results::{CellResult, EpochRecord, LabelRow, Phase, Picture, PretrainResult, StepRecord};
pub use runner::{Manner, Outcome, expect_usable};
pub use session::Job;
pub use start::{Beginning, Brought};
pub use views::{DrawnNumbers, SeenImages, ViewSheet};

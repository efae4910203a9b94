//! What ran a cell, on the cell's row.

use super::CellResult;
use crate::base::Result;
use crate::study::provenance::Provenance;

/// Writes into a row what ran its cell, with a table of kernels of this hash.
pub(in crate::study) fn stamp(made: &Provenance, kernel_table: Option<String>, row: &mut CellResult) -> Result<()> {
    row.adapter = made.adapter.clone();
    row.driver = made.driver.clone();
    row.backend = made.backend.clone();
    row.wgslab = made.wgslab.clone();
    row.results_version = made.results;
    row.kernel_table = kernel_table.unwrap_or_default();
    row.config_hash = made.config_hash()?;
    Ok(())
}

/// The same from the text of the cell's `environment.json`. A text that does not say it changes nothing.
pub(super) fn stamp_from(environment: &str, row: &mut CellResult) -> Result<()> {
    Provenance::of_text(environment).map_or(Ok(()), |(made, table)| stamp(&made, table, row))
}

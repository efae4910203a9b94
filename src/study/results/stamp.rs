//! What ran a cell, on the cell's row.

use super::CellResult;
use crate::base::Result;
use crate::study::provenance::Provenance;

/// Writes into a row what ran its cell, with a table of kernels of this hash. Whoever measures the row writes the hash of
/// edited shaders and of its settings.
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
    let Some((made, kernel_table, shaders)) = Provenance::of_text(environment) else { return Ok(()) };
    row.shaders = shaders.unwrap_or_default();
    stamp(&made, kernel_table, row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::results::tests::sample;
    use crate::study::{Config, cells};
    use serde_json::json;

    #[test]
    fn a_row_gets_what_its_environment_says_of_tables_and_shaders() {
        let mut row = sample(&cells(&Config::parse("t", "").unwrap())[0], 0.5);
        stamp_from("no environment", &mut row).unwrap();
        assert_eq!((row.wgslab.as_str(), row.shaders.as_str()), ("0.1.0", ""));
        let about = json!({
            "address": "", "settings": {}, "data_fingerprint": "", "start": "", "kernels": "", "results": 1, "wgslab": "9",
            "adapter": "", "driver": "", "backend": "", "kernel_table": "7a", "shaders": { "hash": "5b", "edited": ["x"] },
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("environment.json");
        crate::base::seal::write(&path, &about).unwrap();
        stamp_from(&crate::base::files::read_text(&path).unwrap(), &mut row).unwrap();
        assert_eq!([&*row.wgslab, &*row.kernel_table, &*row.shaders], ["9", "7a", "5b"]);
    }
}

//! Made-up studies for the tests of what the report says.

use super::read::Study;
use crate::base::rng::Rng;
use crate::study::folder::write_config;
use crate::study::results::tests::{finish, sample};
use crate::study::results::{gather, run_folder};
use crate::study::{Cell, Config, cells};
use std::path::Path;

/// Five datasets, random weights and three pretrainings, clean labels, noise, and noise at the rate that leaves no signal of
/// six classes.
pub fn text(seeds: &str) -> String {
    let specs = ["fetal", "dermnet", "covid", "mura", "nct-crc"].map(|s| format!("\"phantom:{s}\"")).join(", ");
    format!(
        "seeds = {seeds}\n[data]\nspecs = [{specs}]\n[pretraining]\nmethods = [\"none\", \"simclr\", \"moco\", \
         \"rotation\"]\n[noise]\nrates = [0.0, 0.4, 0.9]\n"
    )
}

/// A number from −0.5 to 0.5, by chance and the same each time.
pub fn wobble(cell: &Cell) -> f64 {
    f64::from(Rng::new(5, 0, cell.index as u64).uniform()) - 0.5
}

/// A finished study in which a cell has this test accuracy.
pub fn write(dir: &Path, text: &str, accuracy: &dyn Fn(&Cell) -> f64) {
    let config = Config::parse("t", text).unwrap();
    write_config(dir, &config).unwrap();
    for cell in &cells(&config) {
        finish(&run_folder(dir, &cell.name), &sample(cell, accuracy(cell)), &[]);
    }
}

/// The same, read.
pub fn study(text: &str, accuracy: &dyn Fn(&Cell) -> f64) -> Study {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), text, accuracy);
    Study::read(dir.path(), &gather(dir.path()).unwrap()).unwrap()
}

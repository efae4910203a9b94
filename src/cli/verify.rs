//! `wgslab study verify`.

use super::options::Options;
use super::output::{print, print_json, temporary};
use crate::base::text::counted;
use crate::base::{Error, Result};
use crate::study::{Verified, kept_config};
use clap::Args;
use std::path::PathBuf;

/// Run finished cells of a study again and compare them
///
/// Chooses some finished cells by chance, makes each from nothing in a temporary folder, with its
/// pretraining, and compares. What the same program, adapter, driver and kernels ran must have the
/// same bits, times aside. Else labels must be the same, test accuracy within 2 points or three
/// standard errors, and the loss of the first epoch within 5 %. Changes nothing in DIR.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  wgslab study verify runs/smoke\n  \
                  wgslab study verify runs/isic9 --data-root data --cells 5 --seed 7"
)]
pub(super) struct Verify {
    /// The study's folder
    dir: PathBuf,
    /// How many cells
    #[arg(long, value_name = "N", default_value_t = 1)]
    cells: usize,
    /// Another seed chooses other cells
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub fn run(&self, options: &Options) -> Result<()> {
        if self.cells == 0 {
            return Err(Error::Usage("--cells is 0, and nothing would be compared; give 1 or more".to_string()));
        }
        let (config, again) = (kept_config(&self.dir)?, temporary()?);
        let found = options.job(&config, &self.dir, |job| job.verify(again.path(), self.cells, self.seed))?;
        if self.json {
            print_json(&found)?;
        } else {
            print(&found.iter().map(in_words).collect::<Vec<_>>().join("\n"))?;
        }
        let differ: Vec<&Verified> = found.iter().filter(|v| !v.differs.is_empty()).collect();
        let Some(first) = differ.first() else { return Ok(()) };
        let (n, of, dir) = (differ.len(), counted(found.len(), "cell"), self.dir.display());
        Err(Error::Data(format!(
            "{n} of {of} of {dir} did not come out as it is there, the first {}: {}",
            first.cell,
            first.differs.join("; ")
        )))
    }
}

fn in_words(one: &Verified) -> String {
    let by = match one.ran_by_different.is_empty() {
        true => "by bits, times aside".to_string(),
        false => format!("by numbers, since not the same ran it ({})", one.ran_by_different.join("; ")),
    };
    let part = |word: &str, what: &[String]| {
        if what.is_empty() { String::new() } else { format!("\n  {word}: {}", what.join(", ")) }
    };
    format!("{}, compared {by}{}{}", one.cell, part("agrees", &one.agrees), part("differs", &one.differs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_says_how_it_was_compared_and_what_came_out() {
        let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let one = Verified {
            cell: "c".into(),
            ran_by_different: Vec::new(),
            agrees: texts(&["labels.csv", "result.json"]),
            differs: Vec::new(),
        };
        assert_eq!(in_words(&one), "c, compared by bits, times aside\n  agrees: labels.csv, result.json");
        let other = Verified { ran_by_different: texts(&["driver: a and b"]), differs: texts(&["data"]), ..one };
        let due = "c, compared by numbers, since not the same ran it (driver: a and b)\n  agrees: labels.csv, result.json\n  differs: data";
        assert_eq!(in_words(&other), due);
    }
}

//! `wgslab study compare`.

use super::output::{complain, print, print_json};
use crate::base::Result;
use crate::study;
use clap::Args;
use std::path::PathBuf;

/// Compare two finished cells of one dataset image by image
///
/// Reads what each said of every test image, and says how far apart their accuracies are: the
/// difference with a 95 % interval (a bootstrap over images) and p of McNemar's test. It speaks of
/// these two networks; what other seeds would give it does not know.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Example:\n  wgslab study compare runs/smoke/runs/CELL runs/smoke/runs/OTHER"
)]
pub(super) struct Compare {
    /// The folder of a finished cell
    first: PathBuf,
    /// The folder of another one
    second: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub fn run(&self) -> Result<()> {
        let found = study::compare_cells(&self.first, &self.second)?;
        if self.json {
            return print_json(&found);
        }
        let percent = |share: f64| format!("{:.1}", share * 100.0);
        let [only_first, only_second] = found.only;
        let p = match (found.exact_p, found.chi_square_p, &found.too_few) {
            (Some(exact), Some(plain), _) => {
                format!(
                    "McNemar's test: p = {exact:.4} (exact), p = {plain:.4} (χ² with the correction for continuity)"
                )
            }
            (_, _, few) => format!("no p: {}", few.as_deref().unwrap_or_default()),
        };
        print(&format!(
            "{}, {} test images\naccuracy {} % and {} %, difference {} points, 95 % interval {} to {}\n{only_first} images only the \
             first has right, {only_second} only the second\n{p}",
            found.dataset,
            found.images,
            percent(found.accuracies[0]),
            percent(found.accuracies[1]),
            percent(found.difference),
            percent(found.interval[0]),
            percent(found.interval[1])
        ))?;
        let differ = &found.ran_by_different;
        if !differ.is_empty() {
            complain(&format!(
                "warning: not the same ran both ({}): part of the difference may be its",
                differ.join("; ")
            ));
        }
        Ok(())
    }
}

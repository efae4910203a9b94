//! `wgslab study merge`.

use super::output::{complain, print};
use super::study::{Report, TOLD};
use crate::base::{Error, Result};
use crate::study::merge;
use clap::Args;
use std::path::PathBuf;

/// Merge the parts of a study that ran in several folders
///
/// For machines that share no folder. Copies the finished cells and pretrainings of each DIR into
/// OUT, compares every file with what was written, and writes the table and the page of all. A part
/// of another config or grid is refused before anything is written; a cell that is there with another result, or is damaged, is left
/// out and told with code 4. After a stop or a full disk the same command goes on.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Example:\n  wgslab study merge from_a/isic9 from_b/isic9 --out runs/isic9"
)]
pub(super) struct Merge {
    /// The folders of the parts
    #[arg(required = true, value_name = "DIR")]
    parts: Vec<PathBuf>,
    /// The folder of the whole study
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Merge {
    pub fn run(&self) -> Result<()> {
        let merged = merge(&self.parts, &self.out)?;
        print(&format!("{} cells and pretrainings copied, {} were there", merged.copied, merged.there))?;
        let shown = Report::of(&self.out).run();
        let n = merged.left_out.len();
        if n == 0 {
            return shown;
        }
        merged.left_out.iter().take(TOLD).for_each(|what| complain(&format!("warning: {what}")));
        shown?;
        Err(Error::Data(format!("{n} folders were not merged; the first are named above")))
    }
}

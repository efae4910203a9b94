//! `wgslab export`.

use super::export_bench::ExportBench;
use super::export_step::ExportStep;
use super::options::Options;
use crate::base::Result;
use clap::{Args, Subcommand};

/// Write a page for browsers
#[derive(Args, Debug)]
pub(super) struct Export {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Bench(ExportBench),
    Step(ExportStep),
}

impl Export {
    pub fn run(&self, options: &Options) -> Result<()> {
        match &self.what {
            What::Bench(c) => c.run(options),
            What::Step(c) => c.run(options),
        }
    }
}

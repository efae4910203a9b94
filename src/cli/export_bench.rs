//! `wgslab export bench`.

use super::listener::Listener;
use super::measured::Measured;
use super::options::Options;
use super::output::{expect_writable, print};
use crate::base::{Result, files};
use crate::lab::export::bench;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

/// Write a page that measures kernels in a browser, on any GPU that has one
///
/// Takes the same sets as `wgslab bench` and writes one file, index.html, that a current browser opens from disk or
/// from any server. The page checks every kernel against values that were computed here, times it beside the
/// reference kernel, and gives the same JSON as `wgslab bench --json`. No request leaves it. Kernels are those that
/// run with WebGPU's default limits; `--variant all` adds those that need f16 or subgroups, which the page leaves out
/// where the browser does not offer them.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  wgslab export bench quick --out page             then open page/index.html
  wgslab export bench resnet18 --variant all --out page
  wgslab export bench --op matmul --shape a=512,512 b=512,512 --out page
  wgslab bench --read phone.json --against laptop.json")]
pub(super) struct ExportBench {
    #[command(flatten)]
    what: Measured,
    /// The folder for index.html
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl ExportBench {
    pub fn run(&self, options: &Options) -> Result<()> {
        let path = self.out.join("index.html");
        expect_writable(&[("--out", Some(&path))])?;
        self.what.expect_sense()?;
        let (set, mut asked) = self.what.asked()?;
        let listener = Arc::new(Listener::new(options.quiet));
        let gpu = options.open(&listener, "expected values are computed on the CPU")?;
        asked.table = options.given_table(&gpu)?.unwrap_or_default();
        let made = bench::page(&gpu, &set, &asked, &*listener);
        listener.clear();
        let page = made?;
        let html = page.html()?;
        files::write_atomic(&path, html.as_bytes())?;
        print(&format!("{}: {} rows, {} kB; open it in a browser", path.display(), page.rows(), html.len() / 1000))
    }
}

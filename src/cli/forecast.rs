//! `wgslab study run --dry-run`: what is done, what is left, and what that will take.

use super::options::Options;
use super::output::{print, table};
use crate::base::Result;
use crate::study::{Config, Forecast, Selection, span};
use std::path::Path;

/// Prints the plan of the chosen cells. It is an error if a stage does not fit the device.
pub(super) fn dry_run(options: &Options, config: &Config, out: &Path, selection: Selection) -> Result<()> {
    options.job(config, out, |job| {
        let forecast = job.forecast(selection)?;
        print(&format!("{}\n\n{}", stages(&forecast), forecast.lines(job.gpu).join("\n")))?;
        forecast.expect_fit(job.gpu)
    })
}

/// A row for each kind of stage.
fn stages(of: &Forecast) -> String {
    let mut rows = vec![["stage", "runs", "done", "steps left", "time left"].map(String::from).to_vec()];
    for stage in &of.stages {
        let time = if stage.runs == stage.done { None } else { of.seconds(stage.work) };
        let numbers = [stage.runs, stage.done, stage.steps].map(|n| n.to_string());
        rows.push([vec![stage.name.clone()], numbers.to_vec(), vec![time.map_or("–".into(), span)]].concat());
    }
    table(&rows)
}

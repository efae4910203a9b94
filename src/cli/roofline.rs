//! The roofs of an adapter, for the commands that measure, read and show them.

use super::output;
use crate::base::{Result, files};
use crate::device::Gpu;
use crate::lab::roofline::{Point, Roof, svg};
use crate::lab::spread::figures;
use crate::lab::{Environment, Report};
use std::path::Path;

/// The roofs of `gpu` in the file of --roof, if one was given.
pub(super) fn given(path: Option<&Path>, gpu: &Gpu) -> Result<Option<Roof>> {
    let Some(path) = path else { return Ok(None) };
    let roof = Roof::load(path)?;
    Environment::of(gpu).expect_same_device(&roof.environment, &path.display().to_string())?;
    Ok(Some(roof))
}

/// Writes into each row of `report` how near to the roofs it is, draws both as `picture`, and saves the roofs beside
/// it.
pub(super) fn judge(roof: &Roof, report: &mut Report, picture: &Path) -> Result<()> {
    for row in &mut report.rows {
        row.roof_share = roof.share(row.flops, row.bytes, row.ms().median);
    }
    let points: Vec<Point> = report.rows.iter().map(Point::from).collect();
    files::write_atomic(picture, svg(roof, &points)?.as_bytes())?;
    roof.save(&picture.with_extension("json"))
}

/// A line for each roof: its median, its quartiles and how it was measured, or why there is none.
pub(super) fn table(roof: &Roof) -> String {
    let mut rows = vec![["roof", "median", "quartiles", "unit", "how"].map(String::from).to_vec()];
    for (name, peak, unit) in roof.figures() {
        let number = |v: f64| figures(v, 3);
        let median = peak.value.map_or("-".to_string(), |v| number(v.median));
        let quartiles = peak.value.map_or("-".to_string(), |v| format!("{} to {}", number(v.q1), number(v.q3)));
        rows.push(vec![name.to_string(), median, quartiles, unit.to_string(), peak.how.clone()]);
    }
    output::table(&rows)
}

//! Exports all that the tuner measured: every candidate of every op, every sample, and why a candidate was refused.
//!
//! CSV has a row for each sample, with what the model of flops and bytes expected of its candidate; a refused candidate has
//! one row without a time. JSON is an object with the
//! environment and, for each op, its candidates with their samples.

use super::{Environment, Spread};
use crate::base::{Error, Result, files};
use crate::device::tune::{Table, TunedOp};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// A variant that took part in a race.
#[derive(Debug, Serialize)]
struct Candidate<'a> {
    variant: &'a str,
    won: bool,
    /// Order statistics of the samples; `None` for a refused candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    spread_ms: Option<Spread>,
    samples_ms: &'a [f64],
    /// What was expected before the race, where it can be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate_ms: Option<f64>,
    /// Why it may not win.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a str>,
}

/// An op at the sizes of its key.
#[derive(Debug, Serialize)]
struct Race<'a> {
    key: &'a str,
    /// What decided between candidates whose times could not be told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    tie: Option<&'a str>,
    candidates: Vec<Candidate<'a>>,
}

#[derive(Debug, Serialize)]
struct TuningExport<'a> {
    schema: &'static str,
    environment: &'a Environment,
    ops: Vec<Race<'a>>,
}

/// A row of the CSV.
#[derive(Debug, Serialize)]
struct Row<'a> {
    op: &'a str,
    variant: &'a str,
    won: bool,
    sample: Option<usize>,
    ms: Option<f64>,
    estimate_ms: Option<f64>,
    tie: Option<&'a str>,
    refused: Option<&'a str>,
}

/// Writes all of a table to `path`, as CSV or JSON by its ending. Another ending is an error. A table of an older
/// version, which kept no samples, gives its medians.
pub fn export(table: &Table, environment: &Environment, path: &Path) -> Result<()> {
    let races: Vec<_> = table.entries.iter().map(|(key, e)| Race::of(key, e)).collect();
    let bytes = match format(path)? {
        "csv" => csv(&races)?,
        _ => {
            let all = TuningExport { schema: "wgslab-landscape/1", environment, ops: races };
            let text = serde_json::to_string_pretty(&all).map_err(|e| unwritable(&e))?;
            format!("{text}\n").into_bytes()
        }
    };
    files::write_atomic(path, &bytes)
}

/// The format that a file's ending asks for; an error unless it is csv or json.
pub fn format(path: &Path) -> Result<&'static str> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("csv") => Ok("csv"),
        Some("json") => Ok("json"),
        _ => Err(Error::Usage(format!(
            "{}: an export is written as .csv or .json; give the file one of these endings",
            path.display()
        ))),
    }
}

impl<'a> Race<'a> {
    fn of(key: &'a str, e: &'a TunedOp) -> Self {
        Race { key, tie: e.tie.as_deref(), candidates: candidates(e) }
    }
}

fn candidates(e: &TunedOp) -> Vec<Candidate<'_>> {
    let names: BTreeSet<&String> = e.median_ms.keys().chain(e.refused.keys()).collect();
    names
        .into_iter()
        .map(|variant| {
            let median = e.median_ms.get(variant).map(std::slice::from_ref).unwrap_or_default();
            let samples_ms = e.samples_ms.get(variant).map_or(median, Vec::as_slice);
            Candidate {
                variant,
                won: *variant == e.variant,
                spread_ms: (!samples_ms.is_empty()).then(|| Spread::of(samples_ms)),
                samples_ms,
                estimate_ms: e.estimate_ms.get(variant).copied(),
                refused: e.refused.get(variant).map(String::as_str),
            }
        })
        .collect()
}

fn csv(races: &[Race<'_>]) -> Result<Vec<u8>> {
    let mut out = csv::Writer::from_writer(Vec::new());
    for (race, c) in races.iter().flat_map(|r| r.candidates.iter().map(move |c| (r, c))) {
        let (op, tie) = (race.key, race.tie.filter(|_| c.won));
        let Candidate { variant, won, estimate_ms, refused, .. } = *c;
        let row = |sample, ms| Row { op, variant, won, sample, ms, estimate_ms, tie, refused };
        if c.samples_ms.is_empty() {
            out.serialize(row(None, None)).map_err(|e| unwritable(&e))?;
        }
        for (i, &ms) in c.samples_ms.iter().enumerate() {
            out.serialize(row(Some(i), Some(ms))).map_err(|e| unwritable(&e))?;
        }
    }
    out.into_inner().map_err(|e| unwritable(&e))
}

fn unwritable(e: &dyn std::fmt::Display) -> Error {
    Error::Failed(format!("cannot write what the tuner measured: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_candidate_has_its_rows() {
        let mut table = Table::new("a", "1");
        let samples_ms = BTreeMap::from([("tiled".to_string(), vec![1.0, 3.0]), ("naive".to_string(), vec![9.0])]);
        let median_ms = BTreeMap::from([("tiled".to_string(), 2.0), ("naive".to_string(), 9.0)]);
        let refused = BTreeMap::from([("fast".to_string(), "it is \"wrong\"".to_string())]);
        let (variant, checksum) = ("tiled".to_string(), String::new());
        let estimate_ms = BTreeMap::from([("tiled".to_string(), 1.5), ("fast".to_string(), 0.5)]);
        let tie = Some("spills 0 of tiled, 2 of naive".to_string());
        let op = TunedOp { variant, checksum, median_ms, samples_ms, tie, estimate_ms, refused };
        table.entries.insert("op, of".into(), op);
        let races: Vec<_> = table.entries.iter().map(|(key, e)| Race::of(key, e)).collect();
        let text = String::from_utf8(csv(&races).unwrap()).unwrap();
        assert_eq!(
            text,
            "op,variant,won,sample,ms,estimate_ms,tie,refused\n\
             \"op, of\",fast,false,,,0.5,,\"it is \"\"wrong\"\"\"\n\
             \"op, of\",naive,false,0,9.0,,,\n\
             \"op, of\",tiled,true,0,1.0,1.5,\"spills 0 of tiled, 2 of naive\",\n\
             \"op, of\",tiled,true,1,3.0,1.5,\"spills 0 of tiled, 2 of naive\",\n"
        );
        assert_eq!(races[0].candidates[2].spread_ms.unwrap().median, 2.0);
        assert_eq!(format(Path::new("a.txt")).unwrap_err().exit_code(), 2);
    }
}

//! What the benches share: order statistics, whole reports, and how a bench ends.

use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use wgslab::base::{Result, files};
use wgslab::device::Gpu;

/// Median and quartiles of samples.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Half the samples lie below.
    pub median: f64,
    /// A quarter lies below.
    pub q1: f64,
    /// Three quarters lie below.
    pub q3: f64,
}

impl Spread {
    /// Of at least one sample.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
        Spread { median: at(0.5), q1: at(0.25), q3: at(0.75) }
    }

    /// For a report.
    pub fn json(&self) -> Value {
        json!({ "median": self.median, "q1": self.q1, "q3": self.q3 })
    }
}

/// Writes `report` with the adapter's facts added, where a file was asked for.
pub fn write(gpu: &Gpu, mut report: Value, path: Option<&Path>) -> Result<Value> {
    let adapter = gpu.adapter();
    report["adapter"] = adapter.name.as_str().into();
    report["driver"] = adapter.driver.as_str().into();
    report["backend"] = adapter.backend.as_str().into();
    if let Some(path) = path {
        files::write_atomic(path, format!("{report:#}\n").as_bytes())?;
    }
    Ok(report)
}

/// Says what went wrong and turns it into the exit code the program would have.
pub fn ended(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

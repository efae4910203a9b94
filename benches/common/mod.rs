//! What benches share: how they end, what they tell, and the memory that they took.

use std::path::Path;
use std::process::ExitCode;
use wgslab::base::{Result, files};

/// Prints what went wrong and turns it into the exit code that the program would have.
pub fn ended(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

/// Prints a report, and writes it to a file where one is named.
#[allow(dead_code, reason = "not every bench tells all of its report")]
pub fn tell(report: &serde_json::Value, json: Option<&Path>) -> Result<()> {
    if let Some(path) = json {
        files::write_atomic(path, format!("{report:#}\n").as_bytes())?;
    }
    println!("{report:#}");
    Ok(())
}

/// The most memory that this process has held, including a software driver's device memory; only Linux reports it.
#[allow(dead_code, reason = "not every bench tells it")]
pub fn peak_process_bytes() -> Option<u64> {
    let status = files::read_text(Path::new("/proc/self/status")).ok()?;
    let kib = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    kib.trim().parse::<u64>().ok().map(|k| k << 10)
}

//! What benches share: the memory they took and how they end.

use std::path::Path;
use std::process::ExitCode;
use wgslab::base::{Result, files};

/// The most memory this process has held, a software driver's device memory included; only Linux says.
#[allow(dead_code, reason = "not every bench asks")]
pub fn peak_process_bytes() -> Option<u64> {
    let status = files::read_text(Path::new("/proc/self/status")).ok()?;
    let kib = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    kib.trim().parse::<u64>().ok().map(|k| k << 10)
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

//! What the benches share: order statistics, time by kernel, whole reports, and how a bench ends.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use wgslab::base::{Result, files};
use wgslab::device::{Dispatch, Gpu};

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

/// Prints the device time of `list` by kernel, the longest first.
pub fn by_kernel(gpu: &Gpu, list: &[Dispatch]) -> Result<()> {
    let mut sums: BTreeMap<String, (f64, usize)> = BTreeMap::new();
    for (d, ms) in list.iter().zip(gpu.time_each(list)?) {
        let name = d.label.rsplit('/').next().unwrap_or_default().to_string();
        let e = sums.entry(name).or_default();
        *e = (e.0 + ms, e.1 + 1);
    }
    let total: f64 = sums.values().map(|v| v.0).sum();
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by(|x, y| y.1.0.total_cmp(&x.1.0));
    for (name, (ms, calls)) in rows {
        println!("{name:36} {calls:4} calls {ms:10.2} ms {:5.1} %", 100.0 * ms / total);
    }
    Ok(())
}

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

//! The parts of a report besides its samples, and how it is shown and written.

use crate::measure::spread;
use serde_json::{Value, json};
use std::path::Path;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::time::{SystemTime, UNIX_EPOCH};

/// The adapter that Burn's default device most likely uses: cubecl too asks wgpu for the high-performance one.
fn adapter() -> Result<wgpu::AdapterInfo, String> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let instance = wgpu::Instance::new(descriptor);
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    let found = block_on(instance.request_adapter(&options));
    found.map(|a| a.get_info()).map_err(|e| format!("no adapter: {e}"))
}

/// The environment record of wgslab's schema. What only wgslab asks of wgpu is 0 or null.
pub fn environment() -> Result<Value, String> {
    let adapter = adapter()?;
    Ok(json!({
        "adapter": adapter.name,
        "driver": format!("{} {}", adapter.driver, adapter.driver_info),
        "backend": format!("{:?}", adapter.backend),
        "wgpu": "burn 0.22.1, wgpu 30",
        "limits": {
            "binding_bytes": 0, "storage_buffers": 0, "groups": 0, "invocations": 0, "workgroup_bytes": 0,
        },
        "features": ["autotune", "fusion"],
        "subgroup_size": null,
        "os": os(),
        "cpu": cpu(),
        "git_commit": git(&["rev-parse", "HEAD"]),
        "git_dirty": git(&["status", "--porcelain", "--untracked-files=no"]).map(|s| !s.is_empty()),
        "arguments": std::env::args().skip(1).collect::<Vec<_>>(),
        "timer": "wall",
        "time": now(),
    }))
}

/// Waits for a future that is ready at once or that wakes this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let (mut context, mut future) = (Context::from_waker(&waker), pin!(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(found) => return found,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// The value after `key` in a file of lines `key = value` or `key : value`.
fn field(path: &str, key: &str, between: char) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let found =
        text.lines().find_map(|l| l.split_once(between).filter(|(k, _)| k.trim() == key).map(|(_, v)| v.trim()));
    found.map(|v| v.trim_matches('"').to_string())
}

fn os() -> String {
    field("/etc/os-release", "PRETTY_NAME", '=').unwrap_or_else(|| std::env::consts::OS.into())
}

fn cpu() -> String {
    let model = field("/proc/cpuinfo", "model name", ':').unwrap_or_else(|| std::env::consts::ARCH.into());
    format!("{model}, {} cores", std::thread::available_parallelism().map_or(0, |n| n.get()))
}

/// The time as RFC 3339, from the days since 1970 by Hinnant's civil_from_days.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let m = (5 * of_year + 2) / 153;
    let (d, month) = (of_year - (153 * m + 2) / 5 + 1, if m < 10 { m + 3 } else { m - 9 });
    let y = 400 * era + year + u64::from(month <= 2);
    format!("{y:04}-{month:02}-{d:02}T{:02}:{:02}:{:02}Z", time / 3600, time / 60 % 60, time % 60)
}

fn git(words: &[&str]) -> Option<String> {
    let out = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(words).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_string())
}

/// Prints a row as text.
pub fn show(row: &Value) {
    let samples: Vec<f64> = row["samples_ms"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    let [median, q1, q3] = spread(&samples);
    let rate = |key: &str| row[key].as_f64().unwrap_or(0.0) / median * 1e-6;
    println!(
        "{:26} {:38} {median:10.3} ms ({q1:.3} to {q3:.3}) {:8.1} GFLOP/s {:7.1} GB/s{}",
        row["entry"].as_str().unwrap_or_default(),
        row["case"].as_str().unwrap_or_default(),
        rate("flops"),
        rate("bytes"),
        if row["noisy"] == true { " noisy" } else { "" }
    );
}

/// Writes a report whole or not at all.
pub fn save(report: &Value, path: &Path) -> Result<(), String> {
    let part = path.with_extension("part");
    let wrong = |e: std::io::Error| format!("{}: {e}", path.display());
    std::fs::write(&part, format!("{report:#}\n")).map_err(wrong)?;
    std::fs::rename(&part, path).map_err(wrong)
}

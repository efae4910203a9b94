//! What a report says besides its samples, and how it is shown and written.

use crate::measure::spread;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

/// The adapter that Burn's default device is, most likely: cubecl asks wgpu for the high-performance one, too.
fn adapter() -> Result<wgpu::AdapterInfo, String> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let instance = wgpu::Instance::new(descriptor);
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    let found = pollster::block_on(instance.request_adapter(&options));
    found.map(|a| a.get_info()).map_err(|e| format!("no adapter: {e}"))
}

/// The environment record of wgslab's schema; what only wgslab asks of wgpu is 0 or null.
pub fn environment() -> Result<Value, String> {
    let adapter = adapter()?;
    let system = sysinfo::System::new_with_specifics(
        sysinfo::RefreshKind::nothing().with_cpu(sysinfo::CpuRefreshKind::nothing()),
    );
    let brand = system.cpus().first().map_or("unknown", |c| c.brand()).trim().to_string();
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
        "os": sysinfo::System::long_os_version().unwrap_or_else(|| std::env::consts::OS.into()),
        "cpu": format!("{brand}, {} cores", system.cpus().len()),
        "git_commit": git(&["rev-parse", "HEAD"]),
        "git_dirty": git(&["status", "--porcelain", "--untracked-files=no"]).map(|s| !s.is_empty()),
        "arguments": std::env::args().skip(1).collect::<Vec<_>>(),
        "timer": "wall",
        "time": humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
    }))
}

fn git(words: &[&str]) -> Option<String> {
    let out = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(words).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_string())
}

/// A row for people.
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

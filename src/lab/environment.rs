//! Where and how something was measured. Every measurement of the lab carries this record, so that two files can be
//! compared, or refused, years later.

use crate::base::{Error, Result};
use crate::device::Gpu;
use serde::{Deserialize, Serialize};
use std::process::Command;
use std::time::SystemTime;

/// What a page calls an adapter that its browser does not name (`export/web/replay.js`).
const UNNAMED: &str = "an adapter that the browser does not name";
/// The backend of a page.
const BROWSER: &str = "WebGPU";

/// The environment of a measurement, one JSON object in every report of the lab.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The adapter's name.
    pub adapter: String,
    /// Its driver's name and version. Browsers hide it: a page writes the browser instead.
    pub driver: String,
    /// Vulkan, Metal or DX12; a page writes WebGPU, and a peer its own device, such as cpu or cuda.
    pub backend: String,
    /// Version of wgpu, or of the peer's framework with its name.
    pub wgpu: String,
    /// What the adapter allows.
    pub limits: Limits,
    /// Names of the adapter's features.
    pub features: Vec<String>,
    /// The smallest and the largest subgroup, if it has subgroup operations.
    pub subgroup_size: Option<[u32; 2]>,
    /// Name and version of the operating system.
    pub os: String,
    /// Model of the processor and how many cores it shows.
    pub cpu: String,
    /// HEAD of the checkout that the program lies in, if any, at the time of the run. It is not the commit that the
    /// program was built from: the program may be older.
    pub git_commit: Option<String>,
    /// Whether that source tree held changes at the time of the run.
    pub git_dirty: Option<bool>,
    /// The hash of the edited shaders that ran; `None` if the committed ones ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shaders: Option<String>,
    /// The folder they came from, as it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shader_folder: Option<String>,
    /// Whether every kernel ran with bounds and loop checks, as those of `--ab` do.
    #[serde(default)]
    pub checked: bool,
    /// The command line, the program's own path left out; empty in the report of a page.
    pub arguments: Vec<String>,
    /// The clock the times were taken with.
    pub timer: Timer,
    /// When, in UTC, as RFC 3339.
    pub time: String,
}

/// Limits of an adapter as far as kernels depend on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The largest binding.
    pub binding_bytes: u64,
    /// The most storage buffers of a kernel.
    pub storage_buffers: u32,
    /// The most workgroups of a dimension.
    pub groups: u32,
    /// The most invocations of a workgroup.
    pub invocations: u32,
    /// The most bytes of workgroup memory.
    pub workgroup_bytes: u32,
}

/// A clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// The device's timestamps at the boundaries of a pass.
    Timestamps,
    /// The host's clock, from the submission until the device was done.
    Wall,
}

impl Timer {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Timer::Timestamps => "timestamps",
            Timer::Wall => "wall",
        }
    }
}

impl Environment {
    /// The environment of a measurement on `gpu` now.
    pub fn of(gpu: &Gpu) -> Self {
        let (adapter, caps) = (gpu.adapter(), gpu.caps());
        Environment {
            adapter: adapter.name.clone(),
            driver: adapter.driver.clone(),
            backend: adapter.backend.clone(),
            wgpu: locked_version("wgpu").unwrap_or_else(|| "unknown".into()),
            limits: Limits {
                binding_bytes: caps.binding_bytes,
                storage_buffers: caps.storage_buffers,
                groups: caps.groups,
                invocations: caps.invocations,
                workgroup_bytes: caps.workgroup_bytes,
            },
            features: adapter.features.clone(),
            subgroup_size: caps.subgroup.map(|(min, max)| [min, max]),
            os: sysinfo::System::long_os_version().unwrap_or_else(|| std::env::consts::OS.into()),
            cpu: cpu(),
            git_commit: git(&["rev-parse", "HEAD"]),
            git_dirty: git(&["status", "--porcelain", "--untracked-files=no"]).map(|s| !s.is_empty()),
            shaders: gpu.tree().hash(),
            shader_folder: gpu.tree().folder().map(String::from),
            checked: gpu.options().checked,
            arguments: std::env::args().skip(1).collect(),
            timer: if gpu.has_timestamps() { Timer::Timestamps } else { Timer::Wall },
            time: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        }
    }

    /// An error if times of `other` cannot be compared with these. Another adapter, driver or backend is another
    /// machine. So is another processor: a software adapter computes with it, and it feeds any other. A browser names
    /// little, so there the operating system counts, too, and an adapter without a name is equal to none.
    pub fn expect_same_device(&self, other: &Environment, shown: &str) -> Result<()> {
        if [self, other].iter().any(|e| e.adapter.starts_with(UNNAMED)) {
            return Err(Error::Usage(format!(
                "{shown} or this was measured on {UNNAMED}, so nobody knows whether both are one device, and their times \
                 have no verdict; lay the files side by side with --against"
            )));
        }
        let named = |e: &Environment| {
            let os = if e.backend == BROWSER { format!(" on {}", e.os) } else { String::new() };
            format!("{} ({}, {}) with {}{os}", e.adapter, e.driver, e.backend, e.cpu)
        };
        if named(self) == named(other) {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "{shown} was measured on {} and this is {}; times of different adapters, drivers or processors have no \
             verdict. Measure the base again here, or lay the files side by side with --against",
            named(other),
            named(self)
        )))
    }

    /// An error if kernels of `other` ran with other runtime checks. Edited kernels run with checks and built-in ones
    /// without, unless every kernel of both had them.
    pub fn expect_same_checks(&self, other: &Environment, shown: &str) -> Result<()> {
        let fair = self.checked == other.checked && (self.checked || self.shaders == other.shaders);
        if fair {
            return Ok(());
        }
        let named = |e: &Environment| match (e.checked, &e.shaders) {
            (true, _) => "with checks in every kernel (as by --ab)".to_string(),
            (_, Some(hash)) => format!("with the edited shaders {hash} (they run with checks)"),
            (_, None) => "with the built-in shaders (without checks)".to_string(),
        };
        Err(Error::Usage(format!(
            "{shown} was measured {}, and this {}: checks cost time, so this has no verdict. Give both the same \
             --shaders, or race two trees with --ab",
            named(other),
            named(self)
        )))
    }
}

/// The version of a crate this program was built with.
fn locked_version(name: &str) -> Option<String> {
    const LOCK: &str = include_str!("../../Cargo.lock");
    let block = LOCK.split("[[package]]").find(|b| b.contains(&format!("name = \"{name}\"\n")))?;
    let line = block.lines().find_map(|l| l.strip_prefix("version = "))?;
    Some(line.trim_matches('"').to_string())
}

fn cpu() -> String {
    let system = sysinfo::System::new_with_specifics(
        sysinfo::RefreshKind::nothing().with_cpu(sysinfo::CpuRefreshKind::nothing()),
    );
    let brand = system.cpus().first().map_or("unknown", |c| c.brand()).trim().to_string();
    format!("{brand}, {} cores", system.cpus().len())
}

/// What git says now about the checkout that holds this program; `None` without a checkout or without git.
fn git(words: &[&str]) -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let out = Command::new("git").arg("-C").arg(program.parent()?).args(words).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// For tests of reports.
    pub fn made_up() -> Environment {
        Environment {
            adapter: "made up".into(),
            driver: "1".into(),
            backend: "Vulkan".into(),
            wgpu: "30.0.1".into(),
            limits: Limits::default(),
            features: Vec::new(),
            subgroup_size: None,
            os: "an os".into(),
            cpu: "a cpu".into(),
            git_commit: None,
            git_dirty: None,
            shaders: None,
            shader_folder: None,
            checked: false,
            arguments: Vec::new(),
            timer: Timer::Wall,
            time: "2026-01-01T00:00:00Z".into(),
        }
    }

    #[test]
    fn the_locked_version_is_read() {
        assert_eq!(locked_version("wgpu").unwrap().split('.').count(), 3);
        assert_eq!(locked_version("no-such-crate"), None);
    }

    #[test]
    fn devices_of_a_browser_are_the_same_only_if_it_names_them() {
        for (constant, script) in
            [(UNNAMED, include_str!("export/web/replay.js")), (BROWSER, include_str!("export/web/bench.js"))]
        {
            assert!(script.contains(&format!("\"{constant}\"")), "no page says {constant}");
        }
        let page = Environment { adapter: "apple, metal-3".into(), backend: BROWSER.into(), ..made_up() };
        page.expect_same_device(&page, "a.json").unwrap();
        let said =
            |e: &Environment, other: &Environment| e.expect_same_device(other, "a.json").unwrap_err().to_string();
        assert!(said(&page, &Environment { os: "iOS".into(), ..page.clone() }).contains("on iOS"));
        for adapter in [UNNAMED.to_string(), format!("{UNNAMED} (fallback)")] {
            let unnamed = Environment { adapter, ..page.clone() };
            let all = [said(&unnamed, &unnamed), said(&page, &unnamed), said(&unnamed, &page)];
            assert!(all.iter().all(|s| s.contains("nobody knows") && s.contains("--against")), "{all:?}");
        }
        // A native program names its driver: an update of the system alone is no other device.
        let native = made_up();
        native.expect_same_device(&Environment { os: "a newer os".into(), ..made_up() }, "a.json").unwrap();
    }
}

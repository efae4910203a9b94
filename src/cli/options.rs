//! The options that every command takes, and what they open.

use super::listener::{Listener, waiting};
use super::{output, signals};
use crate::base::Progress;
use crate::base::{Error, Result};
use crate::device::tune::Table;
use crate::device::{AdapterChoice, Gpu, GpuOptions, Tree};
use crate::study::KERNELS;
use crate::study::{self, Config, Job, Shared};
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Options {
    /// The adapter: its index in `wgslab devices`, or a part of its name [default: the best]
    #[arg(long, global = true, value_name = "NAME|INDEX")]
    pub adapter: Option<String>,
    /// vulkan, metal or dx12 [default: any]
    #[arg(long, global = true, value_name = "BACKEND")]
    pub backend: Option<String>,
    /// The most device memory to use: 2GiB, 512MiB or plain bytes [default: no limit; for a software adapter on Linux
    /// 80 % of the free memory, since it would otherwise take all of it until it is killed]
    #[arg(long, global = true, value_name = "BYTES", value_parser = bytes)]
    pub memory_budget: Option<u64>,
    /// The folder that relative names of data start from
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    pub data_root: PathBuf,
    /// Refuse data with a picture file that cannot be decoded, as `data.strict = true` does. Without it such files are named
    /// and left out, unless more than a tenth of a split are such, or all of a class in a split
    #[arg(long, global = true)]
    pub strict: bool,
    /// A table of kernel variants that `wgslab tune` wrote for this adapter [default: the kernels.json of a run or
    /// study that was begun with one, else the variants that are usually fastest on adapters of this kind]
    #[arg(long, global = true, value_name = "FILE")]
    pub kernels: Option<PathBuf>,
    /// Use cooperative matrices if the adapter lists 16x16x16 or 8x8x8 ones. The authors have never run them on
    /// hardware, and wgpu calls them experimental: check the values that they give
    #[arg(long, global = true)]
    pub experimental_cooperative_matrix: bool,
    /// Edited shaders to run instead of the built-in ones: a folder laid out as shaders/, with the edited files or all.
    /// Kernels with an edited file run with bounds and loop checks
    #[arg(long, global = true, value_name = "DIR")]
    pub shaders: Option<PathBuf>,
    /// What --shaders holds.
    #[arg(skip)]
    tree: Arc<Tree>,
    /// Give graphics debuggers (Nsight, RGP, RenderDoc, Xcode) the layer and kernel of each dispatch
    #[arg(long, global = true)]
    pub labels: bool,
    /// Print no progress: warnings, errors and results only
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

impl Options {
    /// How they open a device.
    pub fn gpu(&self) -> GpuOptions {
        let adapter = self.adapter.as_ref().map_or(AdapterChoice::Best, |text| match text.parse() {
            Ok(index) => AdapterChoice::Index(index),
            Err(_) => AdapterChoice::Name(text.clone()),
        });
        GpuOptions {
            adapter,
            backend: self.backend.clone(),
            labels: self.labels,
            memory_budget_bytes: self.memory_budget,
            experimental_cooperative_matrix: self.experimental_cooperative_matrix,
            shaders: self.tree.clone(),
            ..GpuOptions::default()
        }
    }

    /// Reads --shaders; every command does it first.
    pub fn load_shaders(&mut self) -> Result<()> {
        if let Some(folder) = &self.shaders {
            self.tree = Arc::new(Tree::load(folder).map_err(|e| Error::Usage(format!("--shaders: {e}")))?);
            if self.tree.edited().is_empty() && !self.quiet {
                let folder = folder.display();
                output::complain(&format!("note: no file of {folder} differs from the built-in one"));
            }
        }
        Ok(())
    }

    /// The shaders to run.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Opens the device. For a software adapter it warns what that means (`what`), and limits itself to the memory that
    /// is free.
    pub fn open(&self, listener: &Arc<Listener>, what: &str) -> Result<Gpu> {
        let mut gpu = Gpu::open(&self.gpu())?;
        gpu.while_compiling(waiting(listener.clone(), None));
        if gpu.caps().software {
            if let (None, Some(free)) = (self.memory_budget, free_memory()) {
                gpu.set_memory_budget(free / 5 * 4);
            }
            listener.note(&format!("warning: {} is a software adapter: {what}", gpu.adapter().name));
        }
        Ok(gpu)
    }

    /// A config with --strict.
    pub fn strictly(&self, config: &Config) -> Config {
        let mut config = config.clone();
        config.data.strict |= self.strict;
        config
    }

    /// Opens the device, watches for signals, and does `work` in `out` while showing progress.
    pub fn job<T>(&self, config: &Config, out: &Path, work: impl FnOnce(&Job<'_>) -> Result<T>) -> Result<T> {
        self.job_warning("training runs on the CPU, slowly", config, out, work)
    }

    /// A [`Options::job`] that says of a software adapter what that means for it.
    pub fn job_warning<T>(
        &self,
        what: &str,
        config: &Config,
        out: &Path,
        work: impl FnOnce(&Job<'_>) -> Result<T>,
    ) -> Result<T> {
        let (listener, shared) = (Arc::new(Listener::new(self.quiet)), &Shared::default());
        let mut gpu = self.open(&listener, what)?;
        let kernels = self.table(&gpu, out)?;
        let stop = signals::watch(listener.clone())?;
        gpu.while_compiling(waiting(listener.clone(), Some(stop.clone())));
        let data_root = &self.data_root;
        let config = &self.strictly(config);
        let progress = &*listener;
        let ended = work(&Job { gpu: &gpu, config, out, data_root, progress, stop: &stop, kernels, shared });
        listener.clear();
        ended
    }
}

impl Options {
    /// The table of --kernels.
    pub fn given_table(&self, gpu: &Gpu) -> Result<Option<Table>> {
        let Some(file) = &self.kernels else { return Ok(None) };
        let way_out = "name another with --kernels, or leave it out";
        match Table::load(file, &gpu.adapter().name, &gpu.adapter().driver, way_out)? {
            Some(table) => Ok(Some(table)),
            None => {
                let file = file.display();
                Err(Error::Usage(format!("--kernels {file} is not there; `wgslab tune --out {file}` makes it")))
            }
        }
    }

    /// The table of variants to use in `out`: the one that it was begun with, else that of `--kernels`.
    fn table(&self, gpu: &Gpu, out: &Path) -> Result<Table> {
        let (adapter, driver) = (gpu.adapter().name.as_str(), gpu.adapter().driver.as_str());
        // A cell of a study finds the study's table two folders up. A table of another adapter is not used; the run's
        // own address decides whether it may go on without one.
        let above = out.parent().and_then(Path::parent).unwrap_or(out);
        let way_out =
            "runs that began with it go on with it alone: bring it back, or tune again and take another --out";
        let mut kept = None;
        for path in [out.join(KERNELS), above.join(KERNELS)] {
            match Table::load(&path, adapter, driver, way_out) {
                Ok(table) => kept = kept.or(table),
                Err(Error::Usage(why)) => output::complain(&format!("warning: its table is not used: {why}")),
                Err(e) => return Err(e),
            }
        }
        let (Some(file), Some(given)) = (&self.kernels, self.given_table(gpu)?) else {
            return Ok(kept.unwrap_or_default());
        };
        let begun = study::begun(out);
        match kept {
            // The table that it was begun with is gone, and this is the same table.
            None if study::begun_with(out).is_some_and(|table| table == given.hash()) => Ok(given),
            None if study::begun_with(out).is_some() => Err(Error::Usage(format!(
                "{} was begun with another table than {}, and its {KERNELS} is gone; bring that back and leave --kernels \
                 out, or take another --out",
                out.display(),
                file.display()
            ))),
            None if begun => Err(Error::Usage(format!(
                "{} was begun without a table of kernels; leave --kernels out to go on, or take another --out",
                out.display()
            ))),
            Some(kept) if kept.hash() != given.hash() => Err(Error::Usage(format!(
                "{} was begun with another table than {}; leave --kernels out to go on with its own, or take another \
                 --out",
                out.display(),
                file.display()
            ))),
            _ => Ok(given),
        }
    }
}

/// Bytes of memory that Linux could give without swapping; `None` elsewhere.
fn free_memory() -> Option<u64> {
    mem_available(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// The config in `path`, or the built-in one.
pub(super) fn config(path: Option<&Path>) -> Result<Config> {
    path.map_or_else(|| Config::parse("the built-in config", ""), Config::load)
}

/// Reads a size in bytes: plain, or with KiB, MiB, GiB, TiB (powers of 1024) or KB, MB, GB, TB (powers of 1000).
fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 10] = [
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("tb", 1_000_000_000_000),
        ("b", 1),
        ("", 1),
    ];
    let wrong = || "use a size above 0 such as 2GiB, 512MiB or 1500000000".to_string();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim().to_ascii_lowercase());
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    // Whole numbers stay exact. Only a number with a point goes through a float.
    let size = match number.parse::<u64>() {
        Ok(n) => n.checked_mul(*unit),
        Err(_) => number.parse::<f64>().ok().map(|n| n * *unit as f64).filter(|n| *n < 1e19).map(|n| n as u64),
    };
    size.filter(|&s| s > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_read_from_meminfo() {
        let text = "MemTotal:       16384 kB\nMemFree:          100 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(mem_available(text), Some(2 << 20));
        assert_eq!(mem_available("MemTotal: 1 kB\n"), None);
        assert_eq!(mem_available("MemAvailable: lots\n"), None);
        assert_eq!(free_memory().is_some(), cfg!(target_os = "linux"));
    }

    #[test]
    fn sizes_are_read_in_either_unit() {
        for (text, size) in [
            ("1", 1),
            ("1500000000", 1_500_000_000),
            ("2GiB", 2 << 30),
            ("512MiB", 512 << 20),
            ("512 mib", 512 << 20),
            ("1.5KiB", 1536),
            ("3GB", 3_000_000_000),
            ("7b", 7),
            ("16777215TiB", 16_777_215 << 40),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "GiB", "0", "0MiB", "-1", "2G", "1.2.3MiB", "2 parsecs", "99999999TiB", "1e9", "NaN"] {
            assert!(bytes(text).unwrap_err().contains("512MiB"), "{text}");
        }
    }
}

//! Helpers that tests of this floor share.

use super::{Config, Job, Progress, Shared};
use crate::device::adapter::adapters;
use crate::device::tune::Table;
use crate::device::{Gpu, GpuOptions};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

/// Keeps the lines that a person would see.
#[derive(Default)]
pub struct Heard(Mutex<Vec<String>>);

impl Heard {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Progress for Heard {
    fn stage(&self, _name: &str, _total: u64, _done: u64, _unit: &'static str) {}
    fn step(&self, _done: u64, _note: &str) {}
    fn done(&self, _line: &str) {}
    fn note(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_string());
    }
}

/// Runs `f` on a job with the config `text` that writes into its own folder. Without an adapter it reports a skip and
/// does nothing, or fails if REQUIRE_GPU=1.
pub fn with_job(text: &str, progress: &dyn Progress, f: impl FnOnce(&Job<'_>)) {
    if adapters(None).is_ok_and(|list| list.is_empty()) {
        assert!(std::env::var("REQUIRE_GPU").as_deref() != Ok("1"), "a test of a study needs an adapter");
        // The runner captures the output of a test that passes. This line is not captured, so that a skip is seen.
        std::io::stderr().write_all(b"SKIPPED: no adapter. REQUIRE_GPU=1 makes this a failure.\n").unwrap();
        return;
    }
    let gpu = Gpu::open(&GpuOptions::default()).unwrap();
    let config = Config::parse("test.toml", text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    f(&Job {
        gpu: &gpu,
        config: &config,
        out: dir.path(),
        data_root: dir.path(),
        progress,
        stop: &stop,
        kernels: Table::default(),
        shared: &Shared::default(),
    });
}

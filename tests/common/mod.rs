//! What the tests of the whole program share.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use wgslab::device::gpu::adapters;

/// Whether an adapter is there. Where none is, this says on the terminal that the test is skipped, or fails it where
/// REQUIRE_GPU=1.
pub fn adapter(test: &str) -> bool {
    if adapters(None).is_ok_and(|list| !list.is_empty()) {
        return true;
    }
    assert!(std::env::var("REQUIRE_GPU").as_deref() != Ok("1"), "{test} needs an adapter");
    // Past the capture of a passing test's output: a skip must be seen.
    let line = format!("{test} SKIPPED: no adapter. REQUIRE_GPU=1 makes this a failure.\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    false
}

/// The program in `dir`.
pub fn wgslab(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgslab"));
    command.current_dir(dir).args(words).env_remove("RUST_BACKTRACE");
    command
}

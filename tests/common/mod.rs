//! What the tests of the whole program share.

#![allow(dead_code, reason = "each file of tests is a crate of its own, and not all of them measure")]

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
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

/// One test of a file at a time: it measures, waits for a moment, or uses every core.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the first of three attempts gives that goes well; fails with what all three said. For figures that another
/// process on the machine can spoil now and then, and a fault of the program spoils every time.
#[track_caller]
pub fn in_three<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let mut said = Vec::new();
    for _ in 0..3 {
        match attempt() {
            Ok(done) => return done,
            Err(why) => said.push(why),
        }
    }
    panic!("none of three attempts went well:\n{}", said.join("\n"));
}

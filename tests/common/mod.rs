//! What the tests of the whole program share.

#![allow(dead_code, reason = "each file of tests is a crate of its own, and not all of them measure")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use wgslab::device::adapter::adapters;
use wgslab::lab::statistics::asked::radv;

/// Whether there is an adapter. Without one, this prints on the terminal that the test is skipped. With REQUIRE_GPU=1
/// it fails the test instead.
pub fn adapter(test: &str) -> bool {
    if adapters(None).is_ok_and(|list| !list.is_empty()) {
        return true;
    }
    assert!(std::env::var("REQUIRE_GPU").as_deref() != Ok("1"), "{test} needs an adapter");
    // The line bypasses the capture of a passing test's output, so that a skip is seen.
    let line = format!("{test} SKIPPED: no adapter. REQUIRE_GPU=1 makes this a failure.\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    false
}

/// Where Chromium's packages put SwiftShader's manifest; the Makefile has the same list.
const SWIFTSHADER: [&str; 4] =
    ["/usr/lib/chromium", "/usr/lib/chromium-browser", "/usr/lib64/chromium-browser", "/opt/google/chrome"];

/// The manifest of SwiftShader, a Vulkan driver that Chromium brings, or what the variable SWIFTSHADER names. Without it,
/// this prints on the terminal that the test is skipped. With REQUIRE_SWIFTSHADER=1 it fails the test instead.
pub fn swiftshader(test: &str) -> Option<PathBuf> {
    let named = std::env::var_os("SWIFTSHADER").map(PathBuf::from);
    let mut usual = SWIFTSHADER.iter().map(|folder| Path::new(folder).join("vk_swiftshader_icd.json"));
    let found = named.or_else(|| usual.find(|manifest| manifest.is_file()));
    if found.is_none() {
        assert!(std::env::var("REQUIRE_SWIFTSHADER").as_deref() != Ok("1"), "{test} needs Chromium's SwiftShader");
        let line = format!("{test} SKIPPED: no SwiftShader. REQUIRE_SWIFTSHADER=1 makes this a failure.\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    found
}

/// Whether Mesa's RADV is installed, which compiles for AMD GPUs that are not there. Without it, this prints on the terminal that
/// the test is skipped. With REQUIRE_RADV=1 it fails the test instead.
pub fn has_radv(test: &str) -> bool {
    let found = radv().is_some();
    if !found {
        assert!(std::env::var("REQUIRE_RADV").as_deref() != Ok("1"), "{test} needs Mesa's RADV");
        let line = format!(
            "{test} SKIPPED: Mesa's RADV is not installed (Debian: mesa-vulkan-drivers). REQUIRE_RADV=1 makes this a failure.\n"
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    found
}

/// The program, run in `dir`.
pub fn wgslab(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgslab"));
    command.current_dir(dir).args(words).env_remove("RUST_BACKTRACE");
    command
}

/// Lets one test of a file run at a time, because it measures, waits for a moment, or uses every core.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes up to three attempts and passes if two of them succeed. If two fail, it fails with their messages. Another
/// process on the machine spoils a measurement now and then; a fault of the program spoils it most times.
#[track_caller]
pub fn in_three(mut attempt: impl FnMut() -> Result<(), String>) {
    let (mut well, mut said) = (0, Vec::new());
    while well < 2 {
        match attempt() {
            Ok(()) => well += 1,
            Err(why) => said.push(why),
        }
        assert!(said.len() < 2, "two of three attempts failed:\n{}", said.join("\n"));
    }
}

/// The files of `out`, by relative path.
pub fn files(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = walkdir::WalkDir::new(out).into_iter().map(|e| e.unwrap()).filter(|e| e.file_type().is_file());
    let relative = |path: &Path| path.strip_prefix(out).unwrap().to_string_lossy().into_owned();
    entries.map(|e| (relative(e.path()), std::fs::read(e.path()).unwrap())).collect()
}

/// The contents of a file without the times in it. None for a file that holds only times, or settings that may differ.
pub fn timeless(name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let without_times = |text: &str| {
        let mut record: Value = serde_json::from_str(text).unwrap();
        for time in ["seconds", "images_per_s", "elapsed_s", "checksum"] {
            record.as_object_mut().unwrap().remove(time);
        }
        record.to_string()
    };
    let text = || String::from_utf8(bytes.to_vec()).unwrap();
    match name.rsplit('/').next().unwrap() {
        "clock.json" | "times.jsonl" | "report.html" | "config.toml" | "events.out.tfevents.wgslab" => None,
        // The hashes of files that hold times, or settings that may differ, are left out.
        "done" => {
            let mut done: Value = serde_json::from_str(&text()).unwrap();
            done.as_object_mut().unwrap().remove("checksum");
            let of = done["files"].as_object_mut().unwrap();
            of.retain(|name, _| {
                !["config.toml", "result.json", "epochs.jsonl", "steps.jsonl"].contains(&name.as_str())
            });
            Some(done.to_string().into_bytes())
        }
        "result.json" => Some(without_times(&text()).into_bytes()),
        "epochs.jsonl" | "steps.jsonl" => {
            Some(text().lines().map(|l| without_times(l) + "\n").collect::<String>().into_bytes())
        }
        "results.csv" => {
            let text = text();
            let read = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let rows: Vec<csv::StringRecord> = read.into_records().map(|r| r.unwrap()).collect();
            let times = rows[0].iter().position(|c| c == "seconds").unwrap();
            let mut kept = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            for row in &rows {
                kept.write_record(row.iter().enumerate().filter(|(i, _)| *i != times).map(|(_, c)| c)).unwrap();
            }
            Some(kept.into_inner().unwrap())
        }
        _ => Some(bytes.to_vec()),
    }
}

/// Runs the words. Gives (exit code, what was printed).
pub fn run(dir: &tempfile::TempDir, words: &[&str]) -> (i32, String) {
    let output = wgslab(dir.path(), words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked") && !said.contains("has a bug"), "{words:?}: {said}");
    (output.status.code().unwrap_or(-1), said + &String::from_utf8_lossy(&output.stdout))
}

/// The same of words that must succeed. Gives what was printed.
#[track_caller]
pub fn runs(dir: &tempfile::TempDir, words: &[&str]) -> String {
    let (code, said) = run(dir, words);
    assert_eq!(code, 0, "{words:?}: {said}");
    said
}

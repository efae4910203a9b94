//! The program from outside: what each mistake says, its exit code, and that nothing half-written is left. None of
//! these needs an adapter; where one is asked for, it is hidden.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

use npyz::WriterBuilder;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A command in `dir`, without an adapter to find.
fn wgslab(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgslab"));
    command.current_dir(dir).args(words);
    command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent").env_remove("RUST_BACKTRACE");
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `words` in `dir` and holds them to the code, to one sentence that has every part of `names`, and to leaving
/// the folder as it was.
#[track_caller]
fn fails(dir: &TempDir, words: &[&str], code: i32, names: &[&str]) {
    let before = listing(dir.path());
    let output = wgslab(dir.path(), words).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    assert!(said.starts_with("error: ") && !said.contains("panicked"), "{words:?}: {said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{words:?}: {said}");
    for name in names {
        assert!(said.contains(name), "{words:?}: {name} is not in: {said}");
    }
    assert_eq!(listing(dir.path()), before, "{words:?} left something behind");
}

fn listing(dir: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().map(|e| e.unwrap());
    entries.map(|e| e.path().to_string_lossy().into_owned()).collect()
}

fn empty() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn write(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A gray PNG that differs by `seed`.
fn png(seed: u8) -> Vec<u8> {
    let pixels = (0..64u8).map(|i| i.wrapping_mul(seed.wrapping_add(3))).collect();
    let images =
        wgslab::data::Images { height: 8, width: 8, channels: 1, pixels, labels: vec![0], names: vec![String::new()] };
    wgslab::data::png(&images, 0).unwrap()
}

/// Two classes of four images in `set/`.
fn folders() -> TempDir {
    let dir = empty();
    for i in 0..4 {
        write(&dir, &format!("set/cat/{i}.png"), png(i));
        write(&dir, &format!("set/dog/{i}.png"), png(50 + i));
    }
    dir
}

/// An archive of four 4 × 4 images a split; the test split's labels are given.
fn npz(test_labels: &[u8; 4]) -> Vec<u8> {
    let mut archive = npyz::npz::NpzWriter::new(std::io::Cursor::new(Vec::new()));
    let mut add = |name: String, shape: &[u64], data: &[u8]| {
        let writer = archive.array::<u8>(&name, Default::default()).unwrap().default_dtype().shape(shape);
        let mut writer = writer.begin_nd().unwrap();
        writer.extend(data.iter().copied()).unwrap();
        writer.finish().unwrap();
    };
    for (split, start, labels) in [("train", 0, &[0, 1, 0, 1]), ("val", 80, &[0, 1, 0, 1]), ("test", 160, test_labels)]
    {
        let pixels: Vec<u8> = (0..64u8).map(|i| i.wrapping_mul(37).wrapping_add(start)).collect();
        add(format!("{split}_images"), &[4, 4, 4], &pixels);
        add(format!("{split}_labels"), &[4], labels);
    }
    archive.zip_writer().finish().unwrap().into_inner()
}

#[test]
fn help_and_version_teach_and_are_no_error() {
    let dir = empty();
    for words in [vec!["--help"], vec!["help", "study", "run"], vec!["train", "--help"], vec!["--version"]] {
        let output = wgslab(dir.path(), &words).output().unwrap();
        assert!(output.status.success(), "{words:?}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty(), "{words:?}");
    }
    let help = wgslab(dir.path(), &["--help"]).output().unwrap().stdout;
    assert!(String::from_utf8(help).unwrap().contains("75  try again"));
}

#[test]
fn a_wrong_command_line_is_usage() {
    let dir = empty();
    for words in [
        &["strudel"][..],
        &["study", "run"],
        &["study", "run", "x.toml", "--index", "1", "--shard", "1/2"],
        &["study", "run", "x.toml", "--shard", "3/2"],
        &["--memory-budget", "lots", "devices"],
        &["train", "--data", "phantom:covid", "--out", "o", "--noise-kind", "loud"],
        &["train", "--data", "phantom:covid", "--out", "o", "--noise-rate", "1.5"],
        &["pretrain", "--data", "phantom:covid", "--out", "o", "--method", "magic"],
        &["evaluate", "--data", "phantom:covid", "--run", "r", "--split", "all"],
    ] {
        let output = wgslab(dir.path(), words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", said(&output));
        assert!(output.stdout.is_empty());
    }
    fails(&dir, &["--backend", "glide", "devices"], 2, &["glide", "vulkan, metal or dx12"]);
    assert_eq!(listing(dir.path()).len(), 1);
}

#[test]
fn a_config_s_mistake_names_its_file_and_line() {
    let dir = empty();
    write(&dir, "my.toml", "name = \"x\"\n[training]\nepochz = 3\n");
    for command in ["list", "run"] {
        fails(&dir, &["study", command, "my.toml"], 2, &["my.toml:3", "training.epochz", "training.epochs"]);
        fails(&dir, &["study", command, "gone.toml"], 2, &["gone.toml"]);
    }
    fails(&dir, &["train", "--data", "d", "--out", "o", "--config", "my.toml"], 2, &["my.toml:3"]);
    write(&dir, "good.toml", "");
    fails(&dir, &["study", "run", "good.toml", "--index", "99"], 2, &["99", "4 cells"]);
    fails(&dir, &["study", "run", "good.toml", "--shard", "1/9"], 2, &["no cell"]);
}

#[cfg(target_os = "linux")] // elsewhere the adapter cannot be hidden
#[test]
fn without_an_adapter_the_way_to_one_is_named() {
    let dir = folders();
    write(&dir, "my.toml", "");
    for words in [
        &["study", "run", "my.toml"][..],
        &["train", "--data", "set", "--out", "run"],
        &["pretrain", "--data", "set", "--out", "run"],
        &["devices"],
    ] {
        fails(&dir, words, 3, &["adapter", "mesa-vulkan-drivers"]);
    }
    let output = wgslab(dir.path(), &["devices", "--json"]).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap().trim()), (Some(3), "[]"));
}

#[test]
fn data_that_is_not_there_is_bad_data() {
    let dir = folders();
    fails(&dir, &["data", "inspect", "gone"], 4, &["gone", "--data-root"]);
    fails(&dir, &["data", "inspect", "gone.npz", "--data-root", "set"], 4, &["gone.npz", "set"]);
    fails(&dir, &["data", "inspect", "phantom:ghost"], 4, &["ghost"]);
    fails(&dir, &["study", "report", "gone"], 4, &["gone"]);
    fails(&dir, &["evaluate", "--data", "set", "--run", "gone"], 4, &["gone"]);
    fails(&dir, &["train", "--data", "set", "--out", "o", "--weights", "gone.safetensors"], 4, &["gone.safetensors"]);
    fails(&dir, &["data", "inspect", "set", "--channels", "2"], 2, &["channels is 2"]);
}

#[test]
fn a_damaged_archive_is_named_with_its_member() {
    let dir = empty();
    let whole = npz(&[0, 1, 0, 1]);
    write(&dir, "cut.npz", &whole[..whole.len() / 2]);
    fails(&dir, &["data", "inspect", "cut.npz"], 4, &["cut.npz"]);
    write(&dir, "text.npz", "not an archive");
    fails(&dir, &["data", "inspect", "text.npz"], 4, &["text.npz"]);
    write(&dir, "label.npz", npz(&[0, 1, 0, 7]));
    fails(&dir, &["data", "inspect", "label.npz"], 4, &["label.npz", "test", "7"]);
}

#[test]
fn a_bad_image_or_class_folder_is_named() {
    let dir = folders();
    std::fs::create_dir(dir.path().join("set/horse")).unwrap();
    fails(&dir, &["data", "inspect", "set"], 4, &["horse"]);
    std::fs::remove_dir(dir.path().join("set/horse")).unwrap();
    let whole = png(9);
    write(&dir, "set/dog/broken.png", &whole[..whole.len() - 20]);
    fails(&dir, &["data", "inspect", "set"], 4, &["set cannot be loaded", "dog/broken.png"]);
}

#[test]
fn what_works_goes_to_stdout_alone() {
    let dir = empty();
    write(&dir, "my.toml", "");
    let output = wgslab(dir.path(), &["study", "list", "my.toml", "--json"]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let cells: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(cells.as_array().unwrap().len(), 4);
    assert_eq!(cells[3]["noise_kind"], "symmetric");
    let spec = "phantom:covid?train=12&val=6&test=6";
    let output = wgslab(dir.path(), &["data", "inspect", spec, "--json", "--store-size", "16"]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["store_size"], &summary["splits"][0]["images"]), (&16.into(), &12.into()));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let dir = empty();
    write(&dir, "my.toml", "seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n");
    for words in
        [&["study", "list", "my.toml", "--json"][..], &["--help"], &["data", "inspect", "phantom:mura?train=9"]]
    {
        let mut child = wgslab(dir.path(), words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""), "{words:?}");
    }
}

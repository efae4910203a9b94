//! Tests the program from outside: what each mistake says, its exit code, and that no partial file is left. Where a
//! test does not need an adapter, the adapter is hidden.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

#[path = "../common/mod.rs"]
mod common;
mod data;
mod drivers;
mod kernels;
mod runs;
mod words;

use npyz::WriterBuilder;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A command in `dir` that cannot find an adapter.
fn wgslab(dir: &Path, words: &[&str]) -> Command {
    let mut command = common::wgslab(dir, words);
    command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent");
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `words` in `dir`. Expects the exit code, one sentence that holds every part of `names`, and an unchanged
/// folder.
#[track_caller]
fn fails(dir: &TempDir, words: &[&str], code: i32, names: &[&str]) {
    held_to(wgslab(dir.path(), words), dir, code, names);
}

/// As [`fails`], but with an adapter. The decoded images of valid data may stay.
#[track_caller]
fn fails_on_device(dir: &TempDir, words: &[&str], code: i32, names: &[&str]) -> String {
    held_to(common::wgslab(dir.path(), &[words, &["--quiet"]].concat()), dir, code, names)
}

#[track_caller]
fn held_to(mut command: Command, dir: &TempDir, code: i32, names: &[&str]) -> String {
    let before = listing(dir.path());
    let output = command.output().unwrap();
    let words: Vec<_> = command.get_args().collect();
    let said = own_words(&output);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    assert!(said.starts_with("error: ") && !said.contains("panicked"), "{words:?}: {said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{words:?}: {said}");
    for name in names {
        assert!(said.contains(name), "{words:?}: {name} is not in: {said}");
    }
    assert_eq!(listing(dir.path()), before, "{words:?} left something behind");
    said
}

/// What the program itself printed, without its warning of a software adapter and without the driver's lines.
fn own_words(output: &Output) -> String {
    let lines = said(output);
    let own = |l: &&str| !l.contains("is a software adapter") && !l.contains("XDG_RUNTIME_DIR");
    lines.lines().filter(own).collect::<Vec<_>>().join("\n")
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

/// A gray PNG whose pixels depend on `seed`.
fn png(seed: u8) -> Vec<u8> {
    let pixels = (0..64u8).map(|i| i.wrapping_mul(seed.wrapping_add(3))).collect::<Vec<u8>>().into();
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

/// An archive in memory. Each member is (name, shape, elements).
fn archive<T: npyz::AutoSerialize + Copy>(members: &[(&str, &[u64], Vec<T>)]) -> Vec<u8> {
    let mut archive = npyz::npz::NpzWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, shape, data) in members {
        let writer = archive.array::<T>(name, Default::default()).unwrap().default_dtype().shape(shape);
        let mut writer = writer.begin_nd().unwrap();
        writer.extend(data.iter().copied()).unwrap();
        writer.finish().unwrap();
    }
    archive.zip_writer().finish().unwrap().into_inner()
}

/// An archive of four 4 × 4 images in each split. The labels of the test split are given.
fn npz(test_labels: &[u8; 4]) -> Vec<u8> {
    let pixels = |start: u8| (0..64u8).map(|i| i.wrapping_mul(37).wrapping_add(start)).collect::<Vec<u8>>();
    archive(&[
        ("train_images", &[4, 4, 4], pixels(0)),
        ("train_labels", &[4], vec![0, 1, 0, 1]),
        ("val_images", &[4, 4, 4], pixels(80)),
        ("val_labels", &[4], vec![0, 1, 0, 1]),
        ("test_images", &[4, 4, 4], pixels(160)),
        ("test_labels", &[4], test_labels.to_vec()),
    ])
}

/// A small network on small images.
const SMALL: &str = "[data]\nstore_size = 16\nimage_size = 16\n[model]\nwidth = 0.125\n\
                     [pretraining]\nepochs = 1\nwarmup_epochs = 0\nsimclr.projection_dims = [16, 8]\n\
                     [training]\nepochs = 1\n[evaluation]\nbatch_size = 4\n";

//! Tests the program from outside: what each mistake says, its exit code, and that no partial file is left. Where a
//! test does not need an adapter, the adapter is hidden.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

mod common;

use common::adapter;
use npyz::WriterBuilder;
use std::path::Path;
use std::process::{Command, Output, Stdio};
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
        &["train", "--data", "phantom:covid", "--out", "o", "--method", "magic"],
        &["evaluate", "--data", "phantom:covid", "--run", "r", "--split", "all"],
        &["pretrain", "--data", "phantom:covid", "--plan", "--steps", "3"],
        &["pretrain", "--data", "phantom:covid", "--plan", "--weights", "w.safetensors"],
        &["pretrain", "--data", "phantom:covid", "--plan", "--init", "s.safetensors"],
        &["data", "views", "phantom:covid", "--out", "v", "--npz", "v"],
        &["data", "views", "phantom:covid", "--out", "."],
    ] {
        let output = wgslab(dir.path(), words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", said(&output));
        assert!(output.stdout.is_empty());
    }
    let train = ["train", "--data", "phantom:covid", "--out", "o", "--noise-kind"];
    let near = said(&wgslab(dir.path(), &[&train[..], &["symetric"]].concat()).output().unwrap());
    assert!(
        near.contains("possible values: symmetric") && near.contains("similar value exists: 'symmetric'"),
        "{near}"
    );
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
}

/// A part of a study that has no cell does not fail, however many parts there are.
#[test]
fn a_part_without_a_cell_is_done_at_once() {
    let dir = empty();
    write(&dir, "good.toml", "");
    let huge = format!("1/{}", usize::MAX);
    for shard in ["1/9", &huge, "4611686018427387903/9223372036854775808"] {
        let output = wgslab(dir.path(), &["study", "run", "good.toml", "--shard", shard]).output().unwrap();
        let said = said(&output);
        assert!(output.status.success() && said.contains("no cell") && said.contains("4 cells"), "{shard}: {said}");
        assert!(output.stdout.is_empty() && listing(dir.path()).len() == 2, "{shard}");
    }
    for shard in ["9223372036854775808/9223372036854775808", "9/9"] {
        // This part has the last cell, so it needs an adapter.
        fails(
            &dir,
            &["study", "run", "good.toml", "--shard", shard],
            if cfg!(target_os = "linux") { 3 } else { 0 },
            &[],
        );
    }
    let huge = "99999999999999999999/99999999999999999999";
    let output = wgslab(dir.path(), &["study", "run", "good.toml", "--shard", huge]).output().unwrap();
    assert!(output.status.code() == Some(2) && said(&output).contains("there is no shard"), "{}", said(&output));
}

#[test]
fn a_large_grid_is_listed_at_once() {
    let dir = empty();
    let seeds: String = (0..25_000).map(|i| format!("{i}, ")).collect();
    write(&dir, "large.toml", format!("seeds = [{seeds}]\n"));
    let begun = std::time::Instant::now();
    let output = wgslab(dir.path(), &["study", "list", "large.toml"]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 100_001);
    let json = wgslab(dir.path(), &["study", "list", "large.toml", "--json"]).output().unwrap();
    assert_eq!(serde_json::from_slice::<Vec<serde_json::Value>>(&json.stdout).unwrap().len(), 100_000);
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

/// Names and lines of files are shown escaped, so that a terminal does not act on them, and are cut to a bounded
/// length. JSON holds them unchanged.
#[test]
fn text_of_files_can_be_read_on_a_terminal() {
    let dir = empty();
    let odd = "a\u{1b}[2J\u{202e}b";
    let shown = "a\\u{1b}[2J\\u{202e}b";
    let plain = |output: &[u8], what: &str| {
        let text = String::from_utf8_lossy(output).into_owned();
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{what}: {text}");
        assert!(text.lines().all(|l| l.chars().count() < 2500), "{what}: {}", text.len());
        text
    };
    // Errors: a key, a value, a path and a word of the command line.
    let long = "x".repeat(3_000_000);
    write(&dir, "key.toml", format!("\"{}\" = 1", odd.replace('\u{1b}', "\\u001b")));
    write(&dir, "value.toml", format!("[model]\narch = \"{long}\""));
    for (words, says) in [
        (vec!["study", "list", "key.toml"], shown),
        (vec!["study", "list", "value.toml"], "are left out"),
        (vec!["study", "list", odd], shown),
        (vec!["study", "list", "key.toml", "--index", odd], "--index"),
        (vec![odd], "\\u{202e}b"), // clap itself drops what begins with an escape byte
        (vec!["data", "inspect", odd], shown),
    ] {
        let output = wgslab(dir.path(), &words).output().unwrap();
        assert!(matches!(output.status.code(), Some(2 | 4)), "{words:?}");
        let text = plain(&output.stderr, "an error");
        assert!(text.contains(says), "{words:?}: {text}");
    }
    // Tables: class names of a manifest, of any length.
    let images: String = ["p.png", "q.png", "r.png"].map(|p| format!("{p},\"{odd}\"\n")).concat();
    for (i, name) in ["p.png", "q.png", "r.png", "s.png", "t.png", "u.png"].iter().enumerate() {
        write(&dir, name, png(i as u8));
    }
    let others: String = ["s.png", "t.png", "u.png"].map(|p| format!("{p},{}\n", "y".repeat(250))).concat();
    write(&dir, "set.csv", format!("path,label\n{images}{others}"));
    let output = wgslab(dir.path(), &["data", "inspect", "set.csv"]).output().unwrap();
    let text = plain(&output.stdout, "inspect") + &plain(&output.stderr, "inspect");
    assert!(text.contains(shown), "{text}");
    let output = wgslab(dir.path(), &["data", "inspect", "set.csv", "--json"]).output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary["classes"].as_array().unwrap().iter().any(|c| c == odd), "JSON is exact");
    // A listing.
    write(&dir, "grid.toml", format!("[data]\nspecs = [\"{}\"]", odd.replace('\u{1b}', "\\u001b")));
    let output = wgslab(dir.path(), &["study", "list", "grid.toml"]).output().unwrap();
    assert!(output.status.success());
    plain(&output.stdout, "list");
}

/// Files that only look like configs are refused in a sentence, in little time and memory.
#[test]
fn a_config_that_is_none_is_refused_soon() {
    let dir = empty();
    let n = 100_000;
    for (name, text, says) in [
        ("itself.toml", format!("base = \"itself.toml\"\n{}", "# padding\n".repeat(2_000_000)), "hold more than"),
        ("circle.toml", format!("base = \"./circle.toml\"\n{}", "# padding\n".repeat(200_000)), "circle"),
        ("brackets.toml", format!("seeds = {}", "[".repeat(n)), "brackets.toml:1"),
        ("dots.toml", format!("{}a = 1", "a.".repeat(n)), "dots.toml:1"),
        ("tables.toml", format!("[{}a]", "a.".repeat(n)), "tables.toml:1"),
        ("seeds.toml", format!("seeds = [{}]", "1,".repeat(2_000_000)), "names 1 twice"),
        (
            "list.toml",
            "[pretraining]\nsimclr.projection_dims = [32, 16, 8]".to_string(),
            "list.toml:2: pretraining.simclr.projection_dims",
        ),
        ("jitter.toml", "[augmentation]\njitter = [0, 0, 0, 0, 0]".to_string(), "holds 5 values; use 4"),
        ("empty.toml", "\0".repeat(n), "empty.toml:1"),
    ] {
        write(&dir, name, text);
        let begun = std::time::Instant::now();
        fails(&dir, &["study", "list", name], 2, &[says]);
        assert!(begun.elapsed().as_secs() < 10, "{name}: {:?}", begun.elapsed());
    }
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
fn kernels_are_listed_and_shown_with_and_without_an_adapter() {
    let dir = empty();
    let here = adapter("kernels_are_listed_and_shown_with_and_without_an_adapter");
    let run = |words: &[&str], hidden: bool| {
        let mut command = if hidden { wgslab(dir.path(), words) } else { common::wgslab(dir.path(), words) };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    for (language, says) in [("spirv", "OpEntryPoint GLCompute"), ("msl", "kernel void"), ("hlsl", "[numthreads(")] {
        let shown = run(&["kernels", "show", "relu.forward", "--language", language], true);
        assert!(shown.contains(says) && shown.contains("relu.forward ["), "{shown}");
    }
    for hidden in [true, false].into_iter().filter(|hidden| *hidden || here) {
        let list: serde_json::Value = serde_json::from_str(&run(&["kernels", "list", "--json"], hidden)).unwrap();
        if cfg!(target_os = "linux") {
            assert_eq!(list["adapter"].is_null(), hidden); // elsewhere the adapter cannot be hidden
        }
        let entries = list["entries"].as_array().unwrap();
        for name in ["conv2d.forward", "conv2d.grad_input", "conv2d.grad_weight", "nt_xent.grad", "relu.forward"] {
            let entry = entries.iter().find(|e| e["name"] == name).unwrap();
            let variants = entry["variants"].as_array().unwrap();
            let first: usize = variants.iter().map(|v| v["first_here_for_cases"].as_array().unwrap().len()).sum();
            assert!(first >= entry["cases"].as_array().unwrap().len(), "{entry}");
        }
        let table = run(&["kernels", "list"], hidden);
        assert!(table.contains("subgroups of 8 or 16 lanes") && table.contains("conv2d.grad_weight"), "{table}");
        let shown = run(&["kernels", "show", "conv2d.forward", "--variant", "naive"], hidden);
        assert!(shown.starts_with("// conv2d.forward [naive]") && shown.contains("@compute"), "{shown}");
    }
    fails(&dir, &["kernels", "show", "conv2d.forward", "--adapter", "unicorn"], 3, &["adapter"]);
    let output = wgslab(dir.path(), &["kernels", "show", "conv2d.sideways"]).output().unwrap();
    assert!(output.status.code() == Some(2) && said(&output).contains("conv2d.grad_weight"), "{}", said(&output));
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

/// Every command that reads data refuses what is wrong with it in the same words, before it writes anything.
#[test]
fn bad_data_leaves_nothing_behind() {
    if !adapter("bad_data_leaves_nothing_behind") {
        return;
    }
    let dir = folders();
    write(&dir, "small.toml", SMALL);
    let whole = npz(&[0, 1, 0, 1]);
    write(&dir, "cut.npz", &whole[..whole.len() / 2]);
    write(&dir, "label.npz", npz(&[0, 1, 0, 7]));
    write(
        &dir,
        "float.npz",
        archive(&[
            ("train_images", &[2, 2, 2], vec![300.0f32; 8]),
            ("train_labels", &[2], vec![0.0; 2]),
            ("test_images", &[1, 2, 2], vec![0.5; 4]),
            ("test_labels", &[1], vec![0.0]),
        ]),
    );
    write(&dir, "empty/train/cat/0.png", png(1));
    std::fs::create_dir_all(dir.path().join("empty/train/dog")).unwrap();
    write(&dir, "broken/train/cat/0.png", &png(1)[..40]);
    write(&dir, "broken/train/cat/1.png", png(3));
    write(&dir, "broken/test/cat/0.png", png(2));
    for (spec, names) in [
        ("gone.npz", &["gone.npz", "--data-root"][..]),
        ("cut.npz", &["cut.npz", "whole"]),
        ("label.npz", &["label", "'7'", "test/3 of test"]),
        ("float.npz", &["float.npz", "train_images", "row 0 holds 300"]),
        ("empty", &["empty/train/dog", "fill it or remove it"]),
        ("broken", &["train/cat/0.png", "cannot be decoded, more than a tenth"]),
        ("set", &["set", "no test split"]),
        ("phantom:ghost", &["ghost"]),
    ] {
        write(&dir, "study.toml", SMALL.replace("[data]", &format!("[data]\nspecs = [{spec:?}]")));
        fails_on_device(&dir, &["study", "run", "study.toml", "--out", "out"], 4, names);
        fails_on_device(&dir, &["train", "--data", spec, "--out", "out/a", "--config", "small.toml"], 4, names);
        fails_on_device(&dir, &["pretrain", "--data", spec, "--out", "out/b", "--config", "small.toml"], 4, names);
    }
    // A wrong name among several datasets is reported before training on the first begins.
    let specs = "[data]\nspecs = [\"phantom:covid?train=8&val=4&test=4\", \"gone\"]";
    write(&dir, "study.toml", SMALL.replace("[data]", specs));
    fails_on_device(&dir, &["study", "run", "study.toml", "--out", "out"], 4, &["gone"]);
    write(&dir, "w.safetensors", "no tensors");
    let train = ["train", "--data", "phantom:covid?train=8&val=4&test=4", "--out", "out"];
    fails_on_device(&dir, &[&train[..], &["--weights", "w.safetensors"]].concat(), 4, &["w.safetensors"]);
}

/// The largest batch that an error names for `key`, if it names one.
fn largest(said: &str, key: &str) -> Option<usize> {
    let rest = said.split_once(&format!("the largest {key} that fits is "))?.1;
    rest.trim().parse().ok()
}

#[test]
fn a_plan_over_the_budget_names_a_batch_size_that_fits() {
    if !adapter("a_plan_over_the_budget_names_a_batch_size_that_fits") {
        return;
    }
    let dir = empty();
    for (command, key) in [("pretrain", "pretraining.batch_size"), ("train", "training.batch_size")] {
        let data = "phantom:covid?train=64&val=4&test=4";
        let words = |out: &'static str, budget: &str| {
            let words = [command, "--data", data, "--out", out, "--config", "small.toml", "--memory-budget", budget];
            words.map(String::from)
        };
        write(&dir, "small.toml", SMALL);
        let tight = |budget: &str| {
            let words = words("out", budget);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            fails_on_device(&dir, &words, 2, &["MiB", "--memory-budget"])
        };
        let said = tight("100KB");
        assert!(said.contains("model.width") && said.contains("larger budget"), "{said}");
        // Finds the first budget that some batch fits but this one does not.
        let found = (0..12).map(|i| (1 << i) * (1 << 19)).find_map(|budget: u64| {
            let budget = budget.to_string();
            let said = tight(&budget);
            largest(&said, key).map(|batch| (budget, batch))
        });
        let (budget, batch) = found.unwrap();
        assert!((2..64).contains(&batch), "{batch}");
        let with = |batch: usize| {
            let table = format!("[{}]\nbatch_size = {batch}", key.split('.').next().unwrap());
            write(&dir, "small.toml", SMALL.replace(&format!("[{}]", key.split('.').next().unwrap()), &table));
        };
        let plan = || {
            let words = ["pretrain", "--data", data, "--plan", "--config", "small.toml", "--memory-budget", &budget];
            common::wgslab(dir.path(), &words).output().unwrap()
        };
        with(batch + 1);
        assert_eq!(largest(&tight(&budget), key), Some(batch));
        if command == "pretrain" {
            let refused = plan();
            assert_eq!((refused.status.code(), largest(&own_words(&refused), key)), (Some(2), Some(batch)));
        }
        with(batch);
        if command == "pretrain" {
            let planned = plan();
            let text = String::from_utf8(planned.stdout).unwrap();
            assert!(
                planned.status.success() && text.contains("at the peak") && text.contains("the budget is"),
                "{text}"
            );
            assert!(text.trim_end().ends_with(&format!("The largest {key} that fits is {batch}.")), "{text}");
        }
        let out = if command == "train" { "t" } else { "p" };
        let output = common::wgslab(dir.path(), &words(out, &budget).each_ref().map(String::as_str)).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", own_words(&output));
    }
}

#[test]
fn a_run_says_what_made_its_weights() {
    if !adapter("a_run_says_what_made_its_weights") {
        return;
    }
    let dir = empty();
    write(&dir, "small.toml", SMALL);
    let data = "phantom:covid?train=16&val=4&test=4";
    let run = |words: &[&str]| {
        let words = [words, &["--data", data, "--config", "small.toml"]].concat();
        let output = common::wgslab(dir.path(), &words).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    };
    let made_by = |out: &str| {
        let text = std::fs::read_to_string(dir.path().join(out).join("result.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["pretraining"].clone()
    };
    run(&["pretrain", "--out", "ssl"]);
    run(&["train", "--out", "none"]);
    run(&["train", "--out", "simclr", "--weights", "ssl/backbone.safetensors"]);
    run(&["train", "--out", "supervised", "--weights", "none/backbone.safetensors"]);
    let bytes = std::fs::read(dir.path().join("ssl/backbone.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap().tensors();
    write(&dir, "imagenet.safetensors", safetensors::serialize(tensors, None).unwrap());
    run(&["train", "--out", "foreign", "--weights", "imagenet.safetensors"]);
    let labels = ["none", "simclr", "supervised", "foreign"].map(made_by);
    assert_eq!(labels, ["none", "simclr", "cross_entropy", "imagenet"]);
}

#[test]
fn mistakes_of_tune_are_told_before_the_races() {
    let dir = empty();
    write(&dir, "small.toml", SMALL);
    fails(&dir, &["tune", "--export", "all.txt"], 2, &["all.txt", ".csv or .json"]);
    fails(&dir, &["tune", "gone.toml"], 2, &["gone.toml"]);
    let output = wgslab(dir.path(), &["tune", "small.toml", "--size", "8"]).output().unwrap();
    assert!(output.status.code() == Some(2) && said(&output).contains("--size"), "{}", said(&output));
}

/// `tune` tunes ahead all that a config's stages run, including a contrastive loss and Adam.
#[test]
fn a_config_is_tuned_whole() {
    if !adapter("a_config_is_tuned_whole") {
        return;
    }
    let dir = empty();
    let data = "[data]\nspecs = [\"phantom:covid?train=16&val=4&test=4\"]\n";
    write(&dir, "small.toml", SMALL.replace("[data]\n", data));
    let tune = ["tune", "small.toml", "--out", "t.json"];
    let runs = |words: &[&str]| {
        let output = common::wgslab(dir.path(), words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output)
    };
    let first = runs(&tune);
    for op in ["nt_xent", "nt_xent.grad", "cross_entropy", "conv2d.grad_weight"] {
        assert!(first.contains(&format!(" {op} ")), "{op} is not in: {first}");
    }
    assert!(runs(&tune).contains("0 ops tuned"));

    // A study that tunes first keeps the table beside its runs. It does not tune twice, and it does not go on without
    // its table.
    let study = |out: &str, more: &[&str]| [&["study", "run", "small.toml", "--out", out], more].concat().join(" ");
    let words = |text: &str| runs(&text.split(' ').collect::<Vec<_>>());
    let raced = |said: &str| said.contains(" ops tuned");
    assert!(raced(&words(&study("tuned", &["--tune"]))));
    let table = |path: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(dir.path().join(path)).unwrap()).unwrap()
    };
    let ops = |path: &str| table(path)["entries"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(ops("tuned/kernels.json"), ops("t.json"));
    assert!(!raced(&words(&study("tuned", &["--tune"]))));
    assert!(!raced(&words(&study("plain", &["--no-tune"]))) && !dir.path().join("plain/kernels.json").exists());
    let late = ["study", "run", "small.toml", "--out", "plain", "--tune"];
    fails_on_device(&dir, &late, 2, &["plain", "without a table", "--tune"]);
}

/// A table of kernels is made, used and kept beside the run that used it. A table that would change the kernels of a
/// run is refused.
#[test]
fn a_table_of_kernels_belongs_to_the_run_it_was_begun_with() {
    if !adapter("a_table_of_kernels_belongs_to_the_run_it_was_begun_with") {
        return;
    }
    let dir = empty();
    write(&dir, "small.toml", SMALL);
    let train = ["train", "--data", "phantom:covid?train=16&val=4&test=4", "--config", "small.toml"];
    let runs = |words: &[&str]| {
        let output = common::wgslab(dir.path(), words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    fails_on_device(
        &dir,
        &[&train[..], &["--out", "r", "--kernels", "t.json"]].concat(),
        2,
        &["t.json", "wgslab tune"],
    );
    let tune = ["tune", "--size", "8", "--batch", "2", "--width", "0.05", "--out", "t.json"];
    assert!(runs(&tune).contains("ops in t.json"));
    let again = common::wgslab(dir.path(), &[&tune[..], &["--export", "t.csv"]].concat()).output().unwrap();
    assert!(said(&again).contains("0 ops tuned"), "an op was tuned twice");
    let exported = std::fs::read_to_string(dir.path().join("t.csv")).unwrap();
    assert!(exported.starts_with("op,variant,won,sample,ms,refused\n"), "{exported}");
    let table: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.path().join("t.json")).unwrap()).unwrap();
    for (op, entry) in table["entries"].as_object().unwrap() {
        let samples: usize =
            entry["samples_ms"].as_object().unwrap().values().map(|s| s.as_array().unwrap().len()).sum();
        let refused = entry["refused"].as_object().map_or(0, |r| r.len());
        let mut rows = csv::Reader::from_reader(exported.as_bytes());
        assert_eq!(rows.records().filter(|r| r.as_ref().unwrap()[0] == **op).count(), samples + refused, "{op}");
    }
    runs(&[&train[..], &["--out", "tuned", "--kernels", "t.json"]].concat());
    assert_eq!(
        std::fs::read(dir.path().join("tuned/kernels.json")).unwrap(),
        std::fs::read(dir.path().join("t.json")).unwrap()
    );
    runs(&[&train[..], &["--out", "tuned"]].concat()); // goes on with its own table
    // If the table is lost, the option gives it again.
    std::fs::remove_file(dir.path().join("tuned/kernels.json")).unwrap();
    runs(&[&train[..], &["--out", "tuned", "--kernels", "t.json"]].concat());
    runs(&[&train[..], &["--out", "plain"]].concat());
    let refused = [&train[..], &["--out", "plain", "--kernels", "t.json"]].concat();
    fails_on_device(&dir, &refused, 2, &["plain", "without a table"]);
    runs(&[&train[..], &["--out", "plain"]].concat());
}

/// The tensors of a backbone, without the metadata, because that names the data.
fn tensors(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

#[test]
fn pretraining_sees_neither_labels_nor_other_splits() {
    if !adapter("pretraining_sees_neither_labels_nor_other_splits") {
        return;
    }
    let dir = empty();
    write(&dir, "small.toml", SMALL);
    let pixels =
        |seed: u32, n: u32| (0..n * 64).map(|i| (seed + i).wrapping_mul(2_654_435_761) as u8).collect::<Vec<u8>>();
    let mirrored = |labels: &[u8]| labels.iter().map(|l| 1 - l).collect::<Vec<u8>>();
    let halves = vec![0, 1, 0, 1, 0, 0, 1, 1];
    // `train` and `others` are seeds of the training images and of the other images.
    let backbone = |name: &str, train: u32, others: u32, labels: &[u8]| {
        let file = format!("{name}.npz");
        let few = &labels[..4];
        let bytes = archive(&[
            ("train_images", &[8, 8, 8], pixels(train, 8)),
            ("train_labels", &[8], labels.to_vec()),
            ("val_images", &[4, 8, 8], pixels(others, 4)),
            ("val_labels", &[4], few.to_vec()),
            ("test_images", &[4, 8, 8], pixels(others + 5000, 4)),
            ("test_labels", &[4], few.to_vec()),
        ]);
        write(&dir, &file, bytes);
        let words = ["pretrain", "--data", &file, "--out", name, "--config", "small.toml"];
        let output = common::wgslab(dir.path(), &words).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let out = dir.path().join(name);
        // The address must not depend on the labels either, so that runs with other labels can share the pretraining.
        let done: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("done")).unwrap()).unwrap();
        (tensors(&out.join("backbone.safetensors")), done["address"].as_str().unwrap().to_string())
    };
    let plain = backbone("plain", 0, 1000, &halves);
    assert!(plain == backbone("labels", 0, 1000, &mirrored(&halves)), "labels influence pretraining");
    assert!(plain == backbone("others", 0, 70_000, &halves), "validation or test images influence pretraining");
    let other = backbone("train", 3, 1000, &halves);
    assert!(plain.0 != other.0 && plain.1 != other.1, "training images do not influence pretraining");
}

#[test]
fn nearest_neighbours_judge_a_run_s_features() {
    if !adapter("nearest_neighbours_judge_a_run_s_features") {
        return;
    }
    let dir = empty();
    let data = "phantom:covid?train=16&val=4&test=8";
    let accuracy = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap()["knn_accuracy"].clone();
    let run = |words: &[&str]| {
        let output = common::wgslab(dir.path(), words).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        output.stdout
    };
    let study = SMALL.replace("[data]", &format!("[data]\nspecs = [{data:?}]"));
    let study = study.replace("[pretraining]", "[pretraining]\nmethods = [\"none\"]");
    write(&dir, "study.toml", study + "knn_neighbours = 3\n[noise]\nrates = [0.4]\n");
    run(&["study", "run", "study.toml", "--out", "out"]);
    let name = "out/runs/phantom-covid__none__symmetric-0.4__cross_entropy__seed-0";
    let trained = accuracy(&std::fs::read(dir.path().join(name).join("result.json")).unwrap());
    assert!((0.0..=1.0).contains(&trained.as_f64().unwrap()), "{trained}");
    let evaluate = |split| accuracy(&run(&["evaluate", "--data", data, "--run", name, "--split", split, "--json"]));
    assert_eq!(evaluate("test"), trained);
    assert!(evaluate("train").is_null(), "a training image is its own nearest");
    let csv = std::fs::read_to_string(dir.path().join("out/results.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|l| l.split(',').collect()).collect();
    let column = rows[0].iter().position(|c| *c == "knn_accuracy").unwrap();
    assert_eq!(rows[1][column].parse::<f64>().ok(), trained.as_f64());
}

//! What the program says: its help, the mistakes of a command line or a config, and where its words go.

use super::{empty, fails, folders, listing, png, said, wgslab, write};
use std::process::Stdio;

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

/// Off a terminal options answer for a person. What is written is a config that `study list` takes, and is never replaced.
#[test]
fn a_config_is_written_once_and_every_answer_is_checked() {
    let dir = empty();
    fails(&dir, &["new", "mine"], 2, &["--data"]);
    let data = ["new", "mine", "--data", "phantom:covid", "phantom:mura"];
    for (answer, code, says) in [
        (["--pretraining", "none,simclrr"], 2, "simclr"),
        (["--noise-rate", "0,2"], 2, "noise.rates"),
        (["--noise-kind", "loud"], 2, "symmetric"),
        (["--method", "magic"], 2, "training.methods"),
        (["--image-size", "many"], 2, "whole number"),
        (["--seed", "1.5"], 2, "whole number"),
        (["--data", "phantom:brain"], 4, "nct-crc"),
    ] {
        fails(&dir, &[&data[..], &answer].concat(), code, &[says]);
    }
    let words = [&data[..], &["--pretraining", "none,moco", "--noise-rate", "0,0.2", "--seed", "0,1"]].concat();
    let output = wgslab(dir.path(), &words).output().unwrap();
    let next = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success() && next.contains("16 cells"), "{next}{}", said(&output));
    assert!(next.contains("\n  wgslab study run mine.toml"), "{next}");
    let list = wgslab(dir.path(), &["study", "list", "mine.toml", "--json"]).output().unwrap();
    assert_eq!(serde_json::from_slice::<Vec<serde_json::Value>>(&list.stdout).unwrap().len(), 16, "{}", said(&list));
    fails(&dir, &words, 2, &["mine.toml is there already"]);
    fails(&dir, &["new", "mine.toml", "--data", "phantom:covid"], 2, &["mine.toml is there already"]);
}

#[test]
fn shells_and_man_are_told_every_command() {
    let dir = empty();
    let printed = |words: &[&str]| {
        let output = wgslab(dir.path(), words).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        assert!(["redo-damaged", "noise-kind", "inspect"].iter().all(|w| script.contains(w)), "{shell}");
    }
    let page = printed(&["man"]);
    assert!(page.contains(".TH wgslab 1") && page.contains("wgslab\\-study"), "{page}");
    let page = printed(&["man", "study", "run"]);
    assert!(page.contains(".TH wgslab-study-run 1") && page.contains("redo\\-damaged"), "{page}");
    fails(&dir, &["man", "strudel"], 2, &["wgslab strudel", "wgslab help"]);
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

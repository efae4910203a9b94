//! Listing kernels, tuning them, and the table that a run was begun with.

use super::common::adapter;
use super::{SMALL, common, empty, fails, fails_on_device, said, wgslab, write};

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
    for (wrong, known) in [
        ("conv", "conv2d has conv2d.forward"),
        ("batch", "batch_norm has batch_norm."),
        ("matmull.forward", "matmul has matmul.forward"),
    ] {
        let output = wgslab(dir.path(), &["kernels", "show", wrong]).output().unwrap();
        assert!(output.status.code() == Some(2) && said(&output).contains(known), "{}", said(&output));
    }
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

/// In f16, training has ops of halves to tune; the step of the evaluation stays in f32.
#[test]
fn a_step_in_halves_is_tuned() {
    if !adapter("a_step_in_halves_is_tuned") {
        return;
    }
    let dir = empty();
    let tune = ["tune", "--size", "8", "--batch", "2", "--width", "0.05", "--precision", "f16", "--out", "t.json"];
    let output = common::wgslab(dir.path(), &tune).output().unwrap();
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", said(&output));
    let of = |elements: &str| table.lines().filter(|l| l.contains(" conv2d") && l.contains(elements)).count();
    assert!(of("F16 [") > 0 && of("F32 [") > 0 && table.contains("packed"), "{table}");
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
    assert!(exported.starts_with("op,variant,won,sample,ms,estimate_ms,tie,refused\n"), "{exported}");
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

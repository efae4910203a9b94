//! What runs on an adapter say and do: memory that is not enough, what made the weights, what pretraining sees.

use super::common::adapter;
use super::{SMALL, archive, common, empty, fails_on_device, own_words, said, write};
use std::path::Path;

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
    let mut csv = csv::Reader::from_path(dir.path().join("out/results.csv")).unwrap();
    let column = csv.headers().unwrap().iter().position(|c| c == "knn_accuracy").unwrap();
    let row = csv.records().next().unwrap().unwrap();
    assert_eq!(row[column].parse::<f64>().ok(), trained.as_f64());
    // What is finished is listed as such, and comes out again.
    let listed = String::from_utf8(run(&["study", "list", "out"])).unwrap();
    assert!(listed.contains("state") && listed.trim_end().ends_with("1 cell: 1 done"), "{listed}");
    let listed: serde_json::Value = serde_json::from_slice(&run(&["study", "list", "out", "--json"])).unwrap();
    assert_eq!(listed[0]["state"], "done");
    let verified = String::from_utf8(run(&["study", "verify", "out"])).unwrap();
    assert!(verified.contains("compared by bits") && verified.contains("agrees: backbone.safetensors, "), "{verified}");
    assert!(!verified.contains("differs"), "{verified}");
}

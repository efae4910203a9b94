//! Tests of weights that users bring, classes matched by name, initial weights, kept last batches, and configs far too
//! large: what a run then does, prints and refuses.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

mod common;

use common::{adapter, run, runs};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

/// A tensor of a file.
type Named = (String, Dtype, Vec<usize>, Vec<u8>);

const DATA: &str = "phantom:covid?train=16&val=4&test=4";

/// A small network on small images. A run takes seconds.
fn config(training: &str) -> String {
    format!(
        "[data]\nstore_size = 16\nimage_size = 16\n[model]\nstem = \"7x7\"\nwidth = 0.0625\n\
         [pretraining]\nepochs = 1\nbatch_size = 8\nwarmup_epochs = 0\nsimclr.projection_dims = [8, 4]\n\
         [training]\nbatch_size = 8\n{training}\n[evaluation]\nbatch_size = 8\nknn_neighbours = 3\n"
    )
}

fn folder(training: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "small.toml", config(training));
    dir
}

fn write(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[track_caller]
fn fails(dir: &TempDir, words: &[&str], code: i32, names: &[&str]) -> String {
    let (got, said) = run(dir, words);
    assert_eq!(got, code, "{words:?}: {said}");
    names.iter().for_each(|n| assert!(said.contains(n), "{words:?}: {n} is not in: {said}"));
    said
}

fn train<'a>(data: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "--data", data, "--config", "small.toml", "--out", out], more].concat()
}

fn tensors(path: &Path) -> Vec<Named> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut all: Vec<Named> =
        file.tensors().into_iter().map(|(n, v)| (n, v.dtype(), v.shape().to_vec(), v.data().to_vec())).collect();
    all.sort();
    all
}

fn save(dir: &TempDir, name: &str, tensors: &[Named]) {
    let views = tensors.iter().map(|(n, d, s, b)| (n.clone(), TensorView::new(*d, s.clone(), b).unwrap()));
    write(dir, name, safetensors::serialize(views, None).unwrap());
}

fn behind(prefix: &str, tensors: &[Named]) -> Vec<Named> {
    tensors.iter().map(|(n, d, s, b)| (format!("{prefix}{n}"), *d, s.clone(), b.clone())).collect()
}

fn json(dir: &TempDir, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir.path().join(name)).unwrap()).unwrap()
}

fn single(b: &[u8]) -> f32 {
    f32::from_le_bytes(b.try_into().unwrap())
}

#[test]
fn weights_fit_in_any_float_and_behind_any_prefix() {
    if !adapter("weights_fit_in_any_float_and_behind_any_prefix") {
        return;
    }
    let dir = folder("epochs = 0");
    runs(&dir, &["pretrain", "--data", DATA, "--config", "small.toml", "--out", "ssl"]);
    // The values are rounded to BF16, so that every format holds the same numbers.
    let plain: Vec<Named> = tensors(&dir.path().join("ssl/backbone.safetensors"))
        .into_iter()
        .map(|(n, d, s, mut b)| {
            if d == Dtype::F32 {
                b.chunks_exact_mut(4).for_each(|v| v[..2].fill(0));
            }
            (n, d, s, b)
        })
        .collect();
    let with = |prefix: &str, dtype: Dtype, of: fn(f32) -> Vec<u8>| -> Vec<Named> {
        let one = |(n, d, s, b): &Named| match d {
            Dtype::F32 => {
                (format!("{prefix}{n}"), dtype, s.clone(), b.chunks_exact(4).flat_map(|v| of(single(v))).collect())
            }
            _ => (format!("{prefix}{n}"), *d, s.clone(), b.clone()),
        };
        plain.iter().map(one).collect()
    };
    let same = |v: f32| v.to_le_bytes().to_vec();
    save(&dir, "plain.st", &plain);
    save(&dir, "brain.st", &with("", Dtype::BF16, |v| half::bf16::from_f32(v).to_le_bytes().to_vec()));
    save(&dir, "double.st", &with("", Dtype::F64, |v| f64::from(v).to_le_bytes().to_vec()));
    save(&dir, "nested.st", &with("module.backbone.", Dtype::F32, same));
    runs(&dir, &train(DATA, "plain", &["--weights", "plain.st"]));
    let due = tensors(&dir.path().join("plain/backbone.safetensors"));
    for (name, says) in [
        ("brain", "tensors of BF16 are converted to f32"),
        ("double", "tensors of F64 are converted to f32"),
        ("nested", "the prefix module.backbone. is taken off"),
    ] {
        let file = format!("{name}.st");
        let said = runs(&dir, &train(DATA, name, &["--weights", &file]));
        assert!(said.contains(&format!("{file}: ")) && said.contains(says), "{said}");
        assert!(tensors(&dir.path().join(name).join("backbone.safetensors")) == due, "{name} gives other weights");
    }
}

/// PyTorch's own form holds the same: a checkpoint of DataParallel beside its optimizer, and its tensors as safetensors.
#[test]
fn a_checkpoint_of_pytorch_starts_a_training() {
    if !adapter("a_checkpoint_of_pytorch_starts_a_training") {
        return;
    }
    let dir = folder("");
    write(&dir, "small.toml", config("epochs = 0").replace("[data]\n", "[data]\nchannels = 3\n"));
    let torch = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch");
    let start = |file: &str| {
        let said = runs(&dir, &train(DATA, file, &["--weights", torch.join(file).to_str().unwrap()]));
        assert!(
            said.contains("100 tensors of F16 are converted") && said.contains("classifier fc (5 classes) is left out"),
            "{said}"
        );
        (tensors(&dir.path().join(file).join("backbone.safetensors")), said)
    };
    let ((due, _), (got, said)) = (start("resnet.safetensors"), start("resnet.pth"));
    assert!(got == due, "a .pth gives other weights than its tensors as safetensors");
    assert!(said.contains("the prefix state_dict.module. is taken off its names"), "{said}");
    assert!(
        said.contains("outside state_dict.module. and are left out, such as optimizer.state.0.momentum_buffer"),
        "{said}"
    );
}

/// The folder of the weights names the backbone of a method that has its own. Without the folder the weights do not
/// fit, and the error says so.
#[test]
fn weights_of_another_backbone_bring_it_or_are_refused() {
    if !adapter("weights_of_another_backbone_bring_it_or_are_refused") {
        return;
    }
    let dir = folder("epochs = 0");
    write(&dir, "wide.toml", format!("{}{}", config("epochs = 0"), "[pretraining.simclr.model]\nwidth = 0.125\n"));
    runs(&dir, &["pretrain", "--data", DATA, "--config", "wide.toml", "--out", "ssl"]);
    let said = runs(&dir, &train(DATA, "out", &["--weights", "ssl/backbone.safetensors"]));
    assert!(said.contains("backbone.safetensors holds a backbone resnet18 × 0.125 with the stem 7x7"), "{said}");
    let kept = |run: &str| tensors(&dir.path().join(run).join("backbone.safetensors"));
    assert_eq!(kept("out").iter().find(|t| t.0 == "conv1.weight"), kept("ssl").iter().find(|t| t.0 == "conv1.weight"));
    let said = runs(&dir, &["evaluate", "--data", DATA, "--run", "out"]);
    assert!(said.contains("neighbours"), "{said}");
    // Its file says it, too; one without a word of ours is taken for the config's.
    write(&dir, "told.safetensors", std::fs::read(dir.path().join("ssl/backbone.safetensors")).unwrap());
    let said = runs(&dir, &train(DATA, "told", &["--weights", "told.safetensors"]));
    assert!(said.contains("told.safetensors holds a backbone resnet18 × 0.125"), "{said}");
    save(&dir, "alone.safetensors", &tensors(&dir.path().join("ssl/backbone.safetensors")));
    fails(&dir, &train(DATA, "other", &["--weights", "alone.safetensors"]), 4, &["alone.safetensors", "conv1.weight"]);
}

#[test]
fn weights_that_cannot_be_are_named() {
    if !adapter("weights_that_cannot_be_are_named") {
        return;
    }
    let dir = folder("epochs = 0");
    runs(&dir, &["pretrain", "--data", DATA, "--config", "small.toml", "--out", "ssl"]);
    let mut odd = tensors(&dir.path().join("ssl/backbone.safetensors"));
    let conv = odd.iter_mut().find(|t| t.0 == "layer2.0.conv1.weight").unwrap();
    conv.3[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    save(&dir, "nan.st", &odd);
    let refused = |file: &str, names: &[&str]| {
        fails(&dir, &train(DATA, "out", &["--weights", file]), 4, &[&[file], names].concat());
        assert!(!dir.path().join("out").join("config.toml").exists());
    };
    refused("nan.st", &["layer2.0.conv1.weight", "NaN"]);
    write(&dir, "r.pth", b"PK\x03\x04\x00\x00\x08\x08archive/data.pkl and so on");
    refused("r.pth", &["is cut or damaged", "save it again"]);
    write(&dir, "old.pt", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.");
    refused("old.pt", &["PyTorch", "torch.save(torch.load("]);
    let twice = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch/twice.pth");
    write(&dir, "twice.pth", std::fs::read(twice).unwrap());
    refused("twice.pth", &["does not fit the model"]);
    write(&dir, "k.h5", b"\x89HDF\r\n\x1a\n and so on");
    refused("k.h5", &["HDF5", "safetensors"]);
}

#[test]
fn a_classifier_is_left_out_or_kept_and_either_is_said() {
    if !adapter("a_classifier_is_left_out_or_kept_and_either_is_said") {
        return;
    }
    let dir = folder("epochs = 0");
    runs(&dir, &train(DATA, "first", &["--seed", "1"]));
    let w = ["--weights", "first/backbone.safetensors"];
    let fc = |out: &str| {
        let all = tensors(&dir.path().join(out).join("backbone.safetensors"));
        all.into_iter().find(|t| t.0 == "fc.weight").unwrap()
    };
    let said = runs(&dir, &train(DATA, "new", &w));
    assert!(said.contains("classifier fc (") && said.contains("is left out; --keep-classifier"), "{said}");
    assert!(fc("new") != fc("first"));
    let said = runs(&dir, &train(DATA, "kept", &[&w[..], &["--keep-classifier"]].concat()));
    assert!(said.contains("its classifier fc is kept, for the classes "), "{said}");
    assert!(fc("kept") == fc("first"));
    let (a, b) = (json(&dir, "kept/environment.json"), json(&dir, "new/environment.json"));
    assert_ne!(a["address"], b["address"], "keeping the classifier must give the run another address");
    // A file without class names may have its classes in another order. The program says so even with --quiet, and says
    // nothing else.
    save(&dir, "nested.st", &behind("module.", &tensors(&dir.path().join("first/backbone.safetensors"))));
    let quiet = |out: &str, more: &[&str]| {
        let said = runs(&dir, &train(DATA, out, &[&["--weights", "nested.st", "--quiet"], more].concat()));
        said.lines().filter(|l| l.contains("nested.st")).map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(quiet("silent", &[]), Vec::<String>::new());
    let said = quiet("told", &["--keep-classifier"]);
    assert!(
        said.len() == 1 && said[0].starts_with("warning: nested.st: ") && said[0].contains("does not name"),
        "{said:?}"
    );
    // The number of classes and their names differ.
    let other = "phantom:dermnet?train=18&val=9&test=9";
    fails(&dir, &train(other, "x", &[&w[..], &["--keep-classifier"]].concat()), 4, &["classes", "does not fit"]);
    fails(&dir, &train(DATA, "x", &["--keep-classifier"]), 2, &["--weights"]);
}

#[test]
fn no_epochs_write_the_initial_weights() {
    if !adapter("no_epochs_write_the_initial_weights") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let text = config("epochs = 0").replace("epochs = 1\n", "epochs = 0\n");
    write(
        &dir,
        "small.toml",
        format!("name = \"Start\"\n{}", text.replace("[data]\n", &format!("[data]\nspecs = [{DATA:?}]\n"))),
    );
    for _ in 0..2 {
        runs(&dir, &["study", "run", "small.toml", "--out", "out"]); // the second time there is nothing to do
    }
    let csv = std::fs::read_to_string(dir.path().join("out/results.csv")).unwrap();
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let head = rows.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|c| c == name).unwrap();
    let rows: Vec<csv::StringRecord> = rows.records().map(|r| r.unwrap()).collect();
    assert_eq!(rows.len(), 4);
    for row in &rows {
        assert_eq!(
            [&row[column("epochs")], &row[column("best_val_epoch")], &row[column("last5_test_accuracy")]],
            ["0", "0", ""]
        );
        assert_eq!(row[column("best_val_test_accuracy")], row[column("test_accuracy")]);
        assert_eq!([&row[column("knn_neighbours")], &row[column("knn_temperature")]], ["3", "0.07"]);
        assert!(row[column("knn_weighted_accuracy")].parse::<f64>().is_ok());
    }
    for entry in std::fs::read_dir(dir.path().join("out/runs")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(std::fs::read_to_string(path.join("epochs.jsonl")).unwrap(), "");
        assert!(path.join("backbone.safetensors").exists() && path.join("done").exists());
    }
}

/// Writes images into folders; each class has one gray level.
fn leveled(dir: &TempDir, root: &str, split: &str, classes: &[(&str, u8)], count: u8) {
    for (class, level) in classes {
        for i in 0..count {
            let pixels = (0..64u8).map(|p| level.wrapping_add(i * 3).wrapping_add(p % 5)).collect::<Vec<u8>>().into();
            let (labels, names) = (vec![0], vec![String::new()]);
            let images = wgslab::data::Images { height: 8, width: 8, channels: 1, pixels, labels, names };
            write(dir, &format!("{root}/{split}/{class}/{i}.png"), wgslab::data::png(&images, 0).unwrap());
        }
    }
}

#[test]
fn evaluation_matches_classes_by_name() {
    if !adapter("evaluation_matches_classes_by_name") {
        return;
    }
    let dir = folder("epochs = 6\noptimizer.lr = 0.05");
    let classes = [("ant", 20), ("bee", 110), ("cow", 200)];
    leveled(&dir, "full", "train", &classes, 8);
    leveled(&dir, "full", "test", &[("ant", 30), ("bee", 120), ("cow", 210)], 4);
    runs(&dir, &train("full", "run", &[]));
    let evaluate = |data: &str| {
        let output =
            common::wgslab(dir.path(), &["evaluate", "--data", data, "--run", "run", "--json"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        (serde_json::from_slice::<Value>(&output.stdout).unwrap(), said)
    };
    let (all, _) = evaluate("full");
    // A set with only one class. Its label is 0 in this set and 2 in the run's.
    leveled(&dir, "part", "train", &[("cow", 200)], 3);
    leveled(&dir, "part", "test", &[("cow", 210)], 4);
    let (cow, said) = evaluate("part");
    assert!(said.contains("no test images of ant, bee"), "{said}");
    assert_eq!((&cow["classes"], &cow["images"]), (&3.into(), &4.into()));
    leveled(&dir, "rest", "train", &[("ant", 20), ("bee", 110)], 3);
    leveled(&dir, "rest", "test", &[("ant", 30), ("bee", 120)], 4);
    let (rest, _) = evaluate("rest");
    let right = |e: &Value| e["accuracy"].as_f64().unwrap() * e["images"].as_f64().unwrap();
    assert!((right(&cow) + right(&rest) - right(&all)).abs() < 1e-9, "{all} is not {cow} and {rest}");
    assert_eq!(cow["knn_accuracy"], 1.0, "all training images of this set are cows");
    // A set with only test images, as from another hospital.
    leveled(&dir, "alone", "test", &[("ant", 30), ("bee", 120), ("cow", 210)], 4);
    let (alone, said) = evaluate("alone");
    assert_eq!((&alone["accuracy"], &alone["knn_accuracy"]), (&all["accuracy"], &Value::Null));
    assert!(said.contains("alone has no training images: nearest neighbours are not measured"), "{said}");
    leveled(&dir, "more", "train", &[("cow", 200), ("dog", 90)], 3);
    leveled(&dir, "more", "test", &[("cow", 210), ("dog", 100)], 3);
    fails(&dir, &["evaluate", "--data", "more", "--run", "run"], 4, &["ant, bee, cow", "not dog of more"]);
}

#[test]
fn a_study_s_bad_set_is_told_before_the_first_cell() {
    if !adapter("a_study_s_bad_set_is_told_before_the_first_cell") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    leveled(&dir, "bad", "train", &[("ant", 20), ("bee", 110)], 4); // this set has no test split
    let specs = |list: &str| config("epochs = 1").replace("[data]\n", &format!("[data]\nspecs = [{DATA:?}, {list}]\n"));
    write(&dir, "small.toml", specs("\"bad\""));
    fails(&dir, &["study", "run", "small.toml", "--out", "out"], 4, &["bad", "no test split"]);
    assert!(!dir.path().join("out/runs").exists() && !dir.path().join("out/pretraining").exists());
    leveled(&dir, "one", "train", &[("ant", 20)], 6);
    leveled(&dir, "one", "test", &[("ant", 30)], 4);
    write(&dir, "small.toml", specs("\"one\""));
    fails(&dir, &["study", "run", "small.toml", "--out", "out"], 4, &["one: ", "one class"]);
    assert!(!dir.path().join("out/runs").exists());
}

#[test]
fn a_config_called_config_runs_twice() {
    if !adapter("a_config_called_config_runs_twice") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let cells = "[pretraining]\nmethods = [\"none\"]\n";
    let text = config("epochs = 1").replace("[pretraining]\n", cells);
    let text = text.replace("[data]\n", &format!("[data]\nspecs = [{DATA:?}]\n"));
    write(&dir, "config.toml", format!("{text}[noise]\nrates = [0.0]\n"));
    for _ in 0..2 {
        runs(&dir, &["study", "run", "config.toml"]);
        assert!(dir.path().join("runs/config/report.html").exists());
    }
}

#[test]
fn a_kept_last_batch_is_a_smaller_step() {
    if !adapter("a_kept_last_batch_is_a_smaller_step") {
        return;
    }
    let data = "phantom:covid?train=21&val=4&test=4";
    let epochs = |last: &str, images: &str| {
        let dir = folder(&format!("epochs = 2\noptimizer.lr = 0.05\n{last}"));
        let said = runs(&dir, &train(images, "run", &[]));
        let train_images = json(&dir, "run/result.json")["train_images"].as_u64().unwrap();
        let tracked = tensors(&dir.path().join("run/backbone.safetensors"));
        let steps = tracked.iter().find(|t| t.0 == "bn1.num_batches_tracked").unwrap().3[0];
        let weights = tracked.into_iter().find(|t| t.0 == "conv1.weight").unwrap().3;
        (train_images, steps, weights, said)
    };
    let (images, dropped, w0, _) = epochs("", data);
    assert_eq!((images, dropped), (21, 2 * 2), "the phantom has no duplicates");
    let (_, kept, w1, _) = epochs("last_batch = \"keep\"", data);
    assert_eq!(kept, 2 * 3);
    assert!(w0 != w1, "the step on the smaller batch must move the weights");
    let (_, steps, _, said) = epochs("last_batch = \"keep\"", "phantom:covid?train=17&val=4&test=4");
    assert!(steps == 2 * 2 && said.contains("would be one image"), "{said}");
}

/// Sizes that no device can hold are refused from the shapes alone: at once, with the key's name, and with nothing left
/// behind.
#[test]
fn configs_past_all_bounds_are_refused_at_once() {
    if !adapter("configs_past_all_bounds_are_refused_at_once") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let with = |from: &str, to: &str| config("epochs = 1").replace(from, to);
    for (command, text, names) in [
        (
            "pretrain",
            with("[8, 4]", "[65536, 65536]"),
            &["projection_dims = [65536, 65536]", "projection.2.weight"][..],
        ),
        ("pretrain", with("[8, 4]", "[32768, 32768]"), &["projection_dims = [32768, 32768]", "projection.2.weight"]),
        ("train", with("width = 0.0625", "width = 8"), &["model.width = 8 is too large"]),
        ("pretrain", with("width = 0.0625", "width = 8"), &["model.width = 8 is too large"]),
        ("train", with("width = 0.0625", "width = 1"), &["model.width = 1 is too large", "budget"]),
    ] {
        write(&dir, "small.toml", text);
        let began = std::time::Instant::now();
        let words = [command, "--data", DATA, "--config", "small.toml", "--out", "out", "--memory-budget", "100MiB"];
        let said = fails(&dir, &words, 2, names);
        assert!(began.elapsed().as_secs() < 60, "{said}"); // filling the weights would take minutes
        assert!(!dir.path().join("out/config.toml").exists());
    }
    // A size that the budget allows is accepted.
    write(&dir, "small.toml", with("[8, 4]", "[2048, 2048]").replace("epochs = 1\n", "epochs = 0\n"));
    runs(&dir, &["pretrain", "--data", DATA, "--config", "small.toml", "--out", "out"]);
}

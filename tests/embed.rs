//! `embed` and `evaluate --weights`: features of images by backbones of PyTorch, compared with those that torchvision and
//! timm compute, and what a file tells of itself.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

mod common;

use common::{adapter, run, runs};
use npyz::npz::NpzArchive;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What PyTorch's numbers and these may lie apart, as a share of the largest feature: both round in f32 and sum in other
/// orders. Seen on a software adapter: 5e-7.
const ALLOWED: f32 = 1e-5;

fn torch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch").join(name)
}

#[track_caller]
fn fails(dir: &TempDir, words: &[&str], code: i32, says: &str) {
    let (got, said) = run(dir, words);
    assert!(got == code && said.contains(says), "{words:?}: {got}, {says} is not in: {said}");
}

/// `embed` of a file of tests/torch.
fn embed(dir: &TempDir, weights: &Path, data: &Path, out: &str, more: &[&str]) -> String {
    let (weights, data) = (weights.display().to_string(), data.display().to_string());
    runs(dir, &[&["embed", "--weights", &weights, "--data", &data, "--out", out], more].concat())
}

struct Archive {
    features: Vec<f32>,
    shape: Vec<u64>,
    labels: Vec<i64>,
    names: Vec<String>,
    splits: Vec<String>,
    classes: Vec<String>,
}

fn read(dir: &TempDir, name: &str) -> Archive {
    let mut zip = NpzArchive::open(dir.path().join(name)).unwrap();
    let shape = zip.by_name("features").unwrap().unwrap().shape().to_vec();
    let features = zip.by_name("features").unwrap().unwrap().into_vec().unwrap();
    let labels = zip.by_name("labels").unwrap().unwrap().into_vec().unwrap();
    let mut texts = |name: &str| zip.by_name(name).unwrap().unwrap().into_vec::<String>().unwrap();
    let (names, splits, classes) = (texts("names"), texts("splits"), texts("classes"));
    Archive { features, shape, labels, names, splits, classes }
}

#[test]
fn features_are_those_of_torchvision_and_timm() {
    if !adapter("features_are_those_of_torchvision_and_timm") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(torch("features.safetensors")).unwrap();
    let due = SafeTensors::deserialize(&bytes).unwrap();
    let imagenet = "mean 0.485,0.456,0.406 and std 0.229,0.224,0.225 (ImageNet's)";
    for (features, weights, images, size, says) in [
        ("resnet", "resnet.pth", "images16.npz", Some("16"), "the prefix state_dict.module. is taken off"),
        ("resnet", "resnet.safetensors", "images16.npz", Some("16"), "100 tensors of F16 are converted to f32"),
        (
            "vit",
            "vit.pth",
            "images16.npz",
            None,
            "16 × 16 (bilinear, antialiased, nothing cropped) (of the position embeddings)",
        ),
        ("vit_24", "vit.pth", "images24.npz", Some("24"), "position embeddings are resized from 17 tokens to 37"),
        ("dino", "dino.pth", "images16.npz", None, "its mask_token is left out"),
        ("dino", "dino_timm.pth", "images16.npz", None, "position embeddings are resized from 16 tokens to 17"),
        ("dino_24", "dino.pth", "images24.npz", Some("24"), "the prefix teacher.backbone. is taken off"),
    ] {
        let more = size.map_or(vec!["--batch", "4"], |size| vec!["--image-size", size]);
        let said = embed(&dir, &torch(weights), &torch(images), "f.npz", &more);
        assert!(said.contains(says) && said.contains(imagenet), "{weights}: {said}");
        let (found, due) = (read(&dir, "f.npz"), due.tensor(features).unwrap());
        assert_eq!(found.shape, due.shape().iter().map(|&d| d as u64).collect::<Vec<_>>(), "{weights}");
        let due = bytemuck::pod_collect_to_vec::<u8, f32>(due.data());
        let largest = due.iter().fold(0f32, |a, v| a.max(v.abs()));
        let far = found.features.iter().zip(&due).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max) / largest;
        println!("{weights}, {features}: {far:e} of the largest feature apart");
        assert!(far < ALLOWED, "{weights}: {far:e}");
        assert_eq!(found.labels, [0, 1, 2, 0, 1, 2]);
        assert_eq!(found.names, ["train/0", "train/1", "train/2", "train/3", "test/0", "test/1"]);
        assert_eq!(found.splits, ["train", "train", "train", "train", "test", "test"]);
        assert_eq!(found.classes, ["0", "1", "2"]);
    }
}

#[test]
fn what_cannot_be_embedded_is_refused_and_writes_nothing() {
    if !adapter("what_cannot_be_embedded_is_refused_and_writes_nothing") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let refused = |weights: &str, data: &str, more: &[&str], code: i32, says: &str| {
        let weights = torch(weights).display().to_string();
        let words = [&["embed", "--weights", &weights, "--data", data, "--out", "f.npz"], more].concat();
        fails(&dir, &words, code, says);
        assert!(!dir.path().join("f.npz").exists() && !Path::new("pickle-was-run").exists());
    };
    let phantom = "phantom:covid?train=4&val=2&test=2";
    refused("hostile.pth", phantom, &[], 4, "hostile.pth holds posix.system, and only tensors are read");
    refused("legacy.pth", phantom, &[], 4, "before version 1.6");
    refused("weight.pth", phantom, &[], 4, "no backbone that is known by its names");
    refused("none.pth", phantom, &[], 4, "are not there");
    refused("vit.pth", "none.npz", &[], 4, "none.npz");
    refused("vit.pth", phantom, &["--image-size", "18"], 2, "patches of 4 pixels do not divide images of 18 × 18");
    refused("vit.pth", phantom, &["--std", "0"], 2, "--std must be above 0");
    refused("vit.pth", phantom, &["--mean", "1,2"], 2, "one number or three");
}

const DATA: &str = "phantom:covid?train=16&val=4&test=8";

/// A file of ours says what its images are; with it alone, `evaluate` gives what it gives with the run.
#[test]
fn a_file_of_ours_says_how_its_images_are_made() {
    if !adapter("a_file_of_ours_says_how_its_images_are_made") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = "[data]\nstore_size = 18\nimage_size = 16\n[model]\nwidth = 0.0625\n[pretraining]\nepochs = 1\n\
        batch_size = 8\nwarmup_epochs = 0\nsimclr.projection_dims = [8, 4]\n[training]\nepochs = 2\nbatch_size = 8\n";
    std::fs::write(dir.path().join("small.toml"), config).unwrap();
    runs(&dir, &["train", "--data", DATA, "--config", "small.toml", "--out", "run"]);
    // Away from the folder that says more of it.
    std::fs::rename(dir.path().join("run/backbone.safetensors"), dir.path().join("w.safetensors")).unwrap();
    std::fs::copy(dir.path().join("w.safetensors"), dir.path().join("run/backbone.safetensors")).unwrap();
    let numbers = |words: &[&str]| {
        let output = common::wgslab(dir.path(), words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        // How many neighbours vote is of a config.
        found.as_object_mut().unwrap().retain(|key, _| !key.starts_with("knn"));
        found
    };
    let run = numbers(&["evaluate", "--data", DATA, "--run", "run", "--json"]);
    let alone = numbers(&["evaluate", "--data", DATA, "--weights", "w.safetensors", "--json"]);
    assert_eq!(run, alone);
    let said = embed(&dir, &dir.path().join("w.safetensors"), Path::new(DATA), "f.npz", &[]);
    assert!(said.contains("read as gray, resized whole to 18 × 18") && said.contains(", then to 16 × 16"), "{said}");
    assert!(said.contains("(of the weights' metadata)"), "{said}");
    let found = read(&dir, "f.npz");
    assert_eq!((found.shape, found.names.len()), (vec![28, 32], 28));
    // Of a step that does not fit the memory, half is taken, and half of that.
    let weights = dir.path().join("w.safetensors").display().to_string();
    let within = |budget: u64| {
        let budget = budget.to_string();
        let words = ["embed", "--weights", &weights, "--data", DATA, "--out", "h.npz", "--memory-budget", &budget];
        self::run(&dir, &words)
    };
    let (code, said) = within(1 << 16);
    assert!(code == 2 && said.contains("memory"), "{said}");
    let least = (17..26).find(|bits| within(1 << bits).0 == 0).unwrap();
    // Steps of as many images as there are do not fit there, and nothing else is in the way.
    let budget = (1 << least).to_string();
    let words = ["evaluate", "--data", DATA, "--split", "train", "--weights", &weights, "--memory-budget", &budget];
    let (code, said) = self::run(&dir, &words);
    let whole = said.contains("16 images a step (evaluation.batch_size) do not fit");
    assert!(code == 2 && whole && said.contains("the largest evaluation.batch_size that fits is "), "{said}");
    let halved = read(&dir, "h.npz").features;
    let largest = found.features.iter().fold(0f32, |a, v| a.max(v.abs()));
    assert!(halved.iter().zip(&found.features).all(|(a, b)| (a - b).abs() <= ALLOWED * largest));
    assert_eq!(halved.len(), found.features.len());
    // The same backbone starts another training, known by itself.
    let said =
        runs(&dir, &["train", "--data", DATA, "--config", "small.toml", "--out", "more", "--weights", "w.safetensors"]);
    assert!(said.contains("its classifier fc ("), "{said}");
    // Files that say less.
    runs(&dir, &["pretrain", "--data", DATA, "--config", "small.toml", "--out", "ssl"]);
    let evaluate = |weights: &str, says: &str| {
        fails(&dir, &["evaluate", "--data", DATA, "--weights", weights], 4, says);
    };
    evaluate("ssl/backbone.safetensors", "holds a backbone without a classifier; `wgslab embed`");
    evaluate(&torch("resnet.pth").display().to_string(), "does not name the classes of its classifier");
    fails(&dir, &["evaluate", "--data", DATA], 2, "--run");
}

//! `audit` and `data inspect --page`: wrong labels, copies and what does not belong, put into generated images, are found.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

mod common;

use common::{adapter, run, runs};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::TempDir;
use wgslab::base::hash::sha256;
use wgslab::data::{Images, LoadOptions, load_all, png};

const SIDE: usize = 40;

/// Generated images and their classes.
fn images(train: usize) -> (Images, Vec<String>) {
    let options = LoadOptions {
        data_root: ".".into(),
        store_size: SIDE,
        channels: 3,
        val_fraction: 0.1,
        seed: 0,
        max_pixels: 1 << 20,
        max_bytes: 1 << 30,
        strict: false,
        bit_depth: 16,
        cache: None,
        paging: None,
    };
    let data = load_all(&format!("phantom:nct-crc?train={train}&val=9&test=9"), &options, &|_, _| ()).unwrap();
    let [part, ..] = data.parts;
    (part.unwrap().images, data.classes)
}

/// A folder with PNGs and a manifest; each row is a name, pixels, a label, a split and a patient.
struct Made {
    dir: TempDir,
    rows: Vec<[String; 5]>,
}

impl Made {
    fn new() -> Self {
        let head = ["path", "label", "split", "patient", "why"].map(String::from);
        Made { dir: tempfile::tempdir().unwrap(), rows: vec![head] }
    }

    fn add(&mut self, name: &str, pixels: &[u8], [label, split, patient, why]: [&str; 4]) {
        let one = Images {
            height: SIDE,
            width: SIDE,
            channels: 3,
            pixels: pixels.to_vec().into(),
            labels: vec![0],
            names: vec![String::new()],
        };
        std::fs::write(self.dir.path().join(name), png(&one, 0).unwrap()).unwrap();
        self.rows.push([name, label, split, patient, why].map(String::from));
    }

    /// Writes the manifest, and gives why each image is there.
    fn manifest(&self) -> BTreeMap<String, String> {
        let lines: Vec<String> = self.rows.iter().map(|r| r[..4].join(",")).collect();
        std::fs::write(self.dir.path().join("m.csv"), lines.join("\n")).unwrap();
        self.rows.iter().map(|r| (r[0].clone(), r[4].clone())).collect()
    }
}

/// 180 images, of which 18 have a wrong label; and a copy, a brighter copy, and a picture of nothing.
fn made() -> Made {
    let (images, classes) = images(180);
    let mut made = Made::new();
    for i in 0..images.len() {
        let wrong = i % 10 == 3;
        let class = (images.labels[i] as usize + if wrong { 1 + i / 10 % 3 } else { 0 }) % classes.len();
        let patient = format!("p{}", i / 2);
        let why = if wrong { "wrong" } else { "" };
        made.add(&format!("{i}.png"), &images.image(i).unwrap(), [&classes[class], "train", &patient, why]);
    }
    let other = &classes[(images.labels[0] as usize + 1) % classes.len()];
    made.add("copy.png", &images.image(0).unwrap(), [other, "train", "", "copy"]);
    let brighter: Vec<u8> = images.image(20).unwrap().iter().map(|&v| (f32::from(v) * 0.85 + 20.0) as u8).collect();
    made.add("brighter.png", &brighter, [&classes[images.labels[20] as usize], "test", "", "copy"]);
    made.add("black.png", &[0; SIDE * SIDE * 3], [&classes[0], "test", "", "other"]);
    made
}

fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().collect::<Result<_, _>>().unwrap()
}

#[test]
fn wrong_labels_come_first_and_the_lists_hold_what_was_put_there() {
    if !adapter("wrong_labels_come_first_and_the_lists_hold_what_was_put_there") {
        return;
    }
    let mut made = made();
    std::fs::write(made.dir.path().join("broken.png"), "no picture").unwrap();
    made.rows.push(["broken.png", &made.rows[1][1].clone(), "train", "", ""].map(String::from));
    let (dir, why) = (&made.dir, made.manifest());
    let audit = ["audit", "--data", "m.csv", "--neighbours", "10", "--folds", "3"];
    let said = runs(dir, &[&audit[..], &["--out", "s.csv", "--page", "p.html", "--page-images", "20"]].concat());
    assert!(said.contains("without --weights") && said.contains("probably wrong"), "{said}");
    let found = rows(&dir.path().join("s.csv"));
    assert_eq!(found.len(), 183);
    let first = found.iter().take(18).filter(|r| why[&r["path"]] == "wrong").count();
    let suspects = found.iter().filter(|r| r["suspect"] == "true").count();
    println!("{first} of the first 18 are wrong; {suspects} are counted");
    // Gradients and colours know little, and each of nine classes has 20 images: 9 are among the first, by chance it would
    // be 2, and the joint counts 79 labels. The margins are for other devices, whose sums round otherwise.
    assert!(first.abs_diff(9) <= 2 && suspects.abs_diff(79) <= 4, "{first}, {suspects}");
    // The order is that of the score, which is a number from 0 to 1, and the suspects are the first.
    let scores: Vec<f64> = found.iter().map(|r| r["score"].parse().unwrap()).collect();
    assert!(scores.is_sorted() && scores.iter().all(|s| (0.0..=1.0).contains(s)));
    assert!(found.iter().enumerate().all(|(i, r)| (r["suspect"] == "true") == (i < suspects)));
    assert!(found.iter().enumerate().all(|(i, r)| r["rank"] == (i + 1).to_string()));
    let likely = found.iter().take(18).filter(|r| why[&r["path"]] == "wrong" && r["likely"] != r["given"]).count();
    assert!(likely * 10 >= first * 9, "{likely} of {first} have another likely label");
    // The page holds the pictures and nothing from outside.
    let page = std::fs::read_to_string(dir.path().join("p.html")).unwrap();
    assert!(page.matches("<img").count() > 100 && !page.contains("http"));
    assert!(page.contains("Off topic") && page.contains("black.png") && page.contains("brighter.png"));
    // The same seed gives the same file, and JSON the same numbers.
    let text = std::fs::read(dir.path().join("s.csv")).unwrap();
    let words = [&audit[..], &["--out", "t.csv", "--json", "--quiet", "--features", "f.npz"]].concat();
    let output = common::wgslab(dir.path(), &words).output().unwrap();
    assert_eq!(std::fs::read(dir.path().join("t.csv")).unwrap(), text);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(std::fs::read(dir.path().join("f.npz")).unwrap().len() > 183 * 420 * 4);
    assert_eq!(json["probably_wrong"], suspects);
    let agreement = json["agreement"].as_f64().unwrap();
    assert!((2.0 / 9.0..1.0).contains(&agreement), "nine classes: {agreement}");
    assert!(said.contains(&format!("agrees with {:.0} % of them", 100.0 * agreement)), "{said}");
    // Together they know at least what the neighbours know.
    let powers: Vec<f64> = json["powers"].as_array().unwrap().iter().map(|w| w.as_f64().unwrap()).collect();
    assert!(powers.len() == 4 && powers.iter().all(|w| *w >= 0.0), "{powers:?}");
    let mut by_neighbours: Vec<_> = found.iter().collect();
    by_neighbours.sort_by(|a, b| a["neighbours"].parse::<f64>().unwrap().total_cmp(&b["neighbours"].parse().unwrap()));
    let theirs = by_neighbours.iter().take(18).filter(|r| why[&r["path"]] == "wrong").count();
    println!("powers {powers:?}; {theirs} of the first 18 by neighbours alone");
    assert!(theirs <= first, "{theirs} by neighbours alone, {first} by all");
    let classes = json["classes"].as_array().unwrap();
    assert_eq!(classes.iter().map(|c| c["probably_wrong"].as_u64().unwrap() as usize).sum::<usize>(), suspects);
    assert_eq!(json["off_topic"][0]["path"], "black.png");
    assert_eq!((&json["left_out"][0]["name"], &json["seed"]), (&"broken.png".into(), &0.into()));
    assert_eq!(json["data_fingerprint"].as_str().unwrap().len(), 64);
    let set = |i: usize| -> Vec<&str> {
        json["alike"]["sets"][i]["images"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect()
    };
    assert_eq!((set(0), set(1)), (vec!["0.png", "copy.png"], vec!["20.png", "brighter.png"]));
    assert_eq!(json["alike"]["sets"].as_array().unwrap().len(), 2);
    // Nothing that is alike judges the other.
    let copy = found.iter().find(|r| r["path"] == "copy.png").unwrap();
    assert_ne!(copy["nearest"], "0.png");
}

#[test]
fn an_inspection_lists_what_is_alike() {
    let made = made();
    made.manifest();
    let said = runs(&made.dir, &["data", "inspect", "m.csv", "--channels", "3", "--page", "p.html"]);
    assert!(said.contains("4 images in 2 sets (2 without an exact copy); train in test 1,"), "{said}");
    assert!(said.contains("with another label 2"), "{said}");
    let page = std::fs::read_to_string(made.dir.path().join("p.html")).unwrap();
    assert!(page.contains("several labels") && page.contains("several splits") && page.matches("<img").count() == 4);
    let output = common::wgslab(made.dir.path(), &["data", "inspect", "m.csv", "--channels", "3", "--json"]).output();
    let json: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    assert_eq!(json["splits"][0]["patients"], 90);
    assert_eq!(json["alike"]["train_in_test"], 1);
}

#[test]
fn an_audit_that_cannot_be_done_says_why_and_writes_nothing() {
    if !adapter("an_audit_that_cannot_be_done_says_why_and_writes_nothing") {
        return;
    }
    let (images, classes) = images(27);
    let mut made = Made::new();
    for i in 0..12 {
        let patient = if i < 6 { "a" } else { "b" };
        made.add(&format!("{i}.png"), &images.image(i).unwrap(), [&classes[i % 2], "train", patient, ""]);
    }
    made.manifest();
    let dir = &made.dir;
    let refused = |more: &[&str], code: i32, says: &str| {
        let (got, said) = run(dir, &[&["audit", "--out", "s.csv"], more].concat());
        assert!(got == code && said.contains(says), "{more:?}: {got}, {says} is not in: {said}");
        assert!(!dir.path().join("s.csv").exists());
    };
    refused(&["--data", "m.csv"], 2, "--folds is 5; m has 2 images or patients that are not alike, so use 2 to 2");
    refused(&["--data", "m.csv", "--folds", "1"], 2, "--folds is 1");
    refused(&["--data", "m.csv", "--weights", "none.pth"], 4, "none.pth are not there");
    refused(&["--data", "gone.csv"], 4, "gone.csv");
    refused(
        &["--data", "m.csv", "--neighbours", "12"],
        2,
        "--neighbours is 12; m has 12 images, so an image has 11 others",
    );
    refused(
        &["--data", "m.csv", "--column", "worse_label"],
        4,
        "the header must name the columns path (or name) and worse_label",
    );
    refused(&["--data", "m.csv", "--given-labels", "gone.csv"], 2, "--column");
    refused(
        &["--data", "m.csv", "--column", "a", "--given-labels", "gone.csv"],
        4,
        "--given-labels: ./gone.csv is not there",
    );
    refused(&["--data", "m.csv", "--image-size", "32"], 2, "--weights");
    std::fs::write(dir.path().join("small.toml"), "[data]\nmax_bytes = 1000\n").unwrap();
    refused(&["--data", "m.csv", "--config", "small.toml"], 4, "data.max_bytes");
    // Two patients are two folds, and a backbone of PyTorch says the features.
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch/resnet.pth").display().to_string();
    let words = [
        "audit",
        "--data",
        "m.csv",
        "--out",
        "s.csv",
        "--folds",
        "2",
        "--weights",
        &weights,
        "--image-size",
        "32",
        "--json",
    ];
    let said = runs(dir, &words);
    let digest = sha256(&std::fs::read(&weights).unwrap());
    assert!(said.contains("nothing cropped") && said.contains(&digest), "{said}");
    let found = rows(&made.dir.path().join("s.csv"));
    assert!(found.len() == 12 && found.iter().all(|r| !r["score"].is_empty()), "{found:?}");
    // A class that one patient alone has is not judged, and comes last.
    made.add("alone.png", &images.image(12).unwrap(), [&classes[5], "train", "c", ""]);
    made.manifest();
    let said = runs(&made.dir, &["audit", "--data", "m.csv", "--out", "s.csv", "--folds", "3"]);
    assert!(said.contains("not judged, since no other fold has their class: 1"), "{said}");
    let found = rows(&made.dir.path().join("s.csv"));
    assert!(found[12]["path"] == "alone.png" && found[12]["score"].is_empty() && found[12]["suspect"] == "false");
    // One class cannot be compared.
    made.rows.iter_mut().skip(1).for_each(|r| r[1] = "one".into());
    made.manifest();
    let (code, said) = run(&made.dir, &["audit", "--data", "m.csv", "--out", "t.csv", "--folds", "2"]);
    assert!(code == 4 && said.contains("all images have one label"), "{said}");
}

//! Data that is bad, or not there.

use super::common::adapter;
use super::{SMALL, archive, empty, fails, fails_on_device, folders, npz, png, said, wgslab, write};

#[test]
fn data_that_is_not_there_is_bad_data() {
    let dir = folders();
    fails(&dir, &["data", "inspect", "gone"], 4, &["gone", "--data-root"]);
    fails(&dir, &["data", "inspect", "gone.npz", "--data-root", "set"], 4, &["gone.npz", "set"]);
    fails(&dir, &["data", "inspect", "phantom:ghost"], 4, &["ghost"]);
    fails(&dir, &["study", "report", "gone"], 4, &["gone"]);
    fails(&dir, &["study", "report", "gone", "--check"], 4, &["gone"]);
    fails(&dir, &["study", "compare", "gone", "."], 4, &["gone", "no finished cell"]);
    fails(&dir, &["study", "merge", "gone", "--out", "out"], 4, &["gone", "config.toml"]);
    fails(&dir, &["study", "verify", "gone"], 4, &["gone", "config.toml"]);
    fails(&dir, &["study", "verify", "gone", "--cells", "0"], 2, &["--cells"]);
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
        ("phantom:ghost", &["ghost"]),
    ] {
        write(&dir, "study.toml", SMALL.replace("[data]", &format!("[data]\nspecs = [{spec:?}]")));
        fails_on_device(&dir, &["study", "run", "study.toml", "--out", "out"], 4, names);
        fails_on_device(&dir, &["train", "--data", spec, "--out", "out/a", "--config", "small.toml"], 4, names);
        fails_on_device(&dir, &["pretrain", "--data", spec, "--out", "out/b", "--config", "small.toml"], 4, names);
    }
    // A test split is needed where there is a test.
    write(&dir, "study.toml", SMALL.replace("[data]", "[data]\nspecs = [\"set\"]"));
    let no_test = ["set", "no test split", "`pretrain`, `data views` and `noise apply` need none"];
    fails_on_device(&dir, &["study", "run", "study.toml", "--out", "out"], 4, &no_test);
    fails_on_device(&dir, &["train", "--data", "set", "--out", "out/a", "--config", "small.toml"], 4, &no_test);
    // A wrong name among several datasets is reported before training on the first begins.
    let specs = "[data]\nspecs = [\"phantom:covid?train=8&val=4&test=4\", \"gone\"]";
    write(&dir, "study.toml", SMALL.replace("[data]", specs));
    fails_on_device(&dir, &["study", "run", "study.toml", "--out", "out"], 4, &["gone"]);
    write(&dir, "w.safetensors", "no tensors");
    let train = ["train", "--data", "phantom:covid?train=8&val=4&test=4", "--out", "out"];
    fails_on_device(&dir, &[&train[..], &["--weights", "w.safetensors"]].concat(), 4, &["w.safetensors"]);
}

/// A listing refuses what a run would refuse before its first step, and tells what is not there.
#[test]
fn a_study_that_cannot_run_is_not_listed_as_if_it_could() {
    let dir = folders();
    write(&dir, "set/bird/0.png", png(90)); // one image, which no split into three can hold
    let config = |specs: &str, more: &str| format!("[data]\nspecs = [{specs}]\n{more}");
    let list = ["study", "list", "study.toml", "--data-root", "."];
    write(&dir, "study.toml", config("\"set\"", ""));
    fails(&dir, &list, 4, &["there is no test split"]);
    write(&dir, "study.toml", config("\"phantom:covid?train=1000000\"", "store_size = 1024"));
    fails(&dir, &list, 4, &["1000224 images", "data.max_bytes"]);
    write(&dir, "w.safetensors", "no tensors");
    write(
        &dir,
        "study.toml",
        config("\"phantom:covid\"", "[pretraining]\nmethods = [\"simclr\"]\ninit = \"w.safetensors\""),
    );
    fails(&dir, &list, 4, &["w.safetensors"]);
    write(&dir, "study.toml", config("\"gone\", \"phantom:covid\"", "[pretraining]\ninit = \"gone.safetensors\""));
    let output = wgslab(dir.path(), &list).output().unwrap();
    let said = said(&output);
    assert!(output.status.success() && said.lines().count() == 2, "{said}");
    assert!(said.contains("warning: gone is not below") && said.contains("warning: gone.safetensors is not"), "{said}");
}

//! The program on a second Vulkan driver: SwiftShader, which Chromium brings. It has 4 lanes, no f16 and 10 storage buffers,
//! and barriers cost it much more than they cost Mesa's driver.

use super::common::{adapter, alone, files, runs, swiftshader, wgslab};
use super::{empty, said, write};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A network in which all is smooth (GELU, layer norm), trained for 20 steps.
const SMOOTH: &str = "[data]\nimage_size = 16\nstore_size = 16\n\
    [model]\narch = \"vit_tiny\"\npatch_size = 8\n\
    [training]\nepochs = 20\nbatch_size = 4\nwarmup_epochs = 0\noptimizer.lr = 0.001\n\
    [evaluation]\nbatch_size = 4\n\
    [run]\nloss_every = 1\n";

/// How far losses of two drivers may lie apart, as a share. Sums in another order and other roundings of exp make 7e-7 of
/// 20 steps, as does a learning rate that is off by 1e-7. Without training, losses lie 9e-2 apart after a step. A network
/// with relu could not be held to this: once a unit lies within rounding of 0, its gradient is there on one driver alone, and
/// some steps later the second digit differs, as it does on one driver after a change of the learning rate by 1e-6.
const APART: f64 = 1e-5;

/// The program on SwiftShader alone.
fn there(manifest: &Path, dir: &TempDir, words: &[&str]) -> Command {
    let mut command = wgslab(dir.path(), words);
    command.env("VK_DRIVER_FILES", manifest).env("VK_ICD_FILENAMES", manifest);
    command
}

/// The losses of the steps of a training.
fn losses(out: &Path) -> Vec<f64> {
    let steps = std::fs::read_to_string(out.join("steps.jsonl")).unwrap();
    steps.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["loss"].as_f64().unwrap()).collect()
}

/// The adapter that an environment.json names.
fn ran_on(environment: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(environment).unwrap()["adapter"].to_string()
}

#[test]
fn the_same_seed_gives_the_same_losses_on_another_driver() {
    const TEST: &str = "the_same_seed_gives_the_same_losses_on_another_driver";
    let (true, Some(manifest)) = (adapter(TEST), swiftshader(TEST)) else { return };
    let _alone = alone();
    let dir = empty();
    write(&dir, "smooth.toml", SMOOTH);
    let words = ["train", "--data", "phantom:covid?train=4&val=4&test=4", "--config", "smooth.toml", "--out"];
    runs(&dir, &[&words[..], &["here"]].concat());
    let output = there(&manifest, &dir, &[&words[..], &["there"]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let [here, other] = ["here", "there"].map(|out| losses(&dir.path().join(out)));
    assert!(here.len() == 20 && here[19] < 0.8 * here[0], "20 steps that train: {here:?}");
    assert_eq!(here.len(), other.len());
    for (step, (a, b)) in here.iter().zip(&other).enumerate() {
        assert!((a - b).abs() <= APART * a.abs(), "step {}: {a} and {b}\n{here:?}\n{other:?}", step + 1);
    }
    let adapter = ran_on(&std::fs::read(dir.path().join("there/environment.json")).unwrap());
    assert!(adapter.contains("SwiftShader"), "{adapter}");
}

/// A pretraining, and a study of it, from images to a report. The losses of contrastive pretraining were what its compiler
/// did not finish in ten minutes.
#[test]
fn a_study_runs_on_another_driver() {
    let Some(manifest) = swiftshader("a_study_runs_on_another_driver") else { return };
    let _alone = alone();
    let dir = empty();
    let config = "name = \"Second driver\"\n\
        [data]\nspecs = [\"phantom:covid?train=16&val=8&test=8\"]\nstore_size = 20\nimage_size = 16\n\
        [model]\nwidth = 0.125\nstem = \"7x7\"\n\
        [pretraining]\nmethods = [\"simclr\", \"none\"]\nepochs = 2\nbatch_size = 8\nwarmup_epochs = 1\n\
        simclr.projection_dims = [16, 8]\n\
        [noise]\nrates = [0.4]\n\
        [training]\nepochs = 2\nbatch_size = 8\n\
        [evaluation]\nbatch_size = 8\n";
    write(&dir, "study.toml", config);
    for words in [&["study", "run", "study.toml", "--out", "out"][..], &["study", "report", "out", "--check"]] {
        let output = there(&manifest, &dir, words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", said(&output));
    }
    let table = std::fs::read_to_string(dir.path().join("out/results.csv")).unwrap();
    assert_eq!(table.lines().count(), 3, "{table}");
    let all = files(&dir.path().join("out"));
    let said: Vec<String> = all.iter().filter(|f| f.0.ends_with("environment.json")).map(|f| ran_on(f.1)).collect();
    assert!(said.len() >= 2 && said.iter().all(|adapter| adapter.contains("SwiftShader")), "{said:?}");
}

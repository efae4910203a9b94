//! Edited shaders from outside: `--shaders`.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

mod common;

use common::{adapter, wgslab};
use std::path::Path;
use std::process::Output;

/// Writes `text` at `path` below `dir`.
fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The committed text of a piece.
fn committed(piece: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders").join(piece)).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_tree_that_cannot_be_used_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "typo/scale/forwrad.wgsl", "");
    write(dir.path(), "empty/readme.md", "");
    for (tree, says) in [("gone", "no folder gone"), ("typo", "is it scale/forward.wgsl?"), ("empty", "no .wgsl file")]
    {
        let output = wgslab(dir.path(), &["kernels", "list", "--shaders", tree]).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("error: --shaders: ") && said.contains(says), "{said}");
    }
}

#[test]
fn what_is_shown_is_what_would_run() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "mine/scale/forward.wgsl",
        &committed("scale/forward.wgsl").replace("p.factor *", "2.0 * p.factor *"),
    );
    let shown = |words: &[&str]| {
        let output = wgslab(dir.path(), &[&["kernels", "show", "scale.forward"], words].concat()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        printed(&output)
    };
    let (before, after) = (shown(&[]), shown(&["--shaders", "mine"]));
    assert!(
        before.contains("= p.factor *") && before.contains("of shaders/common/index.wgsl, shaders/scale"),
        "{before}"
    );
    assert!(after.contains("2.0 * p.factor *") && after.contains("mine/scale/forward.wgsl"), "{after}");
}

#[test]
fn a_mistake_is_named_where_it_was_made() {
    if !adapter("a_mistake_is_named_where_it_was_made") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let text = committed("sgd/step.wgsl");
    let broken = text.replacen("p.lr", "q.lr", 1);
    let line = 1 + text.lines().position(|l| l.contains("p.lr")).unwrap();
    write(dir.path(), "mine/sgd/step.wgsl", &broken);
    let words = ["train", "--data", "phantom:covid", "--out", "run", "--shaders", "mine", "--quiet"];
    let output = wgslab(dir.path(), &words).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("error: mine/sgd/step.wgsl:{line}: sgd")), "{said}");
}

//! Tests edited shaders from outside: `--shaders`.

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

/// The committed text of a shader piece.
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
    write(dir.path(), "typo/elementwise/scale/forwrad.wgsl", "");
    write(dir.path(), "empty/readme.md", "");
    for (tree, says) in
        [("gone", "no folder gone"), ("typo", "is it elementwise/scale/forward.wgsl?"), ("empty", "no .wgsl file")]
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
        "mine/elementwise/scale/forward.wgsl",
        &committed("elementwise/scale/forward.wgsl").replace("p.factor *", "2.0 * p.factor *"),
    );
    let shown = |words: &[&str]| {
        let output = wgslab(dir.path(), &[&["kernels", "show", "scale.forward"], words].concat()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        printed(&output)
    };
    let (before, after) = (shown(&[]), shown(&["--shaders", "mine"]));
    assert!(
        before.contains("= p.factor *") && before.contains("of shaders/common/index.wgsl, shaders/elementwise/scale"),
        "{before}"
    );
    assert!(after.contains("2.0 * p.factor *") && after.contains("mine/elementwise/scale/forward.wgsl"), "{after}");
}

#[test]
fn a_mistake_is_named_where_it_was_made() {
    if !adapter("a_mistake_is_named_where_it_was_made") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let text = committed("training/sgd/step.wgsl");
    let broken = text.replacen("p.momentum", "q.momentum", 1);
    let line = 1 + text.lines().position(|l| l.contains("p.momentum")).unwrap();
    write(dir.path(), "mine/training/sgd/step.wgsl", &broken);
    let words = ["train", "--data", "phantom:covid", "--out", "run", "--shaders", "mine", "--quiet"];
    let output = wgslab(dir.path(), &words).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("error: mine/training/sgd/step.wgsl:{line}: sgd")), "{said}");
}

/// All ways to nest a text 100,000 deep: around, after and among its declarations.
fn deep(n: usize) -> Vec<(&'static str, String)> {
    let around = |open: &str, middle: &str, close: &str| format!("{}{middle}{}", open.repeat(n), close.repeat(n));
    let declared = |each: &dyn Fn(usize) -> String| (0..n).map(each).collect::<String>();
    let body = |text: String| format!("fn deep() {{ {text} }}\n");
    vec![
        ("parentheses", body(format!("var x = {};", around("(", "1", ")")))),
        ("blocks", body(around("{", "", "}"))),
        ("minus", body(format!("var x = {}1;", "- ".repeat(n)))),
        ("sums", body(format!("var x = 1{};", " + 1".repeat(n)))),
        ("members", body(format!("var v = vec4<f32>(); var x = v{};", ".xyzw".repeat(n)))),
        ("else ifs", body(format!("if (true) {{}} {}", "else if (true) {} ".repeat(n)))),
        ("arrays", body(format!("var x: {};", around("array<", "f32", ", 1>")))),
        ("pointers", format!("fn f(x: {}) {{}}\n", around("ptr<function, ", "f32", ">"))),
        ("constants", declared(&|i| format!("const c{i} = c{};\n", i + 1)) + &format!("const c{n} = 1;\n")),
        ("open brackets", "(".repeat(n)),
        ("unrolled", format!("//@ for i in 0..{n}\n(\n//@ end\n")),
        ("loops", "//@ for i in 0..1\n".repeat(n) + &"//@ end\n".repeat(n)),
        ("numbers", format!("//@ let a = {}\n", around("(", "1", ")"))),
        ("rounds", "//@ for i in 0..4000000000\n//@ end\n".to_string()),
    ]
}

/// An edited text that nests too deep must give an error with file and line. It must not end the process.
#[test]
fn a_text_that_nests_without_end_is_refused() {
    let text = committed("elementwise/scale/forward.wgsl");
    let lines = text.lines().count();
    for (name, deep) in deep(100_000).into_iter().chain(deep(20_000)) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "mine/elementwise/scale/forward.wgsl", &format!("{text}{deep}"));
        let show = &["kernels", "show", "scale.forward", "--language", "msl"][..];
        let list = if name == "sums" { Some(&["kernels", "list"][..]) } else { None }; // this one reads every kernel
        for words in std::iter::once(show).chain(list) {
            let output = wgslab(dir.path(), &[words, &["--shaders", "mine"]].concat()).output().unwrap();
            let said = said(&output);
            if text.len() + deep.len() > 1 << 20 {
                assert!(output.status.code() == Some(2) && said.contains("more than 1024 KiB"), "{name}: {said:.500}");
                continue;
            }
            assert_eq!(output.status.code(), Some(1), "{name}, {words:?}: {:.500}", said);
            // The error must be short and must name a line of what was added.
            let line = |l: &str| {
                l.strip_prefix("error: mine/elementwise/scale/forward.wgsl:")?.split(':').next()?.parse::<usize>().ok()
            };
            let near = said.lines().any(|l| line(l).is_some_and(|n| n >= lines) && l.len() < 1000);
            assert!(near, "{name}, {words:?}: {:.500}", said);
        }
    }
    // Nested comments need no stack.
    let dir = tempfile::tempdir().unwrap();
    let comments = format!("{}{}", "/*".repeat(100_000), "*/".repeat(100_000));
    write(dir.path(), "mine/elementwise/scale/forward.wgsl", &format!("{text}{comments}\n"));
    let output = wgslab(dir.path(), &["kernels", "show", "scale.forward", "--shaders", "mine"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    // A file that is far too large is not read to its end.
    std::fs::File::create(dir.path().join("mine/elementwise/scale/forward.wgsl")).unwrap().set_len(1 << 40).unwrap();
    let output = wgslab(dir.path(), &["kernels", "list", "--shaders", "mine"]).output().unwrap();
    assert!(output.status.code() == Some(2) && said(&output).contains("more than 1024 KiB"), "{}", said(&output));
}

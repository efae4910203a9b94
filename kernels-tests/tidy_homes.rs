//! T0 for who may use what: each foreign crate has its home, an op uses other ops only through `Tape` methods or a
//! core, and a reference is written only from the formula.

use crate::harness::{Named, named};
use crate::tidy::{root, sources};
use libtest_mimic::Trial;
use std::collections::BTreeSet;

/// Every crate of Cargo.toml's `[dependencies]` and where below src/ it may be used: files, folders, or "" for
/// everywhere.
const HOMES: &[(&str, &[&str])] = &[
    ("bytemuck", &["data/", "device/", "kernels/", "lab/", "nn/", "noise/learn/", "ssl/", "study/", "tape/"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/manual.rs"]),
    ("clap_mangen", &["cli/manual.rs"]),
    ("csv", &["data/layout/table.rs", "lab/statistics/compare.rs", "lab/tuning_export.rs", "study/results"]),
    ("ctrlc", &["cli/signals.rs"]),
    ("dicom_parser", &["data/decode/dicom/"]),
    ("dicom_transfer_syntax_registry", &["data/decode/dicom/"]),
    ("fast_image_resize", &["data/decode/mod.rs"]),
    ("fd_lock", &["base/files.rs", "study/folder.rs"]),
    ("flate2", &["data/decode/dicom/", "lab/export/"]),
    (
        "half",
        &[
            "data/layout/npz/member.rs",
            "kernels/",
            "lab/check/",
            "lab/shader_trial.rs",
            "nn/checkpoint.rs",
            "nn/tensors.rs",
        ],
    ),
    ("humantime", &["cli/watch.rs", "lab/environment.rs"]),
    ("image", &["data/decode/"]),
    ("include_dir", &["device/tree.rs"]),
    ("indicatif", &["cli/listener.rs"]),
    ("libm", &["data/decode/dicom/tone.rs", "noise/corrupt/instance_dependent.rs", "study/statistics/special.rs"]),
    ("naga", &["device/shader.rs"]),
    ("notify_debouncer_mini", &["lab/watch.rs"]),
    ("npyz", &["data/arrays.rs", "data/layout/npz/", "study/predictions.rs"]),
    (
        "plotters",
        &["base/plot.rs", "base/plot/look.rs", "lab/chart.rs", "lab/profile/page.rs", "lab/roofline/chart.rs"],
    ),
    ("pollster", &["device/adapter.rs", "device/gpu.rs"]),
    (
        "rayon",
        &["data/", "study/merge.rs", "study/neighbours/search.rs", "study/results/gathering.rs", "study/standing.rs"],
    ),
    ("ash", &["device/statistics.rs"]),
    ("rspirv", &["device/shader.rs"]),
    ("safetensors", &["data/cache.rs", "nn/"]),
    ("serde", &[""]),
    ("serde_json", &["base/", "cli/", "data/cache.rs", "device/tune.rs", "lab/", "nn/", "study/", "tape/recording/"]),
    ("sha2", &["base/hash.rs", "data/cache.rs", "data/pages.rs"]),
    ("sysinfo", &["lab/environment.rs"]),
    ("tempfile", &["base/files.rs", "cli/output.rs", "lab/watch.rs"]),
    ("thiserror", &["base/error.rs"]),
    ("tiff", &["data/decode/"]),
    ("toml", &["lab/case_fields.rs", "lab/sets.rs", "nn/listed.rs", "noise/", "study/"]),
    ("twox_hash", &["data/decode/mod.rs"]),
    ("unicode_normalization", &["data/classes.rs"]),
    ("walkdir", &["data/layout/walk.rs", "device/tree.rs"]),
    ("wgpu", &["device/"]),
    ("zip", &["data/arrays.rs", "nn/torch/mod.rs"]),
];

/// Files that hold only tests, as do all files of a folder `tests`. They may use any crate.
const TESTS: [&str; 6] = ["tests.rs", "testing.rs", "tenants.rs", "guards.rs", "outside.rs", "large.rs"];

/// Ops that name another op, and why.
const KNOWS: &[(&str, &str, &str)] = &[
    (
        "layers/conv_transpose2d.rs",
        "conv2d",
        "it is the gradient of a convolution to its input under another name, and has no kernel of its own",
    ),
    ("training/lars.rs", "sgd", "its second kernel is the step of SGD, with the same text and parameters"),
];

/// What a reference may use of the crate: the ops' types, inputs and answers, and the words of the generator, which has
/// tests of its own against published words.
const REFERENCE: [&str; 5] = [
    "wgslab::tape::Op",
    "wgslab::base::DType",
    "wgslab::base::Shape",
    "wgslab::base::rng::unit",
    "wgslab::lab::check::",
];

/// The trials.
pub fn trials() -> Vec<Trial> {
    let list: [Named; 5] = [
        ("foreign crates have one home", || none(homes()?)),
        ("every dependency is in the list of homes", || none(listed()?)),
        ("an op reaches other ops through the tape or a core", || none(ops()?)),
        ("a reference is written only from the formula", || none(references()?)),
        ("a skip is seen", || none(skips()?)),
    ];
    named("T0 tidy", list)
}

fn none(wrong: Vec<String>) -> Result<(), String> {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// The code below src/ that is not a test, by its path from there.
fn code() -> Vec<(String, String)> {
    let tests =
        |path: &str| path.contains("/tests/") || path.rsplit('/').next().is_some_and(|name| TESTS.contains(&name));
    let kept = sources().into_iter().filter(|(_, path, _)| !tests(path));
    kept.map(|(_, path, text)| {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_string();
        (path.trim_start_matches("src/").to_string(), code)
    })
    .collect()
}

/// Whether `text` holds `name` as a whole word that is not the end of a longer name or path.
fn says(text: &str, name: &str) -> bool {
    let begins = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    text.match_indices(name).any(|(at, _)| begins(at))
}

fn homes() -> Result<Vec<String>, String> {
    let (code, mut wrong) = (code(), Vec::new());
    for (krate, homes) in HOMES {
        let mut empty: BTreeSet<&str> = homes.iter().copied().collect();
        for (path, _) in code.iter().filter(|(_, text)| says(text, &format!("{krate}::"))) {
            match homes.iter().find(|home| path.starts_with(**home)) {
                Some(home) => drop(empty.remove(home)),
                None => wrong.push(format!("src/{path}: {krate} may be used only in {}", homes.join(", "))),
            }
        }
        wrong.extend(
            empty.iter().map(|home| format!("{krate} is not used in src/{home} any more: remove that from its homes")),
        );
    }
    Ok(wrong)
}

fn listed() -> Result<Vec<String>, String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).map_err(|e| e.to_string())?;
    let manifest: toml::Table = manifest.parse().map_err(|e| format!("Cargo.toml: {e}"))?;
    let table = manifest.get("dependencies").and_then(toml::Value::as_table).ok_or("Cargo.toml has no dependencies")?;
    let have: BTreeSet<String> = table.keys().map(|name| name.replace('-', "_")).collect();
    let list: BTreeSet<String> = HOMES.iter().map(|h| h.0.to_string()).collect();
    let new = have.difference(&list).map(|name| format!("{name} has no home in kernels-tests/tidy_homes.rs"));
    let gone = list.difference(&have).map(|name| format!("{name} is not a dependency any more: remove its home"));
    Ok(new.chain(gone).collect())
}

/// A runner hides what a passing test prints with `eprintln!`, so nobody would see that it was skipped.
fn skips() -> Result<Vec<String>, String> {
    let (mut wrong, said) = (Vec::new(), concat!("eprintln!(\"", "SKIPPED"));
    for path in ["src", "tests"].iter().flat_map(|folder| crate::tidy::files(&root().join(folder), "rs")) {
        let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        if text.contains(said) {
            wrong.push(format!("{}: report a skip with wgslab::lab::check::skipped", path.display()));
        }
    }
    Ok(wrong)
}

/// The names of the op files and of the family files, which hold several ops, with their paths below src/kernels/.
fn op_files(code: &[(String, String)]) -> Vec<(String, &str)> {
    let families = ["elementwise/", "images/", "layers/", "losses/", "shape/", "training/"];
    let in_kernels = code.iter().filter_map(|(path, _)| path.strip_prefix("kernels/"));
    let ops = in_kernels.filter(|path| families.iter().any(|f| path.starts_with(f)) && !path.ends_with("mod.rs"));
    ops.map(|path| (path.split('/').nth(1).unwrap_or_default().trim_end_matches(".rs").to_string(), path)).collect()
}

fn ops() -> Result<Vec<String>, String> {
    let (code, mut wrong, mut known) = (code(), Vec::new(), BTreeSet::new());
    let files = op_files(&code);
    let names: BTreeSet<&str> = files.iter().map(|f| f.0.as_str()).collect();
    for (own, path) in &files {
        let text = code.iter().find(|c| c.0.ends_with(path)).map(|c| c.1.as_str()).unwrap_or_default();
        for other in used(text).into_iter().filter(|other| names.contains(other.as_str()) && other != own) {
            match KNOWS.iter().position(|k| (k.0, k.1) == (*path, other.as_str())) {
                Some(i) => drop(known.insert(i)),
                None => wrong.push(format!("src/kernels/{path} names the op {other}: record it with its Tape method")),
            }
        }
    }
    let gone = (0..KNOWS.len()).filter(|i| !known.contains(i));
    wrong.extend(gone.map(|i| format!("{} does not name {} any more: remove it from KNOWS", KNOWS[i].0, KNOWS[i].1)));
    Ok(wrong)
}

/// The modules of kernels that a text names after `crate::kernels::`, alone or in a list.
fn used(text: &str) -> BTreeSet<String> {
    let word = |s: &str| s.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, path) in text.match_indices("crate::kernels::") {
        let rest = &text[at + path.len()..];
        match rest.strip_prefix('{').and_then(|list| list.split_once("};")) {
            Some((list, _)) => found.extend(list.split(',').map(word)),
            None => drop(found.insert(word(rest))),
        }
    }
    found
}

fn references() -> Result<Vec<String>, String> {
    let mut wrong = Vec::new();
    for path in crate::tidy::files(&root().join("kernels-tests/reference"), "rs") {
        // The list of references names every op.
        if path.ends_with("reference/mod.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        for line in text.lines().map(|l| l.split("//").next().unwrap_or_default()) {
            let Some(at) = line.find("wgslab::") else { continue };
            let path = line[at..].trim_end_matches(';');
            // Of an op, a reference may use only its types, not its functions.
            let types =
                path.strip_prefix("wgslab::kernels::").and_then(|p| p.split_once("::")).is_some_and(|(_, names)| {
                    let names = names.trim_matches(['{', '}']).split(',').map(str::trim);
                    names.into_iter().all(|name| name.starts_with(char::is_uppercase) && !name.contains("::"))
                });
            if !types && !REFERENCE.iter().any(|allowed| path.starts_with(allowed)) {
                wrong.push(format!("{shown}: a reference must not compute with the crate: {path}"));
            }
        }
        let own = [".infer(", ".emit(", ".forward(", ".gradients(", "Tape::new", ".cost("];
        let found = own.iter().filter(|word| text.contains(**word));
        wrong.extend(found.map(|word| format!("{shown}: a reference must not call the op: {word}")));
    }
    Ok(wrong)
}

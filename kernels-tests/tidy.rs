//! T0 for the source tree: floors import one way, modules of a room too, files are short, and no code is unfinished.

mod circles;

use libtest_mimic::{Failed, Trial};
use std::path::{Path, PathBuf};

/// The floors and their heights. Floors of equal height never import each other.
const FLOORS: &[(&str, u32)] = &[
    ("base", 0),
    ("device", 1),
    ("tape", 2),
    ("kernels", 3),
    ("nn", 4),
    ("data", 5),
    ("ssl", 5),
    ("noise", 5),
    ("study", 6),
    ("lab", 7),
    ("cli", 8),
];

/// The most lines of a Rust file.
const LINES: usize = 500;

/// The trials.
pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Vec<String>| {
        Trial::test(format!("T0 tidy {name}"), move || match test().as_slice() {
            [] => Ok(()),
            wrong => Err(Failed::from(wrong.join("\n"))),
        })
    };
    vec![
        trial("floors go one way", floors),
        trial("modules of a room import each other one way", circles::circles),
        trial("lower floors read no environment and no clock", surroundings),
        trial("files are short", sizes),
        trial("nothing is left undone", undone),
        trial("an op has its three files", op_files),
        trial("the core names no op", core_names_no_op),
        trial("no key and no address reads what Rust prints", addresses),
    ]
}

/// The files that make keys and addresses: of runs, decoded images, tuned kernels, edited shaders, recordings.
const ADDRESSES: &[&str] = &[
    "src/base/hash.rs",
    "src/base/seal.rs",
    "src/data/cache.rs",
    "src/device/tree.rs",
    "src/device/tune.rs",
    "src/kernels/catalog/tune.rs",
    "src/nn/optimizer.rs",
    "src/study/provenance.rs",
    "src/tape/constants.rs",
    "src/tape/recording.rs",
    "src/tape/recording/file.rs",
];

/// `{:?}` prints names of fields and types, which may be renamed. So no key or address may hold that text.
fn addresses() -> Vec<String> {
    let all = sources();
    let mut wrong = Vec::new();
    for path in ADDRESSES {
        let Some((_, _, text)) = all.iter().find(|s| s.1 == *path) else {
            wrong.push(format!("{path} no longer exists: update ADDRESSES in kernels-tests/tidy.rs"));
            continue;
        };
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        if code.contains("?}") {
            wrong.push(format!("{path} has a {{:?}}: use Constants::constants or serde"));
        }
    }
    wrong
}

/// The folder of the package.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files with this ending below a folder, sorted.
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter();
    // The output of a peer's build below benches/peers is not part of the project.
    let ours = all.filter_entry(|e| e.file_name() != "target").filter_map(Result::ok);
    let paths = ours.map(|e| e.into_path());
    paths.filter(|p| p.extension().is_some_and(|e| e == ending)).collect()
}

/// The files of src/: for each its floor, its path and its text without comments.
pub fn sources() -> Vec<(String, String, String)> {
    let source = |path: PathBuf| {
        let shown = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
        let floor = shown.split('/').nth(1).unwrap_or_default().trim_end_matches(".rs").to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        let code = |l: &str| l.split("//").next().unwrap_or_default().to_string();
        (floor, shown, text.lines().map(code).collect::<Vec<_>>().join("\n"))
    };
    files(&root().join("src"), "rs").into_iter().map(source).collect()
}

fn height(floor: &str) -> Option<u32> {
    FLOORS.iter().find(|f| f.0 == floor).map(|f| f.1)
}

fn floors() -> Vec<String> {
    let mut wrong = Vec::new();
    for (floor, path, text) in sources() {
        let Some(own) = height(&floor) else {
            if !matches!(floor.as_str(), "lib" | "main") {
                wrong.push(format!("{path}: FLOORS in kernels-tests/tidy.rs has no {floor}"));
            }
            continue;
        };
        for import in imports(&text) {
            if import != floor && height(&import).is_some_and(|h| h >= own) {
                wrong.push(format!("{path}: {floor} may not use {import}"));
            }
        }
    }
    wrong
}

/// The first name of every path that begins with `crate::`.
fn imports(text: &str) -> Vec<String> {
    text.match_indices("crate::").flat_map(|(at, prefix)| first_names(&text[at + prefix.len()..])).collect()
}

/// The first name of the path that `rest` begins with. For a list of paths, the first name of each.
fn first_names(rest: &str) -> Vec<String> {
    let name = |s: &str| s.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(list) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut found, mut depth) = (vec![name(list)], 0);
    for (i, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => found.push(name(&list[i + 1..])),
            _ => {}
        }
    }
    found
}

fn surroundings() -> Vec<String> {
    let mut wrong = Vec::new();
    for (floor, path, text) in sources() {
        if height(&floor).is_none_or(|h| h >= 6) {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in ["std::env", "env::var", "Instant", "SystemTime"] {
            // These measure, or ask now and then while a compiler works; no result depends on their clocks.
            let timers = ["pipeline", "statistics", "timing", "tune"].map(|name| format!("src/device/{name}.rs"));
            let clock = matches!(word, "Instant" | "SystemTime") && timers.contains(&path);
            if code.contains(word) && !clock {
                wrong.push(format!("{path}: only study and the floors above it may use {word}"));
            }
        }
    }
    wrong
}

fn sizes() -> Vec<String> {
    let mut wrong = Vec::new();
    for folder in ["src", "kernels-tests", "benches", "examples"] {
        for path in files(&root().join(folder), "rs") {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            if lines > LINES {
                wrong.push(format!("{} has {lines} lines, more than {LINES}", path.display()));
            }
        }
    }
    wrong
}

fn undone() -> Vec<String> {
    let words = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[ig", "nore")];
    let mut wrong = Vec::new();
    for folder in ["src", "kernels-tests", "benches", "examples", "shaders"] {
        for path in files(&root().join(folder), "rs").into_iter().chain(files(&root().join(folder), "wgsl")) {
            let text = std::fs::read_to_string(&path).unwrap();
            wrong.extend(words.iter().filter(|w| text.contains(**w)).map(|w| format!("{}: {w}", path.display())));
        }
    }
    wrong
}

fn op_files() -> Vec<String> {
    let mut wrong = Vec::new();
    for (floor, path, text) in sources() {
        let below = path.strip_prefix("src/kernels/").unwrap_or_default();
        // A family file (`unary`) holds the cases of several names, but it too has one folder and one reference.
        let has_cases = ["pub fn cases()", "pub fn families()"].iter().any(|f| text.contains(f));
        let reference = format!("kernels-tests/reference/{below}");
        if floor == "kernels" && has_cases && !root().join(&reference).is_file() {
            wrong.push(format!("{path} has cases, but {reference} is missing"));
        }
    }
    for folder in shader_folders() {
        // Besides ops, the tape's own launches (`tape/assign`) and the lab's probes (`lab/roofline`) have shaders.
        let owners = [format!("src/kernels/{folder}.rs"), format!("src/{folder}.rs")];
        if folder != "common" && !owners.iter().any(|o| root().join(o).is_file()) {
            wrong.push(format!("shaders/{folder}/ belongs to no file {}", owners.join(" or ")));
        }
    }
    wrong
}

/// The code that ops share names no op. What it needs of an op comes through a trait.
fn core_names_no_op() -> Vec<String> {
    let ops = |family: &str| {
        let folder = root().join("src/kernels").join(family);
        let own = files(&folder, "rs").into_iter().filter(move |p| p.parent() == Some(&folder));
        own.filter_map(|p| Some(p.file_stem()?.to_string_lossy().into_owned())).collect::<Vec<_>>()
    };
    let ops = ["elementwise", "images", "layers", "losses", "shape", "training"].map(ops).concat();
    let mut wrong = Vec::new();
    for (_, path, text) in sources().into_iter().filter(|s| s.1.starts_with("src/kernels/core/")) {
        for after in text.split("kernels::").skip(1) {
            let named = first_names(after).into_iter().filter(|name| ops.contains(name));
            wrong.extend(named.map(|op| format!("{path} names the op {op}")));
        }
    }
    wrong
}

/// Every folder below shaders/ that holds a shader.
fn shader_folders() -> std::collections::BTreeSet<String> {
    let base = root().join("shaders");
    let folder =
        |path: PathBuf| path.parent()?.strip_prefix(&base).ok().map(|p| p.to_string_lossy().replace('\\', "/"));
    files(&base, "wgsl").into_iter().filter_map(folder).collect()
}

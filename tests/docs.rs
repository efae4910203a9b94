//! Tests the pages for users: README.md, docs/ and the README.md of each folder. What they tell users to type must be
//! right:
//!
//! - the program's own parser accepts every `wgslab` line, in a block or in a sentence, and every example of a
//!   `--help`;
//! - every path, link, heading, `make` target, example, bench and option that they name exists;
//! - every config and set of cases loads; every Rust block stands word for word in an example, which `make examples`
//!   runs;
//! - commands that are quick and write nothing ([`CHEAP`]) are run.
//!
//! Every block names its language, and no block is only indented text, so that every block is tested.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

mod common;

use clap::error::ErrorKind;
use common::{adapter, wgslab};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use wgslab::{lab, study};

/// Commands in blocks that are run. Each is quick and writes nothing.
const CHEAP: &[&str] =
    &["wgslab kernels list", "wgslab kernels show", "wgslab study list", "wgslab data inspect phantom:"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A page, by its path from the root.
struct Page {
    path: String,
    text: String,
}

/// A fenced block of a page.
struct Block {
    /// The page and the line, for messages.
    at: String,
    language: String,
    text: String,
}

/// Every page of the project.
fn pages() -> Vec<Page> {
    let ours = |e: &walkdir::DirEntry| {
        let name = e.file_name().to_string_lossy();
        e.depth() == 0 || !(name.starts_with('.') || name == "target" || name == "runs")
    };
    let all = walkdir::WalkDir::new(root()).sort_by_file_name().into_iter().filter_entry(ours).map(|e| e.unwrap());
    let shown = |e: walkdir::DirEntry| e.path().strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
    let pages: Vec<Page> = all
        .map(shown)
        .filter(|p| p.ends_with("README.md") || (p.starts_with("docs/") && p.ends_with(".md")))
        .map(|path| Page { text: read(&path), path })
        .collect();
    assert!(pages.len() >= 11, "there are only {} pages", pages.len());
    pages
}

impl Page {
    /// The page's blocks, and its text without them.
    fn parts(&self) -> (Vec<Block>, String) {
        let (mut blocks, mut prose, mut open): (Vec<Block>, String, bool) = (Vec::new(), String::new(), false);
        for (i, line) in self.text.lines().enumerate() {
            let at = format!("{}:{}", self.path, i + 1);
            match (line.trim_start().strip_prefix("```"), open) {
                (Some(_), true) => open = false,
                (Some(language), false) => {
                    open = true;
                    blocks.push(Block { at, language: language.to_string(), text: String::new() });
                }
                (None, true) => blocks.last_mut().unwrap().text += &format!("{line}\n"),
                (None, false) => {
                    let indented = line.starts_with("    ") && prose.ends_with("\n\n");
                    assert!(!indented, "{at}: indented text is a block that no test reads; use a fenced block");
                    prose += &format!("{line}\n");
                }
            }
        }
        assert!(!open, "{}: a block does not end", self.path);
        (blocks, prose)
    }
}

/// The blocks in `language` of all pages.
fn blocks(language: &str) -> Vec<Block> {
    let all = pages().into_iter().flat_map(|p| p.parts().0);
    let found: Vec<Block> = all.filter(|b| b.language == language).collect();
    assert!(!found.is_empty(), "no page has a block of {language}");
    found
}

/// The texts between backticks.
fn spans(prose: &str) -> Vec<String> {
    let parts = prose.split('`').skip(1).step_by(2);
    parts.map(|s| s.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The command lines of a block, each with its place. Continued lines are joined, and the bodies of loops are read too.
fn commands(block: &Block) -> Vec<(String, Vec<String>)> {
    let joined = block.text.replace("\\\n", " ");
    let line = |l: &str| (block.at.clone(), words(l));
    joined.lines().map(line).filter(|(_, w)| !w.is_empty()).collect()
}

/// The words of a line as a shell reads them, without comments.
fn words(line: &str) -> Vec<String> {
    let (mut all, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => break,
            // A shell ends a command here. A SPEC that holds & must be in quotes.
            ('&' | ';', None) => {
                all.extend(word.take());
                all.push(c.to_string());
            }
            (c, None) if c.is_whitespace() => all.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    all.extend(word);
    all
}

/// Parses a `wgslab` line with the program's parser. In a sentence a command may lack its required arguments.
fn understood(words: &[String], sentence: bool) -> Result<(), String> {
    let end = words.iter().position(|w| matches!(w.as_str(), ">" | "|")).unwrap_or(words.len());
    let plain = words[..end].iter().map(|w| w.trim_matches(['[', ']']));
    let Err(e) = wgslab::cli::command().try_get_matches_from(plain) else { return Ok(()) };
    let short =
        [ErrorKind::MissingRequiredArgument, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand].contains(&e.kind());
    match e.kind() {
        ErrorKind::DisplayHelp => Ok(()),
        _ if sentence && short => Ok(()),
        _ => Err(e.to_string()),
    }
}

/// What is wrong with a command line, as an error.
fn wrong(line: &[String], sentence: bool) -> Result<(), String> {
    let settings = line.iter().take_while(|w| w.contains('=') && !w.starts_with('-')).count();
    let [program, rest @ ..] = &line[settings..] else { return Ok(()) };
    let there = |path: &str| if root().join(path).exists() { Ok(()) } else { Err(format!("there is no {path}")) };
    let behind = |flag: &str| rest.iter().skip_while(move |w| *w != flag).nth(1);
    match program.as_str() {
        "wgslab" | "target/release/wgslab" => understood(&line[settings..], sentence),
        "make" => rest.iter().filter(|w| !w.contains('=')).try_for_each(|target| {
            let known = read("Makefile").lines().any(|l| l.starts_with(&format!("{target}:")));
            if known { Ok(()) } else { Err(format!("the Makefile has no {target}")) }
        }),
        "cargo" => {
            if let Some(name) = behind("--example") {
                there(&format!("examples/{name}.rs")).or_else(|_| there(&format!("examples/{name}/main.rs")))?;
            }
            if let Some(name) = behind("--bench") {
                let file = format!("benches/{name}.rs");
                there(&file)?;
                let known = read(&file);
                let flags = rest.iter().skip_while(|w| *w != "--").skip(1).map(|w| w.trim_matches(['[', ']']));
                for flag in flags.filter(|w| w.starts_with("--")) {
                    let field = format!("\n    {}: ", flag[2..].replace('-', "_"));
                    known.contains(&field).then_some(()).ok_or(format!("{file} does not read {flag}"))?;
                }
            }
            if let Some(name) = behind("--test") {
                let listed = read("Cargo.toml").contains(&format!("[[test]]\nname = \"{name}\"\n"));
                let file = || there(&format!("tests/{name}.rs")).or_else(|_| there(&format!("tests/{name}/main.rs")));
                listed.then_some(()).ok_or(()).or_else(|()| file())?;
            }
            behind("--manifest-path").map_or(Ok(()), |path| there(path))
        }
        "python3" => rest.iter().filter(|w| w.contains('/') && !w.contains('$')).try_for_each(|w| there(w)),
        "cp" | "sh" => rest.iter().filter(|w| !w.starts_with('-')).take(1).try_for_each(|w| there(w)),
        ".ci/run" => there(".ci/run"),
        "snakemake" => behind("--snakefile").map_or(Ok(()), |path| there(path)),
        "export" | "for" | "done" | "pip" | "cd" => Ok(()),
        peer if peer.starts_with("benches/peers/burn/target/") => there("benches/peers/burn/Cargo.toml"),
        other => Err(format!("say in tests/docs.rs how a line of {other} is checked")),
    }
}

#[track_caller]
fn none_wrong(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_command_line_can_be_typed() {
    let mut bad = Vec::new();
    let mut ours = 0;
    for (at, line) in blocks("sh").iter().flat_map(commands) {
        ours += usize::from(line[0] == "wgslab");
        bad.extend(wrong(&line, false).err().map(|why| format!("{at}: {}: {why}", line.join(" "))));
    }
    for page in pages() {
        for span in spans(&page.parts().1) {
            let line = words(&span);
            let command = line
                .iter()
                .find(|w| !w.contains('='))
                .is_some_and(|w| ["wgslab", "make", "cargo"].contains(&w.as_str()) && line.len() > 1);
            if command {
                bad.extend(wrong(&line, true).err().map(|why| format!("{}: `{span}`: {why}", page.path)));
            }
        }
    }
    assert!(ours > 20, "only {ours} lines of wgslab are in blocks");
    none_wrong(bad);
}

/// Every command with its path and its help.
fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
    found.push((path.to_string(), command.clone()));
    for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
        leaves(sub, &format!("{path} {}", sub.get_name()), found);
    }
}

#[test]
fn every_example_of_the_help_can_be_typed() {
    let mut all = Vec::new();
    leaves(&wgslab::cli::command(), "wgslab", &mut all);
    let (mut bad, mut count) = (Vec::new(), 0);
    for (path, command) in all {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default().replace("\\\n", " ");
        for line in help.lines().map(str::trim).filter(|l| l.starts_with("wgslab ")) {
            // After a gap follows what the line does.
            let typed = words(line.split("   ").next().unwrap_or_default());
            bad.extend(understood(&typed, false).err().map(|why| format!("{path} --help: {line}: {why}")));
            count += 1;
        }
    }
    assert!(count > 25, "only {count} examples");
    none_wrong(bad);
}

#[test]
fn every_option_is_one() {
    let mut known: BTreeSet<String> = ["--release", "--locked"].map(String::from).into();
    let mut all = Vec::new();
    leaves(&wgslab::cli::command(), "wgslab", &mut all);
    for (_, mut command) in all {
        command.build();
        known.extend(command.get_arguments().filter_map(|a| a.get_long()).map(|long| format!("--{long}")));
    }
    known.insert("--help".into());
    // The benches' peers are programs of their own, with their own options.
    let peers: String = ["torch_bench.py", "torch_step.py", "torch_device.py", "torch_load.py"]
        .map(|f| read(format!("benches/peers/{f}")))
        .concat();
    let mut bad = Vec::new();
    for page in pages() {
        for span in spans(&page.parts().1) {
            let flags = span.split([' ', '=', '|']).filter(|w| w.starts_with("--") && w.len() > 2);
            let ours = span.starts_with("--") || span.starts_with("wgslab");
            for flag in flags.filter(|_| ours) {
                let of_peers = page.path.starts_with("benches/") && peers.contains(&format!("\"{flag}\""));
                if !known.contains(flag) && !of_peers && flag != "--index-url" {
                    bad.push(format!("{}: `{span}`: there is no {flag}", page.path));
                }
            }
        }
    }
    none_wrong(bad);
}

/// The anchors of the page's headings.
fn headings(page: &str) -> BTreeSet<String> {
    let slug = |title: &str| {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    read(page).lines().filter(|l| l.starts_with('#')).map(|l| slug(l.trim_start_matches('#').trim())).collect()
}

#[test]
fn every_path_and_link_leads_somewhere() {
    let top: BTreeSet<String> =
        std::fs::read_dir(root()).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    let (mut bad, mut count) = (Vec::new(), 0);
    for page in pages() {
        let (blocks, prose) = page.parts();
        let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { PathBuf::from(&page.path) } else { folder.join(path) };
            count += 1;
            if !root().join(&target).exists() {
                bad.push(format!("{}: the target of the link {link} does not exist", page.path));
            } else if !heading.is_empty() && !headings(&target.to_string_lossy()).contains(heading) {
                bad.push(format!("{}: {} has no heading {heading}", page.path, target.display()));
            }
        }
        let of_blocks = blocks.iter().filter(|b| b.language == "sh").flat_map(commands).flat_map(|(_, line)| line);
        let of_prose = spans(&prose).into_iter().flat_map(|s| words(&s));
        for path in of_blocks.chain(of_prose) {
            let path = path.split_once('=').map_or(path.as_str(), |(_, value)| value);
            let first = path.split('/').next().unwrap_or_default();
            let made = ["target", "runs"].contains(&first) || path.contains("/target/");
            if !path.contains('/') || !top.contains(first) || made || path.contains(['<', '*', '$']) {
                continue;
            }
            count += 1;
            if !root().join(path).exists() && !folder_of_a_name(path) {
                bad.push(format!("{}: there is no {path}", page.path));
            }
        }
    }
    assert!(count > 60, "only {count} paths and links");
    none_wrong(bad);
}

/// Whether a path ends in a name in capitals that stands for any file of an existing folder: `configs/ssl/METHOD.toml`.
fn folder_of_a_name(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    name.starts_with(|c: char| c.is_ascii_uppercase()) && !folder.is_empty() && root().join(folder).is_dir()
}

#[test]
fn every_config_and_set_is_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(root().join("configs/base.toml"), dir.path().join("base.toml")).unwrap();
    for block in blocks("toml") {
        let path = dir.path().join("block.toml");
        std::fs::write(&path, &block.text).unwrap();
        if let Some(rest) = block.text.strip_prefix("[dependencies]\n") {
            // The manifest of a user's program. It may name only features that the library has.
            let table: toml::Table = rest.parse().unwrap();
            let ours = table[env!("CARGO_PKG_NAME")].as_table().unwrap();
            assert!(ours.keys().all(|k| ["path", "default-features"].contains(&k.as_str())), "{}", block.at);
        } else if block.text.contains("[[") {
            lab::Set::load(&path).unwrap_or_else(|e| panic!("{}: {e}", block.at));
        } else {
            let config = study::Config::load(&path).unwrap_or_else(|e| panic!("{}: {e}", block.at));
            assert!(!study::cells(&config).is_empty(), "{}", block.at);
        }
    }
}

/// The lines without their common indent and without empty lines at both ends.
fn dedented(text: &str) -> String {
    let lines = text.trim_end().lines();
    let indent = lines.clone().filter(|l| !l.trim().is_empty()).map(|l| l.len() - l.trim_start().len()).min();
    lines.map(|l| l.get(indent.unwrap_or(0)..).unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_rust_block_stands_in_an_example() {
    let files = walkdir::WalkDir::new(root().join("examples")).into_iter().map(|e| e.unwrap().into_path());
    let files: Vec<String> = files.filter(|p| p.extension().is_some_and(|e| e == "rs")).map(|p| read(&p)).collect();
    for block in blocks("rust") {
        let wanted = dedented(&block.text);
        let lines = wanted.lines().count();
        let holds = |file: &String| {
            let all: Vec<&str> = file.lines().collect();
            all.windows(lines).any(|w| dedented(&w.join("\n")) == wanted)
        };
        assert!(lines > 2 && files.iter().any(holds), "{}: it is in no example:\n{wanted}", block.at);
    }
}

#[test]
fn every_block_says_its_language() {
    for block in pages().into_iter().flat_map(|p| p.parts().0) {
        let known = ["sh", "text", "toml", "rust"].contains(&block.language.as_str());
        assert!(known, "{}: a block of \"{}\", which no test reads", block.at, block.language);
        let typed = block.language == "text" && block.text.lines().any(|l| l.trim_start().starts_with("wgslab "));
        assert!(!typed, "{}: a block of commands must be a block of sh", block.at);
    }
}

#[test]
fn cheap_commands_run() {
    let mut run = vec![0; CHEAP.len()];
    let mut all: Vec<(String, Vec<String>)> = blocks("sh").iter().flat_map(commands).collect();
    all.sort();
    all.dedup_by(|a, b| a.1 == b.1);
    for (at, line) in all {
        let Some(i) = CHEAP.iter().position(|c| line.join(" ").starts_with(c)) else { continue };
        let words: Vec<&str> = line[1..].iter().map(String::as_str).collect();
        let ended = wgslab(root(), &words).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && !ended.stdout.is_empty(), "{at}: {}: {said}", line.join(" "));
        run[i] += 1;
    }
    assert!(run.iter().all(|&n| n > 0), "each of {CHEAP:?} must be run at least once, but was run {run:?} times");
}

#[test]
fn devices_runs() {
    if adapter("devices_runs") {
        assert!(wgslab(root(), &["devices"]).output().unwrap().status.success());
    }
}

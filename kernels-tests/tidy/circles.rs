//! The modules of a room import each other one way, so that a module can be read without the modules that use it.
//!
//! A room is a folder of `src/`. Its modules are the files and folders directly in it. The test reads the paths that
//! begin with `crate::ROOM::` or `super::`, except in tests. For `kernels/core` it reads `crate::kernels::`, which
//! re-exports its modules. A name that the room's `mod.rs` re-exports counts for the module that defines it. Methods
//! that a module adds to a type of another module are called without a path, so the test does not see them.

use super::{files, root};
use std::collections::{BTreeMap, BTreeSet};

/// The rooms without a circle.
const ROOMS: &[&str] = &["kernels/core", "noise", "ssl", "study"];

/// The rooms with a circle, and why. A room that has none any more moves to the list above.
const OPEN: &[(&str, &str)] = &[
    ("data", "mod.rs defines what its modules share and also calls them"),
    ("lab", "a report shows what a comparison found, and a comparison reads reports"),
    ("nn", "the list of backbones is in the file of the trait that each backbone implements"),
    ("tape", "a tape holds ops and an op names values of the tape; a schedule takes rules that rewrite it"),
];

/// For each module, the modules that it uses.
type Graph = BTreeMap<String, BTreeSet<String>>;

pub fn circles() -> Vec<String> {
    let mut wrong = Vec::new();
    for room in ROOMS {
        wrong.extend(circle(&graph(room)).map(|c| format!("src/{room}: {} is a circle", c.join(" → "))));
    }
    for (room, why) in OPEN {
        if circle(&graph(room)).is_none() {
            wrong.push(format!("src/{room} has no circle any more ({why}): move it to ROOMS"));
        }
    }
    // The search must find a circle where there is one.
    let edge = |from: &str, to: &str| (from.to_string(), BTreeSet::from([to.to_string()]));
    let made_up = Graph::from([edge("a", "b"), edge("b", "c"), edge("c", "b")]);
    if circle(&made_up) != Some(["b", "c", "b"].map(String::from).to_vec()) {
        wrong.push("the search for circles finds none in a → b → c → b".to_string());
    }
    wrong
}

fn graph(room: &str) -> Graph {
    let base = root().join("src").join(room);
    let path = room.split('/').next().unwrap(); // `kernels` re-exports what `kernels/core` holds
    let list = std::fs::read_to_string(base.join("mod.rs")).unwrap();
    let (handed_on, tests) = (handed_on(&code(&list)), tests(&list));
    let mut texts: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
    for path in files(&base, "rs") {
        let below = path.strip_prefix(&base).unwrap().with_extension("");
        let mut parts: Vec<&str> = below.iter().map(|p| p.to_str().unwrap()).collect();
        let module = parts[0].to_string();
        if module == "mod" || parts.contains(&"tests") || tests.contains(&module) {
            continue;
        }
        if parts.last() == Some(&"mod") {
            parts.pop();
        }
        texts.entry(module).or_default().push((parts.len(), code(&std::fs::read_to_string(&path).unwrap())));
    }
    let mut graph = Graph::from([("mod".to_string(), used_by_list(&code(&list), texts.keys()))]);
    for (module, parts) in &texts {
        let uses = graph.entry(module.clone()).or_default();
        for (depth, text) in parts {
            for name in used(path, *depth, text) {
                let known = texts.contains_key(&name).then_some(&name).or_else(|| handed_on.get(&name));
                let to = known.map_or("mod", String::as_str);
                if to != module {
                    uses.insert(to.to_string());
                }
            }
        }
    }
    graph
}

/// The part of a file that counts: no comments, no tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The modules that `mod.rs` declares only for tests.
fn tests(list: &str) -> BTreeSet<String> {
    let declared = list.split("#[cfg(test)]\n").skip(1).filter_map(|after| after.lines().next());
    let name = |line: &str| Some(line.split_once("mod ")?.1.trim_end_matches(';').to_string());
    declared.filter_map(name).collect()
}

/// The names that `mod.rs` re-exports, with the modules they come from.
fn handed_on(list: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (module, names) in list.split(';').filter_map(|s| hands_on(s)?.split_once("::")) {
        let names = names.split(|c: char| !is_of_name(c)).filter(|n| !n.is_empty());
        all.extend(names.map(|name| (name.to_string(), module.to_string())));
    }
    all
}

/// What a `pub use` re-exports.
fn hands_on(statement: &str) -> Option<&str> {
    let (before, path) = statement.rsplit_once("use ")?;
    before.trim_start().starts_with("pub").then_some(path)
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The modules that `mod.rs` itself uses. Re-exports do not count.
fn used_by_list<'a>(list: &str, modules: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    let own: Vec<&str> = list.split(';').filter(|s| hands_on(s).is_none()).collect();
    let begins = |text: &str, path: &str| {
        text.match_indices(path).any(|(at, _)| !text[..at].ends_with(|c: char| is_of_name(c) || c == ':'))
    };
    modules.filter(|m| own.iter().any(|s| begins(s, &format!("{m}::")))).cloned().collect()
}

/// The names of the room that a file `depth` modules below it uses.
fn used(room: &str, depth: usize, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for prefix in [format!("crate::{room}::"), "super::".repeat(depth)] {
        for (at, _) in text.match_indices(prefix.as_str()) {
            if !text[..at].ends_with("::") {
                found.extend(super::first_names(&text[at + prefix.len()..]));
            }
        }
    }
    found.retain(|name| !["super", ""].contains(&name.as_str()));
    found
}

/// The first circle of a graph. Its first module is also its last.
fn circle(graph: &Graph) -> Option<Vec<String>> {
    fn walk<'a>(
        graph: &'a Graph,
        at: &'a str,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<String>> {
        if let Some(from) = way.iter().position(|m| *m == at) {
            return Some(way[from..].iter().chain([&at]).map(|m| m.to_string()).collect());
        }
        if done.contains(at) {
            return None;
        }
        way.push(at);
        let found = graph.get(at).into_iter().flatten().find_map(|next| walk(graph, next, way, done));
        way.pop();
        done.insert(at);
        found
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|at| walk(graph, at, &mut Vec::new(), &mut done))
}

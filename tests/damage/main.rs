//! Damages every file that a study leaves, in every way that a disk, a full disk, a user's mistake or a wrong user can.
//! The program must then give the right bits, or a sentence that names what is damaged, with a documented exit code. It
//! must never give another number, an internal error, a signal or a hang.
//!
//! The files are listed from a real study, so that a new file is tested as soon as it exists. CI tries a part of the
//! combinations, the same every time; DAMAGE=all tries all of them. The table of outcomes is kept as
//! target/tmp/damage-*.txt.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]
#![cfg(unix)] // users and file permissions

#[path = "../common/mod.rs"]
mod common;
mod kinds;
mod outcome;
mod study;

use kinds::{Kind, damaged_copy};
use outcome::{Outcome, Table};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use study::{Made, made};
use wgslab::base::hash::Hasher;
use wgslab::base::seal;

/// A file of a study, the damage to it, and the command that runs on it.
#[derive(Clone, Debug)]
struct Combination {
    file: String,
    kind: Kind,
    command: &'static str,
}

impl Combination {
    /// Whether CI tries it. The name alone decides: one combination in `of`. Of the report's pictures only the first
    /// two are tried.
    fn is_chosen(&self, of: u8) -> bool {
        if std::env::var("DAMAGE").as_deref() == Ok("all") {
            return true;
        }
        let name = self.file.rsplit('/').next().unwrap();
        let one_of_many = name.ends_with(".png") && name > "01.png";
        let lot = Hasher::new().part(format!("{} {:?} {}", self.file, self.kind, self.command)).hex();
        !one_of_many && u8::from_str_radix(&lot[..2], 16).unwrap().is_multiple_of(of)
    }
}

/// Every combination of the files of `base` with commands that read them.
fn combinations(base: &Path, commands: impl Fn(&str) -> Vec<(&'static str, u8)>) -> Vec<Combination> {
    let files: BTreeMap<String, Vec<u8>> = common::files(base);
    let mut all = Vec::new();
    for (file, bytes) in &files {
        for kind in Kind::ALL.into_iter().filter(|k| k.applies(file, bytes, &files)) {
            for (command, of) in commands(file) {
                let one = Combination { file: file.clone(), kind, command };
                if one.is_chosen(of) {
                    all.push(one);
                }
            }
        }
    }
    all
}

/// Tries all of `list` with `attempt`, on `threads` threads. Keeps the table, and fails if an outcome is wrong.
fn check(name: &str, list: &[Combination], threads: usize, attempt: &(dyn Fn(&Combination) -> Outcome + Sync)) {
    let (next, table) = (AtomicUsize::new(0), Mutex::new(Table::default()));
    let work = || {
        while let Some(one) = list.get(next.fetch_add(1, Ordering::SeqCst)) {
            let outcome = attempt(one);
            table.lock().unwrap().add(one, outcome);
        }
    };
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    table.into_inner().unwrap().finish(name);
}

#[test]
fn damage_to_a_finished_study_is_told_or_changes_nothing() {
    if !common::adapter("damage_to_a_finished_study_is_told_or_changes_nothing") {
        return;
    }
    let made: &Made = made();
    let list = combinations(&made.finished, |file| {
        let mut commands = vec![("run", 4), ("report", 1)];
        if file.starts_with("runs/") {
            commands.push(("evaluate", 4));
        }
        if file.ends_with("config.toml") {
            commands.push(("list", 1));
        }
        commands
    });
    assert!(list.len() >= 300, "{} combinations", list.len());
    // The report reads every file, so that no damage is left out.
    let every = combinations(&made.finished, |_| vec![("report", 1)]);
    assert_eq!(list.iter().filter(|one| one.command == "report").count(), every.len());
    check("finished", &list, 2, &|one| {
        let copy = damaged_copy(made, &made.finished, one);
        outcome::of_command(made, one, &copy)
    });
    assert!(common::files(&made.finished) == made.due, "a command wrote into another study's files");
}

#[test]
fn damage_to_a_stopped_study_is_told_or_changes_nothing() {
    if !common::adapter("damage_to_a_stopped_study_is_told_or_changes_nothing") {
        return;
    }
    let made: &Made = made();
    for (name, base, of) in
        [("stopped in pretraining", &made.pretraining, 2), ("stopped in training", &made.training, 6)]
    {
        // A stage keeps its progress in its own folder. What it builds on is in the folder of the pretraining.
        let is_of_stage = |file: &str| file.starts_with("pretraining/") || file.starts_with("runs/");
        let list = combinations(base, |file| if is_of_stage(file) { vec![("go on", of)] } else { vec![] });
        // The study goes on in this process, so that kernels are compiled once. This process may be root, which can
        // read everything.
        let list: Vec<_> = list.into_iter().filter(|c| c.kind != Kind::Unreadable).collect();
        assert!(list.len() >= 10, "{name}: {} combinations", list.len());
        check(name, &list, 1, &|one| {
            let copy = damaged_copy(made, base, one);
            outcome::of_going_on(made, one, &copy)
        });
    }
}

/// A folder that the user may not enter, or a file in its place, damages only one cell. The other cells are shown, and
/// the study goes on with them.
#[test]
fn a_closed_folder_is_one_cell_s_damage() {
    if !common::adapter("a_closed_folder_is_one_cell_s_damage") {
        return;
    }
    let made: &Made = made();
    let cells: Vec<_> =
        std::fs::read_dir(made.finished.join("runs")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(cells.len(), 2);
    for (closed, command) in [(true, "report"), (true, "run"), (false, "report"), (false, "run")] {
        let copy = kinds::whole_copy(made, &made.finished);
        let (cell, other) = (cells[0].to_str().unwrap(), cells[1].to_str().unwrap());
        let folder = copy.path().join("out/runs").join(cell);
        let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
        if closed {
            std::fs::set_permissions(&folder, mode(0o000)).unwrap();
        } else {
            std::fs::remove_dir_all(&folder).unwrap();
            std::fs::write(&folder, "").unwrap();
        }
        std::fs::copy(made.place.join("study.toml"), copy.path().join("study.toml")).unwrap();
        let words = match command {
            "run" => vec!["study", "run", "study.toml", "--out", "out"],
            _ => vec!["study", "report", "out"],
        };
        let (code, said) = outcome::said(made, copy.path(), &words);
        std::fs::set_permissions(&folder, mode(0o755)).unwrap(); // so that the copy can be removed
        assert!(code == 4 && said.contains(cell) && said.contains("move it away"), "{closed} {command}: {code} {said}");
        let page = std::fs::read_to_string(copy.path().join("out/report.html")).unwrap();
        assert!(page.contains("1 of 2 cells") && page.contains(cell), "{closed} {command}");
        let table = std::fs::read_to_string(copy.path().join("out/results.csv")).unwrap();
        assert_eq!(table.lines().count(), 2, "{closed} {command}: only {other} should be there");
    }
}

/// The files of an unfinished run are not listed in a `done` file. A valid file of another run among them must not be
/// evaluated.
#[test]
fn files_of_two_unfinished_runs_are_not_evaluated_together() {
    if !common::adapter("files_of_two_unfinished_runs_are_not_evaluated_together") {
        return;
    }
    let made: &Made = made();
    let folders = |base: &Path| -> Vec<_> {
        std::fs::read_dir(base.join("runs")).unwrap().map(|e| e.unwrap().file_name()).collect()
    };
    let [cell] = &folders(&made.training)[..] else { panic!("one cell was begun") };
    let other = folders(&made.finished).into_iter().find(|name| name != cell).unwrap();
    let data = made.data.join("set");
    let run = Path::new("out/runs").join(cell);
    let words = ["evaluate", "--data", data.to_str().unwrap(), "--run", run.to_str().unwrap(), "--json"];
    let copy = kinds::whole_copy(made, &made.training);
    let (code, said) = outcome::said(made, copy.path(), &words);
    assert!(code == 0 && said.contains("is not finished"), "{code}: {said}");
    let theirs = |name: &str| std::fs::read(made.finished.join("runs").join(&other).join(name)).unwrap();
    let text = String::from_utf8(theirs("config.toml")).unwrap();
    let changed = seal::opened_text(&text).unwrap().replace("knn_neighbours = 20", "knn_neighbours = 3");
    for (file, bytes, names) in [
        ("environment.json", theirs("environment.json"), "state.safetensors is damaged: it is of another run"),
        ("state.safetensors", theirs("state.safetensors"), "state.safetensors is damaged: it is of another run"),
        ("config.toml", seal::sealed_text(&changed).into_bytes(), "config.toml is damaged: its evaluation"),
    ] {
        let copy = kinds::whole_copy(made, &made.training);
        std::fs::write(copy.path().join(&run).join(file), bytes).unwrap();
        let (code, said) = outcome::said(made, copy.path(), &words);
        assert!(code == 4 && said.contains(names), "{file}: {code}: {said}");
    }
}

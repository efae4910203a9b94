//! Judges what a command did with a damaged study.

use super::Combination;
use super::common::{files, timeless};
use super::kinds::Copy;
use super::study::{Made, Stop};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How a command ended.
pub enum Outcome {
    /// Exit code 0. Every result and file is as in the undamaged study.
    Right,
    /// A sentence that names what is damaged, with this exit code. What was written is right.
    Told(i32),
    /// Anything else, in words.
    Wrong(String),
}

/// The exit codes for damage: usage, bad data, try again.
const CODES: [i32; 3] = [2, 4, 75];

/// A command that does not hang ends sooner than this, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// How a process or a call ended, and what it printed.
struct Ended {
    code: i32,
    out: String,
    said: String,
}

/// Runs the combination's command on a copy.
pub fn of_command(made: &Made, one: &Combination, copy: &Copy) -> Outcome {
    let run = one.file.split('/').take(2).collect::<Vec<_>>().join("/");
    let run = format!("out/{}", if run.starts_with("runs/") { run } else { first_run(&made.due) });
    let data = made.data.join("set");
    let words: Vec<&str> = match one.command {
        "run" => vec!["study", "run", "study.toml", "--out", "out"],
        "report" => vec!["study", "report", "out"],
        "evaluate" => vec!["evaluate", "--data", data.to_str().unwrap(), "--run", &run, "--json"],
        _ => vec!["study", "list", "out/config.toml"],
    };
    let words = match (one.command, one.file.as_str()) {
        ("list", file) => vec!["study", "list", Box::leak(format!("out/{file}").into_boxed_str())],
        _ => words,
    };
    let ended = match run_command(made.command(copy.dir.path(), &words)) {
        Ok(ended) => ended,
        Err(why) => return Outcome::Wrong(why),
    };
    let due_out = || {
        let key = format!("{} {run}", one.command);
        if let Some(due) = made.said.lock().unwrap().get(&key) {
            return due.clone();
        }
        let whole = super::kinds::whole_copy(made, &made.finished);
        let due = run_command(made.command(whole.path(), &words)).unwrap();
        assert_eq!(due.code, 0, "{}", due.said);
        made.said.lock().unwrap().insert(key, due.out.clone());
        due.out
    };
    judge(made, one, copy, &ended, &due_out)
}

/// Continues a stopped study in this process.
pub fn of_going_on(made: &Made, one: &Combination, copy: &Copy) -> Outcome {
    let listener = Stop::never();
    let result = catch_unwind(AssertUnwindSafe(|| made.run(&copy.out, &listener)));
    let mut said = listener.notes.lock().unwrap().join("\n");
    let code = match result {
        Err(_) => return Outcome::Wrong("a panic".into()),
        Ok(Ok(outcome)) if outcome.damaged.is_empty() && outcome.failed.cells == 0 => 0,
        Ok(Ok(outcome)) if outcome.damaged.is_empty() => {
            said += &format!("\nerror: {}", outcome.failed.reasons.join("; "));
            i32::from(outcome.failed.exit_code)
        }
        Ok(Ok(outcome)) => {
            said += &format!("\nerror: {}", outcome.damaged.join("; "));
            4 // the exit code of the command in this case
        }
        Ok(Err(e)) => {
            said += &format!("\nerror: {e}");
            i32::from(e.exit_code())
        }
    };
    judge(made, one, copy, &Ended { code, out: String::new(), said }, &String::new)
}

fn first_run(due: &BTreeMap<String, Vec<u8>>) -> String {
    let file = due.keys().find(|f| f.starts_with("runs/")).unwrap();
    file.split('/').take(2).collect::<Vec<_>>().join("/")
}

/// Runs words on `dir` as an ordinary user. Gives the exit code and what was printed.
pub fn said(made: &Made, dir: &Path, words: &[&str]) -> (i32, String) {
    let ended = run_command(made.command(dir, words)).unwrap();
    (ended.code, ended.said)
}

fn run_command(mut command: Command) -> Result<Ended, String> {
    let (out, said) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let of = |f: &tempfile::NamedTempFile| Stdio::from(f.reopen().unwrap());
    let mut child = command.stdin(Stdio::null()).stdout(of(&out)).stderr(of(&said)).spawn().unwrap();
    let started = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if started.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not end within {} s", PATIENCE.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(3)),
        }
    };
    let text = |f: &tempfile::NamedTempFile| String::from_utf8_lossy(&std::fs::read(f.path()).unwrap()).into_owned();
    let (out, said) = (text(&out), text(&said));
    match status.code() {
        Some(code) => Ok(Ended { code, out, said }),
        None => Err(format!("{status}: {}", last_line(&said))),
    }
}

fn last_line(text: &str) -> &str {
    text.lines().next_back().unwrap_or_default()
}

fn judge(made: &Made, one: &Combination, copy: &Copy, ended: &Ended, due_out: &dyn Fn() -> String) -> Outcome {
    let wrong = |what: &str| Outcome::Wrong(format!("{what} (exit code {}: {})", ended.code, last_line(&ended.said)));
    if ["has a bug", "panicked", "internal error"].iter().any(|w| ended.said.contains(w)) {
        return wrong("an internal error");
    }
    if let Some(what) = strange(made, one, copy, ended.code == 0) {
        return wrong(&what);
    }
    match ended.code {
        0 if matches!(one.command, "evaluate" | "list") && ended.out != due_out() => {
            let (got, due) = (ended.out.clone(), due_out());
            let differs = got.lines().zip(due.lines()).find(|(a, b)| a != b);
            wrong(&format!("another answer: {differs:?}"))
        }
        0 => Outcome::Right,
        code if !CODES.contains(&code) => wrong("an exit code that does not fit"),
        code if !names(one, &ended.said) => wrong(&format!("what is damaged is not named, code {code}")),
        code => Outcome::Told(code),
    }
}

/// Whether an error or a warning names the damaged file, or the folder of the cell that holds it. For a file of the
/// study itself it must name the path, because almost every sentence names the folder `out`.
fn names(one: &Combination, said: &str) -> bool {
    let mut parts = one.file.rsplit('/');
    let file = parts.next().unwrap();
    let names = match parts.next() {
        Some(folder) => vec![file.to_string(), folder.to_string()],
        None => vec![format!("out/{file}")],
    };
    let mut lines = said.lines().filter(|l| l.contains("error:") || l.contains("warning:"));
    lines.any(|l| names.iter().any(|n| l.contains(n)))
}

/// A file in the folder that is neither as in the undamaged study nor as it was damaged. In an incomplete study files
/// may be missing, but the files that are there must be right.
fn strange(made: &Made, one: &Combination, copy: &Copy, complete: bool) -> Option<String> {
    let got = files(&copy.out);
    let due = |name: &str| made.due.get(name).map(|b| timeless(name, b));
    // A file that cannot be parsed counts as different.
    let timeless = |name: &str, bytes: &[u8]| catch_unwind(|| timeless(name, bytes)).unwrap_or(Some(bytes.to_vec()));
    for (name, bytes) in &got {
        let left_alone = *name == one.file && copy.damaged.as_ref() == Some(bytes);
        let shown = ["results.csv", "report.html"].contains(&name.as_str());
        // The files that show results must be right even where nothing else was written. A damaged file that they are
        // made from may stay as it is; the next command reads it again.
        if left_alone && !(shown && complete && one.command != "evaluate" && one.command != "list") {
            continue;
        }
        if name == "results.csv" {
            if let Some(row) = strange_row(bytes, &made.due[name], complete && one.command != "evaluate") {
                return Some(format!("results.csv: {row}"));
            }
            continue;
        }
        if is_of_a_moment(name) || one.command == "go on" && !complete {
            continue;
        }
        match due(name) {
            None => return Some(format!("an unexpected file: {name}")),
            Some(due) if due != timeless(name, bytes) => return Some(format!("{name} differs")),
            Some(_) => {}
        }
    }
    // The page and the files beside it show what the folder holds, so with equal times they are the same.
    let shown = made.due.keys().filter(|name| *name == "report.html" || name.starts_with("report/"));
    if let Some(name) = shown.filter(|_| complete && one.command == "report").find(|n| got.get(*n) != made.due.get(*n))
    {
        return Some(format!("{name} differs"));
    }
    let missing = made.due.keys().find(|n| complete && !got.contains_key(*n) && **n != one.file && !is_of_a_moment(n));
    missing.map(|n| format!("{n} is missing"))
}

/// Locks, caches, files that hold times, why a cell failed, and what shows the cells that are there.
fn is_of_a_moment(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap();
    ["lock", "clock.json", "times.jsonl", "report.html", "failed.json"].contains(&file)
        || name.contains("cache/")
        || name.starts_with("report/")
}

/// A row of `got` that is not among the rows due, times aside; or a row that is missing from a complete table.
fn strange_row(got: &[u8], due: &[u8], complete: bool) -> Option<String> {
    let rows = |bytes: &[u8]| {
        let text = timeless("results.csv", bytes).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().map(String::from).collect::<Vec<_>>()
    };
    let (got, due) = (rows(got), rows(due));
    let strange = got.iter().find(|r| !due.contains(r)).map(|r| format!("another row: {r}"));
    strange.or_else(|| due.iter().find(|r| complete && !got.contains(r)).map(|r| format!("no row: {r}")))
}

/// Outcomes by file, damage and command.
#[derive(Default)]
pub struct Table {
    cells: BTreeMap<(String, String), Vec<(&'static str, String)>>,
    counts: [usize; 3],
    wrong: Vec<String>,
}

impl Table {
    pub fn add(&mut self, one: &Combination, outcome: Outcome) {
        let (at, word) = match &outcome {
            Outcome::Right => (0, "right".to_string()),
            Outcome::Told(code) => (1, format!("told {code}")),
            Outcome::Wrong(_) => (2, "WRONG".to_string()),
        };
        self.counts[at] += 1;
        if let Outcome::Wrong(why) = outcome {
            self.wrong.push(format!("{} {:?}, {}: {why}", one.file, one.kind, one.command));
        }
        let kind = match one.kind {
            super::Kind::Bit(_) => "Bit".to_string(),
            kind => format!("{kind:?}"),
        };
        self.cells.entry((one.file.clone(), kind)).or_default().push((one.command, word));
    }

    /// Writes the table to a file, prints the counts, and fails where an outcome is wrong.
    pub fn finish(self, name: &str) {
        let mut text = String::new();
        for ((file, kind), outcomes) in &self.cells {
            let mut of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            outcomes.iter().for_each(|(command, word)| of.entry(command).or_default().push(word));
            let words: Vec<String> = of.iter().map(|(c, w)| format!("{c}: {}", w.join(" "))).collect();
            text += &format!("{file}\t{kind}\t{}\n", words.join(", "));
        }
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("damage-{}.txt", name.replace(' ', "-")));
        std::fs::write(&path, text).unwrap();
        let [right, told, wrong] = self.counts;
        let total = right + told + wrong;
        let line = format!("damage, {name}: {total} combinations, {right} right, {told} reported, {wrong} wrong\n");
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
        assert!(self.wrong.is_empty(), "{line}{}\n{}", self.wrong.join("\n"), path.display());
    }
}

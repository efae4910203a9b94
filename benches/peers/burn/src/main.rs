//! Times Burn (wgpu, autotune and fusion on) at the case sets of `wgslab bench`, forward and backward, and writes its
//! schema. Or times a ResNet-18 training step. ../README.md says how to build and run it.

mod forms;
mod measure;
mod report;
mod resnet;
mod step;

use burn::tensor::{Device, DeviceKind};
use measure::Rule;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
wgslab-peer-burn bench SET|FILE.toml [--filter TEXT] [--seconds S] [--time-limit S] [--json FILE]
wgslab-peer-burn step [--batch N] [--size PIXELS] [--steps N] [--json FILE]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("error: {what}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut options = Options(words);
    let command = options.word().ok_or(USAGE)?;
    let json = options.value("--json")?.map(PathBuf::from);
    match command.as_str() {
        "bench" => {
            let filter = options.value("--filter")?.unwrap_or_default();
            let mut rule = Rule::default();
            rule.seconds = options.number("--seconds", rule.seconds)?;
            rule.limit = options.number("--time-limit", rule.limit)?.max(rule.seconds);
            let set = options.word().ok_or(USAGE)?;
            options.finish()?;
            bench(&set, &filter, &rule, json.as_deref())
        }
        "step" => {
            let batch = options.number("--batch", 64)?;
            let size = options.number("--size", 32)?;
            let steps = options.number("--steps", 5)?;
            options.finish()?;
            step::run(batch, size, steps, json.as_deref())
        }
        _ => Err(USAGE.into()),
    }
}

/// The words of the command line that are not read yet.
struct Options(Vec<String>);

impl Options {
    /// The next word that is not an option. Options are read first.
    fn word(&mut self) -> Option<String> {
        let at = self.0.iter().position(|w| !w.starts_with("--"))?;
        Some(self.0.remove(at))
    }

    fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(at) = self.0.iter().position(|w| w == name) else { return Ok(None) };
        if at + 1 >= self.0.len() {
            return Err(format!("{name} needs a value\n{USAGE}"));
        }
        self.0.remove(at);
        Ok(Some(self.0.remove(at)))
    }

    fn number<T: std::str::FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        match self.value(name)? {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("{name} {text}: this option takes no such number\n{USAGE}")),
        }
    }

    fn finish(&self) -> Result<(), String> {
        self.0.first().map_or(Ok(()), |w| Err(format!("{w} is not known\n{USAGE}")))
    }
}

/// The device that Burn takes by default; CUBECL_WGPU_DEFAULT_DEVICE chooses another.
fn device() -> Device {
    Device::wgpu(DeviceKind::DefaultDevice)
}

fn bench(set: &str, filter: &str, rule: &Rule, json: Option<&Path>) -> Result<(), String> {
    let device = device();
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    for (op, case) in cases(set)? {
        let name = case.get("name").and_then(|n| n.as_str()).ok_or(format!("{set}: a case of {op} has no name"))?;
        if !format!("{op} {name}").contains(filter) {
            continue;
        }
        // If Burn cannot launch a kernel on the adapter, it panics.
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let form = forms::form(&op, &case, &device)?;
            Ok::<_, String>(measure::rows(&op, name, form, &device, rule))
        }));
        match ran {
            Ok(Ok(of_case)) => of_case.iter().for_each(|row| {
                report::show(row);
                rows.push(row.clone());
            }),
            Ok(Err(why)) => skipped.push(skip(&op, name, &why)),
            Err(_) => skipped.push(skip(&op, name, "Burn panicked; its message is above")),
        }
    }
    for s in &skipped {
        let [op, case, why] = ["op", "case", "why"].map(|key| s[key].as_str().unwrap_or_default());
        println!("skipped: {op} {case}: {why}");
    }
    if rows.is_empty() {
        return Err("nothing could be measured".into());
    }
    let report = json!({
        "schema": "wgslab-bench/1", "environment": report::environment()?, "reference": null,
        "rows": rows, "skipped": skipped,
    });
    json.map_or(Ok(()), |path| report::save(&report, path))
}

fn skip(op: &str, case: &str, why: &str) -> Value {
    json!({ "op": op, "case": case, "why": why })
}

/// (op, fields) of each case of a set.
fn cases(set: &str) -> Result<Vec<(String, toml::Table)>, String> {
    let file = set.contains('/') || set.ends_with(".toml");
    let sets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sets");
    let path = if file { PathBuf::from(set) } else { sets.join(format!("{set}.toml")) };
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let table: toml::Table = toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut cases = Vec::new();
    for (op, list) in table.into_iter().filter(|(key, _)| !["about", "variants", "time_limit_s"].contains(&key.as_str())) {
        for case in list.as_array().ok_or(format!("{}: {op} must be a list of cases", path.display()))? {
            let case = case.as_table().ok_or(format!("{}: a case of {op} must be a table", path.display()))?;
            cases.push((op.clone(), case.clone()));
        }
    }
    Ok(cases)
}

//! Times Burn (wgpu, autotune and fusion on) at the case sets of `wgslab bench`, forward and backward, and writes its
//! schema; or a ResNet-18 training step. ../README.md says how to build and run it.

mod forms;
mod measure;
mod report;
mod resnet;
mod step;

use burn::tensor::{Device, DeviceKind};
use clap::{Parser, Subcommand};
use measure::Rule;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Times Burn at wgslab's case sets
#[derive(Parser)]
#[command(name = "wgslab-peer-burn")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Single ops at the cases of a set
    Bench {
        /// A set of benches/sets, or a TOML file
        set: String,
        /// Only cases with this text in 'op name'
        #[arg(long, default_value = "")]
        filter: String,
        /// The least seconds of a row
        #[arg(long, default_value_t = Rule::default().seconds)]
        seconds: f64,
        /// The most seconds of a row; tuning, before its first sample, comes on top
        #[arg(long, default_value_t = Rule::default().limit)]
        time_limit: f64,
        /// Write the report there
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// A ResNet-18 training step: cross-entropy, SGD with momentum, random images
    Step(step::Arguments),
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Bench { set, filter, seconds, time_limit, json } => {
            let rule = Rule { seconds, limit: time_limit.max(seconds), ..Rule::default() };
            bench(&set, &filter, &rule, json.as_deref())
        }
        Command::Step(a) => step::run(&a),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("error: {what}");
            ExitCode::from(2)
        }
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
        // A kernel that Burn cannot launch on the adapter ends in a panic of its own.
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let form = forms::form(&op, &case, &device)?;
            Ok(measure::rows(&op, name, form, &device, rule))
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
        println!("skipped: {} {}: {}", s["op"], s["case"], s["why"]);
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
    for (op, list) in table.into_iter().filter(|(key, _)| key != "about" && key != "variants") {
        for case in list.as_array().ok_or(format!("{}: {op} must be a list of cases", path.display()))? {
            let case = case.as_table().ok_or(format!("{}: a case of {op} must be a table", path.display()))?;
            cases.push((op.clone(), case.clone()));
        }
    }
    Ok(cases)
}

//! Tests `wgslab kernels watch` from outside, on real files: edits that are correct, slow, wrong, broken, endless, or
//! that write outside their buffer.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

mod common;

use common::{adapter, alone, has_radv, wgslab};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;
use tempfile::TempDir;

const PIECE: &str = "elementwise/scale/forward.wgsl";

/// The line of the kernel that computes.
const LINE: &str = "y[i] = p.factor * x[i];";

/// The committed text with its computing line replaced.
fn edited(by: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders").join(PIECE)).unwrap();
    assert!(text.contains(LINE), "{text}");
    text.replace(LINE, by)
}

/// A folder with the edited file at mine/elementwise/scale/forward.wgsl.
fn folder(text: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine").join(PIECE);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    dir
}

const CASE: &str = "scale.forward/a workgroup and one";
const WATCH: &[&str] = &["kernels", "watch", "mine/elementwise/scale/forward.wgsl", "--case", CASE, "--quiet"];

fn once(text: &str, words: &[&str]) -> Output {
    let dir = folder(text);
    wgslab(dir.path(), &[WATCH, &["--once"], words].concat()).output().unwrap()
}

/// The verdict on an edit in a case with many workgroups.
#[track_caller]
fn verdict_on_many(by: &str, limit_s: &str) -> Value {
    let (dir, mut words) = (folder(&edited(by)), WATCH.to_vec());
    words[4] = "scale.forward/many workgroups";
    let output =
        wgslab(dir.path(), &[&words[..], &["--once", "--json", "--limit-s", limit_s]].concat()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The verdict on an edit. The exit code must be 0 exactly where the edit is correct.
#[track_caller]
fn verdict(by: &str, limit_s: &str) -> Value {
    let output = once(&edited(by), &["--json", "--limit-s", limit_s]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(out.lines().count(), 1, "{out}{err}");
    let verdict: Value = serde_json::from_str(&out).unwrap();
    let code = if verdict["verdict"] == "right" { 0 } else { 1 };
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    verdict
}

fn median(samples: &Value) -> f64 {
    let mut ms: Vec<f64> = samples.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    ms.sort_by(f64::total_cmp);
    ms[ms.len() / 2]
}

#[test]
fn an_edit_is_right_and_timed() {
    if !adapter("an_edit_is_right_and_timed") {
        return;
    }
    let _alone = alone();
    let right = verdict("let v = x[i]; y[i] = v * p.factor;", "60");
    assert_eq!(right["verdict"], "right", "{right}");
    for samples in ["edited_ms", "committed_ms", "shipped_ms"] {
        // On a slow machine there is time for only one round.
        assert!(!right[samples].as_array().unwrap().is_empty(), "{right}");
    }
    assert!(right.as_object().unwrap().contains_key("compiled"), "null where the driver tells nothing: {right}");
    // Sines are below 2, but no compiler knows that.
    let slow = "var waste = x[i];
        for (var k = 0u; k < 500u; k++) { waste = sin(waste); }
        y[i] = select(p.factor * x[i], waste, waste > vec4(2.0));";
    let slow = verdict(slow, "30");
    assert_eq!(slow["verdict"], "right", "{slow}");
    let ratio = median(&slow["edited_ms"]) / median(&slow["committed_ms"]);
    assert!(ratio > 1.5, "{ratio}: {slow}");
    let time = &slow["time"];
    assert!(time["verdict"] == "slower" && time["ratio"].as_f64().unwrap() > 1.5, "{time}");
}

#[test]
fn wrong_values_are_named() {
    if !adapter("wrong_values_are_named") {
        return;
    }
    let _alone = alone();
    let wrong = verdict("y[i] = 1.01 * p.factor * x[i];", "60");
    assert!(wrong["verdict"] == "wrong" && wrong["why"].as_str().unwrap().contains("element 0 of output 0"), "{wrong}");
    // This is correct for positive values, which the tuner uses.
    let wrong = verdict("y[i] = p.factor * abs(x[i]);", "60");
    assert!(wrong["verdict"] == "wrong" && wrong["why"].as_str().unwrap().contains("the case's inputs"), "{wrong}");
    assert!(wrong.get("time").is_none(), "{wrong}");
    let missing = verdict("if (i > 0u) { y[i] = p.factor * x[i]; }", "60");
    assert!(missing["verdict"] == "wrong" && missing["why"].as_str().unwrap().contains("is NaN"), "{missing}");
}

/// This is correct for every number, but it hides a bad step: a NaN in the input must give a NaN in the output.
#[test]
fn a_lost_nan_is_seen() {
    if !adapter("a_lost_nan_is_seen") {
        return;
    }
    let _alone = alone();
    let committed =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders/elementwise/unary/relu.wgsl"))
            .unwrap();
    let line = "return select(x, vec4<f32>(0.0), below);";
    assert!(committed.contains(line), "{committed}");
    for (by, right) in [
        ("return select(vec4<f32>(0.0), x, x > vec4<f32>(0.0));", false),
        ("return select(vec4<f32>(0.0), x, !(x <= vec4<f32>(0.0)));", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("mine/elementwise/unary")).unwrap();
        std::fs::write(dir.path().join("mine/elementwise/unary/relu.wgsl"), committed.replace(line, by)).unwrap();
        let words = [
            "kernels",
            "watch",
            "mine/elementwise/unary/relu.wgsl",
            "--case",
            "relu.forward",
            "--once",
            "--json",
            "--quiet",
        ];
        let output = wgslab(dir.path(), &words).output().unwrap();
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(if right { 0 } else { 1 }), "{verdict}");
        let lost =
            "on the case's inputs with NaN and infinities in input 0, element 0 of output 0 is 0 and should be NaN";
        assert!(right || verdict["why"].as_str().unwrap().contains(lost), "{verdict}");
    }
}

/// Where no case is named, an edit must be correct in all cases.
#[test]
fn an_edit_that_is_wrong_in_a_small_case_alone_is_wrong() {
    if !adapter("an_edit_that_is_wrong_in_a_small_case_alone_is_wrong") {
        return;
    }
    let _alone = alone();
    let verdict = |by: &str| -> Value {
        let (dir, mut words) = (folder(&edited(by)), WATCH.to_vec());
        words[4] = "scale.forward";
        let output = wgslab(dir.path(), &[&words[..], &["--once", "--json"]].concat()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let wrong = verdict("y[i] = p.factor * x[i] + select(0.0, 1.0, p.vectors == 2u);");
    assert!(wrong["verdict"] == "wrong" && wrong["why"].as_str().unwrap().contains("in the case 'zero'"), "{wrong}");
    let right = verdict("y[i] = x[i] * p.factor;");
    assert!(right["verdict"] == "right" && right["cases"] == 5, "{right}");
}

#[test]
fn writing_behind_the_output_is_seen() {
    if !adapter("writing_behind_the_output_is_seen") {
        return;
    }
    let _alone = alone();
    let outside = verdict("y[i] = p.factor * x[i]; y[p.vectors + i] = vec4(1.0);", "60");
    let why = outside["why"].as_str().unwrap();
    assert!(outside["verdict"] == "wrong" && why.contains("behind a value"), "{outside}");
    // This write is so far outside that the checks stop it: no other memory changes, and the tool goes on.
    let far = verdict("y[i] = p.factor * x[i]; y[i + 500000000u] = vec4(1.0);", "60");
    assert!(["right", "wrong"].contains(&far["verdict"].as_str().unwrap()), "{far}");
}

#[test]
fn what_does_not_compile_is_placed() {
    if !adapter("what_does_not_compile_is_placed") {
        return;
    }
    let _alone = alone();
    let line = 1 + edited(LINE).lines().position(|l| l.contains(LINE)).unwrap();
    let broken = verdict("y[i] = p.factor * nothing[i];", "60");
    let why = broken["why"].as_str().unwrap();
    let due = format!("mine/elementwise/scale/forward.wgsl:{line}: scale.forward");
    assert!(broken["verdict"] == "broken" && why.starts_with(&due) && why.contains("nothing"), "{broken}");
    let output = once(&edited(LINE).replace("factor: f32 }", "factor: f32, more: u32 }"), &[]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("broken: mine/elementwise/scale/forward.wgsl: ") && told.contains("the op fills"), "{told}");
}

#[test]
fn a_loop_without_end_is_killed() {
    if !adapter("a_loop_without_end_is_killed") {
        return;
    }
    let _alone = alone();
    // Mesa's software driver leaves a loop after 65,535 rounds. So each round is long here, and many workgroups run it.
    // More text would take longer still, but its compile time grows with the square of its length.
    let body = |last: &str| {
        format!(
            "var v = x[i];
            loop {{
                //@ for k in 0..100
                v = sin(v + $k.0);
                //@ end
                {last}
            }}
            y[i] = v;"
        )
    };
    // The shortest limit in which this machine, busy as it is, runs one round. A process that is stopped at this limit
    // is then stopped because of the loop.
    let once = |limit_s: &&str| verdict_on_many(&body("break;"), limit_s)["verdict"] != "stopped";
    let limit_s = ["5", "15", "60"].into_iter().find(once).expect("one round of the loop takes over a minute");
    let endless = verdict_on_many(&body("if (p.vectors == 0u) { break; }"), limit_s);
    let why = endless["why"].as_str().unwrap();
    // A GPU's driver may end the loop first by taking the device away.
    let lost = endless["verdict"] == "broken" && why.contains("lost");
    let killed =
        endless["verdict"] == "stopped" && why.contains(&format!(" {limit_s} s ")) && why.contains("--limit-s");
    assert!(killed || lost, "{endless}");
}

#[test]
fn mistakes_of_the_command_are_told_before_anything_runs() {
    if !adapter("mistakes_of_the_command_are_told_before_anything_runs") {
        return;
    }
    let _alone = alone();
    let dir = folder(&edited(LINE));
    std::fs::write(dir.path().join("any.wgsl"), "").unwrap();
    for (words, says) in [
        (&["gone.wgsl", "--case", "scale.forward"] as &[&str], "no file gone.wgsl"),
        (&["any.wgsl", "--case", "scale.forward"], "--piece"),
        (
            &["any.wgsl", "--case", "scale.forward", "--piece", "elementwise/scale/forwards.wgsl"],
            "is it elementwise/scale/forward.wgsl?",
        ),
        (&["any.wgsl", "--case", "scale.forward", "--piece", "training/sgd/step.wgsl"], "is no part of scale.forward"),
        (&["any.wgsl", "--case", "scale.backwards", "--piece", PIECE], "no kernel scale.backwards"),
        (&["any.wgsl", "--case", "scale.forward/none", "--piece", PIECE], "no case none"),
        (&["any.wgsl", "--case", "scale.forward", "--piece", PIECE, "--limit-s", "0"], "0.1 to 86400"),
    ] {
        let words = [&["kernels", "watch", "--once"], words].concat();
        let output = wgslab(dir.path(), &words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(says), "{words:?}: {said}");
    }
}

#[test]
fn the_watch_goes_on_after_a_broken_edit() {
    if !adapter("the_watch_goes_on_after_a_broken_edit") {
        return;
    }
    let _alone = alone();
    let dir = folder(&edited(LINE));
    let mut child = wgslab(dir.path(), &[WATCH, &["--limit-s", "60"]].concat()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let _ends = Ends(child);
    let (tell, told) = channel();
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|l| drop(tell.send(l))));
    let mut heard = Vec::new();
    let mut hear = |due: &str| {
        while !heard.last().is_some_and(|l: &String| l.contains(due)) {
            match told.recv_timeout(Duration::from_secs(120)) {
                Ok(line) => heard.push(line),
                Err(e) => panic!("expected a line with '{due}', but it never came ({e}): {heard:?}"),
            }
        }
        heard.clear(); // the next expected line must be a new one
    };
    // Saves as editors do: the file is never empty or incomplete.
    let save = |by: &str| {
        let (path, beside) = (dir.path().join("mine").join(PIECE), dir.path().join("mine/elementwise/scale/saved"));
        std::fs::write(&beside, edited(by)).unwrap();
        std::fs::rename(beside, path).unwrap();
    };
    hear("  right in its case and ");
    save("y[i] = nothing;");
    hear("  broken: mine/elementwise/scale/forward.wgsl:");
    save("y[i] = 2.0 * p.factor * x[i];");
    hear("  wrong values: ");
    save("y[i] = x[i] * p.factor;");
    hear("  right in its case and ");
}

/// A process that is killed when its test ends.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The number of runs in a sample comes from the committed text. It must not be used for an edit that is thousands of
/// times slower.
#[test]
fn a_slow_edit_is_judged_and_not_killed() {
    if !adapter("a_slow_edit_is_judged_and_not_killed") {
        return;
    }
    // Sines never reach 2, but the compiler does not know that.
    let slow = "var v = x[i];
        for (var k = 0u; k < 20000u; k++) {
            //@ for j in 0..20
            v = sin(v + $j.0);
            //@ end
        }
        let z = p.factor * x[i];
        y[i] = select(z, v, v > vec4<f32>(2.0));";
    let slow = verdict(slow, "30");
    assert_eq!(slow["verdict"], "right", "{slow}");
    let (edited, committed) = (median(&slow["edited_ms"]), median(&slow["committed_ms"]));
    assert!(edited > 10.0 * committed, "{edited} {committed}");
}

/// Without a GPU of that family: Mesa's RADV compiles both texts.
#[test]
fn a_compiler_judges_a_right_edit_too() {
    const TEST: &str = "a_compiler_judges_a_right_edit_too";
    if !adapter(TEST) {
        return;
    }
    if !has_radv(TEST) {
        return;
    }
    let asked = |by: &str| {
        let output = once(&edited(by), &["--json", "--limit-s", "60", "--for", "navi21,gfx1100"]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let slow = asked("y[i] = select(p.factor * x[i], sqrt(x[i]), x[i] == vec4(12345.678));");
    assert_eq!(slow["verdict"], "right", "{slow}");
    let families: Vec<&Value> = slow["compiled"].as_array().unwrap().iter().collect();
    assert_eq!(families.len(), 2, "{slow}");
    for (told, family) in families.iter().zip(["navi21", "gfx1100"]) {
        assert!(told["family"] == family && told["kernel"] == "scale.forward" && told["verdict"] == "worse", "{told}");
        let count = |of: &str| told[of]["instructions"].as_u64().unwrap();
        assert!(count("edited") > count("built_in"), "{told}");
        assert_eq!(told["edited"]["spills"], 0, "{told}");
    }
    let wrong = asked("y[i] = 2.0 * p.factor * x[i];");
    assert!(wrong["verdict"] == "wrong" && wrong.get("compiled").is_none(), "{wrong}");
    let output = once(&edited("y[i] = p.factor * x[i];"), &["--limit-s", "60", "--for", "gfx1100"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("scale.forward on gfx1100: the same figures; registers"), "{said}");
    let output = once(&edited("y[i] = p.factor * x[i];"), &["--for", "gfx9999"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A script that judges a folder of candidates: what is right and no slower comes first, what is wrong last, each with its reason.
#[test]
fn a_script_ranks_what_a_program_wrote() {
    const TEST: &str = "a_script_ranks_what_a_program_wrote";
    if !adapter(TEST) {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/judge.py");
    let dir = tempfile::tempdir().unwrap();
    let slow = "var waste = x[i];
        for (var k = 0u; k < 500u; k++) { waste = sin(waste); }
        y[i] = select(p.factor * x[i], waste, waste > vec4(2.0));";
    let wrong = "y[i] = 1.01 * p.factor * x[i];";
    for (name, by) in [("a_wrong", wrong), ("b_slow", slow), ("c_plain", LINE), ("d_broken", "y[i] = ")] {
        std::fs::write(dir.path().join(format!("{name}.wgsl")), edited(by)).unwrap();
    }
    let mut command = std::process::Command::new("python3");
    command.arg(script).args([&format!("shaders/{PIECE}"), CASE]).arg(dir.path());
    command.args(["--program", env!("CARGO_BIN_EXE_wgslab")]);
    let _alone = alone();
    let output = match command.output() {
        Ok(output) => output,
        Err(e) => {
            use std::io::Write;
            std::io::stderr().write_all(format!("{TEST} SKIPPED: there is no python3 ({e}).\n").as_bytes()).unwrap();
            return;
        }
    };
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let at = |name: &str| said.find(name).unwrap_or_else(|| panic!("{name} is missing: {said}{errors}"));
    assert!(at("c_plain") < at("b_slow") && at("b_slow") < at("a_wrong"), "{said}{errors}");
    assert!(said.contains("slower") && said.contains("element 0 of output 0"), "{said}{errors}");
    let broken = said.lines().find(|l| l.contains("d_broken")).unwrap();
    assert!(broken.contains("broken") && output.status.success(), "{said}{errors}");
    let none = std::process::Command::new("python3")
        .args([Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/judge.py")])
        .output();
    assert_eq!(none.unwrap().status.code(), Some(2), "it needs words");
}

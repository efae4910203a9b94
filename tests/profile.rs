//! Tests `wgslab profile` on tiny steps: what it prints, whether its files fit together, and the two figures that it
//! must keep.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

mod common;

use common::{adapter, alone, in_three, wgslab};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use wgslab::device::tune::Table;
use wgslab::device::{Gpu, GpuOptions};
use wgslab::lab::Timer;
use wgslab::lab::profile::profile;
use wgslab::lab::step::Ready;
use wgslab::nn::step::TrainingStep;
use wgslab::nn::{ResNet, Stem};

const TINY: [&str; 9] = ["profile", "--width", "0.125", "--size", "8", "--batch", "4", "--steps", "2"];

/// Runs the command and gives what it printed.
#[track_caller]
fn prints(dir: &Path, words: &[&str]) -> String {
    let output = wgslab(dir, words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

fn sum(list: &[Value], number: impl Fn(&Value) -> Option<f64>) -> f64 {
    list.iter().map(|v| number(v).unwrap()).sum()
}

fn near(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * b.abs()
}

#[test]
fn the_parts_of_a_profile_make_up_its_whole() {
    if !adapter("the_parts_of_a_profile_make_up_its_whole") {
        return;
    }
    let (_alone, dir) = (alone(), tempfile::tempdir().unwrap());
    let files = ["--json", "p.json", "--html", "p.html", "--trace", "t.json"];
    let said = prints(dir.path(), &[&TINY[..], &files].concat());
    for part in
        ["sum of kernels", "profiled step", "backward", "conv2d.grad_weight", "layer4.1.conv2", "alive in slabs"]
    {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let p = json(&dir.path().join("p.json"));
    assert_eq!(p["schema"], "wgslab-profile/1");
    let launches = list(&p, "launches");
    for sums in ["kernels", "layers", "phases"] {
        let dispatches = sum(list(&p, sums), |s| s["dispatches"].as_f64());
        assert_eq!(dispatches as usize, launches.len(), "{sums}");
        // Medians of the parts need not add up to the median of the whole, but with two runs they do.
        let ms = sum(list(&p, sums), |s| s["ms"]["median"].as_f64());
        assert!(near(ms, p["whole"]["kernels_ms"]["median"].as_f64().unwrap(), 1e-6), "{sums}: {ms}");
        assert!(near(sum(list(&p, sums), |s| s["share"].as_f64()), 1.0, 1e-6), "{sums}");
    }
    let phases: Vec<&str> = list(&p, "phases").iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(phases, ["forward", "backward", "optimizer"]);
    memory_holds_together(&p["memory"]);
    the_trace_is_of(&json(&dir.path().join("t.json")), &p);
    let page = std::fs::read_to_string(dir.path().join("p.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("layer4.1.conv2") && page.ends_with("</html>\n"));
    assert!(!page.contains("src=") && !page.contains("href="), "the page needs another file");
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 3, "only the files named are written");
}

/// The memory in use must never exceed the slabs. Where the values in use at the peak are listed, they must add up to
/// it.
#[track_caller]
fn memory_holds_together(memory: &Value) {
    let slabs = list(memory, "allocated").iter().find(|a| a[0] == "slabs").unwrap()[1].as_f64().unwrap();
    let alive: Vec<f64> = list(memory, "alive").iter().map(|a| sum(a.as_array().unwrap(), Value::as_f64)).collect();
    let most = alive.iter().copied().fold(0.0, f64::max);
    assert!(most <= slabs && most > 0.5 * slabs, "{most} of {slabs}");
    assert_eq!(alive[memory["peak_node"].as_u64().unwrap() as usize], most);
    assert_eq!(sum(list(memory, "at_peak"), |v| v["bytes"].as_f64()), most);
    assert!(memory["values_bytes"].as_f64().unwrap() > slabs);
}

/// Checks the trace event format: no two events overlap on a track, and the track of dispatches has the device's time.
#[track_caller]
fn the_trace_is_of(trace: &Value, profile: &Value) {
    let mut tracks: BTreeMap<(u64, u64), Vec<(f64, f64)>> = BTreeMap::new();
    let mut counted = 0;
    for e in list(trace, "traceEvents") {
        assert!(e["name"].is_string() && e["pid"].is_u64() && e["args"].is_object(), "{e}");
        match e["ph"].as_str().unwrap() {
            "M" => assert!(["process_name", "thread_name"].contains(&e["name"].as_str().unwrap()), "{e}"),
            "X" => {
                let (ts, dur) = (e["ts"].as_f64().unwrap(), e["dur"].as_f64().unwrap());
                assert!(ts >= 0.0 && dur >= 0.0, "{e}");
                tracks.entry((e["pid"].as_u64().unwrap(), e["tid"].as_u64().unwrap())).or_default().push((ts, dur));
            }
            "C" => {
                assert!(e["ts"].is_number() && e["args"].as_object().unwrap().values().all(Value::is_u64), "{e}");
                counted += 1;
            }
            other => panic!("a trace has no phase {other}: {e}"),
        }
    }
    for ((pid, tid), events) in &tracks {
        for pair in events.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0 + 1e-3, "{pid}/{tid}: {pair:?} overlap, or are out of order");
        }
    }
    let launches = list(profile, "launches");
    let span = |l: &Value| [l["span_ms"][0].as_f64().unwrap(), l["span_ms"][1].as_f64().unwrap()];
    let parts = launches.chunk_by(|a, b| a["phase"] == b["phase"]);
    let part = |p: &[Value]| [span(&p[0])[0], p.iter().map(|l| span(l)[1]).fold(0.0, f64::max)];
    let (dispatches, phases) = (&tracks[&(1, 1)], &tracks[&(1, 2)]);
    drawn_in_turn(dispatches, launches.iter().map(span).collect());
    drawn_in_turn(phases, parts.map(part).collect());
    assert_eq!(counted, list(&profile["memory"], "alive").len());
    // The device works while the host submits and waits.
    let host_end = tracks[&(2, 1)].last().map(|e| e.0 + e.1).unwrap();
    assert!(dispatches.last().map(|e| e.0 + e.1).unwrap() <= host_end);
}

/// An event of a track lasts as long as its span, in ms, without the time that the span shares with earlier ones.
#[track_caller]
fn drawn_in_turn(events: &[(f64, f64)], spans: Vec<[f64; 2]>) {
    assert_eq!(events.len(), spans.len());
    let mut free = 0.0;
    for ((_, dur), [begin, end]) in events.iter().zip(spans) {
        let own = end.max(free) - begin.max(free);
        assert!((dur - 1e3 * own).abs() < 1e-6, "{dur} µs for {begin} to {end} ms, free from {free} on");
        free = end.max(free);
    }
}

#[test]
fn without_timestamps_each_dispatch_is_timed_alone() {
    if !adapter("without_timestamps_each_dispatch_is_timed_alone") {
        return;
    }
    let (_alone, dir) = (alone(), tempfile::tempdir().unwrap());
    let files = ["--json", "p.json", "--trace", "t.json", "--wall-clock", "--labels"];
    let said = prints(dir.path(), &[&TINY[..], &files].concat());
    assert!(said.contains("timer: the host's clock, each dispatch submitted alone"), "{said}");
    let p = json(&dir.path().join("p.json"));
    assert_eq!(p["environment"]["timer"], "wall");
    the_trace_is_of(&json(&dir.path().join("t.json")), &p);
}

#[test]
fn a_stage_of_a_study_is_profiled_with_its_augmentation() {
    if !adapter("a_stage_of_a_study_is_profiled_with_its_augmentation") {
        return;
    }
    let (_alone, dir) = (alone(), tempfile::tempdir().unwrap());
    let config = "[data]\nspecs = [\"phantom:covid?train=16&val=8&test=8\"]\nstore_size = 16\nimage_size = 8\n\
                  [model]\nwidth = 0.125\n[pretraining]\nbatch_size = 4\n[training]\nbatch_size = 8\n";
    std::fs::write(dir.path().join("c.toml"), config).unwrap();
    for (stage, images, entry) in [("pretrain", 4, "nt_xent.forward"), ("train", 8, "cross_entropy.forward")] {
        prints(dir.path(), &["profile", "c.toml", "--stage", stage, "--steps", "1", "--json", "p.json", "--quiet"]);
        let p = json(&dir.path().join("p.json"));
        let phases: Vec<&str> = list(&p, "phases").iter().map(|s| s["name"].as_str().unwrap()).collect();
        assert_eq!(phases, ["augmentation", "forward", "backward", "optimizer"], "{stage}");
        assert_eq!(p["images"], images, "{stage}");
        let entries = list(&p, "launches").iter().map(|l| (l["entry"].as_str().unwrap(), l["phase"].as_str().unwrap()));
        let entries: Vec<_> = entries.collect();
        assert!(entries.contains(&(entry, "forward")), "{stage}");
        assert!(entries.contains(&("crop_resize.forward", "augmentation")), "{stage}");
        assert!(entries.contains(&("found_inf.forward", "optimizer")), "{stage}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is written");
}

/// An option chooses halves for a plain step, and for the profiled method of a config that asks for f32 or for f16.
#[test]
fn a_step_is_profiled_in_the_precision_asked_for() {
    if !adapter("a_step_is_profiled_in_the_precision_asked_for") {
        return;
    }
    let (_alone, dir) = (alone(), tempfile::tempdir().unwrap());
    let config = "[data]\nspecs = [\"phantom:covid?train=16&val=8&test=8\"]\nstore_size = 16\nimage_size = 8\n\
                  [model]\nwidth = 0.125\n[pretraining]\nmethods = [\"simclr\", \"byol\"]\nbatch_size = 4\n\
                  [pretraining.simclr]\nprecision = \"f16\"\n[pretraining.byol]\nprecision = \"f32\"\n[training]\nbatch_size = 8\n";
    std::fs::write(dir.path().join("c.toml"), config).unwrap();
    let of = |words: &[&'static str]| [&["c.toml", "--steps", "1"][..], words].concat();
    for (words, halves) in [
        ([&TINY[1..], &["--precision", "f16"]].concat(), true),
        (of(&["--method", "simclr", "--precision", "f32"]), false),
        (of(&["--method", "byol", "--precision", "f16"]), true),
        (of(&["--stage", "train", "--precision", "f16"]), true),
    ] {
        let said = prints(dir.path(), &[&["profile", "--json", "p.json", "--quiet"][..], &words[..]].concat());
        let p = json(&dir.path().join("p.json"));
        let entries: Vec<&str> = list(&p, "launches").iter().map(|l| l["entry"].as_str().unwrap()).collect();
        assert_eq!(entries.contains(&"cast.forward"), halves, "{words:?}: {said}");
        assert_eq!(p["subject"].as_str().unwrap().contains(" in f16"), halves, "{words:?}: {}", p["subject"]);
    }
    let output = wgslab(dir.path(), &["profile", "--precision", "f8"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("f32, f16"), "{said}");
}

#[test]
fn a_step_of_nothing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for words in [
        ["profile", "none.toml", "--model=vit_tiny"],
        ["profile", "--config=none.toml", "--width=0.5"],
        ["profile", "--json=p", "--html=./p"],
    ] {
        let output = wgslab(dir.path(), &words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && !said.contains("none.toml: "), "{words:?}: {said}");
    }
    for words in [["profile", "--batch", "0"], ["profile", "--steps", "0"], ["profile", "--width", "nan"]] {
        let output = wgslab(dir.path(), &words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}

/// What the profiler must keep: a profiled step takes at most 1.3 times a plain one, and the kernels' times add up to
/// the device's time within 10 %. The kinds of step take turns, and each figure is the median over neighbouring runs,
/// so that a machine that slows down affects both alike. A pass costs about 25 µs of its own, more on a busy machine.
/// So the step here takes about a second, half of what `wgslab profile` runs by default. Noise spoils the figures of
/// one attempt; a fault spoils all three.
#[test]
fn a_profile_is_cheap_and_adds_up() {
    if !adapter("a_profile_is_cheap_and_adds_up") {
        return;
    }
    let _alone = alone();
    let gpu = Gpu::open(&GpuOptions::default()).unwrap();
    if !gpu.has_timestamps() {
        wgslab::lab::check::skipped(&format!("{} has no timestamps", gpu.adapter().name));
        return;
    }
    let model = ResNet::resnet18(Stem::Small, 0.5, 3);
    let subject = TrainingStep {
        model: std::sync::Arc::new(model),
        batch: 16,
        size: 32,
        classes: 10,
        precision: Default::default(),
    }
    .measured();
    let ready = Ready::new(&gpu, subject, &Table::default()).unwrap();
    in_three(|| {
        let whole = profile(&gpu, &ready, 5, Timer::Timestamps, None).unwrap().whole;
        let (overhead, agreement) = (whole.overhead, whole.agreement);
        if overhead <= 1.3 && (agreement - 1.0).abs() <= 0.1 {
            return Ok(());
        }
        Err(format!(
            "a profiled step takes {overhead:.2} times a plain one, its kernels add up to {agreement:.2} times the \
             whole: {whole:?}"
        ))
    });
}

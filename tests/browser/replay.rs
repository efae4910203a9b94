//! `replay.js`, on a recording of two launches written by hand.

use crate::chromium::{Browser, browser, browser_without_webgpu};
use serde_json::{Value, json};
use std::path::Path;

const REPLAY: &str = include_str!("../../src/lab/export/web/replay.js");
/// What times launches, and a step beside them.
const TIMES: &str = concat!(include_str!("../../src/lab/export/web/measure.js"), include_str!("step_time.js"));

/// y = factor · x, then the state total += y.
fn recording() -> Value {
    let scale = "struct Params { n: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> factor: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) i: vec3u) {
  if (i.x < p.n) { y[i.x] = factor[0] * x[i.x]; }
}";
    let add = "@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> total: array<f32>;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) i: vec3u) { total[i.x] += y[i.x]; }";
    let kernel = |name: &str, wgsl: &str, buffers: &[&str], bytes: u32| {
        json!({"name": name, "variant": "portable", "constants": [], "pieces": [], "wgsl": wgsl, "layout": {
            "buffers": buffers, "params": [], "params_bytes": bytes, "workgroup": [4, 1, 1], "workgroup_bytes": 0}})
    };
    let ty = json!({"shape": [3], "dtype": "F32"});
    json!({
        "schema": "wgslab-recording/2",
        "kernels": [kernel("scale", scale, &["read", "read", "read_write"], 4), kernel("add", add, &["read", "read_write"], 0)],
        "buffers": [
            {"role": "output", "name": "slab0", "bytes": 16},
            {"role": "input", "name": "x", "bytes": 16},
            {"role": "scalars", "name": "scalars", "bytes": 256},
            {"role": "state", "name": "arena 0", "bytes": 272},
            {"role": "state", "name": "total", "bytes": 16, "part_of": {"buffer": 3, "offset": 256}},
            {"role": "params", "name": "params", "bytes": 256},
        ],
        "launches": [
            {"label": "scale", "kernel": 0, "buffers": [1, 2, 0], "params": "03000000", "grid": [1, 1, 1]},
            {"label": "add", "kernel": 1, "buffers": [0, 4], "params": "", "grid": [1, 1, 1]},
        ],
        "inputs": [{"name": "x", "ty": ty, "buffer": 1}],
        "scalars": ["factor"],
        "states": [{"name": "total", "ty": ty, "buffer": 4}],
        "outputs": [{"name": "y", "ty": ty, "buffer": 0}],
    })
}

/// A page that holds `replay.js`, the recording, and helpers.
fn opened(folder: &Path, browser: &mut Browser) {
    let page = folder.join("page.html");
    let script = "async function said(work) { try { return await work(); } catch (e) { return e.message; } }
const floats = async (replay, name) => [...new Float32Array(await replay.read(name))];";
    let text = format!(
        "<!doctype html><meta charset=utf-8><title>t</title><script>{REPLAY}\n{script}\nconst recording = {};</script>",
        recording()
    );
    std::fs::write(&page, text).unwrap();
    browser.open_file(&page);
}

#[test]
fn a_recording_runs_in_a_browser() {
    let Some(mut browser) = browser("a_recording_runs_in_a_browser") else { return };
    let folder = tempfile::tempdir().unwrap();
    opened(folder.path(), &mut browser);
    let found = browser.evaluate(
        "said(async () => {
            const { device, info } = await openDevice();
            const states = new Map(), told = [];
            const replay = await new Replay(device, recording, states).build((done, all) => told.push([done, all]));
            replay.write('x', Float32Array.of(1, 2, 3));
            replay.write('total', Float32Array.of(10, 20, 30));
            replay.scalars({ factor: 2, unused: 1 });
            replay.run(3);
            const other = await new Replay(device, recording, states).build();
            other.write('x', Float32Array.of(1, 1, 1));
            other.scalars({ factor: -1 });
            other.run();
            const total = await floats(replay, 'total');
            const wrong = [() => replay.scalars({}), () => replay.write('z', new Uint8Array(4)), () => replay.read('z')];
            const refused = [];
            for (const work of wrong) refused.push(await said(work));
            device.destroy();
            await device.lost;
            refused.push(await said(() => replay.run()));
            return { told, total, fallback: info.fallback, refused };
        })",
    );
    assert_eq!(found["told"], json!([[1, 2], [2, 2]]), "{found}");
    assert_eq!(found["total"], json!([15, 31, 47]), "10 + 3·2·1 − 1 and so on, in one buffer of both: {found}");
    assert_eq!(found["fallback"], json!(true), "SwiftShader is a fallback: {found}");
    let refused: Vec<&str> = found["refused"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
    assert_eq!(
        refused,
        [
            "The recording needs the scalar factor.",
            "The recording has no inputs or states called z.",
            "The recording has no outputs or states called z.",
            "The device was closed.",
        ]
    );
    let numbers = browser.evaluate(
        "said(async () => {
            const { device } = await openDevice();
            const states = new Map();
            const [one, two] = [new Replay(device, recording, states), new Replay(device, recording, states)];
            await Promise.all([one.build(), two.build()]);
            one.write('x', Float32Array.of(1, 2, 3));
            one.write('total', Float32Array.of(10, 20, 30));
            one.scalars({ factor: 2 });
            one.run(3);
            two.write('x', Float32Array.of(1, 1, 1));
            two.scalars({ factor: -1 });
            two.run();
            return [await floats(one, 'y'), await floats(two, 'y'), await floats(one, 'total')];
        })",
    );
    assert_eq!(numbers, json!([[2, 4, 6], [-1, -1, -1], [15, 31, 47]]), "states are shared");
    assert_eq!((browser.requests(), browser.faults()), (Vec::new(), Vec::new()), "nothing leaves the page");
}

#[test]
fn what_a_device_cannot_do_is_a_sentence() {
    let Some(mut browser) = browser("what_a_device_cannot_do_is_a_sentence") else { return };
    let folder = tempfile::tempdir().unwrap();
    opened(folder.path(), &mut browser);
    let mut said = |work: &str| browser.evaluate(&format!("said(async () => {{ {work} }})")).to_string();
    let large = said("await openDevice({ limits: { maxBufferSize: 2 ** 50 } })");
    assert!(
        large.contains("is too small for these kernels: maxBufferSize is ") && large.contains("1125899906842624"),
        "{large}"
    );
    let some = said(
        "return (await openDevice({ optional: ['no-such-feature', 'subgroups'] })).device.features.has('subgroups')",
    );
    assert_eq!(some, "true", "what is optional and offered is taken");
    let broken = said(
        "const { device } = await openDevice(), other = structuredClone(recording);
         other.kernels[1].wgsl = 'fn main(';
         await new Replay(device, other).build();",
    );
    assert!(broken.contains("the kernel add [portable]"), "{broken}");
    let full = said(
        "const { device, adapter } = await openDevice({ limits: { maxBufferSize: 1 << 30 } }), other = structuredClone(recording);
         for (let i = 0; i < 2000; i++) other.buffers.push({ role: 'temp', name: 't' + i, bytes: 1 << 30 });
         await new Replay(device, other).build();",
    );
    assert!(full.contains("The device has too little memory for the buffers of this step"), "{full}");
    drop(browser);
    let Some(mut browser) = browser_without_webgpu("what_a_device_cannot_do_is_a_sentence") else { return };
    opened(folder.path(), &mut browser);
    let none = browser.evaluate("said(openDevice)").to_string();
    assert!(none.contains("no WebGPU") || none.contains("no adapter"), "{none}");
}

/// A step beside the sum of its kernels, each by itself: what the page adds to them. With PAGE=FILE it is that of a page of
/// `wgslab export step`.
#[test]
fn a_step_is_timed_beside_its_kernels() {
    let Some(mut browser) = browser("a_step_is_timed_beside_its_kernels") else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = std::env::var_os("PAGE");
    let (trainer, sample_ms) = match &page {
        Some(file) => {
            browser.open_file(Path::new(file));
            browser.wait_for("page.trainer", 60);
            ("page.trainer.open(() => 0).then(() => page.trainer)", 20)
        }
        None => {
            opened(folder.path(), &mut browser);
            let trainer = "openDevice().then(async ({ device }) => {
                const replay = await new Replay(device, recording).build();
                return { device, replay, step: async () => replay.run() };
            })";
            (trainer, 1)
        }
    };
    browser.evaluate(&format!(
        "{{ const it = document.createElement('script'); it.text = {}; document.head.append(it); }}",
        json!(TIMES)
    ));
    browser.evaluate(&format!(
        "window.found = null; ({trainer}).then((trainer) => stepBesideKernels(trainer, {sample_ms}))
             .then((found) => {{ window.found = found; }}, (e) => {{ window.found = {{ wrong: e.message }}; }}); 0"
    ));
    browser.wait_for("found", 3600);
    let found = browser.evaluate("found");
    let [step, kernels] = ["step_ms", "kernels_ms"].map(|key| found[key].as_f64().unwrap_or_default());
    assert!(step > 0.0 && kernels > 0.0, "{found}");
    if page.is_none() {
        assert_eq!((&found["launches"], &found["distinct"]), (&json!(2), &json!(2)), "{found}");
    }
    println!(
        "a step takes {step:.1} ms, its kernels by themselves {kernels:.1} ms: {:.2} times; {found}",
        step / kernels
    );
}

//! The page of `wgslab export step`: it trains as the program does, says what goes wrong, and keeps what it measured.

use crate::chromium::{Browser, browser, browser_without_webgpu, from_base64};
use crate::common::runs;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// A narrow ResNet at a small rate. Training makes any difference larger, at a large rate a thousandfold in ten steps, and two
/// drivers round in different ways.
const CONFIG: &str = "[data]\nstore_size = 12\nimage_size = 12\n[model]\nwidth = 0.0625\n\
    [pretraining]\nepochs = 3\nwarmup_epochs = 0\nbatch_size = 16\nsimclr.projection_dims = [16, 8]\n\
    [pretraining.optimizer]\nlr = 1e-4\n[evaluation]\nbatch_size = 50\nknn_neighbours = 5\n";
const DATA: &str = "phantom:covid?train=160&val=8&test=40";

/// The steps that are compared: two epochs.
const STEPS: usize = 20;
/// How far a loss may be from the native one, as a share of it. The kernels are others, since the native program has variants for
/// Mesa's software adapter, and so is the driver. Without training, losses would be off by more than ten times as much.
const TOLERANCE: f64 = 1e-4;

fn exported(dir: &TempDir) {
    std::fs::write(dir.path().join("c.toml"), CONFIG).unwrap();
    runs(dir, &["export", "step", "c.toml", "--data", DATA, "--out", "page", "--quiet"]);
}

fn text(browser: &mut Browser, id: &str) -> String {
    browser.evaluate(&format!("at('{id}').textContent")).as_str().unwrap().to_string()
}

fn press(browser: &mut Browser, key: &str) {
    let words = if key == "Enter" { "\r" } else { "" };
    let code = if key == "Enter" { 13 } else { 9 };
    for kind in ["keyDown", "keyUp"] {
        let event = json!({"type": kind, "key": key, "code": key, "text": words, "windowsVirtualKeyCode": code});
        browser.command("Input.dispatchKeyEvent", event);
    }
}

/// At the width of a phone and of a laptop, light and dark, nothing is cut off. With PICTURES=DIR the pictures are kept.
fn looks(browser: &mut Browser) {
    for (width, dark) in [(390, false), (390, true), (1280, false), (1280, true)] {
        let picture = browser.picture(width, dark);
        let wide = browser.evaluate("document.documentElement.scrollWidth").as_u64().unwrap();
        assert!(wide <= u64::from(width), "{wide} pixels are too wide for {width}");
        let background = browser.evaluate("getComputedStyle(document.body).backgroundColor");
        assert_eq!(background == json!("rgb(18, 21, 27)"), dark, "{background}");
        if let Some(folder) = std::env::var_os("PICTURES") {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(Path::new(&folder).join(format!("step-{width}-{dark}.png")), picture).unwrap();
        }
    }
}

/// The losses of `wgslab pretrain`.
fn native(dir: &TempDir) -> Vec<f64> {
    let steps = STEPS.to_string();
    runs(dir, &["pretrain", "--config", "c.toml", "--data", DATA, "--steps", &steps, "--out", "native", "--quiet"]);
    let lines = std::fs::read_to_string(dir.path().join("native/steps.jsonl")).unwrap();
    lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["loss"].as_f64().unwrap()).collect()
}

/// The page's weights have the names, types and shapes of the program's own, and nearly their values; `wgslab embed` takes them.
fn same_weights(dir: &TempDir, theirs: &[u8]) {
    let ours = std::fs::read(dir.path().join("native/backbone.safetensors")).unwrap();
    let [ours, read] = [&ours[..], theirs].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let about = |file: &SafeTensors<'_>| {
        let mut list: Vec<String> =
            file.tensors().iter().map(|(name, t)| format!("{name} {} {:?}", t.dtype(), t.shape())).collect();
        list.sort();
        list
    };
    assert_eq!(about(&ours), about(&read));
    for (name, tensor) in ours.tensors() {
        let other = read.tensor(&name).unwrap();
        if name.ends_with("num_batches_tracked") {
            assert_eq!(tensor.data(), other.data(), "{name}");
            continue;
        }
        let [a, b] = [tensor.data(), other.data()].map(bytemuck::pod_collect_to_vec::<u8, f32>);
        let most = a.iter().fold(0f32, |most, v| most.max(v.abs()));
        let far = a.iter().zip(&b).fold(0f32, |far, (a, b)| far.max((a - b).abs()));
        assert!(far <= 1e-3 * most.max(0.1), "{name}: {far} of {most}");
    }
    std::fs::write(dir.path().join("w.safetensors"), theirs).unwrap();
    let said = runs(dir, &["embed", "--weights", "w.safetensors", "--data", DATA, "--out", "f.npz"]);
    assert!(said.contains("of the weights' metadata") && said.contains("208 images, 32 features each"), "{said}");
}

#[test]
fn a_page_trains_as_the_program_does_and_keeps_what_it_measured() {
    let Some(mut browser) = browser("a_page_trains_as_the_program_does_and_keeps_what_it_measured") else { return };
    let dir = tempfile::tempdir().unwrap();
    exported(&dir);
    let page = std::fs::read_to_string(dir.path().join("page/index.html")).unwrap();
    let data = page.split("id=\"bytes\">").nth(1).and_then(|rest| rest.find("</script>")).unwrap();
    assert!(page.len() - data < 500_000, "{} bytes without data", page.len() - data);
    browser.open_file(&dir.path().join("page/index.html"));
    browser.wait_for("page.trainer", 60);
    assert!(page.contains("<button id=\"start\" type=\"button\" disabled>"), "a press before all is unpacked is lost");
    assert_eq!(browser.evaluate("[at('start').disabled, at('seen').hidden]"), json!([false, true]));
    let said = text(&mut browser, "method");
    assert_eq!(said, "SimCLR: two views, NT-Xent (Chen et al. 2020).");
    stops_early(&mut browser);
    // The keyboard alone.
    press(&mut browser, "Tab");
    assert_eq!(browser.evaluate("document.activeElement.id"), json!("start"));
    press(&mut browser, "Enter");
    browser.wait_for("page.kept && page.kept.steps === 20", 400);
    let weights = browser.evaluate(
        "page.kept.weights.arrayBuffer().then((b) => btoa(Array.from(new Uint8Array(b), (c) => String.fromCharCode(c)).join('')))",
    );
    browser.evaluate("at('stop').click()");
    browser.wait_for("!page.running", 120);
    assert_eq!(text(&mut browser, "status"), "Stopped. Training goes on from here.");
    let found = browser.evaluate("numbers()");
    let losses: Vec<f64> = found["losses"].as_array().unwrap().iter().map(|l| l.as_f64().unwrap()).collect();
    let due = native(&dir);
    assert_eq!(due.len(), STEPS);
    for (step, (got, due)) in losses.iter().zip(&due).enumerate() {
        assert!((got - due).abs() <= TOLERANCE * due, "step {step}: {got} and natively {due}; {losses:?}");
    }
    same_weights(&dir, &from_base64(weights.as_str().unwrap()));
    let steps = found["accuracies"].as_array().unwrap().iter().map(|a| a["steps"].as_u64().unwrap() as usize);
    assert_eq!(steps.collect::<Vec<_>>(), [0, losses.len()], "{found}");
    assert_eq!(found["fallback"], json!(true));
    assert!(text(&mut browser, "note").contains("the CPU computes"));
    assert_eq!(found["kernels"], json!("for any GPU"));
    assert_eq!(text(&mut browser, "kernels"), "adapter, with kernels for any GPU");
    shows(&mut browser, losses.len());
    looks(&mut browser);
    ends(&mut browser, losses.len());
    assert_eq!((browser.requests(), browser.faults()), (Vec::new(), Vec::new()), "nothing leaves the page");
}

/// Stop while kernels are compiled, and while the nearest neighbours are looked for, measures nothing.
fn stops_early(browser: &mut Browser) {
    for when in ["Compiling: ", "Measuring what random weights see"] {
        let press = "window.said ||= say; say = (...all) => { said(...all); if (all[0].startsWith(WHEN)) at('stop').click(); };";
        browser.evaluate(&press.replace("WHEN", &format!("'{when}'")));
        browser.evaluate("at('start').click()");
        browser.wait_for("!page.running", 120);
        let left = browser.evaluate("[page.accuracies.length, page.trainer.taken, at('start').disabled]");
        assert_eq!(left, json!([0, 0, false]), "{when}");
        assert_eq!(text(browser, "status"), "Stopped. Training goes on from here.");
    }
    browser.evaluate("say = said; 0");
}

/// Pictures of views and losses are there, and told to those who do not see them.
fn shows(browser: &mut Browser, steps: usize) {
    let seen = browser.evaluate(
        "(() => {
            const c = at('views'), all = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            const rows = [0, 1, 2].map((row) => [...all.slice(row * 14 * c.width * 4, (row * 14 + 12) * c.width * 4)].join());
            return [c.width, c.height, new Set(all).size > 20, new Set(rows).size, c.ariaLabel];
        })()",
    );
    let label = "6 images as they are, and below each 2 random views of it";
    assert_eq!(seen, json!([82, 40, true, 3, label]));
    let chart = browser.evaluate("document.querySelector('#chart svg[role=img]').getAttribute('aria-label')");
    assert!(chart.as_str().unwrap().starts_with(&format!("Loss of {steps} steps: ")), "{chart}");
    let unnamed = browser.evaluate(
        "[...document.querySelectorAll('button, progress, canvas, svg')].filter((e) => !(e.textContent.trim() || e.ariaLabel)).length",
    );
    assert_eq!(unnamed, json!(0));
    assert_eq!(browser.evaluate("at('status').role + at('status').ariaLive"), json!("statuspolite"));
}

/// A tab in the background and a device that is lost are said in a sentence; losses and weights are still there.
fn ends(browser: &mut Browser, steps: usize) {
    browser.evaluate("at('start').click()");
    browser.wait_for("page.running && at('status').textContent === 'Training …'", 60);
    browser.evaluate(
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))",
    );
    assert!(text(browser, "status").starts_with("This tab is in the background, "));
    browser.evaluate("page.trainer.device.destroy()");
    browser.wait_for("!page.running", 60);
    assert_eq!(text(browser, "status"), "The device was closed. What was measured before is kept.");
    let left = browser.evaluate(
        "[at('weights').disabled, at('numbers').disabled, at('start').disabled, numbers().losses.length, page.kept.steps]",
    );
    assert_eq!(left.as_array().unwrap()[..3], [json!(false), json!(false), json!(true)]);
    assert!((3..5).all(|i| left[i].as_u64().unwrap() as usize >= steps), "{left}");
}

#[test]
fn the_page_that_trains_says_why_it_cannot() {
    let name = "the_page_that_trains_says_why_it_cannot";
    let Some(mut without) = browser_without_webgpu(name) else { return };
    let dir = tempfile::tempdir().unwrap();
    exported(&dir);
    let page = dir.path().join("page/index.html");
    let says = |browser: &mut Browser, before: &str| {
        browser.open_file(&page);
        browser.wait_for("page.trainer", 60);
        browser.evaluate(before);
        browser.evaluate("at('start').click()");
        browser.wait_for("!page.running && at('status').className === 'bad'", 120);
        text(browser, "status")
    };
    let said = says(&mut without, "0");
    assert!(said.contains("no WebGPU") || said.contains("no adapter"), "{said}");
    drop(without);
    let Some(mut browser) = browser(name) else { return };
    let said = says(&mut browser, "page.trainer.about.limits.maxBufferSize = 2 ** 45; 0");
    assert!(said.contains("is too small for these kernels: maxBufferSize"), "{said}");
    takes_the_kernels_of_its_adapter(&mut browser);
}

/// Which recording of the step runs is a question of the adapter. SwiftShader has subgroups of 4, so that the recording
/// for those of 8 is never run here, but the browser takes its texts.
fn takes_the_kernels_of_its_adapter(browser: &mut Browser) {
    let taken = browser.evaluate(
        "(async () => {
            [Replay.prototype.build, Replay.prototype.write] = [async () => 0, () => 0];
            const t = page.trainer, { kernels } = t.about.step_in_software, found = [];
            delete t.about.limits.maxBufferSize;
            const least = t.about.limits_in_software;
            for (const lanes of [8, 4]) {
                // An adapter without them is not asked for what the other recording needs.
                t.about.limits_in_software = lanes === 8 ? { maxBufferSize: 2 ** 45 } : least;
                t.about.lanes = lanes;
                await t.open(() => 0);
                found.push(t.replay.recording === t.about.step_in_software);
                if (lanes === 8) t.close();
            }
            const texts = kernels.filter((k) => k.wgsl.startsWith('enable subgroups;')).map((k) => k.wgsl);
            const modules = texts.map((code) => t.device.createShaderModule({ code }));
            const said = await Promise.all(modules.map((m) => m.getCompilationInfo()));
            t.close();
            return [found, texts.length > 0, said.flatMap((info) => info.messages.map((m) => m.message))];
        })()",
    );
    assert_eq!(taken, json!([[false, true], true, []]));
}

#[test]
fn the_scripts_of_the_page_are_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lab/export/web");
    let counted = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let is_code = |l: &&str| !(l.is_empty() || ["//", "/*", "* ", "*/"].iter().any(|c| l.starts_with(c)));
        assert!(text.lines().all(|l| l.chars().count() <= 132), "{name} has a long line");
        text.lines().map(str::trim).filter(is_code).count()
    };
    let lines: usize = ["replay.js", "rng.js", "train.js", "page.js"].map(counted).iter().sum();
    assert!(lines < 500, "{lines} lines");
}

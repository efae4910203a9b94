//! The page of `wgslab export bench`: what it measures, refuses, keeps and writes.

use crate::chromium::{Browser, browser, browser_without_webgpu};
use crate::common::{adapter, wgslab};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use wgslab::base::Shape;
use wgslab::kernels::Fill;
use wgslab::lab::Report;
use wgslab::tape::Type;

/// A product in two variants, another of halves, which SwiftShader lacks, an elementwise op, and whole numbers.
const SET: &str = r#"about = "tiny"
variants = ["first", "naive"]
matmul = [
    { name = "20", a = [20, 24], b = [24, 28] },
    { name = "halves", a = [20, 24], b = [24, 28], dtype = "f16" },
]
relu = [{ name = "100", x = [100] }]
top_k = [{ name = "5 of 40", x = [3, 40], k = 5 }]
"#;

const FAST: [&str; 6] = ["--samples", "2", "--seconds", "0", "--time-limit", "0.05"];

fn run(dir: &Path, words: &[&str]) -> Output {
    wgslab(dir, &[words, &["--quiet"]].concat()).output().unwrap()
}

#[track_caller]
fn runs(dir: &Path, words: &[&str]) -> String {
    let out = run(dir, words);
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Writes a page of `set` and opens it.
fn opened(dir: &Path, set: &str, browser: &mut Browser) {
    std::fs::write(dir.join("set.toml"), set).unwrap();
    runs(dir, &[&["export", "bench", "set.toml", "--out", "page"], &FAST[..]].concat());
    browser.open_file(&dir.join("page/index.html"));
    browser.wait_for("!element('go').disabled", 30);
}

/// Measures to the end and returns what the page says of it.
fn measured(browser: &mut Browser) -> String {
    browser.evaluate("element('go').click()");
    browser.wait_for("!run.going", 120);
    browser.evaluate("element('status').textContent").as_str().unwrap().to_string()
}

/// The report that the page gives.
fn report(dir: &Path, browser: &mut Browser) -> Report {
    let text = browser.evaluate("element('json').value");
    std::fs::write(dir.join("browser.json"), text.as_str().unwrap()).unwrap();
    Report::load(&dir.join("browser.json")).unwrap()
}

#[test]
fn a_page_measures_what_is_right_and_gives_the_programs_report() {
    let Some(mut browser) = browser("a_page_measures_what_is_right_and_gives_the_programs_report") else { return };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    opened(dir, SET, &mut browser);
    let page = std::fs::metadata(dir.join("page/index.html")).unwrap().len();
    assert!(page < 500_000, "{page} bytes");
    // A kernel that is off by a per mille.
    let planted = browser.evaluate(
        "{
            const naive = rows.find((r) => r.row.variant === 'naive').plan.recording.kernels[0], before = naive.wgsl;
            naive.wgsl = before.replace('sum += ', 'sum += 1.001 * ');
            naive.wgsl !== before;
        }",
    );
    assert_eq!(planted, json!(true));
    let said = measured(&mut browser);
    let own = report(dir, &mut browser);
    let names: Vec<String> = own.rows.iter().map(|r| format!("{} [{}]", r.entry, r.variant)).collect();
    for row in
        ["matmul.forward [tiled_64]", "matmul.forward [packed]", "relu.forward [portable]", "relu.grad [portable]"]
    {
        assert!(names.contains(&row.to_string()), "{row} is not among {names:?}: {said}");
    }
    assert!(names.iter().any(|n| n.starts_with("top_k.forward")), "{names:?}");
    assert!(said.starts_with("Done.") && said.contains(&format!("{} of ", own.rows.len())), "{said}");
    let why = |part: &str| own.skipped.iter().find(|s| s.why.contains(part)).map(|s| s.why.clone()).unwrap_or_default();
    let wrong = why("matmul.forward [naive]");
    assert!(wrong.contains("WRONG, so it is not timed") && wrong.contains("must be"), "{:?}", own.skipped);
    assert!(why("[tiled_f16]").contains("it needs shader-f16, which is not offered here."), "{:?}", own.skipped);
    assert!(
        own.rows.iter().all(|r| r.variant != "tiled_f16" && (&*r.case, &*r.variant) != ("20", "naive")),
        "{names:?}"
    );
    let e = &own.environment;
    assert!(
        e.backend == "WebGPU" && e.checked && e.driver.contains("Chrom") && e.adapter.contains("fallback"),
        "{e:?}"
    );
    assert!(e.wgpu.contains(env!("CARGO_PKG_VERSION")), "{}", e.wgpu);
    assert!(e.arguments.is_empty() && e.shader_folder.is_none(), "who exported it tells no visitor how: {e:?}");
    for row in &own.rows {
        assert!(!row.samples_ms.is_empty() && row.reference_ms.len() == row.samples_ms.len(), "{row:?}");
    }
    // A slow machine may need a kernel of several ms only once.
    assert!(own.rows.iter().any(|row| row.repeats > 1), "{:?}", own.rows);
    // On a phone no figure lies over its neighbour.
    browser.picture(390, false);
    let wide =
        "[...document.querySelectorAll('tbody td, tbody th')].filter((cell) => cell.scrollWidth > cell.clientWidth)
        .map((cell) => cell.textContent)";
    assert_eq!(browser.evaluate(wide), json!([]));
    assert_eq!((browser.requests(), browser.faults()), (Vec::new(), Vec::new()), "nothing leaves the page");
    drop(browser);
    // The program reads it as one of its own.
    let text = runs(dir, &["bench", "--read", "browser.json", "--html", "browser.html"]);
    assert!(text.contains("matmul.forward") && text.contains("skipped: matmul 20: matmul.forward [naive]"), "{text}");
    runs(dir, &[&["bench", "set.toml", "--json", "native.json"], &FAST[..]].concat());
    let text = runs(dir, &["bench", "--read", "native.json", "--against", "browser.json"]);
    assert!(text.contains("browser ms") && text.contains("relu.grad") && text.contains("in a browser"), "{text}");
    std::fs::copy(dir.join("browser.json"), dir.join("before.json")).unwrap();
    let text = runs(dir, &["bench", "--read", "browser.json", "--compare", "before.json"]);
    assert!(text.contains("at a threshold of 10 %") && text.contains("reference kernel: 1.00 times"), "{text}");
    let refused = run(dir, &["bench", "--read", "browser.json", "--compare", "native.json"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("native.json was measured on"), "{said}");
    assert!(said.contains("--against"), "the way out: {said}");
}

#[test]
fn what_stops_a_measurement_is_told_and_the_rest_is_kept() {
    let Some(mut browser) = browser("what_stops_a_measurement_is_told_and_the_rest_is_kept") else { return };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    opened(dir, "relu = [{ name = \"100\", x = [100] }, { name = \"200\", x = [200] }]\n", &mut browser);
    // By the keyboard alone: the first thing that Tab reaches begins, and the same key stops.
    let key = |browser: &mut Browser, name: &str, code: u32| {
        for kind in ["keyDown", "keyUp"] {
            let text = if name == "Enter" { "\r" } else { "" };
            let what = json!({"type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code, "text": text});
            browser.command("Input.dispatchKeyEvent", what);
        }
    };
    key(&mut browser, "Tab", 9);
    assert_eq!(browser.evaluate("document.activeElement.id"), json!("go"));
    key(&mut browser, "Enter", 13);
    browser.wait_for("run.going && rows.every((r) => r.samples.turn.length)", 60);
    // In the background it waits.
    let seen = "(state) => { Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
        document.dispatchEvent(new Event('visibilitychange')); }";
    browser.evaluate(&format!("({seen})('hidden')"));
    browser.wait_for("element('status').textContent.includes('in the background')", 60);
    browser.evaluate(&format!("({seen})('visible')"));
    browser.wait_for("element('status').textContent === 'Measuring.'", 60);
    key(&mut browser, "Enter", 13);
    browser.wait_for("!run.going", 60);
    let said = browser.evaluate("element('status').textContent");
    assert_eq!(said, json!("Stopped. 4 of 4 rows are measured."), "all had a sample when it was stopped");
    assert_eq!(report(dir, &mut browser).rows.len(), 4);
    // A device that is lost in the middle.
    browser.evaluate(
        "var calls = 0, time = Clock.prototype.time;
         Clock.prototype.time = function (...given) {
             if (rows.some((r) => r.samples.turn.length) && ++calls === 3) this.device.destroy();
             return time.apply(this, given);
         };",
    );
    let said = measured(&mut browser);
    assert!(said.starts_with("The device was closed. What was measured until then is kept."), "{said}");
    assert!(!report(dir, &mut browser).rows.is_empty());
    // A compiler that takes longer than it may.
    browser.evaluate("data.rule.compile_s = 0; Clock.prototype.time = time;");
    let said = measured(&mut browser);
    assert!(said.contains(" 0 of 4 rows are measured."), "{said}");
    let why = browser.evaluate("rows[0].ms.textContent");
    assert!(why.as_str().unwrap().contains("did not compile its kernels within 0 s"), "{why}");
    // Memory that is not there costs the rows of that case alone.
    browser.evaluate(
        "data.rule.compile_s = 60;
         var build = Replay.prototype.build, pop = GPUDevice.prototype.popErrorScope;
         Replay.prototype.build = async function () {
             if (this.recording === data.cases[1].plans[0].recording) GPUDevice.prototype.popErrorScope = async function () {
                 return await pop.call(this) || new GPUOutOfMemoryError('full');
             };
             try { return await build.call(this); } finally { GPUDevice.prototype.popErrorScope = pop; }
         };",
    );
    let said = measured(&mut browser);
    assert!(said.contains(" 2 of 4 rows are measured."), "{said}");
    let why = browser.evaluate("rows[3].ms.textContent");
    assert!(why.as_str().unwrap().contains("The device has too little memory for the buffers of"), "{why}");
    // A device that is too small.
    browser.evaluate("Replay.prototype.build = build;");
    browser.evaluate("data.rule.compile_s = 60; data.cases[0].plans[0].recording.needs.limits.maxComputeWorkgroupsPerDimension = 1e6;");
    browser.evaluate("data.cases[1].plans[0].recording.needs.limits.maxBufferSize = 2 ** 50;");
    let said = measured(&mut browser);
    assert!(said.contains(" 0 of 4 rows are measured."), "{said}");
    let why = |i: usize, browser: &mut Browser| browser.evaluate(&format!("rows[{i}].ms.textContent")).to_string();
    assert!(why(0, &mut browser).contains("it needs a maxComputeWorkgroupsPerDimension of 1000000"));
    assert!(why(3, &mut browser).contains("it needs a maxBufferSize of 1125899906842624"));
    assert_eq!((browser.requests(), browser.faults()), (Vec::new(), Vec::new()));
    drop(browser);
    let Some(mut browser) = browser_without_webgpu("what_stops_a_measurement_is_told_and_the_rest_is_kept") else {
        return;
    };
    browser.open_file(&dir.join("page/index.html"));
    browser.wait_for("!element('go').disabled", 30);
    let said = measured(&mut browser);
    assert!(said.contains("no WebGPU") || said.contains("no adapter"), "{said}");
}

/// Expected values are of the committed shaders, for an op with a naive variant and for one without.
#[test]
fn an_edited_kernel_travels_only_if_it_is_right() {
    if !adapter("an_edited_kernel_travels_only_if_it_is_right") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    std::fs::write(dir.join("set.toml"), SET).unwrap();
    let export = |piece: &str, from: &str, to: &str| {
        let path = dir.join("own place").join(piece);
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders").join(piece);
        let committed = std::fs::read_to_string(committed).unwrap();
        let edited = committed.replace(from, to);
        assert!(edited != committed, "{piece} has no {from}");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, edited).unwrap();
        let out = run(dir, &["export", "bench", "set.toml", "--shaders", "own place", "--out", "page"]);
        std::fs::remove_file(path).unwrap();
        out
    };
    let [relu, naive] = ["elementwise/unary/relu.wgsl", "core/gemm/naive.wgsl"];
    let wrong =
        [(relu, "return select(x,", "return 1.01 * select(x,", "relu"), (naive, "sum += ", "sum += 1.01 * ", "matmul")];
    for (piece, from, to, op) in wrong {
        let out = export(piece, from, to);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(1) && !dir.join("page").join("index.html").exists(), "{said}");
        assert!([op, "wrong values", "must be", piece].iter().all(|part| said.contains(part)), "{said}");
    }
    let out = export(relu, "\n", "\n// the same\n");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let page = std::fs::read_to_string(dir.join("page/index.html")).unwrap();
    assert!(page.contains("With edited shaders") && page.contains(relu) && !page.contains(naive));
    assert!(!page.contains("own place"));
}

/// Every way in which an input is filled, as in the program.
#[test]
fn a_page_fills_inputs_with_the_words_of_the_program() {
    let Some(mut browser) = browser("a_page_fills_inputs_with_the_words_of_the_program") else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let script =
        concat!(include_str!("../../src/lab/export/web/rng.js"), include_str!("../../src/lab/export/web/values.js"));
    std::fs::write(&page, format!("<!doctype html><meta charset=utf-8><title>t</title><script>{script}</script>"))
        .unwrap();
    browser.open_file(&page);
    let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let odd = vec![-0.0, 65504.0, 1e-7, -3.1e-5, f32::INFINITY, 70_000.0];
    let fills = [
        ("normal", vec![], Fill::Normal),
        ("halves", vec![], Fill::Halves),
        ("away_from_zero", vec![], Fill::AwayFromZero),
        ("distinct", vec![], Fill::Distinct),
        ("uniform", bits(&[-0.3, 7.1]), Fill::Uniform(-0.3, 7.1)),
        ("below", vec![1000], Fill::Below(1000)),
        ("weights", vec![], Fill::Weights),
        ("values", bits(&odd), Fill::Values(odd)),
        ("words", vec![7, u32::MAX], Fill::Words(vec![7, u32::MAX])),
        ("bytes", vec![], Fill::Bytes),
    ];
    let shape = Shape::new(&[7, 143]);
    for (kind, words, fill) in fills {
        for ty in [Type::f32(shape), Type::u32(shape), Type::f16(shape)] {
            let given = json!({"ty": ty, "stream": 3, "fill": {"kind": kind, "words": words}});
            let got = browser.evaluate(&format!("Array.from(new Uint32Array(filled({given}, [20, 0]).buffer))"));
            assert!(got == Value::from(fill.words(ty, 20, 3)), "{kind} as {ty}: {got}");
        }
    }
}

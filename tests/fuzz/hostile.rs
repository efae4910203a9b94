//! A table of files below 10 MB that claim to be far larger or become far larger when read. For each, the program must
//! take less than 1 GiB and less than 10 s. It must read the file or refuse it in a sentence that a terminal can show.

use super::bombs::*;
use super::common;
use super::watcher::{alone, beside};
#[cfg(unix)]
use super::worker::spent;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// With this variable set, the test's program runs a command and measures it.
pub const MEASURE: &str = "WGSLAB_HOSTILE_MEASURE";

/// The most memory that a process of its own may take, in bytes.
const BYTES: u64 = 1 << 30;
/// The most time it may take, in s.
const SECONDS: f64 = 10.0;
/// The longest line that the program may print, in bytes.
const LINE: usize = 4096;

pub struct Row {
    pub name: &'static str,
    /// Writes the files of the row into a folder.
    pub write: fn(&Path),
    /// The words of the command that is run there.
    pub words: &'static [&'static str],
    /// Whether the command opens a device.
    pub device: bool,
    /// The exit codes that are right.
    pub codes: &'static [i32],
    /// What a refusal must say. A file that is refused for another reason would test nothing.
    pub says: &'static str,
}

/// What a command took.
#[derive(Serialize, Deserialize)]
pub struct Measured {
    code: Option<i32>,
    seconds: f64,
    /// The most resident memory, in bytes.
    bytes: u64,
    said: String,
}

const INSPECT: &[&str] = &["data", "inspect", "x.npz"];
pub const FOLDER: &[&str] = &["data", "inspect", "x"];
const MANIFEST: &[&str] = &["data", "inspect", "x.csv"];
const FETAL: &[&str] = &["data", "inspect", "fetal:x"];
const STUDY: &[&str] = &["study", "run", "x.toml", "--out", "o"];
const LIST: &[&str] = &["study", "list", "x.toml"];
const REPORT: &[&str] = &["study", "report", "x"];
const SET: &[&str] = &["bench", "x.toml", "--samples", "1"];
const BASE: &[&str] = &["bench", "--read", "x.json"];
const SHADERS: &[&str] =
    &["--shaders", "x", "bench", "--op", "relu", "--shape", "x=4", "--seconds", "0.01", "--time-limit", "0.1"];
const WEIGHTS: &[&str] =
    &["train", "--data", "phantom:covid?train=8&val=4&test=4", "--weights", "x.safetensors", "--out", "o"];

const PTH: &[&str] = &["embed", "--data", "phantom:covid?train=8&val=4&test=4", "--weights", "x.pth", "--out", "o.npz"];
const EMBED: &[&str] =
    &["embed", "--data", "phantom:covid?train=8&val=4&test=4", "--weights", "x.safetensors", "--out", "o.npz"];

pub fn rows() -> Vec<Row> {
    let row = |name, write, words| Row { name, write, words, device: false, codes: &[2, 4], says: "" };
    let any = |name, write, words| Row { name, write, words, device: false, codes: &[0, 2, 4], says: "" };
    let on = |name, write, words, codes| Row { name, write, words, device: true, codes, says: "" };
    vec![
        row("npz: 2 GiB of deflated zeros", |d| npz_bomb(d, 2 << 30), INSPECT).says("2048"),
        row("npz: a claim of 2³¹ images", |d| npz_claim(d, "(2147483648, 28, 28)"), INSPECT)
            .says("holds fewer bytes than its shape"),
        row("npz: a claim past 2⁶⁴ bytes", |d| npz_claim(d, "(4294967296, 4294967296, 4)"), INSPECT)
            .says("more elements than memory can hold"),
        row("npz: a header of 4 GiB", npz_long_header, INSPECT).says("its header is longer"),
        row("npz: a header of a million brackets", npz_brackets, INSPECT).says("its header is longer"),
        any("npz: 60,000 members", npz_members, INSPECT),
        row("png: 30,000 × 30,000 deflated zeros", |d| png_bomb(d, 30_000, 30_000, 0, 8), FOLDER)
            .says("900000000 pixels"),
        row("png: a claim of 2³¹ × 2³¹", |d| png_claim(d, 0x7fff_ffff, 0x7fff_ffff), FOLDER).says("x.png: PNG: "),
        row("png: 16 bit, 4 channels, 20,000 × 20,000", |d| png_bomb(d, 20_000, 20_000, 6, 16), FOLDER)
            .says("400000000 pixels"),
        any("png: a text of 2 GiB", |d| png_text_bomb(d, *b"zTXt"), FOLDER),
        any("png: a colour profile of 2 GiB", |d| png_text_bomb(d, *b"iCCP"), FOLDER),
        row("bmp: a claim of 2³¹ × 2³¹", |d| bmp(d, i32::MAX, i32::MAX, &[]), FOLDER).says("x.bmp: BMP: "),
        any("bmp: run lengths of 60,000 × 60,000", |d| bmp(d, 60_000, 60_000, &[0, 1]), FOLDER)
            .says("3600000000 pixels"),
        row("tiff: a deflated strip of 2 GiB", tiff_bomb, FOLDER).says("2147395600 pixels"),
        any("tiff: a directory that follows itself", tiff_circle, FOLDER),
        row("tiff: a tag of 2³² values", tiff_tag, FOLDER).says("x.tif: TIFF: "),
        row("jpeg: a claim of 65,500 × 65,500", jpeg_claim, FOLDER).says("4290250000 pixels"),
        any("jpeg: 5,000 empty scans of 7,000 × 7,000", jpeg_scans, FOLDER),
        row(
            "csv: a line of 9 MB",
            |d| write(d, "x.csv", &[b"path,label\n", vec![b'a'; 9 << 20].as_slice()].concat()),
            MANIFEST,
        )
        .says("line 2: it has 1 columns"),
        row(
            "csv: a quote that never ends",
            |d| write(d, "x.csv", &[b"path,label\n\"", vec![b'\n'; 9 << 20].as_slice()].concat()),
            MANIFEST,
        )
        .says("line 2: it has 1 columns"),
        any("csv: 100,000 classes", |d| manifest(d, 100_000, |i| format!("class {i}")), MANIFEST),
        any(
            "csv: a label of 70,000 letters",
            |d| manifest(d, 8, |i| format!("{}{}", "a".repeat(70_000), i % 2)),
            MANIFEST,
        ),
        any("csv: a million columns", csv_columns, MANIFEST),
        any("csv: 8,192 rows of one picture of 7,000 × 7,000", csv_repeats, MANIFEST),
        row("fetal: a line of 9 MB", |d| fetal(d, "a".repeat(9 << 20)), FETAL).says("line 2: it has 1 columns"),
        row("fetal: a quote that never ends", |d| fetal(d, format!("\"{}", "\n".repeat(9 << 20))), FETAL)
            .says("line 2: it has 1 columns"),
        row("fetal: 200,000 rows of one image", |d| fetal(d, "a;1;Other;1\n".repeat(200_000)), FETAL)
            .says("name each image once"),
        any("fetal: 60,000 patients of one image", |d| fetal(d, fetal_patients(60_000)), FETAL),
        row(
            "safetensors: a header of 2⁶³ bytes",
            |d| write(d, "x.safetensors", &[0, 0, 0, 0, 0, 0, 0, 0x80, b'{', b'}']),
            WEIGHTS,
        )
        .says("header too large")
        .on(),
        row("safetensors: 4 million brackets", |d| safetensors(d, "[".repeat(4 << 20)), WEIGHTS)
            .says("invalid JSON in header")
            .on(),
        row("safetensors: 100,000 tensors", safetensors_many, WEIGHTS).says("which the model does not have").on(),
        row("safetensors: 130,000 prefixes of a model", safetensors_prefixes, WEIGHTS)
            .says("which the model does not have")
            .on(),
        row("safetensors: a shape past 2⁶⁴", safetensors_shape, WEIGHTS).says("overflow computing buffer size").on(),
        row("safetensors: a transformer of 100,000 blocks", |d| safetensors_blocks(d, 100_000), EMBED)
            .says("more than 256")
            .on(),
        row("pth: 9 MB of dicts", |d| torch(d, &vec![b'}'; 9 << 20]), PTH).says("instructions").on(),
        row("pth: 400,000 dicts within dicts", |d| torch_deep(d, 400_000), PTH).says("more than 32 deep").on(),
        row("pth: 2³¹ paths through 31 dicts", |d| torch_doubling(d, 31), PTH).says("no tensor by name").on(),
        row("pth: a hundred thousand long names of one tensor", torch_names, PTH)
            .says("names longer than the file")
            .on(),
        row(
            "pth: a storage past 2⁶³",
            |d| torch_claim(d, b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", b"K\x06\x85", b"K\x01\x85"),
            PTH,
        )
        .says("lies outside its storage")
        .on(),
        row(
            "pth: a tensor of 2³⁰ × 2³⁰",
            |d| torch_claim(d, b"K\x06", b"J\0\0\0\x40J\0\0\0\x40\x86", b"K\0K\0\x86"),
            PTH,
        )
        .says("repeats the values")
        .on(),
        row(
            "pth: strides past 2⁶⁴",
            |d| {
                torch_claim(
                    d,
                    b"K\x06",
                    b"J\0\0\0\x40J\0\0\0\x40\x86",
                    b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x01\x86",
                )
            },
            PTH,
        )
        .says("lies outside its storage")
        .on(),
        row("pth: one member named 50,000 times", torch_overlap, PTH).says("together are longer than the file").on(),
        row("toml: 9 MB of brackets", |d| write(d, "x.toml", &vec![b'['; 9 << 20]), LIST).says("hold more than 4 MiB"),
        row("toml: inline tables, 100,000 deep", |d| write(d, "x.toml", "a={".repeat(100_000).as_bytes()), LIST)
            .says("recurs"),
        row(
            "toml: a list, 100,000 deep",
            |d| write(d, "x.toml", format!("seeds={}", "[".repeat(100_000)).as_bytes()),
            LIST,
        )
        .says("recurs"),
        row(
            "toml: a key of 100,000 parts",
            |d| write(d, "x.toml", format!("{}=1", vec!["a"; 100_000].join(".")).as_bytes()),
            LIST,
        )
        .says("recursion limit"),
        row("toml: half a million keys", toml_keys, LIST).says("hold more than 4 MiB"),
        row(
            "toml: 9 MB that is its own base",
            |d| write(d, "x.toml", format!("base = \"x.toml\"\n{}", "#\n".repeat(4 << 20)).as_bytes()),
            LIST,
        )
        .says("hold more than 4 MiB"),
        any("toml: 200,000 seeds", toml_seeds, LIST),
        row(
            "toml: a projector of 2³²",
            |d| write(d, "x.toml", b"[pretraining]\nsimclr.projection_dims = [65536, 65536]\n"),
            TRAIN,
        )
        .says("projection_dims = [65536, 65536] is too large")
        .on(),
        row("toml: a width of 2²⁰", |d| write(d, "x.toml", b"[model]\nwidth = 1048576\n"), TRAIN)
            .says("model.width is 1048576")
            .on(),
        row(
            "toml: a million phantoms of 1024 × 1024",
            |d| write(d, "x.toml", b"[data]\nspecs = [\"phantom:covid?train=1000000\"]\nstore_size = 1024\n"),
            STUDY,
        )
        .says("data.store_size")
        .on(),
        row("set: 9 MB of brackets", |d| write(d, "x.toml", &vec![b'['; 9 << 20]), SET).says("more than 1 MiB").on(),
        row(
            "set: a tensor past 2⁶⁴",
            |d| write(d, "x.toml", b"[[relu]]\nname = \"a\"\nx = [4294967295, 4294967295, 9]\n"),
            SET,
        )
        .says("fewer than 2³² elements")
        .on(),
        row("json: 4 million brackets", |d| write(d, "x.json", "[".repeat(4 << 20).as_bytes()), BASE)
            .says("recursion limit")
            .on(),
        row("json: 4 million objects", |d| write(d, "x.json", "{\"a\":".repeat(1 << 20).as_bytes()), BASE)
            .says("recursion limit")
            .on(),
        row(
            "result.json: 4 million brackets",
            |d| study(d, "runs/a/result.json", "[".repeat(4 << 20).as_bytes()),
            REPORT,
        )
        .says("result.json is damaged: invalid type"),
        row("epochs.jsonl: an epoch of 2⁴⁰", study_epoch, REPORT).says("line 1 is of epoch 1099511627776"),
        row("epochs.jsonl: a line of 9 MB", |d| study(d, "runs/a/epochs.jsonl", &vec![b'{'; 9 << 20]), REPORT)
            .says("epochs.jsonl is damaged: line 1: key must be a string"),
        row(
            "labels.json: 4 million brackets",
            |d| study(d, "pictures/phantom-covid/labels.json", "[".repeat(4 << 20).as_bytes()),
            REPORT,
        )
        .says("labels.json is damaged: invalid type"),
        on(
            "wgsl: 100,000 parentheses",
            |d| shader(d, &format!("const a = {}1;\n", "(".repeat(100_000))),
            SHADERS,
            WGSL,
        ),
        on("wgsl: 100,000 blocks", |d| shader(d, &format!("fn f() {}\n", "{".repeat(100_000))), SHADERS, WGSL),
        on(
            "wgsl: a million minus signs",
            |d| shader(d, &format!("const a = {}1;\n", "- ".repeat(1_000_000))),
            SHADERS,
            WGSL,
        ),
        on(
            "wgsl: 100,000 negations in a function",
            |d| shader(d, &format!("fn f() -> bool {{ return {}true; }}\n", "!".repeat(100_000))),
            SHADERS,
            WGSL,
        ),
        on(
            "wgsl: a sum of 100,000 terms",
            |d| shader(d, &format!("fn f(a: f32) -> f32 {{ return a{}; }}\n", "+a".repeat(100_000))),
            SHADERS,
            WGSL,
        ),
        on(
            "wgsl: 100,000 nested arrays",
            |d| shader(d, &format!("alias a = {}f32;\n", "array<".repeat(100_000))),
            SHADERS,
            WGSL,
        ),
        on("wgsl: a million comments within comments", |d| shader(d, &"/*".repeat(1_000_000)), SHADERS, WGSL),
        on(
            "wgsl: 100,000 branches",
            |d| shader(d, &format!("fn f() {{ if true {{}} {} }}\n", "else if true {}".repeat(100_000))),
            SHADERS,
            WGSL,
        ),
        on(
            "wgsl: an unrolled loop of 2³² rounds of nothing",
            |d| shader(d, "//@ for i in 0..4294967295\n//@ end\n"),
            SHADERS,
            WGSL,
        ),
        on(
            "wgsl: an expression of a million brackets",
            |d| shader(d, &format!("//@ let n = {}1\n", "(".repeat(1_000_000))),
            SHADERS,
            WGSL,
        ),
        on(
            "wgsl: loops within loops, 100,000 deep",
            |d| shader(d, &"//@ for i in 0..1\n".repeat(100_000)),
            SHADERS,
            WGSL,
        ),
        on("wgsl: a line of 9 MB", |d| shader(d, &"a".repeat(9 << 20)), SHADERS, WGSL),
    ]
}

/// The exit codes for a shader, which may or may not compile. Text after a kernel does no harm.
const WGSL: &[i32] = &[0, 1, 2];

const TRAIN: &[&str] =
    &["pretrain", "--data", "phantom:covid?train=8&val=4&test=4", "--config", "x.toml", "--out", "o"];

impl Row {
    fn on(self) -> Row {
        Row { device: true, ..self }
    }

    fn says(self, says: &'static str) -> Row {
        Row { says, ..self }
    }

    /// Runs the command. Returns its figures, or what is wrong.
    pub fn check(&self) -> Result<String, String> {
        if self.device && !common::adapter(self.name) {
            return Ok(String::new());
        }
        let mut found = beside(|| self.measured());
        if found.seconds > SECONDS {
            println!("hostile {}: {:.1} s beside other cases; it is tried again alone", self.name, found.seconds);
            found = alone(|| self.measured());
        }
        let said = found.said.trim_end();
        let figures = format!(
            "{:>5.2} s {:>5} MiB  {:<48} {}",
            found.seconds,
            found.bytes >> 20,
            self.name,
            shortened(said.lines().next_back().unwrap_or_default(), 160)
        );
        self.judge(&found, said, figures)
    }

    /// Writes the files into a new folder and runs the command there.
    fn measured(&self) -> Measured {
        let dir = tempfile::tempdir().unwrap();
        (self.write)(dir.path());
        let largest = walkdir::WalkDir::new(dir.path()).into_iter().map(|e| e.unwrap().metadata().unwrap().len()).max();
        assert!(largest.unwrap() < 10 << 20, "{}: the file itself is too large", self.name);
        let output = Command::new(std::env::current_exe().unwrap())
            .env(MEASURE, serde_json::to_string(self.words).unwrap())
            .current_dir(dir.path())
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn judge(&self, found: &Measured, said: &str, figures: String) -> Result<String, String> {
        let code = found.code.filter(|c| self.codes.contains(c));
        let strange = said.chars().find(|c| c.is_control() && !"\n\t".contains(*c));
        match code {
            None => Err(format!("exit code {:?}: {figures}", found.code)),
            Some(_) if found.seconds > SECONDS => Err(format!("too long: {figures}")),
            Some(_) if found.bytes > BYTES => Err(format!("too much memory: {figures}")),
            Some(c) if c != 0 && !said.contains(self.says) => Err(format!("does not say {:?}: {figures}", self.says)),
            Some(_) if said.contains("has a bug") => Err(format!("an internal error: {figures}")),
            Some(_) if said.lines().any(|l| l.len() > LINE) => Err(format!("a line too long to read: {figures}")),
            Some(_) if strange.is_some() => Err(format!("says {strange:?}: {figures}")),
            Some(_) => Ok(figures),
        }
    }
}

fn shortened(line: &str, most: usize) -> String {
    let start: String = line.chars().take(most).collect();
    if start.len() < line.len() { start + "…" } else { start }
}

/// Runs the program with these words and prints on stdout what it took.
pub fn measure(words: &str) {
    let words: Vec<String> = serde_json::from_str(words).unwrap();
    let said = tempfile::NamedTempFile::new().unwrap();
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_wgslab"))
        .args(words)
        .env_remove(MEASURE)
        .env_remove("RUST_BACKTRACE")
        .env("NODEVICE_SELECT", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.reopen().unwrap())
        .spawn()
        .unwrap();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if started.elapsed().as_secs_f64() > 2.0 * SECONDS => {
                let _ = child.kill();
                break child.wait().unwrap();
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let passed = started.elapsed();
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).unwrap();
    // On a busy machine more time passes than processors spend; a command that hangs was ended above.
    let hung = passed.as_secs_f64() > 2.0 * SECONDS;
    let seconds = if hung { passed } else { passed.min(spent(&usage)) }.as_secs_f64();
    // Linux counts in KiB, macOS in bytes.
    let bytes = usage.max_rss() as u64 * if cfg!(target_os = "macos") { 1 } else { 1024 };
    let said = String::from_utf8_lossy(&std::fs::read(said.path()).unwrap()).into_owned();
    println!("{}", serde_json::to_string(&Measured { code: status.code(), seconds, bytes, said }).unwrap());
}

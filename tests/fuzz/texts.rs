//! Readers of texts that people write: configs, sets of cases, reports to compare with, shaders.

use super::mutate::Seed;
use super::readers::Desk;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::OnceLock;
use wgslab::base::Result;
use wgslab::device::shader::Language;
use wgslab::device::{Kernel, Tree};
use wgslab::lab::{OtherReport, Report, Set, compare, roofline, side_by_side};
use wgslab::study::Config;

pub fn configs() -> Vec<Seed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let files = ["base.toml", "smoke.toml", "study/isic9.toml"].map(|f| std::fs::read_to_string(root.join(f)).unwrap());
    let alone = |text: String| text.lines().filter(|l| !l.starts_with("base = ")).collect::<Vec<_>>().join("\n");
    files.into_iter().map(|text| Seed::whole(alone(text))).collect()
}

pub fn read_config(desk: &Desk, bytes: &[u8]) -> Result<()> {
    let config = Config::load(&desk.file("c.toml", bytes))?;
    // The config must read back the same, because an address depends on it.
    let again = Config::parse("again", &config.to_toml()?)?;
    assert!(again == config, "the config that was written does not read back the same");
    Ok(())
}

pub fn sets() -> Vec<Seed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/sets");
    let files = ["smoke.toml", "vit.toml", "peers.toml"];
    files.iter().map(|f| Seed::whole(std::fs::read(root.join(f)).unwrap())).collect()
}

pub fn read_set(desk: &Desk, bytes: &[u8]) -> Result<()> {
    Set::load(&desk.file("s.toml", bytes)).map(drop)
}

/// The recorded report, cut to two rows with four samples each.
fn short_report() -> &'static Value {
    static ONCE: OnceLock<Value> = OnceLock::new();
    ONCE.get_or_init(shortened_report)
}

fn shortened_report() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/first.json");
    let mut report: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let rows = report["rows"].as_array_mut().unwrap();
    rows.truncate(2);
    let reference = report["reference"].take();
    let shorten = |row: &mut Value| {
        for list in ["samples_ms", "wall_ms", "reference_ms"] {
            if let Some(list) = row[list].as_array_mut() {
                list.truncate(4);
            }
        }
        row.as_object_mut().unwrap().remove("turns");
    };
    report["rows"].as_array_mut().unwrap().iter_mut().for_each(shorten);
    report["reference"] = reference;
    if report["reference"].is_object() {
        shorten(&mut report["reference"]);
    }
    report
}

pub fn reports() -> Vec<Seed> {
    vec![Seed::whole(short_report().to_string())]
}

pub fn read_report(desk: &Desk, bytes: &[u8]) -> Result<()> {
    let base = Report::load(&desk.file("b.json", bytes))?;
    let whole = Report::load(&desk.file("w.json", short_report().to_string().as_bytes()))?;
    base.csv()?;
    base.html()?;
    compare::expect_comparable(&base, &whole.environment, "b.json")?;
    compare::compare(&base, &whole, 0.05, ["base", "new"])?;
    side_by_side(&whole, &[OtherReport { label: "b".into(), report: base }]).map(drop)
}

pub fn roofs() -> Vec<Seed> {
    let spread = wgslab::lab::Spread::of(&[1.0, 2.0, 3.0]);
    let peak = json!({ "value": spread, "how": "4 to a vector" });
    let mut roof = json!({ "schema": roofline::SCHEMA, "environment": short_report()["environment"] });
    for name in ["f32", "f16", "matrix", "copy", "cache", "workgroup", "launch", "dependent_launch", "round_trip"] {
        roof[name] = peak.clone();
    }
    vec![Seed::whole(roof.to_string())]
}

pub fn read_roofs(desk: &Desk, bytes: &[u8]) -> Result<()> {
    let roof = roofline::Roof::load(&desk.file("r.json", bytes))?;
    roof.share(1000, 1000, 1.0);
    roofline::svg(&roof, &[]).map(drop)
}

/// The piece that the mutated text replaces.
const PIECE: &str = "elementwise/scale/forward.wgsl";

/// A text that the templater unrolls.
const LOOPS: &str = "struct Params { vectors: u32, factor: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    //@ let n = 2 * (1 + 1)
    //@ for i in 0..n
    let v_$i = x[id.x + ${i}u] * p.factor;
    //@ for j in i..4
    y[id.x + ${j}u] = v_$i;
    //@ end
    //@ end
}
";

/// The texts that compile in the place of that piece. A text that does not compile would be a poor seed.
pub fn shaders() -> Vec<Seed> {
    let desk = Desk::new();
    let mut texts: Vec<&str> = wgslab::device::tree::pieces().map(|p| p.1).collect();
    texts.retain(|text| text.len() < 4096 && read_shader(&desk, text.as_bytes()).is_ok());
    assert!(texts.len() >= 8, "only {} pieces compile by themselves", texts.len());
    texts.truncate(24);
    // Half of the cases begin with the text that the templater unrolls.
    let loops = std::iter::repeat_n(LOOPS, texts.len());
    texts.iter().copied().chain(loops).map(Seed::whole).collect()
}

pub fn read_shader(desk: &Desk, bytes: &[u8]) -> Result<()> {
    let tree = Tree::committed().with(PIECE, &desk.file(PIECE, bytes))?;
    let pieces = [wgslab::piece!("common/index.wgsl"), wgslab::piece!("elementwise/scale/forward.wgsl")];
    Kernel::new("scale.forward", "portable", &pieces).text(&tree, Language::Spirv).map(drop)
}

use super::*;
use crate::base::{DType, seal};
use crate::device::{Caps, Piece};
use crate::params;
use crate::tape::op::{Cost, Emit, Op, Slot};
use crate::tape::{Options, Tape};
use serde_json::{Value, json};

/// y = by·x. It panics when it is printed, because nothing that is looked up again may depend on how an op prints.
#[derive(Clone, Serialize)]
struct Scaled {
    by: f32,
    text: &'static str,
}

impl std::fmt::Debug for Scaled {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("an op was printed")
    }
}

params! {
    struct Params { words: u32, by: f32 }
}

const TEXT: &str = "struct Params { words: u32, by: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < p.words) { y[id.x] = p.by * x[id.x]; }
}
";

impl Op for Scaled {
    fn name(&self) -> &'static str {
        "scaled"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let words = e.y[0].shape.numel() as u32;
        let kernel = Kernel::new("scaled.forward", "portable", &[Piece { path: "test/scaled.wgsl", text: self.text }]);
        e.launch(kernel, &[Slot::In(0), Slot::Out(0)], &Params { words, by: self.by }, [words.div_ceil(64), 1, 1]);
        Ok(())
    }

    fn cost(&self, _x: &[Type], _y: &[Type]) -> Cost {
        Cost::default()
    }
}

/// y = 2·x, then the state w = 3·y, with a scalar that nobody reads.
fn recording(texts: [&'static str; 2], by: f32) -> Recording {
    let record = || {
        let mut t = Tape::new();
        let x = t.input("x", Type::f32([5]))?;
        t.state("w", Type::f32([5]))?;
        t.scalar("lr")?;
        let y = t.layer("first", |t| t.apply1(Scaled { by, text: texts[0] }, &[x]))?;
        let z = t.apply1(Scaled { by: 3.0, text: texts[1] }, &[y])?;
        t.assign("w", z)?;
        t.output("y", y);
        Recording::of(&Schedule::new(&t, &Options::new(&Caps::portable()))?, &Tree::default())
    };
    record().unwrap()
}

fn small() -> Recording {
    recording([TEXT, TEXT], 2.0)
}

const EDITED: &str = "// edited
struct Params { words: u32, by: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < p.words) { y[id.x] = p.by * x[id.x]; }
}
";

/// If this literal changes, every run begins anew, because [`crate::study`] goes on only with folders of its own
/// address. It may change with `shaders/tape/assign/copy.wgsl`, which the step launches. It may not change because
/// something is renamed in Rust.
#[test]
fn the_address_of_a_small_recording() {
    assert_eq!(small().address(), "d275ce6e3d4c4cd2");
    assert_eq!(small().address(), recording([TEXT, TEXT], 7.0).address(), "parameters are in a run's settings");
}

#[test]
fn a_changed_kernel_is_another_address() {
    let of = |texts| recording(texts, 2.0).address();
    assert_ne!(of([TEXT, TEXT]), of([EDITED, EDITED]));
    assert_ne!(of([TEXT, EDITED]), of([TEXT, TEXT]));
    assert_ne!(of([TEXT, EDITED]), of([EDITED, TEXT]), "which layer runs which");
}

#[test]
fn it_says_all_that_a_replay_needs() {
    let r = small();
    let named =
        |list: &[Named]| list.iter().map(|n| (n.name.clone(), n.ty, r.buffers[n.buffer].role)).collect::<Vec<_>>();
    let ty = Type::f32([5]);
    assert_eq!(named(&r.inputs), [("x".to_string(), ty, Role::Input)]);
    assert_eq!(named(&r.states), [("w".to_string(), ty, Role::State)]);
    assert_eq!(named(&r.outputs), [("y".to_string(), ty, Role::Output)]);
    assert_eq!(r.scalars, ["lr"]);
    let roles: Vec<(Role, u64)> = r.buffers.iter().map(|b| (b.role, b.bytes)).collect();
    let due = [
        (Role::Output, 32),
        (Role::Temp, 32),
        (Role::Input, 32),
        (Role::Scalars, 256),
        (Role::State, 32),
        (Role::Params, 768),
    ];
    let (mut sorted, mut wanted) = (roles.clone(), due.to_vec());
    sorted.sort();
    wanted.sort();
    assert_eq!(sorted, wanted);
    assert_eq!(r.kernels.len(), 2, "each kernel once");
    assert_eq!(r.kernels[0].pieces(), ["test/scaled.wgsl"]);
    let labels: Vec<&str> = r.launches.iter().map(|c| c.label.as_str()).collect();
    assert_eq!(labels, ["first/scaled.forward", "/scaled.forward", "commit.w/assign.copy"]);
    assert_eq!(r.launches[0].params, [5u32.to_le_bytes(), 2f32.to_le_bytes()].concat());
    assert_eq!(r.launches[0].grid, [1, 1, 1]);
}

/// Barriers of launches that each read one buffer and write another, given as pairs.
#[test]
fn cuts_count_what_waits() {
    let barriers = |pairs: &[[usize; 2]]| {
        let mut r = small();
        let whole = r.buffers.len();
        let memory = |part_of| Memory { role: Role::Temp, name: "more".into(), bytes: 512, part_of };
        r.buffers.push(memory(None));
        r.buffers.extend([0, 256].map(|offset| memory(Some(PartOf { buffer: whole, offset }))));
        let call = |pair: &[usize; 2]| Call { buffers: pair.to_vec(), ..r.launches[0].clone() };
        r.launches = pairs.iter().map(call).collect();
        let cuts = r.cuts();
        assert_eq!((cuts.dispatches, cuts.passes), (pairs.len(), pairs.len().div_ceil(64)));
        cuts.barriers
    };
    let first_part = small().buffers.len() + 1;
    let [part, other] = [first_part, first_part + 1];
    assert_eq!(barriers(&[[0, 1], [0, 2], [0, 3], [0, 4]]), 0, "all read one buffer");
    assert_eq!(barriers(&[[0, 1], [1, 2], [2, 3], [3, 4]]), 3, "each reads what the last one wrote");
    assert_eq!(barriers(&[[0, 1], [0, 2], [3, 0], [4, 5]]), 1, "one writes what was read");
    assert_eq!(barriers(&[[0, 1], [2, 1], [3, 4], [3, 5]]), 1, "one writes what was written");
    assert_eq!(barriers(&[[0, part], [other, 1], [2, other], [3, 4]]), 2, "a part counts as the whole");
    // The launch that reads what was written comes before the end of a pass, and then behind it.
    for (before, waits) in [(62, 1), (63, 0)] {
        let mut pairs = vec![[0, 1]; before];
        pairs.extend([[0, 2], [2, 3]]);
        assert_eq!(barriers(&pairs), before - 1 + waits, "{before} launches before");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step.json");
    let r = small();
    r.write(&path).unwrap();
    let back = Recording::read(&path).unwrap();
    assert_eq!(serde_json::to_value(&back).unwrap(), serde_json::to_value(&r).unwrap());
    assert_eq!(back.address(), r.address());
    assert!(!r.kernels[0].needs_checks() && back.kernels.iter().all(|k| k.needs_checks()), "a file is not trusted");
    let bytes = std::fs::read(&path).unwrap();
    for at in (0..bytes.len()).step_by(97) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        std::fs::write(&path, changed).unwrap();
        // A flipped bit of white space changes no value.
        let same = |r: Recording| serde_json::to_value(&r).unwrap() == serde_json::to_value(small()).unwrap();
        assert!(Recording::read(&path).map_or(true, same), "byte {at}");
    }
}

/// Asserts that a recording whose JSON was changed by `change` and sealed again is refused with a sentence that holds
/// `words`.
#[track_caller]
fn refused(words: &str, change: impl FnOnce(&mut Value)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step.json");
    let mut value = serde_json::to_value(small()).unwrap();
    change(&mut value);
    seal::write(&path, &value).unwrap();
    let e = Recording::read(&path).unwrap_err();
    let text = e.to_string();
    assert!(e.exit_code() == 4 && text.contains(words) && text.contains("profile --recording"), "{text}");
}

#[test]
fn hostile_ones_are_refused() {
    let at = |role: &str| {
        let value = serde_json::to_value(small()).unwrap();
        value["buffers"].as_array().unwrap().iter().position(|b| b["role"] == role).unwrap()
    };
    refused("its form is wgslab-recording/9", |v| v["schema"] = json!("wgslab-recording/9"));
    refused("does not say its form", |v| v["schema"] = json!(null));
    refused("unknown field", |v| v["launches"][0]["then"] = json!(1));
    refused("there is no kernel 9", |v| v["launches"][0]["kernel"] = json!(9));
    refused("is buffer 99", |v| v["launches"][0]["buffers"][0] = json!(99));
    refused("binds 1 buffers", |v| v["launches"][0]["buffers"] = json!([0]));
    refused("that only the host writes", |v| v["launches"][0]["buffers"][1] = json!(at("input")));
    refused("cannot be bound", |v| v["launches"][0]["buffers"][0] = json!(at("params")));
    refused("another binding", |v| v["launches"][0]["buffers"] = json!([0, 0]));
    refused("workgroups", |v| v["launches"][0]["grid"][2] = json!(0));
    refused("hex digits", |v| v["launches"][0]["params"] = json!("0"));
    refused("hex digits", |v| v["launches"][0]["params"] = json!("é0"));
    refused("4 bytes of parameters", |v| v["launches"][0]["params"] = json!("00000000"));
    refused("must be a multiple of 16", |v| v["buffers"][0]["bytes"] = json!(0));
    refused("must be a multiple of 16", |v| v["buffers"][0]["bytes"] = json!(u64::MAX));
    refused("of parameters have", |v| v["buffers"][at("params")]["bytes"] = json!(256));
    refused("scalars have", |v| v["buffers"][at("scalars")]["bytes"] = json!(512));
    refused("input x is F32 [5]", |v| v["buffers"][at("input")]["bytes"] = json!(16));
    refused("state w is F32 [4000000000, 4000000000]", |v| {
        v["states"][0]["ty"]["shape"] = json!([4e9 as u32, 4e9 as u32])
    });
    refused("output y is F32 [0]", |v| v["outputs"][0]["ty"]["shape"] = json!([0]));
    refused("7 dimensions", |v| v["outputs"][0]["ty"]["shape"] = json!([1, 1, 1, 1, 1, 1, 1]));
    refused("unknown variant", |v| v["outputs"][0]["ty"]["dtype"] = json!("F64"));
    refused("lies in buffer 77", |v| v["outputs"][0]["buffer"] = json!(77));
    refused("a buffer of its own", |v| v["inputs"] = json!([]));
    refused("two scalars are called lr", |v| v["scalars"] = json!(["lr", "lr"]));
    refused("65 scalars", |v| v["scalars"] = (0..65).map(|i| i.to_string()).collect());
    refused("the text of a kernel has", |v| v["kernels"][0]["wgsl"] = json!(" ".repeat(2 << 20)));
    refused("longer than", |v| v["launches"][0]["label"] = json!("a".repeat(2000)));
    let part = |buffer: usize, offset: u64| {
        move |v: &mut Value| v["buffers"][2]["part_of"] = json!({"buffer": buffer, "offset": offset})
    };
    refused("is no part of buffer 77", part(77, 0));
    refused("is no part of buffer 2", part(2, 0));
    refused("from a multiple of 256", part(at("temp"), 0));
    refused("unknown field", |v| v["buffers"][0]["part_of"] = json!({"buffer": 0, "offset": 0, "bytes": 16}));
    refused("must be the last", |v| {
        let list = v["buffers"].as_array_mut().unwrap();
        let params = list.pop().unwrap();
        list.insert(0, params);
    });
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step.json");
    for text in ["", "[]", "{}", "{\"schema\": \"wgslab-recording/1\"}"] {
        std::fs::write(&path, text).unwrap();
        let e = Recording::read(&path).unwrap_err();
        assert!(e.exit_code() == 4 && e.to_string().contains("not a recording that can run"), "{e}");
    }
}

/// Text that is no kernel, or has another layout than the file says, is refused before a buffer is made.
#[test]
fn foreign_text_is_read_before_it_runs() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(small()).unwrap();
        change(&mut value);
        let back: Recording = serde_json::from_value(value).unwrap();
        back.kernels[0].expect_valid().map_err(|e| e.to_string())
    };
    changed(&|_| {}).unwrap();
    let why = changed(&|v| v["kernels"][0]["wgsl"] = json!("fn main() { x }")).unwrap_err();
    assert!(why.contains("scaled.forward [portable]:1"), "{why}");
    let why = changed(&|v| v["kernels"][0]["layout"]["buffers"][1] = json!("read")).unwrap_err();
    assert!(why.contains("the layout of its text is not the one that is given for it"), "{why}");
    let deep = format!("fn f() {{ {} }}", "{".repeat(100_000));
    let why = changed(&|v| v["kernels"][0]["wgsl"] = json!(deep)).unwrap_err();
    assert!(why.contains("nest more than"), "{why}");
    assert_eq!(DType::F32.name(), serde_json::to_value(DType::F32).unwrap());
}

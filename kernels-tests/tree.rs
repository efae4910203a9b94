//! Edited shaders on a device: two trees work side by side, the hash is of the text that runs, and an edit that does
//! not fit its op is an error before anything is dispatched.

use crate::harness::{device, text};
use libtest_mimic::{Failed, Trial};
use std::sync::Arc;
use wgslab::device::tune::{Rules, Table};
use wgslab::device::{Gpu, GpuOptions, Tree};
use wgslab::kernels::tune::{Tuning, missing, tune};
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type};

/// The shader piece that the tests here edit.
const PIECE: &str = "elementwise/scale/forward.wgsl";

/// The trials.
pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<(), String>| {
        Trial::test(format!("T1 tree {name}"), move || test().map_err(Failed::from))
    };
    vec![
        trial("two trees run side by side", side_by_side),
        trial("an edit that does not fit its op is an error", misfits),
        trial("a tuned result is of the text that ran", tuned),
    ]
}

/// A tree with one replacement in a piece, which holds `from` once.
pub fn edited(piece: &str, from: &str, to: &str) -> Result<Tree, String> {
    let committed = wgslab::device::tree::pieces().find(|p| p.0 == piece).ok_or("the piece is gone")?.1;
    if committed.matches(from).count() != 1 {
        return Err(format!("{piece} has '{from}' {} times", committed.matches(from).count()));
    }
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let file = folder.path().join(piece);
    std::fs::create_dir_all(file.parent().ok_or("a piece lies in no folder")?).map_err(|e| e.to_string())?;
    std::fs::write(&file, committed.replace(from, to)).map_err(|e| e.to_string())?;
    Tree::load(folder.path()).map_err(text)
}

/// A device that runs a tree.
pub fn open(tree: Tree) -> Result<Gpu, String> {
    Gpu::open(&GpuOptions { shaders: Arc::new(tree), ..GpuOptions::default() }).map_err(text)
}

/// Runs 3·x of (1, 2, …, 5), or what the edit makes of it.
fn run(gpu: &Gpu) -> Result<Vec<f32>, String> {
    let mut t = Tape::new();
    let mut record = || {
        let x = t.input("x", Type::f32([5]))?;
        let y = t.scale(x, 3.0)?;
        t.output("y", y);
        let schedule = Schedule::new(&t, &Options::new(gpu.caps()))?;
        let plan = Plan::new(gpu, schedule, &State::new())?;
        plan.run(gpu, &Feed::new().input("x", &[1f32, 2.0, 3.0, 4.0, 5.0]))?;
        plan.read_f32(gpu, "y")
    };
    record().map_err(text)
}

fn side_by_side() -> Result<(), String> {
    let committed = device::gpu(false)?;
    let doubled = open(edited(PIECE, "p.factor *", "2.0 * p.factor *")?)?;
    let (a, b, again) = (run(&committed)?, run(&doubled)?, run(&committed)?);
    if a != [3.0, 6.0, 9.0, 12.0, 15.0] || b != [6.0, 12.0, 18.0, 24.0, 30.0] || again != a {
        return Err(format!("{a:?} {b:?} {again:?}"));
    }
    // An edited kernel always runs with checks. Without them this one would write outside the buffer.
    let outside = open(edited(PIECE, "y[i] =", "y[i + 100000000u] =")?)?;
    run(&outside).map(drop)
}

fn misfits() -> Result<(), String> {
    for (from, to, says) in [
        ("vectors: u32, factor: f32", "factor: f32, vectors: u32", "the op fills vectors at 0, factor at 4 in 8 bytes"),
        ("factor: f32 }", "factor: f32, more: vec2<f32> }", "more at 8 in 16 bytes"),
        (
            "@compute",
            "@group(0) @binding(3) var<storage, read_write> z: array<f32>;\n@compute",
            "binds 3 storage buffers; the op gives 2",
        ),
        ("var<storage, read> x", "var<storage, read_write> x", "binding 1 is input 0: declare it var<storage, read>"),
        (
            "read_write> y: array<vec4<f32>>",
            "read_write> y: array<vec4<f64>>",
            "forward.wgsl:14: scale.forward [portable]: automatic conversions",
        ),
        ("@workgroup_size(64)", "@workgroup_size(64, 64)", "4096 invocations in a workgroup"),
        ("y[i] = ", "y[i] = nothing + ", "forward.wgsl:14: scale.forward"),
        ("p.factor", "$FACTOR", "forward.wgsl:14: $FACTOR has no value"),
    ] {
        let gpu = open(edited(PIECE, from, to)?)?;
        let e = run(&gpu).err().unwrap_or_default();
        if !e.contains(says) || !e.contains("forward.wgsl") {
            return Err(format!("'{to}' must say '{says}', not '{e}'"));
        }
    }
    Ok(())
}

fn tuned() -> Result<(), String> {
    let committed = device::gpu(false)?;
    let mut t = Tape::new();
    let mut record = || {
        let (a, b) = (t.input("a", Type::f32([5, 7]))?, t.input("b", Type::f32([7, 6]))?);
        let c = t.matmul(a, b, false, false)?;
        t.output("c", c);
        Schedule::new(&t, &Options::new(committed.caps()))
    };
    let schedule = record().map_err(text)?;
    let mut table = Table::new(&committed.adapter().name, &committed.adapter().driver);
    for subject in missing(&committed, &schedule, &table).map_err(text)? {
        let usual = Tuning::usual(committed.caps());
        let once = Tuning { rules: Rules { rounds: 1, ..usual.rules }, ..usual };
        let entry = tune(&committed, &subject, &once).map_err(text)?;
        table.entries.insert(subject.key.clone(), entry);
    }
    let launched = schedule.kernels().flat_map(|k| &k.pieces).next().ok_or("matmul launches nothing")?.path;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let file = folder.path().join("any.wgsl");
    let before = wgslab::device::tree::pieces().find(|p| p.0 == launched).ok_or("the piece is gone")?.1;
    std::fs::write(&file, format!("{before}// edited\n")).map_err(|e| e.to_string())?;
    let edited = open(Tree::default().with(launched, &file).map_err(text)?)?;
    match (missing(&committed, &schedule, &table).map_err(text)?.len(), missing(&edited, &schedule, &table)) {
        (0, Ok(left)) if left.len() == 1 => Ok(()),
        other => Err(format!("only the edited kernel must be tuned again: {other:?}")),
    }
}

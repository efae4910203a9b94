//! What schedules and plans must do for any ops. T0 checks rules and runs schedules on the CPU; T1 runs plans on the
//! device. The steps use three small ops: add, relu, and a doubling in place that may obey the guard.

mod arenas;
mod device;
mod joined;
mod players;
mod random;
mod recompute;
mod recording;
mod rules;
mod simclr;

use crate::harness::{Named, compare, ensure, named, text};
use libtest_mimic::Trial;
use std::path::PathBuf;
use wgslab::base::{Error, Result as BaseResult};
use wgslab::device::{Caps, Kernel, Piece};
use wgslab::tape::{Cost, Emit, Op, Options, Schedule, Slot, Tape, Type};

/// Trials without a device.
pub fn trials() -> Vec<Trial> {
    let mut list = rules::list();
    list.extend(recompute::list());
    list.push(("random steps on the CPU", random::on_the_cpu));
    list.push(("snapshot of a small step", snapshot));
    list.push(("snapshot of a step of SimCLR with ResNet-18", simclr::snapshot));
    list.push(("batch norm, residual and relu are one op in a step", simclr::norms));
    list.push(("a step updates all tensors at once", simclr::dispatches));
    list.push(("same_bits compares names, types, counts and bits", compare::same_bits_compares));
    named("T0 plans", list)
}

/// Trials on a device.
pub fn device_trials() -> Vec<Trial> {
    let mut list = device::list();
    list.extend(arenas::list());
    list.extend(recompute::device_list());
    named("T1 plans", list)
}

/// Expects an error whose sentence holds each of `words`.
fn must_fail<T>(what: &str, r: BaseResult<T>, words: &[&str]) -> Result<(), String> {
    let Err(e) = r else { return Err(format!("{what} must be an error")) };
    let e = e.to_string();
    ensure(words.iter().all(|w| e.contains(w)), format!("{what}: '{e}' must name {words:?}"))
}

/// A tape built by `f`.
fn tape(f: impl FnOnce(&mut Tape) -> BaseResult<()>) -> Result<Tape, String> {
    let mut t = Tape::new();
    f(&mut t).map_err(text)?;
    Ok(t)
}

fn schedule(t: &Tape) -> Result<Schedule, String> {
    Schedule::new(t, &Options::new(&Caps::portable())).map_err(text)
}

/// Names of the kernels of a schedule, in order.
fn kernels(s: &Schedule) -> Vec<&'static str> {
    s.steps.iter().flat_map(|s| &s.launches).map(|(l, _)| l.kernel.name).collect()
}

/// x = 2·x in place. A second input is a flag that, when set, leaves x as it is.
#[derive(Clone, Debug, serde::Serialize)]
struct Double;

wgslab::params! {
    struct Params { words: u32 }
}

const PLAIN: &[Piece] = &[Piece {
    path: "test/double.wgsl",
    text: "struct Params { words: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < p.words) { x[id.x] = 2.0 * x[id.x]; }
}",
}];
const GUARDED: &[Piece] = &[Piece {
    path: "test/double_guarded.wgsl",
    text: "struct Params { words: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> guard: array<u32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < p.words && guard[0] == 0u) { x[id.x] = 2.0 * x[id.x]; }
}",
}];

impl Op for Double {
    fn name(&self) -> &'static str {
        "double"
    }

    fn infer(&self, x: &[Type]) -> BaseResult<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }

    fn emit(&self, e: &mut Emit<'_>) -> BaseResult<()> {
        let words = e.y[0].shape.numel() as u32;
        let grid = [words.div_ceil(64), 1, 1];
        if e.x.len() == 2 {
            let kernel = Kernel::new("double.guarded", "portable", GUARDED);
            e.launch(kernel, &[Slot::In(1), Slot::Out(0)], &Params { words }, grid);
        } else {
            e.launch(Kernel::new("double.plain", "portable", PLAIN), &[Slot::Out(0)], &Params { words }, grid);
        }
        Ok(())
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() }
    }
}

/// Compares the printed schedule of a small step with the committed text, so that an edit that changes memory or
/// launches is seen.
fn snapshot() -> Result<(), String> {
    let t = tape(|t| {
        let x = t.input("x", Type::f32([4, 6]))?;
        let w = t.state("w", Type::f32([4, 6]))?;
        let hidden = t.layer("hidden", |t| {
            let sum = t.add(x, w)?;
            t.relu(sum)
        })?;
        let y = t.layer("head", |t| {
            let flat = t.reshape(hidden, [24])?;
            t.add(flat, flat)
        })?;
        let dw = t.gradient(y, &[w])?[0].ok_or_else(|| Error::Failed("w has no gradient".into()))?;
        let new = t.layer("optim", |t| {
            let step = t.add(w, dw)?;
            t.apply1(Double, &[step])
        })?;
        t.assign("w", new)?;
        t.output("y", y);
        Ok(())
    })?;
    snapshot_of("small.txt", &schedule(&t)?.to_string())
}

/// Gives an error unless the text is the committed one of that name beside this file. The error shows the first lines
/// that differ.
fn snapshot_of(file: &str, now: &str) -> Result<(), String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("kernels-tests/plans").join(file);
    if std::env::var("WGSLAB_BLESS").is_ok_and(|v| v == "1") {
        return std::fs::write(&path, now).map_err(|e| e.to_string());
    }
    let then = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?.replace("\r\n", "\n");
    if then == now {
        return Ok(());
    }
    let (was, is): (Vec<&str>, Vec<&str>) = (then.lines().collect(), now.lines().collect());
    let same = was.iter().zip(&is).take_while(|(a, b)| a == b).count();
    let from = |lines: &[&str]| {
        lines[same.min(lines.len())..].iter().take(8).map(|l| format!("\n    {l}")).collect::<String>()
    };
    Err(format!(
        "the schedule differs from kernels-tests/plans/{file} from line {} on. If this is intended, write it with \
         `WGSLAB_BLESS=1 cargo test --release --test kernels snapshot` and read the difference.\nit was{}\nit is{}",
        same + 1,
        from(&was),
        from(&is)
    ))
}

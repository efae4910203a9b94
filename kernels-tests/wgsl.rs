//! T0 for shaders, without an adapter: every kernel that any case launches, under several kinds of adapter, parses,
//! validates, is bound as it is declared, keeps the limits, and goes through the writers of every backend.

use crate::harness::{recording, text};
use libtest_mimic::{Failed, Trial};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use wgslab::device::shader::{Access, Language, Reflected};
use wgslab::device::{Caps, Kernel, Tree};
use wgslab::kernels::{Case, listing, ops};
use wgslab::lab::roofline;
use wgslab::tape::layout::written_before;
use wgslab::tape::schedule::Place;
use wgslab::tape::{Launch, Options, Schedule, Slot, Tape, Type};

/// Longest WGSL file.
const LINES: usize = 250;

/// The trials.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (adapter, caps) in listing::kinds() {
        for (name, cases) in ops() {
            let (label, caps) = (format!("T0 wgsl {name} on {adapter}"), caps.clone());
            trials.push(Trial::test(label, move || op(name, &cases, &caps).map_err(Failed::from)));
        }
    }
    trials.push(Trial::test("T0 wgsl commits", || commits().map_err(Failed::from)));
    trials.push(Trial::test("T0 wgsl roofline", || probes().map_err(Failed::from)));
    trials.push(Trial::test("T0 wgsl files", || files().map_err(Failed::from)));
    trials
}

fn op(name: &str, cases: &[Case], caps: &Caps) -> Result<(), String> {
    let mut seen = HashSet::new();
    for case in cases {
        for (variant, schedule) in recording::schedules(name, case, caps)? {
            each_launch(&schedule, caps, &mut seen).map_err(|e| format!("{} [{variant}]: {e}", case.name))?;
        }
    }
    Ok(())
}

/// The kernels of the tape's own ops.
fn commits() -> Result<(), String> {
    let schedule = Schedule::new(&commit_tape()?, &Options::new(&Caps::portable())).map_err(|e| e.to_string())?;
    each_launch(&schedule, &Caps::portable(), &mut HashSet::new())
}

/// The kernels that measure an adapter's roofs.
fn probes() -> Result<(), String> {
    for kernel in roofline::kernels() {
        let reflected = kernel.reflect(&Tree::default()).map_err(|e| e.to_string())?;
        usage(&reflected).and_then(|()| backends(&reflected)).map_err(|e| format!("{}: {e}", kernel.name))?;
    }
    Ok(())
}

/// Two states that swap under a guard: a copy and two guarded commits.
fn commit_tape() -> Result<Tape, String> {
    let mut t = Tape::new();
    let mut build = || {
        let (a, b) = (t.state("a", Type::f32([5]))?, t.state("b", Type::f32([5]))?);
        let guard = t.input("guard", Type::u32([1]))?;
        t.set_guard(guard)?;
        t.assign("a", b)?;
        t.assign("b", a)
    };
    build().map_err(|e| e.to_string())?;
    Ok(t)
}

fn each_launch(schedule: &Schedule, caps: &Caps, seen: &mut HashSet<Kernel>) -> Result<(), String> {
    for step in &schedule.steps {
        let mut written = written_before(step);
        for (launch, places) in &step.launches {
            let at = |what: String| format!("{} [{}]: {what}", launch.kernel.name, launch.kernel.variant);
            let reflected = launch.kernel.reflect(&Tree::default()).map_err(|e| e.to_string())?;
            let Reflected { params, params_bytes, buffers, .. } = &reflected;
            launch.fits(params, *params_bytes, buffers, &mut written).map_err(at)?;
            aliases(places, &reflected).map_err(at)?;
            limits(launch, &reflected, caps).map_err(at)?;
            for (x, y) in step.op.in_place() {
                if launch.buffers.contains(&Slot::In(x)) && launch.buffers.contains(&Slot::Out(y)) {
                    return Err(at(format!("binds input {x} beside output {y}, which is the same buffer")));
                }
            }
            if seen.insert(launch.kernel.clone()) {
                usage(&reflected).map_err(at)?;
                backends(&reflected).map_err(at)?;
            }
        }
        if let Some(y) = (0..step.y.len()).find(|y| !written.contains(&Slot::Out(*y))) {
            return Err(format!("{} [{}] never writes its output {y}", step.op.name(), step.variant));
        }
    }
    Ok(())
}

/// A buffer that is written is bound once.
fn aliases(places: &[Place], r: &Reflected) -> Result<(), String> {
    let mut bound: BTreeMap<&Place, Vec<Access>> = BTreeMap::new();
    for (place, access) in places.iter().zip(&r.buffers) {
        bound.entry(place).or_default().push(*access);
    }
    match bound.iter().find(|(_, a)| a.len() > 1 && a.contains(&Access::ReadWrite)) {
        Some((place, access)) => Err(format!("{place:?} is bound as {access:?} in one launch")),
        None => Ok(()),
    }
}

fn limits(launch: &Launch, r: &Reflected, caps: &Caps) -> Result<(), String> {
    let threads: u32 = r.workgroup.iter().product();
    let tests = [
        ("storage buffers", r.buffers.len() as u32, caps.storage_buffers),
        ("invocations in a workgroup", threads, caps.invocations),
        ("bytes of workgroup memory", r.workgroup_bytes, caps.workgroup_bytes),
        ("workgroups in a dimension", launch.grid.into_iter().max().unwrap_or(0), caps.groups),
    ];
    if let Some((what, need, have)) = tests.iter().find(|t| t.1 > t.2) {
        return Err(format!("needs {need} {what} and the adapter has {have}"));
    }
    if launch.grid.contains(&0) {
        return Err(format!("has an empty grid {:?}", launch.grid));
    }
    Ok(())
}

/// Each buffer is used as it is declared: nothing bound in vain, nothing declared writable and only read.
fn usage(r: &Reflected) -> Result<(), String> {
    let entry = r.info.get_entry_point(0);
    for (handle, g) in r.module.global_variables.iter() {
        let naga::AddressSpace::Storage { access } = g.space else { continue };
        let (used, name) = (entry[handle], g.name.clone().unwrap_or_default());
        if used.is_empty() {
            return Err(format!("binds {name} and never uses it"));
        }
        if access.contains(naga::StorageAccess::STORE) && !used.contains(naga::valid::GlobalUse::WRITE) {
            return Err(format!("declares {name} read_write and never writes it"));
        }
    }
    Ok(())
}

/// The text of every language a driver may be given.
fn backends(r: &Reflected) -> Result<(), String> {
    r.spirv().map_err(text)?;
    r.text(Language::Msl).map_err(text)?;
    if r.module.types.iter().any(|(_, t)| matches!(t.inner, naga::TypeInner::CooperativeMatrix { .. })) {
        eprintln!("HLSL SKIPPED for a kernel of cooperative matrices: naga writes none, and DX12 has none in wgpu 30");
        return Ok(());
    }
    r.text(Language::Hlsl).map(drop).map_err(text)
}

/// Every file below shaders/ is used, says what it is in its first line, and is short.
fn files() -> Result<(), String> {
    let mut used = BTreeSet::new();
    for (_, caps) in listing::kinds() {
        for (name, cases) in ops() {
            for case in &cases {
                for (_, schedule) in recording::schedules(name, case, &caps)? {
                    used.extend(pieces(&schedule));
                }
            }
        }
    }
    let schedule = Schedule::new(&commit_tape()?, &Options::new(&Caps::portable())).map_err(|e| e.to_string())?;
    used.extend(pieces(&schedule));
    used.extend(roofline::kernels().iter().flat_map(|k| k.pieces.clone()).map(|p| p.path));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut wrong = Vec::new();
    for path in crate::tidy::files(&root, "wgsl") {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{name}: {e}"))?;
        if !used.contains(name.as_str()) {
            wrong.push(format!("{name} is used by no kernel of any case"));
        }
        if !text.starts_with("// ") {
            wrong.push(format!("{name} must say in its first line what it is"));
        }
        if text.lines().count() > LINES {
            wrong.push(format!("{name} has {} lines, more than {LINES}", text.lines().count()));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn pieces(s: &Schedule) -> BTreeSet<&'static str> {
    let launches = s.steps.iter().flat_map(|s| &s.launches);
    launches.flat_map(|(l, _)| l.kernel.pieces.iter().map(|p| p.path)).collect()
}

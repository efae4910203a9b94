//! T0 for shaders, without an adapter. Every kernel that any case launches, under several kinds of adapter, must parse
//! and validate. Its bindings must be as declared, it must keep the limits, and the writers of all backends must accept
//! it.

use crate::harness::{recording, text};
use libtest_mimic::{Failed, Trial};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use wgslab::base::{DType, Shape};
use wgslab::device::shader::{Access, Language, Reflected};
use wgslab::device::{Caps, Kernel, Tree};
use wgslab::kernels::conv2d::Conv2d;
use wgslab::kernels::epilogue::{Epilogue, Fused, Product, Shift};
use wgslab::kernels::matmul::MatMul;
use wgslab::kernels::unary::Unary;
use wgslab::kernels::{Case, Fill, listing, ops};
use wgslab::lab::roofline;
use wgslab::tape::layout::written_before;
use wgslab::tape::schedule::Place;
use wgslab::tape::{Launch, Options, Schedule, Slot, Tape, Type};

/// The most lines of a WGSL file.
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
    for (adapter, caps) in listing::kinds() {
        let test = move || real_sizes(&caps).map_err(Failed::from);
        trials.push(Trial::test(format!("T0 wgsl products of real sizes on {adapter}"), test));
    }
    trials.push(Trial::test("T0 wgsl commits", || commits().map_err(Failed::from)));
    trials.push(Trial::test("T0 wgsl roofline", || probes().map_err(Failed::from)));
    trials.push(Trial::test("T0 wgsl files", || files().map_err(Failed::from)));
    trials
}

fn op(name: &str, cases: &[Case], caps: &Caps) -> Result<(), String> {
    let mut seen = HashMap::new();
    for case in cases {
        for (variant, schedule) in recording::schedules(name, case, caps)? {
            each_launch(&schedule, caps, &mut seen).map_err(|e| format!("{} [{variant}]: {e}", case.name))?;
        }
    }
    Ok(())
}

/// Matrix products, as (m, n, k), whose kernels differ from those of small products: sixteen cooperative matrices for
/// each subgroup from 2¹⁸ outputs on, tiles of 128 × 128 from 2²² on. Some have sizes that are multiples of 4 and no
/// higher power of two, and some are odd.
const PRODUCTS: [(usize, usize, usize); 6] =
    [(4096, 4096, 4096), (512, 512, 64), (512, 516, 20), (512, 513, 20), (2048, 2052, 20), (2048, 2049, 20)];

/// Images, weights, stride and padding of the convolutions of a ResNet-18 on images of 224 × 224.
const CONVOLUTIONS: [([usize; 4], [usize; 4], u32, u32); 5] = [
    ([32, 3, 224, 224], [64, 3, 7, 7], 2, 3),
    ([32, 64, 56, 56], [64, 64, 3, 3], 1, 1),
    ([256, 128, 28, 28], [128, 128, 3, 3], 1, 1),
    ([32, 128, 28, 28], [256, 128, 1, 1], 2, 0),
    ([32, 256, 14, 14], [512, 256, 3, 3], 2, 1),
];

/// The product alone, and the product with a residual and a relu after it.
fn with_and_without_ending<P: Product>(product: P, x: [Type; 2]) -> Result<[Case; 2], String> {
    let epilogue = Epilogue { shift: Shift::None, residual: true, activation: Some(Unary::Relu) };
    let inputs = x.map(|ty| (ty, Fill::Normal));
    let ended = [inputs[0].clone(), inputs[1].clone(), (product.infer(&x).map_err(text)?[0], Fill::Normal)];
    let fused = Fused { product: product.clone(), epilogue };
    Ok([Case::new("alone", product, inputs.to_vec()), Case::new("with an ending", fused, ended.to_vec())])
}

/// Cases that are too large for a reference. They have types only.
fn large() -> Result<Vec<Case>, String> {
    let mut list = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        let ty = |dims: &[usize]| Type { shape: Shape::new(dims), dtype };
        for (m, n, k) in PRODUCTS {
            let product = MatMul::new(false, false);
            list.extend(with_and_without_ending(product, [ty(&[m, k]), ty(&[k, n])])?);
        }
        for (x, weight, stride, padding) in CONVOLUTIONS {
            list.extend(with_and_without_ending(Conv2d::new(stride, padding), [ty(&x), ty(&weight)])?);
        }
    }
    Ok(list)
}

/// Checks every kernel of [`large`], gradients included, and that the intended kernels are among them.
fn real_sizes(caps: &Caps) -> Result<(), String> {
    let mut seen = HashMap::new();
    for case in large()? {
        let mut recorded = case.gradients().map_err(text)?; // each of these tapes holds the op itself
        if recorded.is_empty() {
            recorded.push(case.forward().map_err(text)?);
        }
        for tape in recorded.into_iter().map(|r| r.tape) {
            for variant in recording::offered(&tape, caps) {
                let choose = recording::chooser(variant);
                let options = Options { choose: &choose, ..Options::new(caps) };
                let schedule = Schedule::new(&tape, &options).map_err(text)?;
                let types: Vec<String> = case.inputs.iter().map(|i| i.0.to_string()).collect();
                each_launch(&schedule, caps, &mut seen).map_err(|e| format!("{} [{variant}]: {e}", types.join(" ")))?;
            }
        }
    }
    let large = ("BM", 128);
    let mut meant = vec![("matmul.forward", "tiled_128", large), ("conv2d.forward", "tiled_128", large)];
    meant.extend(["matmul.forward", "conv2d.forward"].map(|name| (name, "packed", large)));
    meant.extend(["conv2d.forward", "conv2d.grad_input"].map(|name| (name, "tiled_taps", large)));
    if caps.f16 {
        meant.extend(["matmul.forward", "conv2d.forward"].map(|name| (name, "tiled_f16", large)));
    }
    if !caps.cooperative.is_empty() {
        meant.extend(["coop_16x16", "coop_8x8"].map(|variant| ("matmul.forward", variant, ("TM", 4))));
    }
    let has = |(name, variant, constant): &(&str, &str, (&str, u32))| {
        seen.keys().any(|k| k.name == *name && k.variant == *variant && k.constants.contains(constant))
    };
    match meant.iter().find(|m| !has(m)) {
        Some(missing) => Err(format!("none of the kernels is {missing:?}")),
        None => Ok(()),
    }
}

/// The kernels of the tape's own ops.
fn commits() -> Result<(), String> {
    let schedule = Schedule::new(&commit_tape()?, &Options::new(&Caps::portable())).map_err(|e| e.to_string())?;
    each_launch(&schedule, &Caps::portable(), &mut HashMap::new())
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

fn each_launch(schedule: &Schedule, caps: &Caps, seen: &mut HashMap<Kernel, Reflected>) -> Result<(), String> {
    for step in &schedule.steps {
        let mut written = written_before(step);
        for (launch, places) in &step.launches {
            let at = |what: String| format!("{} [{}]: {what}", launch.kernel.name, launch.kernel.variant);
            if !seen.contains_key(&launch.kernel) {
                let reflected = launch.kernel.reflect(&Tree::default()).map_err(|e| e.to_string())?;
                usage(&reflected).map_err(at)?;
                backends(&reflected).map_err(at)?;
                seen.insert(launch.kernel.clone(), reflected);
            }
            let reflected = &seen[&launch.kernel];
            let Reflected { params, params_bytes, buffers, .. } = reflected;
            launch.fits(params, *params_bytes, buffers, &mut written).map_err(at)?;
            aliases(places, reflected).map_err(at)?;
            limits(launch, reflected, caps).map_err(at)?;
            for (x, y) in step.op.in_place() {
                if launch.buffers.contains(&Slot::In(x)) && launch.buffers.contains(&Slot::Out(y)) {
                    return Err(at(format!("binds input {x} beside output {y}, which is the same buffer")));
                }
            }
        }
        if let Some(y) = (0..step.y.len()).find(|y| !written.contains(&Slot::Out(*y))) {
            return Err(format!("{} [{}] never writes its output {y}", step.op.name(), step.variant));
        }
    }
    Ok(())
}

/// A buffer that is written must be bound only once.
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
        return Err(format!("needs {need} {what}, but the adapter has {have}"));
    }
    if launch.grid.contains(&0) {
        return Err(format!("has an empty grid {:?}", launch.grid));
    }
    Ok(())
}

/// Each buffer must be used as declared: no unused binding, and no writable buffer that is only read.
fn usage(r: &Reflected) -> Result<(), String> {
    let entry = r.info.get_entry_point(0);
    for (handle, g) in r.module.global_variables.iter() {
        let naga::AddressSpace::Storage { access } = g.space else { continue };
        let (used, name) = (entry[handle], g.name.clone().unwrap_or_default());
        if used.is_empty() {
            return Err(format!("binds {name} but never uses it"));
        }
        if access.contains(naga::StorageAccess::STORE) && !used.contains(naga::valid::GlobalUse::WRITE) {
            return Err(format!("declares {name} read_write but never writes it"));
        }
    }
    Ok(())
}

/// The kernel in every shading language that a driver may receive.
fn backends(r: &Reflected) -> Result<(), String> {
    r.spirv().map_err(text)?;
    r.text(Language::Msl).map_err(text)?;
    if r.module.types.iter().any(|(_, t)| matches!(t.inner, naga::TypeInner::CooperativeMatrix { .. })) {
        eprintln!(
            "HLSL SKIPPED for a kernel of cooperative matrices: naga cannot write it, and wgpu 30 lacks it on DX12"
        );
        return Ok(());
    }
    r.text(Language::Hlsl).map(drop).map_err(text)
}

/// Every file below shaders/ must be used, must say in its first line what it is, and must be short.
fn files() -> Result<(), String> {
    let mut used: BTreeSet<&str> =
        recording::every_kernel()?.iter().flat_map(|(kernel, _)| &kernel.pieces).map(|p| p.path).collect();
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
        if let Some(number) = far(&text) {
            wrong.push(format!("{name} has {number}, which overflows where it is scaled; 1e30 is as good as infinite"));
        }
        if !text.starts_with("// ") {
            wrong.push(format!("{name} must say in its first line what it is"));
        }
        if text.lines().count() > LINES {
            wrong.push(format!("{name} has {} lines, more than {LINES}", text.lines().count()));
        }
        wrong.extend(branches(&text).map(|line| format!("{name}: && and || are branches; write (a) & (b): {line}")));
    }
    if far("let a = 3.4e38; // 1e38") != Some("3.4e38") || far("1e30 0xffffffffu").is_some() {
        wrong.push("the test does not see a number that is too large".into());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Lines that compute a value with `&&` or `||`. naga makes a branch of each, because they must not look at their right side
/// in vain. A GPU's compiler may make a selection of it again; SwiftShader's took more than ten minutes for the 32 of an
/// unrolled loop. A condition is a branch anyway.
fn branches(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| {
        let code = line.split("//").next().unwrap_or_default();
        let conditional = ["if (", "} else if (", "for (", "while ("].iter().any(|word| code.starts_with(word));
        !conditional && (code.contains("&&") || code.contains("||"))
    })
}

/// A number above 1e31 in a shader. Such a one as the start of a maximum becomes infinite where it is multiplied, by 1/τ
/// or by log₂ e in exp, and some drivers assume that nothing is infinite.
fn far(text: &str) -> Option<&str> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or(""));
    let words = code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '.'));
    words.filter(|w| w.starts_with(|c: char| c.is_ascii_digit())).find(|w| {
        let number = w.trim_end_matches(['f', 'h']);
        number.contains(['.', 'e']) && number.parse::<f32>().is_ok_and(|v| v > 1e31)
    })
}

fn pieces(s: &Schedule) -> BTreeSet<&'static str> {
    let launches = s.steps.iter().flat_map(|s| &s.launches);
    launches.flat_map(|(l, _)| l.kernel.pieces.iter().map(|p| p.path)).collect()
}

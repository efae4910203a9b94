//! f16 tensors beyond the cases of single ops: who takes them, how an odd number of halves lies in buffers, states and
//! checkpoints, how gradients add up, and products against PyTorch's.

use crate::golden::{self, floats, gradients};
use crate::harness::device::gpu;
use crate::harness::quick::{Input, near, run};
use crate::harness::recording::chooser;
use crate::harness::text;
use half::f16;
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeSet;
use wgslab::base::DType;
use wgslab::kernels::{self, Case, Fill, ops};
use wgslab::nn::checkpoint;
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type};

/// Ops that take f16 for every float they take.
const TAKE: [&str; 16] = [
    "abs",
    "add",
    "cast",
    "clamp",
    "conv2d",
    "conv_transpose2d",
    "gelu",
    "leaky_relu",
    "log",
    "matmul",
    "mul",
    "neg",
    "pow",
    "relu",
    "silu",
    "sub",
];

/// Trials without a device.
pub fn trials() -> Vec<Trial> {
    vec![Trial::test("T0 halves are refused to ops without an f16 form", || refusals().map_err(Failed::from))]
}

/// Trials on a device.
pub fn device_trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<(), String>| {
        Trial::test(format!("T1 halves {name}"), move || test().map_err(Failed::from))
    };
    let mut list = vec![
        trial("an odd number of them is state, input, output and checkpoint", odd),
        trial("a checkpoint refuses an infinite one", infinite),
        trial("gradients add up in f16", sums),
        trial("a product of them ends in a bias and an activation", fused),
    ];
    let golden = golden::read("half").unwrap_or_default();
    let cases: BTreeSet<String> = golden.keys().filter_map(|k| Some(k.rsplit_once('/')?.0.to_string())).collect();
    list.push(trial("the golden file is there", || golden::read("half").map(drop)));
    for case in cases {
        let prefix = format!("{case}/");
        let named = golden.iter().filter_map(|(k, v)| {
            let name = k.strip_prefix(&prefix)?.to_string();
            Some((name.clone(), Input { name, ..v.clone() }))
        });
        let tensors: golden::Tensors = named.collect();
        list.push(Trial::test(format!("T1 golden half {case}"), move || {
            against(&case, &tensors).map_err(Failed::from)
        }));
    }
    list
}

fn ensure(holds: bool, what: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// What recording the op of a case says where the inputs `halved` are f16.
fn recorded(case: &Case, halved: &[usize]) -> wgslab::base::Result<Vec<Type>> {
    let mut t = Tape::new();
    let input = |(i, (ty, _)): (usize, &(Type, _))| {
        let dtype = if halved.contains(&i) { DType::F16 } else { ty.dtype };
        t.input(&format!("x{i}"), Type { dtype, ..*ty })
    };
    let inputs = case.inputs.iter().enumerate().map(input).collect::<wgslab::base::Result<Vec<_>>>()?;
    Ok(t.apply_dyn(case.op.clone(), &inputs)?.into_iter().map(|v| t.ty(v)).collect())
}

fn refusals() -> Result<(), String> {
    for (name, cases) in ops() {
        for case in cases.iter().filter(|c| c.inputs.iter().all(|i| i.0.dtype != DType::F16)) {
            let float: Vec<usize> = (0..case.inputs.len()).filter(|&i| case.inputs[i].0.dtype == DType::F32).collect();
            let mixed = float.iter().filter(|_| float.len() > 1).map(|&i| vec![i]);
            for halved in mixed.chain([float.clone()]).filter(|h| !h.is_empty()) {
                let at = || format!("{name}, {}, inputs {halved:?} as f16", case.name);
                match recorded(case, &halved) {
                    Ok(y) => {
                        let right = TAKE.contains(&name) && halved == float;
                        ensure(right, format!("{} must be refused and gives {y:?}", at()))?;
                    }
                    Err(e) => {
                        let (e, own) = (e.to_string(), name == "cast"); // a cast from f32 has nothing to do for f16
                        ensure(own || !TAKE.contains(&name) || halved != float, format!("{}: {e}", at()))?;
                        ensure(e.contains("F16"), format!("{}: '{e}' must name F16", at()))?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()
}

/// s ← s + x in f16, five elements: ten bytes, which are no whole words.
fn odd() -> Result<(), String> {
    let (gpu, ty, mut t) = (gpu(true)?, Type::f16([5]), Tape::new());
    let mut build = || {
        let (x, s) = (t.input("x", ty)?, t.state("s", ty)?);
        let sum = t.add(x, s)?;
        t.output("old", s);
        t.output("sum", sum);
        t.assign("s", sum)
    };
    build().map_err(text)?;
    let (x, s) = ([1.0f32, -2.0, 0.5, 4.0, 1000.0], [0.25f32, 2.0, 3.0, 2048.0, 1.0]);
    let want: Vec<f32> = x.iter().zip(&s).map(|(x, s)| x + s).collect();
    let mut state = State::new();
    state.insert(&gpu, "s", ty, Some(&bytes(&s))).map_err(text)?;
    let schedule = Schedule::new(&t, &Options::new(gpu.caps())).map_err(text)?;
    let plan = Plan::new(&gpu, schedule, &state).map_err(text)?;
    plan.run(&gpu, &Feed::new().input("x", &bytes(&x))).map_err(text)?;
    for (what, got, want) in [
        ("the old state", plan.read(&gpu, "old"), bytes(&s)),
        ("the sum", plan.read(&gpu, "sum"), bytes(&want)),
        ("the state", state.read(&gpu, "s"), bytes(&want)),
    ] {
        let got = got.map_err(text)?;
        ensure(got == want, format!("{what} is {got:?} and must be {want:?}"))?;
    }
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("state.safetensors");
    checkpoint::save_state(&path, &gpu, &state, "{}").map_err(text)?;
    state.write(&gpu, "s", &bytes(&s)).map_err(text)?;
    checkpoint::restore_state(&path, &gpu, &state).map_err(text)?;
    let mut loaded = State::new();
    checkpoint::load_state(&path, &gpu, &mut loaded).map_err(text)?;
    for (what, state) in [("restored", &state), ("loaded", &loaded)] {
        let got = state.read(&gpu, "s").map_err(text)?;
        ensure(got == bytes(&want) && state.ty("s") == Some(ty), format!("{what}: {got:?} of {:?}", state.ty("s")))?;
    }
    Ok(())
}

fn infinite() -> Result<(), String> {
    let (gpu, mut state) = (gpu(true)?, State::new());
    state.insert(&gpu, "s", Type::f16([3]), Some(&bytes(&[1.0, 2.0, 1e6]))).map_err(text)?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    match checkpoint::save_state(&folder.path().join("state.safetensors"), &gpu, &state, "{}") {
        Err(e) if e.to_string().contains("s holds inf") => Ok(()),
        other => Err(format!("an infinite half must be refused, not {other:?}")),
    }
}

/// The gradient of (a·a + a) is 2a + 1, of which every part is f16.
fn sums() -> Result<(), String> {
    let a = [0.5f32, -3.0, 100.0];
    let got = run(&[Input::f32("a", &[3], &a)], |t, v| {
        let a = t.cast(v["a"], DType::F16)?;
        let square = t.mul(a, a)?;
        let y = t.add(square, a)?;
        let grad = gradients(t, y, None, &[("half", a), ("single", v["a"])])?;
        let half = t.cast(grad[0].1, DType::F32)?;
        Ok(vec![("half", half), ("single", grad[1].1)])
    })?;
    let want: Vec<f32> = a.iter().map(|a| 2.0 * a + 1.0).collect();
    ensure(got["half"] == want && got["single"] == want, format!("{got:?} must be {want:?}"))
}

/// What follows a product of halves, on its way to memory and as ops of their own, under every variant.
fn fused() -> Result<(), String> {
    let gpu = gpu(true)?;
    for (m, n, k) in [(5, 7, 9), (12, 8, 20), (6, 8, 1108)] {
        let mut t = Tape::new();
        let mut build = || {
            let (a, b) = (t.input("a", Type::f16([m, k]))?, t.input("b", Type::f16([n, k]))?);
            let bias = t.input("bias", Type::f32([n]))?;
            let y = t.linear(a, b, Some(bias))?;
            let y = t.silu(y)?;
            t.output("y", y);
            Ok::<_, wgslab::base::Error>(())
        };
        build().map_err(text)?;
        let fill = |ty, stream| Fill::Normal.words(ty, 5, stream);
        let (a, b) = (fill(Type::f16([m, k]), 0), fill(Type::f16([n, k]), 1));
        let bias = fill(Type::f32([n]), 2);
        let run = |variant, fuse| {
            let choose = chooser(variant);
            let options = Options { choose: &choose, fuse, ..Options::new(gpu.caps()) };
            let schedule = Schedule::new(&t, &options).map_err(text)?;
            let steps = schedule.steps.len();
            let plan = Plan::new(&gpu, schedule, &State::new()).map_err(text)?;
            let halves = |words, n: usize| &bytemuck::cast_slice::<u32, u8>(words)[..2 * n];
            plan.run(
                &gpu,
                &Feed::new().input("a", halves(&a, m * k)).input("b", halves(&b, n * k)).input("bias", &bias),
            )
            .map_err(text)?;
            Ok::<_, String>((plan.read_f32(&gpu, "y").map_err(text)?, steps))
        };
        for variant in ["naive", "packed", "tiled_f16"] {
            let ((whole, one), (apart, three)) = (run(variant, Some(kernels::fuse::fuse))?, run(variant, None)?);
            ensure((one, three) == (1, 3), format!("{one} and {three} steps"))?;
            near(&format!("{variant} {m}x{n}x{k}"), &whole, &apart, 1e-6)?;
        }
    }
    Ok(())
}

/// Operands are given as f32 that are halves already, and become f16 here.
fn against(case: &str, tensors: &golden::Tensors) -> Result<(), String> {
    let inputs: Vec<Input> = ["a", "b", "x", "grad_y"].iter().filter_map(|n| tensors.get(*n).cloned()).collect();
    let got = run(&inputs, |t, v| {
        if case.starts_with("cast/") {
            let half = t.cast(v["x"], DType::F16)?;
            return Ok(vec![("y", t.cast(half, DType::F32)?)]);
        }
        let (a, b) = (t.cast(v["a"], DType::F16)?, t.cast(v["b"], DType::F16)?);
        let y = t.matmul(a, b, case.contains("_ta"), case.contains("_tb"))?;
        let mut out = gradients(t, y, Some(v["grad_y"]), &[("grad_a", v["a"]), ("grad_b", v["b"])])?;
        out.push(("y", y));
        Ok(out)
    })?;
    for (name, got) in got {
        // f32 sums in another order may round to the next half: 2⁻¹⁰ apart at most.
        let allowed = match (case.starts_with("cast/"), name) {
            (true, _) => 0.0,
            (false, "y") => 1e-6,
            (false, _) => 1e-3,
        };
        near(name, &got, &floats(&tensors[name]), allowed)?;
    }
    Ok(())
}

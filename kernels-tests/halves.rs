//! Tests of f16 tensors beyond the cases of single ops: which ops take them, how an odd number of halves is stored in
//! buffers, states and checkpoints, how gradients add up, and how products compare with PyTorch's.

use crate::golden::{self, floats, gradients};
use crate::harness::device::gpu;
use crate::harness::quick::{Input, near, run};
use crate::harness::recording::chooser;
use crate::harness::{ensure, text};
use half::f16;
use libtest_mimic::{Failed, Trial};
use std::any::Any;
use std::collections::BTreeSet;
use wgslab::base::{DType, Result as BaseResult};
use wgslab::kernels::batch_norm_relu::{BatchNormRelu, BatchNormReluGrad, Mask};
use wgslab::kernels::conv2d::Conv2d;
use wgslab::kernels::{self, Case, Fill, ops};
use wgslab::nn::checkpoint;
use wgslab::tape::rewrite::Rule;
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type, Var};

/// Ops that take f16 in place of the first input alone, and give it back for it.
const TAKE_X: [&str; 8] = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "add_bias",
    "avg_pool2d",
    "batch_norm",
    "group_norm",
    "layer_norm",
    "max_pool2d",
];

/// Ops that take f16 in place of every float input.
const TAKE: [&str; 25] = [
    "abs",
    "add",
    "attention",
    "broadcast",
    "cast",
    "clamp",
    "concat",
    "conv2d",
    "conv_transpose2d",
    "gather",
    "gelu",
    "leaky_relu",
    "log",
    "matmul",
    "mul",
    "neg",
    "permute",
    "pow",
    "reduce",
    "relu",
    "scatter_add",
    "silu",
    "slice",
    "softmax",
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
        trial("a product of them ends in what follows it", fused),
        trial("products of them in tiles of 128", large_tiles),
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

/// The inputs that must be f16 together, for an op that takes halves.
fn together(name: &str, case: &Case, float: &[usize]) -> Option<Vec<usize>> {
    let any: &dyn Any = case.op.as_ref();
    match name {
        "epilogue" => Some(vec![0, 1]), // the product's inputs; the inputs of what follows it are f32
        "batch_norm_relu" => match (any.downcast_ref::<BatchNormRelu>(), any.downcast_ref::<BatchNormReluGrad>()) {
            (Some(op), _) => Some([0].into_iter().chain(op.residual.then_some(3)).collect()),
            // What two readers of a sum pass on would be rounded.
            (_, Some(op)) => (op.mask == Mask::Recomputed).then(|| vec![0, 4, 5]),
            _ => None,
        },
        name if TAKE_X.contains(&name) => Some(vec![0]),
        name => TAKE.contains(&name).then(|| float.to_vec()),
    }
}

/// Records the op of a case with f16 for the inputs `halved`. Gives the types of its results, or the error.
fn recorded(case: &Case, halved: &[usize]) -> BaseResult<Vec<Type>> {
    let mut case = case.clone();
    halved.iter().for_each(|&i| case.inputs[i].0.dtype = DType::F16);
    let recorded = case.forward()?;
    Ok(recorded.kept.iter().map(|(_, y)| recorded.tape.ty(*y)).collect())
}

fn refusals() -> Result<(), String> {
    for (name, cases) in ops() {
        for case in cases.iter().filter(|c| c.inputs.iter().all(|i| i.0.dtype != DType::F16)) {
            let float: Vec<usize> = (0..case.inputs.len()).filter(|&i| case.inputs[i].0.dtype == DType::F32).collect();
            let fits = together(name, case, &float);
            let mixed = float.iter().filter(|_| float.len() > 1).map(|&i| vec![i]);
            let sets: BTreeSet<Vec<usize>> = mixed.chain([float.clone()]).chain(fits.clone()).collect();
            for halved in sets.into_iter().filter(|h| !h.is_empty()) {
                let at = || format!("{name}, {}, inputs {halved:?} as f16", case.name);
                let right = fits.as_ref() == Some(&halved);
                match recorded(case, &halved) {
                    Ok(y) => ensure(right, format!("{} must be refused, but gives {y:?}", at()))?,
                    Err(e) => {
                        let (e, own) = (e.to_string(), name == "cast"); // a cast refuses an input that is f16 already
                        ensure(own || !right, format!("{}: {e}", at()))?;
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

/// s ← s + x in f16 with five elements. These are ten bytes, which are not whole words.
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
        ensure(got == want, format!("{what} is {got:?}, but must be {want:?}"))?;
    }
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("state.safetensors");
    checkpoint::save_state(&path, &gpu, &state, Default::default()).map_err(text)?;
    state.write(&gpu, "s", &bytes(&s)).map_err(text)?;
    let saved = checkpoint::Checkpoint::open(&path).map_err(text)?;
    saved.restore(&gpu, &state).map_err(text)?;
    let mut loaded = State::new();
    saved.load(&gpu, &mut loaded).map_err(text)?;
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
    match checkpoint::save_state(&folder.path().join("state.safetensors"), &gpu, &state, Default::default()) {
        Err(e) if e.to_string().contains("s holds inf") => Ok(()),
        other => Err(format!("an infinite half must be refused, not {other:?}")),
    }
}

/// The gradient of (a·a + a) is 2a + 1. Each of its parts is f16.
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

/// Products of halves, fused with what follows them.
fn fused() -> Result<(), String> {
    for (m, n, k) in [(5, 7, 9), (12, 8, 20), (6, 8, 1108)] {
        let types = [Type::f16([m, k]), Type::f16([n, k]), Type::f32([n])];
        fused_as_apart(&format!("{m}x{n}x{k}"), types, |t, [a, b, bias]| {
            let y = t.linear(a, b, Some(bias))?;
            t.silu(y)
        })?;
    }
    let types = [Type::f16([2, 3, 7, 6]), Type::f16([5, 3, 3, 3]), Type::f32([2, 5, 7, 6])];
    fused_as_apart("conv2d", types, |t, [x, weight, residual]| {
        let y = t.conv2d(x, weight, Conv2d::new(1, 1))?;
        let y = t.add(y, residual)?;
        t.relu(y)
    })
}

/// Runs a product and two steps after it, fused and as ops of their own, under every variant.
fn fused_as_apart(
    what: &str,
    types: [Type; 3],
    build: impl FnOnce(&mut Tape, [Var; 3]) -> BaseResult<Var>,
) -> Result<(), String> {
    let (gpu, mut t) = (gpu(true)?, Tape::new());
    let record = || {
        let [a, b, c] = types;
        let inputs = [t.input("a", a)?, t.input("b", b)?, t.input("c", c)?];
        let y = build(&mut t, inputs)?;
        t.output("y", y);
        BaseResult::Ok(())
    };
    record().map_err(text)?;
    let words = [0, 1, 2].map(|i| Fill::Normal.words(types[i], 5, i as u32));
    let bytes = |i: usize| &bytemuck::cast_slice::<u32, u8>(&words[i])[..types[i].bytes() as usize];
    let schedule = |variant, fuse| {
        let choose = chooser(variant);
        Schedule::new(&t, &Options { choose: &choose, fuse, ..Options::new(gpu.caps()) }).map_err(text)
    };
    let run = |schedule| {
        let plan = Plan::new(&gpu, schedule, &State::new()).map_err(text)?;
        let feed = Feed::new().input("a", bytes(0)).input("b", bytes(1)).input("c", bytes(2));
        plan.run(&gpu, &feed).map_err(text)?;
        plan.read_f32(&gpu, "y").map_err(text)
    };
    let fuse = Some(kernels::fuse::fuse as Rule);
    let first = schedule("first", fuse)?;
    let variants = first.steps[0].op.variants(&first.steps[0].x, gpu.caps());
    ensure(variants.len() > 1, format!("{what}: only {variants:?} are offered"))?;
    for variant in variants {
        let (whole, apart) = (schedule(variant, fuse)?, schedule(variant, None)?);
        let steps = [whole.steps.len(), apart.steps.len()];
        ensure(steps == [1, 3], format!("{what} [{variant}]: {steps:?} steps"))?;
        let taken = [whole.steps[0].variant, apart.steps[0].variant];
        ensure(taken == [variant; 2], format!("{what} [{variant}]: {taken:?} were run"))?;
        near(&format!("{what} [{variant}]"), &run(whole)?, &run(apart)?, 1e-6)?;
    }
    Ok(())
}

/// Sizes that use tiles of 128 × 128, in whole vec4 and one by one. The numbers are whole and at most 3, so that every
/// sum is exact and an f32 reference suffices. Gradients are products of other sizes and are not tested here.
fn large_tiles() -> Result<(), String> {
    let gpu = gpu(true)?;
    for (m, n, k) in [(2048, 2048, 20), (2050, 2051, 19)] {
        let small = |words: Vec<u32>| words.into_iter().map(|w| w as f32 - 3.0).collect::<Vec<f32>>();
        let a = small(Fill::Below(7).words(Type::u32([m, k]), 5, 0));
        let b = small(Fill::Below(7).words(Type::u32([k, n]), 5, 1));
        let mut want = vec![0.0f32; m * n];
        for (row, a) in want.chunks_mut(n).zip(a.chunks(k)) {
            for (a, b) in a.iter().zip(b.chunks(n)) {
                row.iter_mut().zip(b).for_each(|(c, b)| *c += a * b);
            }
        }
        let mut t = Tape::new();
        let mut record = || {
            let (a, b) = (t.input("a", Type::f16([m, k]))?, t.input("b", Type::f16([k, n]))?);
            let c = t.matmul(a, b, false, false)?;
            t.output("c", c);
            BaseResult::Ok(())
        };
        record().map_err(text)?;
        let first = Schedule::new(&t, &Options::new(gpu.caps())).map_err(text)?;
        for variant in first.steps[0].op.variants(&first.steps[0].x, gpu.caps()) {
            let choose = chooser(variant);
            let options = Options { choose: &choose, ..Options::new(gpu.caps()) };
            let schedule = Schedule::new(&t, &options).map_err(text)?;
            let large = schedule.kernels().any(|k| k.constants.contains(&("BM", 128)));
            let what = format!("{m}x{n}x{k} [{variant}]");
            ensure(large || !["packed", "tiled_f16"].contains(&variant), format!("{what} has small tiles"))?;
            let plan = Plan::new(&gpu, schedule, &State::new()).map_err(text)?;
            plan.run(&gpu, &Feed::new().input("a", &bytes(&a)).input("b", &bytes(&b))).map_err(text)?;
            let got = plan.read_f32(&gpu, "c").map_err(text)?;
            if let Some(i) = (0..m * n).find(|&i| got[i] != want[i]) {
                return Err(format!("{what}: element {i} is {}, but must be {}", got[i], want[i]));
            }
        }
    }
    Ok(())
}

/// Operands are given as f32 that hold exact halves, and become f16 here.
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
        // f32 sums in another order may round to the next half, which is at most 2⁻¹⁰ away.
        let allowed = match (case.starts_with("cast/"), name) {
            (true, _) => 0.0,
            (false, "y") => 1e-6,
            (false, _) => 1e-3,
        };
        near(name, &got, &floats(&tensors[name]), allowed)?;
    }
    Ok(())
}

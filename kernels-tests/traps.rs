//! Known traps of naga, wgpu and drivers. For each, a test shows that no kernel and no plan falls into it:
//! - operands of coopStore that naga 30.0.1 panics on;
//! - cooperative matrices and barriers in control flow that is not uniform;
//! - directives that naga or browsers refuse;
//! - products whose k is not a multiple of 4;
//! - more than 65,535 workgroups in a dimension;
//! - bindings past 128 MiB and past 2 GiB;
//! - one buffer that is read and written in one dispatch.
//!
//! Other known traps have their tests elsewhere: wgsl.rs (limits of portable adapters, unused and aliased bindings),
//! the cases of tanh, gelu and softmax (large inputs), plans/ (schedules), harness/ (sentinels, runtime checks).

use crate::barriers;
use crate::harness::device::gpu;
use crate::harness::recording::{self, chooser};
use crate::harness::{Named, ensure, named, text};
use libtest_mimic::Trial;
use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;
use wgslab::base::{DType, Result as BaseResult};
use wgslab::device::dispatch::ParamBlocks;
use wgslab::device::{Caps, Cooperative, Kernel, Piece, Tree};
use wgslab::kernels::conv2d::{Conv2d, GradInput};
use wgslab::kernels::epilogue::Fused;
use wgslab::kernels::matmul::MatMul;
use wgslab::kernels::unary::Unary;
use wgslab::kernels::{Fill, listing, ops};
use wgslab::tape::schedule::Step;
use wgslab::tape::{Feed, Op, Options, Plan, Schedule, State, Tape, Type};

/// Trials without a device.
pub fn trials() -> Vec<Trial> {
    let list: [Named; 9] = [
        ("coopStore takes only names", coop_store),
        ("coopStore with an expression is found before naga panics", coop_store_inline),
        ("cooperative matrices in divergent control flow are refused", divergent),
        ("cooperative variants need a fitting shape and must be asked for", offered),
        ("a kernel has only two directives", directives),
        ("every invocation of a workgroup reaches each barrier", all_meet),
        ("a barrier that some invocations miss is found", barriers::bodies),
        ("every variant of a product is tested with a k that 4 does not divide", odd_k),
        ("bindings past 2 GiB are refused", two_gib),
    ];
    named("T0 traps", list)
}

/// Trials on a device.
pub fn device_trials() -> Vec<Trial> {
    let list: [Named; 5] = [
        ("tiles of 128 whose steps have one tap are right", large_taps),
        ("more than 65,535 workgroups of a flat kernel", many_groups),
        ("more than 65,535 products of a batch are refused", many_products),
        ("a tensor past the adapter's binding is refused", binding),
        ("a buffer read and written in one dispatch is refused", read_and_written),
    ];
    named("T1 traps", list)
}

/// Expects an error whose sentence holds each of `words`.
fn refused<T>(what: &str, r: BaseResult<T>, words: &[&str]) -> Result<(), String> {
    let Err(e) = r else { return Err(format!("{what} must be an error")) };
    let e = e.to_string();
    ensure(words.iter().all(|w| e.contains(w)), format!("{what}: '{e}' must name {words:?}"))
}

/// The kind of adapter with every capability that a variant may need.
fn full() -> Caps {
    listing::kinds().into_iter().map(|k| k.1).find(|c| !c.cooperative.is_empty()).unwrap_or_else(Caps::portable)
}

/// The first coopStore whose index or stride is more than a name. naga 30.0.1 accepts it and then panics when it writes
/// SPIR-V.
fn inline_store(text: &str) -> Option<String> {
    let is_name = |s: &str| {
        !s.is_empty() && s.chars().all(|c| c.is_alphanumeric() || c == '_') && !s.starts_with(char::is_numeric)
    };
    let code: String = text.lines().map(|l| l.split("//").next().unwrap_or_default().to_string() + "\n").collect();
    let calls = code.match_indices("coopStore").map(|(at, _)| &code[at..]);
    calls.into_iter().map(|call| call.split(';').next().unwrap_or_default()).find_map(|call| {
        let inside = call.split_once('(').map_or("", |c| c.1).trim_end().strip_suffix(')').unwrap_or_default();
        let arguments: Vec<&str> = inside.split(',').map(str::trim).collect();
        let fits = match arguments.as_slice() {
            [_, pointer, stride] => {
                let index = pointer.split_once('[').and_then(|p| p.1.strip_suffix(']')).unwrap_or_default();
                is_name(index) && is_name(stride)
            }
            _ => false,
        };
        (!fits).then(|| call.to_string())
    })
}

fn coop_store() -> Result<(), String> {
    let mut found = 0;
    for (kernel, text) in recording::every_kernel()?.iter().filter(|k| k.0.variant.starts_with("coop")) {
        ensure(text.contains("coopStore"), format!("{kernel:?} stores nothing"))?;
        found += 1;
        if let Some(call) = inline_store(text) {
            return Err(format!("{} [{}]: '{call}' has an expression as an operand", kernel.name, kernel.variant));
        }
    }
    ensure(found > 3, format!("only {found} cooperative kernels were found"))
}

/// A kernel with this body after the load of a matrix.
fn coop_kernel(body: &'static str) -> Kernel {
    let head = Piece {
        path: "a test: head",
        text: "enable f16; enable wgpu_cooperative_matrix;
               @group(0) @binding(1) var<storage, read> a: array<f16>;
               @group(0) @binding(2) var<storage, read_write> c: array<f32>;
               @compute @workgroup_size(32)
               fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(subgroup_id) subgroup: u32) {
                   let x = coopLoadT<coop_mat16x16<f16, A>>(&a[0], 16u);
                   let y = coopLoadT<coop_mat16x16<f16, B>>(&a[256], 16u);
                   var sum = coop_mat16x16<f32, C>();
                   let at = wid.x * 256u; let stride = 16u;",
    };
    let pieces: Vec<Piece> = vec![head, Piece { path: "a test: body", text: body }];
    Kernel::new("test.coop", "coop_16x16", &pieces)
}

fn coop_store_inline() -> Result<(), String> {
    let stores = [
        ("coopStoreT(sum, &c[at], stride); }", true),
        ("coopStoreT(sum, &c[wid.x * 256u], stride); }", false),
        ("coopStoreT(sum, &c[at], stride + 0u); }", false),
        ("coopStore(sum, &c[at], 16u); }", false),
    ];
    for (body, fits) in stores {
        let kernel = coop_kernel(body);
        kernel.reflect(&Tree::default()).map_err(text)?; // all of them are valid; this is the trap
        let found = inline_store(&kernel.source(&Tree::default()).map_err(text)?.text);
        ensure(found.is_none() == fits, format!("'{body}': found {found:?}"))?;
    }
    Ok(())
}

fn divergent() -> Result<(), String> {
    let store = "coopStoreT(sum, &c[at], stride); }";
    let uniform = ["sum = coopMultiplyAdd(x, y, sum);", "if (wid.x < 7u) { sum = coopMultiplyAdd(x, y, sum); }"];
    let not = ["if (subgroup < 1u) { sum = coopMultiplyAdd(x, y, sum); }"];
    let with =
        |body: &str| coop_kernel(Box::leak(format!("{body} {store}").into_boxed_str())).reflect(&Tree::default());
    for body in uniform {
        with(body).map_err(|e| format!("'{body}': {e}"))?;
    }
    for body in not {
        refused(body, with(body), &["test.coop", "uniform"])?;
    }
    Ok(())
}

/// Cooperative variants of a product of f16 or f32 matrices on `caps`.
fn cooperative(dtype: DType, (m, n, k): (usize, usize, usize), caps: &Caps) -> Vec<&'static str> {
    let ty = |rows: usize, columns: usize| Type { shape: [rows, columns].into(), dtype };
    let op = MatMul::new(false, false);
    let variants = op.variants(&[ty(m, k), ty(k, n)], caps);
    variants.into_iter().filter(|v| v.starts_with("coop")).collect()
}

fn offered() -> Result<(), String> {
    let (full, whole) = (full(), (64, 32, 48));
    let only = |side, operands| Caps { cooperative: vec![Cooperative { side, operands }], ..full.clone() };
    let varying = Caps { subgroup: Some((8, 32)), ..full.clone() };
    let expect = |dtype, size, caps: &Caps, want: &[&str]| {
        let got = cooperative(dtype, size, caps);
        ensure(got == want, format!("{dtype:?} {size:?} with {:?}: {got:?}, not {want:?}", caps.cooperative))
    };
    expect(DType::F16, whole, &full, &["coop_16x16", "coop_8x8"])?;
    expect(DType::F32, whole, &full, &["coop_8x8"])?;
    expect(DType::F16, whole, &only(16, DType::F16), &["coop_16x16"])?;
    expect(DType::F32, whole, &only(16, DType::F16), &[])?;
    expect(DType::F16, whole, &only(8, DType::F32), &[])?;
    expect(DType::F16, (64, 32, 24), &full, &["coop_8x8"])?;
    expect(DType::F16, (64, 32, 20), &full, &[])?;
    expect(DType::F16, (65, 32, 16), &full, &[])?;
    expect(DType::F16, whole, &varying, &["coop_16x16", "coop_8x8"])?;
    expect(DType::F16, whole, &Caps { subgroup: None, ..full.clone() }, &[])?;
    // If cooperative matrices were not asked for, an adapter's caps have none, whatever it lists.
    let silent = wgslab::device::adapter::adapters(None)
        .unwrap_or_default()
        .into_iter()
        .find(|a| !a.caps.cooperative.is_empty());
    ensure(silent.is_none(), format!("{silent:?} offers cooperative matrices, which were not asked for"))
}

/// naga refuses `enable subgroups`, which browsers need, so the text must not hold it. Immediates are refused too.
fn directives() -> Result<(), String> {
    for (kernel, text) in recording::every_kernel()? {
        let known = ["enable f16;", "enable wgpu_cooperative_matrix;"];
        let odd = text
            .lines()
            .find(|l| ["enable", "requires", "diagnostic"].iter().any(|d| l.starts_with(d)) && !known.contains(l));
        ensure(odd.is_none(), format!("{} [{}] has the directive {odd:?}", kernel.name, kernel.variant))?;
        let immediate = text.contains("var<immediate>");
        ensure(!immediate, format!("{} [{}] uses immediates, which browsers lack", kernel.name, kernel.variant))?;
    }
    Ok(())
}

/// No kernel may miss a barrier, and the check must find a barrier after an early return of one invocation.
fn all_meet() -> Result<(), String> {
    let mut with_barriers = 0;
    for (kernel, text) in recording::every_kernel()? {
        let at = |what: String| format!("{} [{}]: {what}", kernel.name, kernel.variant);
        if let Some(found) = barriers::divergent(text) {
            return Err(at(format!("some invocations of a workgroup may miss a barrier: {found}")));
        }
        if let Some(broken) = barriers::with_early_return(text) {
            ensure(barriers::divergent(&broken).is_some(), at("an early return before a barrier is not found".into()))?;
            with_barriers += 1;
        }
    }
    ensure(with_barriers > 50, format!("only {with_barriers} kernels with barriers were found"))
}

/// The length of the reduction of a product, of the gradient of a product or of a product with an epilogue. None for
/// another step.
fn reduction(step: &Step) -> Option<usize> {
    let op: &dyn Any = step.op.as_ref();
    let of_matmul = |op: &MatMul| {
        let shape = step.x[0].shape;
        shape.dim(shape.rank() - if op.trans_a { 2 } else { 1 })
    };
    let all = |dims: &[u32]| dims.iter().product::<u32>() as usize;
    if let Some(op) = op.downcast_ref::<MatMul>().or(op.downcast_ref::<Fused<MatMul, Unary>>().map(|f| &f.product)) {
        return Some(of_matmul(op));
    }
    if op.is::<Conv2d>() || op.is::<Fused<Conv2d, Unary>>() {
        return Some(all(&step.x[1].shape.dims()[1..]));
    }
    if let Some(GradInput { conv, .. }) = op.downcast_ref::<GradInput>() {
        let [k, _, r, s] = [0, 1, 2, 3].map(|i| step.x[0].shape.dim(i));
        return Some(k / conv.groups as usize * r * s);
    }
    let [n, _, p, q] = *step.x.first()?.shape.dims() else { return None };
    (step.op.name() == "conv2d.grad_weight").then(|| all(&[n, p, q])) // of dy [N, K, P, Q]
}

/// Whether a variant may be offered only where it divides every size.
fn whole(variant: &str) -> bool {
    variant.starts_with("coop") || variant.ends_with("_vec4") || variant == "tiled_taps"
}

fn odd_k() -> Result<(), String> {
    let (mut offered, mut met) = (BTreeSet::new(), BTreeSet::new());
    for case in ops().into_iter().flat_map(|o| o.1) {
        for recorded in std::iter::once(case.forward().map_err(text)?).chain(case.gradients().map_err(text)?) {
            for (_, caps) in listing::kinds() {
                let schedule = Schedule::new(&recorded.tape, &Options::new(&caps)).map_err(text)?;
                for step in &schedule.steps {
                    let Some(k) = reduction(step) else { continue };
                    for variant in step.op.variants(&step.x, &caps) {
                        let key = (step.op.name(), step.x[0].dtype, variant);
                        if !k.is_multiple_of(4) {
                            met.insert(key);
                        }
                        if !whole(variant) {
                            offered.insert(key);
                        }
                    }
                }
            }
        }
    }
    let seen: BTreeSet<&str> = offered.iter().map(|key| key.0).collect();
    let products = ["conv2d", "conv2d.fused", "conv2d.grad_input", "conv2d.grad_weight", "matmul", "matmul.fused"];
    ensure(seen.iter().eq(&products), format!("the products are {products:?}, but the test counted {seen:?}"))?;
    let never: Vec<_> = offered.difference(&met).collect();
    ensure(never.is_empty(), format!("no case has a k that 4 does not divide: {never:?}"))?;
    let wrong: Vec<_> = met.iter().filter(|v| whole(v.2)).collect();
    ensure(wrong.is_empty(), format!("variants are offered where they do not divide k: {wrong:?}"))
}

/// A step that applies relu to one input.
fn relu_of(ty: Type) -> Result<Tape, String> {
    let mut t = Tape::new();
    let x = t.input("x", ty).map_err(text)?;
    let y = t.relu(x).map_err(text)?;
    t.output("y", y);
    Ok(t)
}

/// With Vulkan and DX12, wgpu binds at most 2³¹ − 4 bytes, whatever the device can.
fn two_gib() -> Result<(), String> {
    let caps = Caps { binding_bytes: 2_147_483_644, ..Caps::portable() };
    let past = |ty| {
        let schedule = Schedule::new(&relu_of(ty)?, &Options::new(&caps)).map_err(text)?;
        Ok::<_, String>(schedule.past_limits(&caps))
    };
    // The largest tensor of whole vec4 that fits, and one with one element more.
    let (fits, over) = (past(Type::f32([536_870_908]))?, past(Type::f32([536_870_909]))?);
    ensure(fits.is_none(), format!("2 GiB less 16 bytes must fit: {fits:?}"))?;
    let why = over.unwrap_or_default();
    ensure(["relu", "2048.0 MiB", "binds at most"].iter().all(|w| why.contains(w)), format!("'{why}'"))?;
    let halves = past(Type::f16([1_073_741_816]))?;
    ensure(halves.is_none(), format!("twice as many halves must fit: {halves:?}"))
}

/// A convolution and its gradient to the input at the least size where `tiled_taps` takes tiles of 128. The operands are small
/// whole numbers, so that every sum is exact, and the naive variant has the same bits.
fn large_taps() -> Result<(), String> {
    const SIDE: usize = 182;
    let gpu = gpu(true)?;
    let small = |ty: Type, i| {
        Fill::Below(7)
            .words(Type { dtype: DType::U32, ..ty }, 5, i)
            .into_iter()
            .map(|w| w as f32 - 3.0)
            .collect::<Vec<f32>>()
    };
    let (narrow, wide) = (Type::f32([1, 8, SIDE, SIDE]), Type::f32([1, 128, SIDE, SIDE]));
    let forward: (Arc<dyn Op>, [Type; 2]) = (Arc::new(Conv2d::new(1, 1)), [narrow, Type::f32([128, 8, 3, 3])]);
    let backward: (Arc<dyn Op>, [Type; 2]) =
        (Arc::new(GradInput { conv: Conv2d::new(1, 1), x: wide }), [Type::f32([8, 128, 3, 3]), narrow]);
    for (op, inputs) in [forward, backward] {
        let name = op.name();
        let (mut t, mut values) = (Tape::new(), Vec::new());
        let record = || {
            let (a, b) = (t.input("a", inputs[0])?, t.input("b", inputs[1])?);
            let y = t.apply_dyn(op, &[a, b])?[0];
            t.output("y", y);
            BaseResult::Ok(())
        };
        record().map_err(text)?;
        let [a, b] = [small(inputs[0], 0), small(inputs[1], 1)];
        for variant in ["naive", "tiled_taps"] {
            let choose = chooser(variant);
            let options = Options { choose: &choose, ..Options::new(gpu.caps()) };
            let schedule = Schedule::new(&t, &options).map_err(text)?;
            let large = schedule.kernels().any(|k| k.variant == "tiled_taps" && k.constants.contains(&("BM", 128)));
            ensure(large == (variant == "tiled_taps"), format!("{name} [{variant}]: tiles of 128 are {large}"))?;
            let plan = Plan::new(&gpu, schedule, &State::new()).map_err(text)?;
            let feed = Feed::new().input("a", &a).input("b", &b);
            plan.run(&gpu, &feed).map_err(text)?;
            values.push(plan.read_f32(&gpu, "y").map_err(text)?);
        }
        let differ = values[0].iter().zip(&values[1]).position(|(a, b)| a != b);
        if let Some(i) = differ {
            return Err(format!("{name}: element {i} is {}, but must be {}", values[1][i], values[0][i]));
        }
        ensure(values[0].iter().any(|v| *v != 0.0), format!("{name}: all is 0"))?;
    }
    Ok(())
}

/// An outer product of 4,198,401 elements: 65,601 workgroups of 64, folded over two dimensions.
fn many_groups() -> Result<(), String> {
    const SIDE: usize = 2049;
    let (gpu, mut t) = (gpu(true)?, Tape::new());
    let mut build = || {
        let (a, b) = (t.input("a", Type::f32([SIDE, 1]))?, t.input("b", Type::f32([1, SIDE]))?);
        let c = t.matmul(a, b, false, false)?;
        t.output("c", c);
        Ok(())
    };
    build().map_err(text)?;
    let choose = chooser("naive");
    let schedule = Schedule::new(&t, &Options { choose: &choose, ..Options::new(gpu.caps()) }).map_err(text)?;
    let grid = schedule.steps[0].launches[0].0.grid;
    ensure(grid[0] as usize * grid[1] as usize > 65_535 && grid[1] > 1, format!("the grid is {grid:?}"))?;
    let plan = Plan::new(&gpu, schedule, &State::new()).map_err(text)?;
    let a: Vec<f32> = (0..SIDE).map(|i| i as f32).collect();
    let b: Vec<f32> = (0..SIDE).map(|i| 1.0 + i as f32).collect();
    plan.run(&gpu, &Feed::new().input("a", &a).input("b", &b)).map_err(text)?;
    let c = plan.read_f32(&gpu, "c").map_err(text)?;
    match (0..SIDE * SIDE).find(|i| c[*i] != a[i / SIDE] * b[i % SIDE]) {
        None => Ok(()),
        Some(i) => Err(format!("element {i} is {} and must be {}", c[i], a[i / SIDE] * b[i % SIDE])),
    }
}

/// Only the third dimension of the grid counts the products of a batch.
fn many_products() -> Result<(), String> {
    let (gpu, mut t) = (gpu(true)?, Tape::new());
    let x = t.input("x", Type::f32([gpu.caps().groups as usize + 1, 1, 1])).map_err(text)?;
    let y = t.matmul(x, x, false, false).map_err(text)?;
    t.output("y", y);
    let schedule = Schedule::new(&t, &Options::new(gpu.caps())).map_err(text)?;
    let limit = gpu.caps().groups.to_string();
    refused("a batch past the grid", Plan::new(&gpu, schedule, &State::new()), &["matmul", "workgroups", &limit])
}

/// A plan is known to fit before anything is allocated.
fn binding() -> Result<(), String> {
    let gpu = gpu(true)?;
    let (limit, before) = (gpu.caps().binding_bytes, gpu.meter().buffers_made());
    let elements = limit as usize / 4 + 4;
    let schedule = Schedule::new(&relu_of(Type::f32([elements]))?, &Options::new(gpu.caps())).map_err(text)?;
    let of = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1048576.0);
    let words = ["relu", &of(limit + 16), "binds at most", &of(limit)];
    refused("a plan past the binding", Plan::new(&gpu, schedule, &State::new()), &words)?;
    let (size, limit) = ((limit + 16).to_string(), limit.to_string());
    refused(
        "a buffer past the binding",
        gpu.buffer("pages", limit.parse::<u64>().unwrap() + 16),
        &["pages", &size, &limit],
    )?;
    ensure(gpu.meter().buffers_made() == before, "a buffer was made before the refusal")
}

/// Without this check, wgpu would report a validation error only afterwards.
fn read_and_written() -> Result<(), String> {
    const DOUBLE: &[Piece] = &[Piece {
        path: "a test: doubling",
        text: "@group(0) @binding(1) var<storage, read> x: array<f32>;
               @group(0) @binding(2) var<storage, read> z: array<f32>;
               @group(0) @binding(3) var<storage, read_write> y: array<f32>;
               @compute @workgroup_size(1) fn main() { y[0] = x[0] + z[0]; }",
    }];
    let gpu = gpu(true)?;
    let (x, y) = (gpu.buffer("x", 16).map_err(text)?, gpu.buffer("y", 16).map_err(text)?);
    let (kernel, params) = (Kernel::new("double.forward", "test", DOUBLE), ParamBlocks::new(std::iter::empty()));
    let dispatch = |buffers: [&_; 3]| gpu.dispatch("layer/double", &kernel, &buffers, (&params, 0), [1, 1, 1]);
    refused("x written too", dispatch([&x, &y, &x]), &["layer/double", "bindings 1 and 3", "one buffer"])?;
    dispatch([&x, &x, &y]).map_err(|e| format!("a buffer may be read twice: {e}"))?;
    gpu.check().map_err(text)
}

//! Fusion: which chains become one product and which must not. A fused evaluation has no pass over activations but
//! those of ops that cannot fuse. Fused and unfused steps give the same numbers. `norms` has what follows a batch norm in
//! training.

mod norms;

use crate::harness::compare::same_bits;
use crate::harness::device::gpu;
use crate::harness::quick::near;
use crate::harness::recording::{Got, Values};
use crate::harness::{Named, ensure, named, text};
use libtest_mimic::Trial;
use wgslab::base::rng::Rng;
use wgslab::base::{DType, Error, Result as BaseResult};
use wgslab::device::tune::{Table, TunedOp};
use wgslab::device::{Caps, Cooperative, Gpu};
use wgslab::kernels::conv2d::Conv2d;
use wgslab::kernels::epilogue::{Epilogue, Fused, Shift};
use wgslab::kernels::matmul::MatMul;
use wgslab::kernels::unary::{Approximate, Unary};
use wgslab::kernels::{fuse, tune};
use wgslab::nn::Backbone;
use wgslab::nn::step::TrainingStep;
use wgslab::nn::{Mode, Params, ResNet, Stem};
use wgslab::tape::schedule::Choose;
use wgslab::tape::{Feed, Op, Options, Plan, Schedule, State, Tape, Trace, Type, Var};

/// Trials without a device.
pub fn trials() -> Vec<Trial> {
    let list: [Named; 5] = [
        ("an evaluated ResNet-18 is products", evaluated),
        ("a training step keeps what its gradient reads", trained),
        ("what is needed elsewhere stays apart", needed),
        ("either operand of a sum may be the product", either),
        ("the table says whether a product can end in more", tabled),
    ];
    let mut trials = named("T0 fusion", list);
    trials.extend(norms::trials());
    trials
}

/// Trials on a device.
pub fn device_trials() -> Vec<Trial> {
    let list: [Named; 2] =
        [("as unfused, and as traced", as_unfused), ("a fused training step is as unfused", step_as_unfused)];
    let mut trials = named("T1 fusion", list);
    trials.extend(norms::device_trials());
    trials
}

fn ops(s: &Schedule) -> Vec<&'static str> {
    s.steps.iter().map(|s| s.op.name()).collect()
}

fn count(s: &Schedule, name: &str) -> usize {
    ops(s).iter().filter(|n| **n == name).count()
}

fn both(t: &Tape, caps: &Caps) -> Result<[Schedule; 2], String> {
    Ok([Schedule::new(t, &Options::new(caps)).map_err(text)?, Schedule::new(t, &fuse::options(caps)).map_err(text)?])
}

fn resnet(stem: Stem) -> ResNet {
    ResNet::resnet18(stem, 0.125, 3)
}

fn step(stem: Stem) -> TrainingStep {
    TrainingStep {
        model: std::sync::Arc::new(resnet(stem)),
        batch: 3,
        size: 16,
        classes: 5,
        precision: Default::default(),
    }
}

fn evaluated() -> Result<(), String> {
    for stem in [Stem::Small, Stem::Large] {
        let (tape, _) = step(stem).record_evaluation().map_err(text)?;
        let [plain, fused] = both(&tape, &Caps::portable())?;
        let counts = |s: &Schedule| ["conv2d", "batch_norm_eval", "add", "relu", "add_bias"].map(|n| count(s, n));
        ensure(counts(&plain) == [20, 20, 8, 17, 1], format!("the unfused evaluation is {:?}", ops(&plain)))?;
        ensure(counts(&fused) == [0; 5], format!("fused it is {:?}", ops(&fused)))?;
        let products = [count(&fused, "conv2d.fused"), count(&fused, "matmul.fused")];
        ensure(products == [20, 1], format!("fused it is {:?}", ops(&fused)))?;
        let shown = fused.to_string();
        ensure(shown.contains("layer1.0.conv2/conv2d.fused [tiled_64]"), format!("it prints\n{shown}"))?;
        ensure(fused.slab_bytes() <= plain.slab_bytes(), "fused it takes more memory")?;
    }
    Ok(())
}

/// Three linear layers with a gelu and a relu between them, and the gradients of all weights, with their names.
fn mlp() -> BaseResult<(Tape, Vec<(String, Var)>)> {
    let mut t = Tape::new();
    let (mut y, mut wrt) = (t.input("x", Type::f32([6, 5]))?, Vec::new());
    for layer in 0..3 {
        let w = t.input(&format!("w{layer}"), Type::f32([5, 5]))?;
        let b = t.input(&format!("b{layer}"), Type::f32([5]))?;
        y = t.linear(y, w, Some(b))?;
        y = match layer {
            0 => t.gelu(y, Approximate::None)?,
            1 => t.relu(y)?,
            _ => y,
        };
        wrt.extend([w, b]);
    }
    let dy = t.input("dy", Type::f32([6, 5]))?;
    let grads = t.backward(&[y], &[Some(dy)], &wrt)?.into_iter().flatten();
    let outputs: Vec<(String, Var)> =
        std::iter::once(y).chain(grads).enumerate().map(|(i, v)| (format!("o{i}"), v)).collect();
    outputs.iter().for_each(|(name, v)| t.output(name, *v));
    Ok((t, outputs))
}

fn trained() -> Result<(), String> {
    let (tape, _) = mlp().map_err(text)?;
    let [plain, fused] = both(&tape, &Caps::portable())?;
    let counts =
        |s: &Schedule| ["add_bias", "gelu", "relu", "relu.grad", "gelu.grad", "matmul.fused"].map(|n| count(s, n));
    ensure(counts(&plain) == [3, 1, 1, 1, 1, 0], format!("unfused it is {:?}", ops(&plain)))?;
    // gelu's gradient reads the pre-activation. relu's gradient reads the product's output.
    ensure(counts(&fused) == [0, 1, 0, 1, 1, 3], format!("fused it is {:?}", ops(&fused)))
}

fn needed() -> Result<(), String> {
    let caps = Caps::portable();
    let of = |build: &dyn Fn(&mut Tape, Var, Var) -> BaseResult<()>| {
        let mut t = Tape::new();
        let mut record = || {
            let x = t.input("x", Type::f32([2, 3, 5, 5]))?;
            let w = t.input("w", Type::f32([4, 3, 3, 3]))?;
            let y = t.conv2d(x, w, Conv2d::new(1, 1))?;
            let z = t.relu(y)?;
            t.output("z", z);
            build(&mut t, y, z)
        };
        record().map_err(text)?;
        Ok::<_, String>(ops(&both(&t, &caps)?[1]))
    };
    let alone = of(&|_, _, _| Ok(()))?;
    ensure(alone == ["conv2d.fused"], format!("{alone:?}"))?;
    let output = of(&|t, y, _| {
        t.output("y", y);
        Ok(())
    })?;
    ensure(output == ["conv2d", "relu"], format!("an output was fused away: {output:?}"))?;
    let read = of(&|t, y, _| {
        let v = t.exp(y)?;
        t.output("v", v);
        Ok(())
    })?;
    ensure(read == ["conv2d", "relu", "exp"], format!("a value with another reader was fused away: {read:?}"))?;
    let dead = of(&|t, y, _| t.exp(y).map(drop))?;
    ensure(dead == ["conv2d.fused"], format!("a reader that nothing needs kept two ops from fusing: {dead:?}"))?;
    let assigned = of(&|t, y, _| {
        let ty = t.ty(y);
        t.state("s", ty)?;
        t.assign("s", y)
    })?;
    ensure(assigned == ["conv2d", "relu", "assign"], format!("a value that is assigned was fused away: {assigned:?}"))?;
    let viewed = of(&|t, _, z| {
        let v = t.reshape(z, [2, 100])?;
        let v = t.relu(v)?;
        t.output("v", v);
        Ok(())
    })?;
    ensure(viewed == ["conv2d.fused", "relu"], format!("{viewed:?}"))
}

fn either() -> Result<(), String> {
    let of = |build: &dyn Fn(&mut Tape, Var, Var, Var) -> BaseResult<Var>| {
        let mut t = Tape::new();
        let mut record = || {
            let a = t.input("a", Type::f32([4, 4]))?;
            let (x, y) = (t.matmul(a, a, false, false)?, t.matmul(a, a, true, false)?);
            let z = build(&mut t, a, x, y)?;
            t.output("z", z);
            Ok::<_, Error>(())
        };
        record().map_err(text)?;
        Ok::<_, String>(ops(&both(&t, &Caps::portable())?[1]))
    };
    let second = of(&|t, a, x, _| t.add(a, x))?;
    ensure(second == ["matmul.fused"], format!("{second:?}"))?;
    let twice = of(&|t, _, x, _| t.add(x, x))?;
    ensure(twice == ["matmul", "add"], format!("the sum of a product and itself was fused: {twice:?}"))?;
    let two = of(&|t, _, x, y| t.add(x, y))?;
    ensure(two == ["matmul", "matmul.fused"], format!("{two:?}"))?;
    let chained = of(&|t, a, x, y| {
        let x = t.add(x, a)?;
        let y = t.add(y, x)?;
        t.sigmoid(y)
    })?;
    ensure(chained == ["matmul.fused", "matmul.fused"], format!("{chained:?}"))
}

/// The first variant of this product uses cooperative matrices and cannot be fused with what follows. The table may
/// name another variant, and that decides whether the product is fused.
fn tabled() -> Result<(), String> {
    let cooperative = Cooperative { side: 8, operands: DType::F32 };
    let caps = Caps { subgroup: Some((32, 32)), cooperative: vec![cooperative], ..Caps::portable() };
    let (product, x) = (MatMul::new(false, false), [Type::f32([16, 24]), Type::f32([24, 8])]);
    let mut t = Tape::new();
    let mut record = || {
        let (a, b) = (t.input("a", x[0])?, t.input("b", x[1])?);
        let bias = t.input("bias", Type::f32([8]))?;
        let y = t.matmul(a, b, false, false)?;
        let y = t.add_bias(y, bias)?;
        t.output("y", y);
        Ok::<_, Error>(())
    };
    record().map_err(text)?;
    let offered = product.variants(&x, &caps);
    ensure(offered.first() == Some(&"coop_8x8"), format!("it offers {offered:?}"))?;
    let with = |rows: &[(&str, &str)]| {
        let mut table = Table::new("made up", "by hand");
        for (key, variant) in rows {
            let entry = TunedOp { variant: variant.to_string(), ..TunedOp::default() };
            table.entries.insert(key.to_string(), entry);
        }
        let choose = tune::chooser(&table);
        let schedule = Schedule::new(&t, &Options { choose: &choose, ..fuse::options(&caps) }).map_err(text)?;
        Ok::<_, String>(schedule.steps.iter().map(|s| (s.op.name(), s.variant)).collect::<Vec<_>>())
    };
    let of_product = tune::key(&product, &x, &offered);
    let apart = [("matmul", "coop_8x8"), ("add_bias", "portable")];
    let unknown = with(&[])?;
    ensure(unknown == apart, format!("without a row the first variant decides: {unknown:?}"))?;
    let coop = with(&[(&of_product, "coop_8x8")])?;
    ensure(coop == apart, format!("the table says coop_8x8: {coop:?}"))?;
    let first = with(&[(&of_product, "naive")])?;
    let ended = ["tiled_64", "tiled_128"].contains(&first[0].1);
    ensure(first.len() == 1 && first[0].0 == "matmul.fused" && ended, format!("the table says naive: {first:?}"))?;
    let epilogue = Epilogue { shift: Shift::Bias, residual: false, activation: None::<Unary> };
    let (fused, of_fused) = (Fused { product, epilogue }, [x[0], x[1], Type::f32([8])]);
    let of_fused = tune::key(&fused, &of_fused, &fused.variants(&of_fused, &caps));
    let both = with(&[(&of_product, "tiled_64"), (&of_fused, "naive")])?;
    ensure(both == [("matmul.fused", "naive")], format!("the fused product has a row of its own: {both:?}"))
}

/// Values of inputs by name.
type Inputs = Vec<(String, Vec<f32>)>;
/// Types and values of states by name.
type States = Vec<(String, Type, Vec<f32>)>;

/// Random values for every input and state of a tape. Running variances are positive.
fn fed(tape: &Tape) -> (Inputs, States) {
    let mut stream = 0;
    let mut values = |ty: Type, positive: bool| {
        stream += 1;
        let mut rng = Rng::new(31, stream, 0);
        let draw = |v: f32| if positive { 0.5 + v.abs() } else { v };
        (0..ty.shape.numel()).map(|_| draw(rng.normal())).collect::<Vec<f32>>()
    };
    let states = tape.state_types().into_iter().map(|(n, ty)| {
        let v = values(ty, n.ends_with("running_var"));
        (n, ty, v)
    });
    let states = states.collect();
    let plain = Schedule::new(tape, &Options::new(&Caps::portable())).map(|s| s.inputs).unwrap_or_default();
    (plain.into_iter().map(|(n, ty)| (n, values(ty, false))).collect(), states)
}

/// The outputs of a tape run in three ways: unfused, fused, and fused with one dispatch at a time. Without runtime checks, as a
/// program runs: a driver compiles the products of a ResNet in less than half the time.
fn three_ways(tape: &Tape, outputs: &[(String, Var)]) -> Result<[Values; 3], String> {
    let gpu = gpu(false)?;
    three_ways_of(&gpu, tape, outputs, fed(tape), &|_, _, _| None)
}

/// As [`three_ways`], with given inputs and variants.
fn three_ways_of(
    gpu: &Gpu,
    tape: &Tape,
    outputs: &[(String, Var)],
    (inputs, states): (Inputs, States),
    choose: Choose<'_>,
) -> Result<[Values; 3], String> {
    let run = || {
        let mut state = State::new();
        for (name, ty, v) in &states {
            state.insert(gpu, name, *ty, Some(bytemuck::cast_slice(v)))?;
        }
        let feed = inputs.iter().fold(Feed::new(), |f, (n, v)| f.input(n, v));
        let planned = |options: &Options<'_>| {
            let plan = Plan::new(gpu, Schedule::new(tape, options)?, &state)?;
            plan.run(gpu, &feed)?;
            let all = outputs.iter().map(|(n, _)| Ok((n.clone(), DType::F32, plan.read(gpu, n)?)));
            all.collect::<BaseResult<Vec<_>>>().map(Values)
        };
        let options = Options { choose, ..fuse::options(gpu.caps()) };
        let (plain, fused) = (planned(&Options { choose, ..Options::new(gpu.caps()) })?, planned(&options)?);
        let trace = Trace::run(gpu, tape, &options, &state, &feed)?;
        let traced = outputs.iter().map(|(n, v)| Ok((n.clone(), DType::F32, trace.read(gpu, *v)?)));
        Ok::<_, Error>([plain, fused, Values(traced.collect::<BaseResult<Vec<_>>>()?)])
    };
    run().map_err(text)
}

fn close(ways: &[Values; 3], allowed: f64) -> Result<(), String> {
    let [plain, fused, traced] = ways;
    same_bits("plan and trace", fused, traced)?;
    let floats = |got: Got| got.words.into_iter().map(f32::from_bits).collect::<Vec<f32>>();
    for (name, _, _) in &plain.0 {
        near(name, &floats(fused.find(name)?), &floats(plain.find(name)?), allowed)?;
    }
    Ok(())
}

/// Fused and unfused kernels sum the same products in the same order. Bias, batch norm and residual are rounded one by
/// one in both. So only the contraction of a product and a sum may differ, in each of twenty layers.
fn as_unfused() -> Result<(), String> {
    for stem in [Stem::Small, Stem::Large] {
        let model = resnet(stem);
        let (mut t, mut params) = (Tape::new(), Params::new());
        let mut record = || {
            let x = t.input("images", Type::f32([3, 3, 16, 16]))?;
            let features = model.forward(&mut t, &mut params, "", x, Mode::Eval)?;
            t.output("features", features);
            Ok::<_, Error>(features)
        };
        let features = record().map_err(text)?;
        close(&three_ways(&t, &[("features".into(), features)])?, 1e-5)?;
    }
    Ok(())
}

fn step_as_unfused() -> Result<(), String> {
    let (tape, outputs) = mlp().map_err(text)?;
    close(&three_ways(&tape, &outputs)?, 1e-6)
}

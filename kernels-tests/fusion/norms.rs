//! Which batch norms in training become one op with a sum and relu, forward and backward, and that nothing else changes.

use super::{Inputs, both, close, count, fed, ops, step, three_ways_of};
use crate::harness::compare::same_bits;
use crate::harness::device::gpu;
use crate::harness::recording::{Values, chooser};
use crate::harness::{Named, ensure, named, text};
use libtest_mimic::Trial;
use wgslab::base::{Error, Result as BaseResult};
use wgslab::device::Caps;
use wgslab::nn::Stem;
use wgslab::tape::{Schedule, Tape, Type, Var};

/// Records what follows a norm on a tape, from its input and its parameters.
type Build<'a> = &'a dyn Fn(&mut Tape, Var, [Var; 3]) -> BaseResult<Var>;

/// Trials without a device.
pub fn trials() -> Vec<Trial> {
    let list: [Named; 2] = [
        ("a trained ResNet-18 has no relu and no sum apart from a norm", norms_end),
        ("a norm whose output is needed elsewhere stays apart", norms_needed),
    ];
    named("T0 fusion", list)
}

/// Trials on a device.
pub fn device_trials() -> Vec<Trial> {
    let list: [Named; 2] = [
        ("norms with what follows them are as unfused", norms_as_unfused),
        ("norms with what follows them pass NaN and infinities on as unfused", norms_spoiled),
    ];
    named("T1 fusion", list)
}

/// One norm in three of a block ends in nothing: that of a shortcut. Where the stem ends in a pool, that pool's gradient
/// reads the sum of two gradients.
fn norms_end() -> Result<(), String> {
    for (stem, sums) in [(Stem::Small, 0), (Stem::Large, 1)] {
        let (tape, _) = step(stem).record().map_err(text)?;
        let [plain, fused] = both(&tape, &Caps::portable())?;
        let names = ["relu", "relu.grad", "add", "batch_norm", "batch_norm.grad"];
        let counts = |s: &Schedule| names.map(|n| count(s, n));
        ensure(counts(&plain) == [17, 17, 16, 20, 20], format!("unfused it is {:?}", ops(&plain)))?;
        ensure(counts(&fused) == [0, 0, sums, 3, 3], format!("fused it is {:?}", ops(&fused)))?;
        let ended = ["batch_norm_relu", "batch_norm_relu.grad"].map(|n| count(&fused, n));
        ensure(ended == [17, 17], format!("fused it is {:?}", ops(&fused)))?;
        let [before, after] = [&plain, &fused].map(|s| s.values_bytes);
        ensure(after < before, format!("fused it computes {after} bytes of values, else {before}"))?;
    }
    Ok(())
}

fn norms_needed() -> Result<(), String> {
    let of = |build: Build<'_>| {
        let mut t = Tape::new();
        let mut record = || {
            let x = t.input("x", Type::f32([4, 3]))?;
            let (w, b) = (t.input("w", Type::f32([3]))?, t.input("b", Type::f32([3]))?);
            let norm = t.batch_norm(x, w, b, 1e-5)?;
            let z = build(&mut t, x, norm)?;
            t.output("z", z);
            Ok::<_, Error>(())
        };
        record().map_err(text)?;
        Ok::<_, String>(ops(&both(&t, &Caps::portable())?[1]))
    };
    let alone = of(&|t, _, [y, ..]| t.relu(y))?;
    ensure(alone == ["batch_norm_relu"], format!("{alone:?}"))?;
    let second = of(&|t, x, [y, ..]| t.add(x, y).and_then(|sum| t.relu(sum)))?;
    ensure(second == ["batch_norm_relu"], format!("{second:?}"))?;
    let output = of(&|t, _, [y, ..]| {
        t.output("y", y);
        t.relu(y)
    })?;
    ensure(output == ["batch_norm", "relu"], format!("an output was fused away: {output:?}"))?;
    // The statistics are made by the fused node, so what reads them comes after it.
    let statistics = of(&|t, _, [y, mean, _]| {
        let mean = t.exp(mean)?;
        t.output("mean", mean);
        t.relu(y)
    })?;
    ensure(statistics == ["batch_norm_relu", "exp"], format!("{statistics:?}"))?;
    // What is added cannot depend on what it is added to.
    let circular = of(&|t, x, [y, mean, _]| {
        let shape = t.shape(x);
        let offset = t.broadcast(mean, shape)?;
        let sum = t.add(y, offset)?;
        t.relu(sum)
    })?;
    ensure(circular == ["batch_norm", "broadcast", "add", "relu"], format!("{circular:?}"))
}

/// Two norms with relu, the second with a residual that the first norm's gradient comes through twice, what is made of
/// their means, and all gradients.
fn norms(x: &[usize], splits: usize) -> BaseResult<(Tape, Vec<(String, Var)>)> {
    let mut t = Tape::new();
    let ty = Type::f32(wgslab::base::Shape::new(x));
    let x = t.input("x", ty)?;
    let mut wrt = vec![x];
    let channels = Type::f32([ty.shape.dim(1)]);
    let mut norm = |t: &mut Tape, x: Var, name: &str| {
        let (w, b) = (t.input(&format!("{name}.weight"), channels)?, t.input(&format!("{name}.bias"), channels)?);
        let [y, mean, _] = t.batch_norm_split(x, w, b, 1e-5, splits)?;
        let moved = t.neg(mean)?; // read before relu is recorded
        wrt.extend([w, b]);
        Ok::<_, Error>((y, moved))
    };
    let (y, first) = norm(&mut t, x, "first")?;
    let h = t.relu(y)?;
    let (y, second) = norm(&mut t, h, "second")?;
    let sum = t.add(y, h)?;
    let z = t.relu(sum)?;
    let after = t.neg(z)?;
    let dy = t.input("dy", ty)?;
    let grads = t.backward(&[after], &[Some(dy)], &wrt)?.into_iter().flatten();
    let all: Vec<Var> = [z, first, second].into_iter().chain(grads).collect();
    let outputs: Vec<(String, Var)> = all.into_iter().enumerate().map(|(i, v)| (format!("o{i}"), v)).collect();
    outputs.iter().for_each(|(name, v)| t.output(name, *v));
    Ok((t, outputs))
}

/// Runs [`norms`] of each shape, in so many parts, in each variant, with what `spoil` makes of the inputs, and hands the
/// results to `judge`.
fn each_norm(
    shapes: &[(&[usize], usize)],
    spoil: &dyn Fn(&mut Inputs),
    judge: &dyn Fn(&[Values; 3]) -> Result<(), String>,
) -> Result<(), String> {
    let gpu = gpu(true)?;
    for &(x, splits) in shapes {
        let (tape, outputs) = norms(x, splits).map_err(text)?;
        let fused = ops(&both(&tape, gpu.caps())?[1]);
        let (norm, grad) = ("batch_norm_relu", "batch_norm_relu.grad");
        let want = [norm, "neg", norm, "neg", "neg", grad, grad];
        ensure(fused == want, format!("fused it is {fused:?}"))?;
        for variant in ["lane_per_chunk", "workgroup_per_chunk"] {
            let (mut inputs, states) = fed(&tape);
            spoil(&mut inputs);
            let choose = chooser(variant);
            let ways = three_ways_of(&gpu, &tape, &outputs, (inputs, states), &choose)?;
            judge(&ways).map_err(|e| format!("{x:?} in {splits} parts, {variant}: {e}"))?;
        }
    }
    Ok(())
}

fn norms_as_unfused() -> Result<(), String> {
    each_norm(&[(&[6, 5, 3, 3], 1), (&[6, 5, 4, 6], 3), (&[132, 7], 1)], &|_| {}, &|ways| close(ways, 1e-6))
}

/// NaN and infinities in x, in a bias and in the cotangent, where relu passes something on and where it does not.
fn norms_spoiled() -> Result<(), String> {
    let nan = f32::NAN;
    let places = [("x", nan), ("x", f32::INFINITY), ("first.bias", nan), ("second.bias", nan), ("dy", nan)];
    for (place, what) in places {
        let spoil = |inputs: &mut Inputs| {
            let values = inputs.iter_mut().filter(|i| i.0 == place);
            // One element, or every fifth of the cotangent: of those relu stops some.
            values
                .for_each(|(_, v)| v.iter_mut().step_by(if place == "dy" { 5 } else { 1000 }).for_each(|v| *v = what));
        };
        each_norm(&[(&[6, 5, 4, 6], 3)], &spoil, &|[plain, fused, traced]| {
            same_bits("plan and trace", fused, traced)?;
            let mut spoilt = 0;
            for (name, _, _) in &plain.0 {
                let finite = |values: &Values| {
                    let words = values.find(name)?.words;
                    Ok::<_, String>(words.into_iter().map(|w| f32::from_bits(w).is_finite()).collect::<Vec<_>>())
                };
                let want = finite(plain)?;
                ensure(want == finite(fused)?, format!("{name} is finite elsewhere where {place} holds {what}"))?;
                spoilt += want.iter().filter(|finite| !**finite).count();
            }
            ensure(spoilt > 0, format!("{what} in {place} reaches nothing"))
        })?;
    }
    Ok(())
}

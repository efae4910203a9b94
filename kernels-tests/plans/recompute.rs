//! Steps that compute again what their backward pass reads: less memory by the schedule, and on a device the same bits.

use super::{Double, Named, ensure, kernels, tape};
use crate::harness::device::gpu;
use crate::harness::text;
use std::collections::BTreeMap;
use std::sync::Arc;
use wgslab::base::Result as BaseResult;
use wgslab::device::{Caps, Gpu};
use wgslab::kernels::draw::{Keep, Stream};
use wgslab::kernels::dropout::Dropout;
use wgslab::kernels::unary::Approximate;
use wgslab::kernels::{fuse, listing};
use wgslab::nn::sequential::linear;
use wgslab::nn::step::{MeasuredStep, TrainingStep};
use wgslab::nn::{Backbone, Optimizer, Params, ResNet, Stem, Vit};
use wgslab::tape::demand::padded;
use wgslab::tape::schedule::Place;
use wgslab::tape::{Feed, Options, Plan, Schedule, State, StepPart, Tape, Type};

pub fn list() -> Vec<Named> {
    vec![
        ("a step computed again takes less memory", smaller),
        ("ResNet-50 at 224 pixels takes half the memory", resnet50),
        ("an assign is never computed again", once),
    ]
}

/// A schedule that keeps values and one that computes them again.
fn both(t: &Tape, caps: &Caps) -> Result<[Schedule; 2], String> {
    let one = |recompute| Schedule::new(t, &Options { recompute, ..fuse::options(caps) }).map_err(text);
    Ok([one(false)?, one(true)?])
}

fn network(model: impl Backbone + 'static, batch: usize, size: usize, classes: usize) -> TrainingStep {
    TrainingStep { model: Arc::new(model), batch, size, classes, precision: Default::default() }
}

/// Bytes of a step with its state.
fn bytes(s: &Schedule) -> u64 {
    s.plan_bytes() + s.states.iter().map(|s| padded(s.1.bytes())).sum::<u64>()
}

fn flops(s: &Schedule) -> u64 {
    s.steps.iter().map(|s| s.cost().flops).sum()
}

/// An error unless the second takes at most `share` of the memory of the first, for at most a third more operations.
fn expect_smaller(what: &str, [kept, again]: &[Schedule; 2], share: f64) -> Result<(), String> {
    let shares = [bytes(again) as f64 / bytes(kept) as f64, flops(again) as f64 / flops(kept) as f64];
    let mib = [kept, again].map(|s| bytes(s) >> 20);
    let told = format!("{what}: {mib:?} MiB, {:.3} of the memory, {:.2} of the operations", shares[0], shares[1]);
    ensure(shares[0] <= share && shares[1] > 1.0 && shares[1] <= 4.0 / 3.0, told)
}

fn smaller() -> Result<(), String> {
    for (kind, caps) in listing::kinds() {
        let (t, _) = network(ResNet::resnet18(Stem::Small, 1.0, 3), 64, 32, 10).record().map_err(text)?;
        expect_smaller(&format!("resnet18 on {kind}"), &both(&t, &caps)?, 0.75)?;
        let (t, _) = network(Vit::tiny(4, 3), 64, 32, 10).record().map_err(text)?;
        expect_smaller(&format!("vit on {kind}"), &both(&t, &caps)?, 0.35)?;
    }
    Ok(())
}

/// The largest batch or so whose tensors bind in 128 MiB.
fn resnet50() -> Result<(), String> {
    for (kind, caps) in listing::kinds() {
        let caps = Caps { binding_bytes: 128 << 20, ..caps };
        let (t, _) = network(ResNet::resnet50(Stem::Large, 1.0, 3), 32, 224, 1000).record().map_err(text)?;
        let schedules = both(&t, &caps)?;
        ensure(schedules.iter().all(|s| s.past_limits(&caps).is_none()), format!("{kind} binds it"))?;
        expect_smaller(&format!("resnet50 on {kind}"), &schedules, 0.5)?;
    }
    Ok(())
}

/// How often each state is written by launches.
fn writes(s: &Schedule) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for step in &s.steps {
        for output in &step.outputs {
            if let Some(Place::State(name)) = &s.storage[*output].fixed {
                *all.entry(name.clone()).or_insert(0) += 1;
            }
        }
    }
    all
}

/// Running statistics and an op in place lie inside of what is computed again, and a named output is read behind it.
fn once() -> Result<(), String> {
    let (t, params) = network(ResNet::resnet18(Stem::Small, 0.125, 1), 8, 16, 3).record().map_err(text)?;
    let caps = Caps::portable();
    let [kept, again] = both(&t, &caps)?;
    ensure(again.steps.len() > kept.steps.len(), "nothing is computed again")?;
    ensure(writes(&again) == writes(&kept), "a state is written another number of times")?;
    let named = |name: &str| params.list().iter().filter(|p| p.name.ends_with(name)).count();
    let written = writes(&again);
    let moved = written.keys().filter(|n| n.ends_with("running_mean")).count();
    ensure(moved == named("running_mean") && written.values().all(|n| *n == 1), format!("{written:?}"))?;
    let emas = |s: &Schedule| kernels(s).iter().filter(|k| k.starts_with("ema")).count();
    ensure(emas(&kept) == emas(&again), "an average moves once")?;
    let t = tape(|t| {
        let ty = Type::f32([1024]);
        let (x, w) = (t.input("x", ty)?, t.state("w", ty)?);
        let mut y = t.mul(x, w)?;
        let count = t.state("count", ty)?;
        let count = t.apply1(Double, &[count])?;
        t.assign("count", count)?;
        for _ in 0..12 {
            y = t.mul(y, count)?;
            y = t.relu(y)?;
        }
        let dw = t.gradient(y, &[w])?[0].map(|dw| t.part(StepPart::Optimizer, |t| t.add(w, dw)));
        let Some(new) = dw.transpose()? else { return Ok(()) };
        t.assign("w", new)
    })?;
    let [kept, again] = both(&t, &caps)?;
    let doubled = |s: &Schedule| kernels(s).iter().filter(|k| **k == "double.plain").count();
    ensure(again.steps.len() > kept.steps.len(), format!("something is computed again:\n{again}"))?;
    ensure((doubled(&kept), doubled(&again)) == (1, 1), format!("an op in place runs once:\n{again}"))
}

pub fn device_list() -> Vec<Named> {
    vec![
        ("a ResNet computed again gives the same bits", resnet_bits),
        ("a ViT with dropout computed again gives the same bits", vit_bits),
    ]
}

/// The state after two steps, and each step's loss.
fn run(gpu: &Gpu, step: &MeasuredStep<'_>, recompute: bool) -> Result<(usize, BTreeMap<String, Vec<u8>>), String> {
    let (t, params) = (step.record)().map_err(text)?;
    let schedule = Schedule::new(&t, &Options { recompute, ..fuse::options(gpu.caps()) }).map_err(text)?;
    let steps = schedule.steps.len();
    let mut state = State::new();
    params.fill(gpu, &mut state, 3).map_err(text)?;
    state.insert_missing(gpu, &t.state_types()).map_err(text)?;
    let plan = Plan::new(gpu, schedule, &state).map_err(text)?;
    let mut found = BTreeMap::new();
    for i in 0..2 {
        let mut feed = Feed::new();
        feed.inputs.extend(step.inputs.iter().map(|(n, b)| (*n, b.as_slice())));
        feed.scalars.extend(step.scalars.iter().map(|(n, v)| (n.as_str(), if n == "step" { i as f32 } else { *v })));
        plan.run(gpu, &feed).map_err(text)?;
        found.insert(format!("loss of step {i}"), plan.read(gpu, "loss").map_err(text)?);
    }
    for name in state.names() {
        found.insert(name.to_string(), state.read(gpu, name).map_err(text)?);
    }
    Ok((steps, found))
}

/// An error unless both ways give the same bits, moments (which hold the gradients) and running statistics included.
fn same_bits(step: &MeasuredStep<'_>) -> Result<(), String> {
    let gpu = gpu(false)?;
    let ((few, kept), (many, again)) = (run(&gpu, step, false)?, run(&gpu, step, true)?);
    ensure(many > few, "nothing is computed again")?;
    let moved = |name: &str| kept.keys().any(|k| k.contains(name));
    ensure(moved("loss of step 1") && kept.len() > 10, format!("{:?}", kept.keys()))?;
    for (name, bytes) in &kept {
        ensure(again.get(name) == Some(bytes), format!("{name} differs"))?;
    }
    ensure(kept.len() == again.len(), "the same states")
}

fn resnet_bits() -> Result<(), String> {
    same_bits(&network(ResNet::resnet18(Stem::Small, 0.125, 3), 4, 16, 5).measured())
}

/// A small transformer, and behind it layers whose dropout draws by the step.
fn vit_bits() -> Result<(), String> {
    let (batch, size, classes) = (4, 16, 5);
    let vit = Vit { width: 32, depth: 2, heads: 2, ..Vit::tiny(4, 3) };
    let record = move || -> BaseResult<(Tape, Params)> {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let x = t.input("images", Type::f32([batch, 3, size, size]))?;
        let labels = t.input("labels", Type::u32([batch]))?;
        let weights = t.input("weights", Type::f32([batch]))?;
        let counter = t.scalar("step")?;
        let z = vit.tokens(&mut t, &mut params, "", x, None)?;
        let tokens = t.shape(z).dim(1);
        let mut z = t.reshape(z, [batch * tokens, 32])?;
        for layer in 0..12 {
            let y = linear(&mut t, &mut params, &format!("mlp.{layer}"), z, 32)?;
            let y = t.gelu(y, Approximate::None)?;
            let op = Dropout { keep: Keep::Fraction(0.8), stream: Stream::new(7, 100 + layer, counter) };
            let y = t.dropout(op, y, counter.var)?;
            z = t.add(z, y)?;
        }
        let z = t.reshape(z, [batch, tokens, 32])?;
        let z = t.slice(z, 1, 0, 1)?;
        let z = t.reshape(z, [batch, 32])?;
        let logits = vit.classify(&mut t, &mut params, "", z, classes)?;
        let [loss, ..] = t.cross_entropy(logits, labels, weights)?;
        Optimizer::adam(0.0).minimize(&mut t, loss, &params.trained())?;
        t.output("loss", loss);
        Ok((t, params))
    };
    let plain = network(vit, batch, size, classes).measured();
    let scalars = [plain.scalars, vec![("step".to_string(), 0.0)]].concat();
    let step = MeasuredStep { record: Box::new(record), scalars, ..plain };
    let (t, _) = (step.record)().map_err(text)?;
    let [kept, again] = both(&t, gpu(false)?.caps())?;
    let drawn = |s: &Schedule| kernels(s).iter().filter(|k| k.starts_with("dropout")).count();
    ensure(drawn(&again) > drawn(&kept), "no dropout is computed again")?;
    same_bits(&step)
}

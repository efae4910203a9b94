//! A step as data on a device: a recording that is written, read back and run gives the bits of its plan.

use super::{ensure, must_fail, schedule, tape, text};
use crate::harness::compare::same_bits;
use crate::harness::device::gpu;
use crate::harness::recording::Values;
use wgslab::base::{DType, Result as BaseResult};
use wgslab::device::Gpu;
use wgslab::kernels::fuse;
use wgslab::nn::step::{MeasuredStep, TrainingStep};
use wgslab::nn::{ResNet, Stem};
use wgslab::tape::{Feed, Plan, Recording, Replay, Schedule, State, Tape, Type};

/// A supervised step of a narrow ResNet-18, fused as studies fuse it.
fn subject() -> MeasuredStep<'static> {
    let model = std::sync::Arc::new(ResNet::resnet18(Stem::Small, 0.0625, 3));
    TrainingStep { model, batch: 4, size: 16, classes: 3, precision: Default::default() }.measured()
}

/// A state with the parameters as drawn and zeros elsewhere.
fn fresh(gpu: &Gpu, subject: &MeasuredStep<'_>, types: &[(String, Type)]) -> BaseResult<State> {
    let mut state = State::new();
    (subject.record)()?.1.fill(gpu, &mut state, 0)?;
    state.insert_missing(gpu, types)?;
    Ok(state)
}

/// Every output and every state after two steps.
fn after(
    gpu: &Gpu,
    subject: &MeasuredStep<'_>,
    state: &State,
    run: impl Fn(&Feed<'_>) -> BaseResult<()>,
    read: impl Fn() -> BaseResult<Vec<u8>>,
) -> BaseResult<Values> {
    let inputs = subject.inputs.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let scalars = subject.scalars.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let feed = Feed { inputs, scalars };
    run(&feed)?;
    run(&feed)?;
    let mut all = vec![("loss".to_string(), DType::F32, read()?)];
    for name in state.names() {
        let dtype = state.ty(name).map_or(DType::F32, |ty| ty.dtype);
        all.push((name.to_string(), dtype, state.read(gpu, name)?));
    }
    Ok(Values(all))
}

/// A recording that is written, read back and run moves the state as the plan does, bit for bit.
pub fn read_back() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("step.json");
    let subject = subject();
    let (tape, _) = (subject.record)().map_err(text)?;
    for checked in [true, false] {
        let gpu = gpu(checked)?;
        let run = || {
            let state = fresh(&gpu, &subject, &tape.state_types())?;
            let plan = Plan::new(&gpu, Schedule::new(&tape, &fuse::options(gpu.caps()))?, &state)?;
            plan.recording().write(&path)?;
            let start = fresh(&gpu, &subject, &tape.state_types())?;
            let start = after(&gpu, &subject, &start, |_| Ok(()), || Ok(vec![0; 4]))?;
            let planned =
                after(&gpu, &subject, &state, |feed| plan.run(&gpu, feed).map(drop), || plan.read(&gpu, "loss"))?;
            let recording = Recording::read(&path)?;
            let state = fresh(&gpu, &subject, &recording.state_types())?;
            let replay = Replay::new(&gpu, recording, &state)?;
            let replayed =
                after(&gpu, &subject, &state, |feed| replay.run(&gpu, feed).map(drop), || replay.read(&gpu, "loss"))?;
            Ok::<_, wgslab::base::Error>((start, planned, replayed))
        };
        let (start, planned, replayed) = run().map_err(text)?;
        let moved = |name: &str| planned.find(name).ok().map(|v| v.words) != start.find(name).ok().map(|v| v.words);
        ensure(
            moved("conv1.weight") && moved("bn1.running_mean"),
            "the step moved nothing, so equal bits say nothing",
        )?;
        same_bits("plan and recording", &planned, &replayed)?;
    }
    Ok(())
}

fn doubled() -> Result<Tape, String> {
    tape(|t| {
        let x = t.input("x", Type::f32([4]))?;
        let y = t.add(x, x)?;
        t.output("y", y);
        Ok(())
    })
}

/// A recording that the device cannot run, or whose kernel is invalid, is refused before a buffer is made.
pub fn refused() -> Result<(), String> {
    let gpu = gpu(true)?;
    let recording = Recording::on(&gpu, &schedule(&doubled()?)?).map_err(text)?;
    let replay = Replay::new(&gpu, recording.clone(), &State::new()).map_err(text)?;
    replay.run(&gpu, &Feed::new().input("x", &[1f32, 2.0, 3.0, 4.0])).map_err(text)?;
    let y = replay.read_f32(&gpu, "y").map_err(text)?;
    ensure(y == [2.0, 4.0, 6.0, 8.0], format!("y is {y:?}"))?;
    must_fail(
        "an unknown scalar",
        replay.run(&gpu, &Feed::new().input("x", &[0f32; 4]).scalar("lr", 1.0)),
        &["lr", "none"],
    )?;
    let made = gpu.meter().buffers_made();
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = serde_json::to_value(&recording).map_err(|e| e.to_string())?;
        change(&mut value);
        let back: Recording = serde_json::from_value(value).map_err(|e| e.to_string())?;
        Ok::<_, String>(Replay::new(&gpu, back, &State::new()))
    };
    must_fail("a text that is not WGSL", changed(&|v| v["kernels"][0]["wgsl"] = "fn".into())?, &["add.forward"])?;
    let huge = |v: &mut serde_json::Value| v["buffers"][0]["bytes"] = (1u64 << 43).into();
    must_fail("a buffer past the adapter's", changed(&huge)?, &["slab0", "MiB", "at most"])?;
    let wide = |v: &mut serde_json::Value| v["launches"][0]["grid"][1] = u32::MAX.into();
    must_fail("more workgroups than the adapter's", changed(&wide)?, &["add.forward", "workgroups"])?;
    let none = |v: &mut serde_json::Value| v["launches"][0]["kernel"] = 7.into();
    must_fail("a launch of no kernel", changed(&none)?, &["launch 0", "kernel 7"])?;
    ensure(gpu.meter().buffers_made() == made, "a refused recording made buffers")
}

//! The semantics of a step on a device: plans and programs must do what schedules promise.

use super::random::{Data, GUARDS, INPUTS, OUTPUTS, STATES, Step, bits};
use super::{Double, Named, ensure, must_fail, schedule, tape, text};
use crate::harness::device::gpu;
use wgslab::base::rng::Rng;
use wgslab::device::Gpu;
use wgslab::kernels::loss_scale::LossScale;
use wgslab::tape::{Feed, Options, Plan, Program, Schedule, State, Tape, Trace, Type};

pub fn list() -> Vec<Named> {
    vec![
        ("random steps on the device", random),
        ("a swap swaps", swap),
        ("a raised guard stops every assign", guard),
        ("a raised guard stops what was recorded before it", early),
        ("a state that ignores the guard moves even where its old value is kept", defiance),
        ("many tensors at once have the bits of one by one", super::joined::same_bits),
        ("a plan leaves tensors where another holds them", super::joined::held),
        ("two players of one step share nothing", super::players::two_players),
        ("a recording read back gives the bits of its plan", super::recording::read_back),
        ("a recording that cannot run makes no buffer", super::recording::refused),
        ("a program repeats its stages over one store", program),
        ("feeds and stores that do not fit are refused", feeds),
        ("a run makes no buffer and no bind group", allocates_nothing),
        ("a budget of memory is kept", budget),
    ]
}

fn store(gpu: &Gpu, values: &[(&str, &[f32])]) -> Result<State, String> {
    let mut state = State::new();
    for (name, v) in values {
        state.insert(gpu, name, Type::f32([v.len()]), Some(bytemuck::cast_slice(v))).map_err(text)?;
    }
    Ok(state)
}

fn plan(gpu: &Gpu, t: &Tape, state: &State) -> Result<Plan, String> {
    Plan::new(gpu, Schedule::new(t, &Options::new(gpu.caps())).map_err(text)?, state).map_err(text)
}

fn random() -> Result<(), String> {
    let gpu = gpu(true)?;
    for round in 0..60 {
        let mut rng = Rng::new(4, 0, round);
        let (step, data) = (Step::random(&mut rng, 12), Data::random(&mut rng));
        let tape = step.record().map_err(text)?;
        let values: Vec<(&str, &[f32])> = STATES.into_iter().zip(data.states.iter().map(Vec::as_slice)).collect();
        let flags = data.raised.map(|raised| [u32::from(raised)]);
        let mut feed = Feed::new();
        for p in (0..GUARDS.len()).filter(|&p| step.guarded[p]) {
            feed = feed.input(GUARDS[p], &flags[p]);
        }
        for (name, v) in INPUTS.iter().zip(&data.inputs) {
            feed = feed.input(name, v);
        }
        let state = store(&gpu, &values)?;
        let plan = plan(&gpu, &tape, &state)?;
        plan.run(&gpu, &feed).map_err(text)?;
        let states = |s: &State| STATES.iter().map(|n| s.read_f32(&gpu, n)).collect::<Result<Vec<_>, _>>();
        let mut got = OUTPUTS.iter().map(|n| plan.read_f32(&gpu, n)).collect::<Result<Vec<_>, _>>().map_err(text)?;
        got.extend(states(&state).map_err(text)?);
        let want = step.meaning(&data);
        ensure(bits(&got) == bits(&want), format!("round {round}: {step:?}\nis {got:?}\nmust be {want:?}"))?;
        let state = store(&gpu, &values)?;
        Trace::run(&gpu, &tape, &Options::new(gpu.caps()), &state, &feed).map_err(text)?;
        let traced = states(&state).map_err(text)?;
        ensure(bits(&traced) == bits(&want[OUTPUTS.len()..]), format!("round {round}: the trace's states differ"))?;
    }
    Ok(())
}

fn swap() -> Result<(), String> {
    let gpu = gpu(true)?;
    let state = store(&gpu, &[("a", &[1.0, 2.0]), ("b", &[3.0, 4.0])])?;
    let t = tape(|t| {
        let (a, b) = (t.state("a", Type::f32([2]))?, t.state("b", Type::f32([2]))?);
        t.assign("a", b)?;
        t.assign("b", a)
    })?;
    plan(&gpu, &t, &state)?.run(&gpu, &Feed::new()).map_err(text)?;
    let read = |n| state.read_f32(&gpu, n).map_err(text);
    let (a, b) = (read("a")?, read("b")?);
    ensure(a == [3.0, 4.0] && b == [1.0, 2.0], format!("a is {a:?} and b is {b:?}"))
}

/// w and v double. An op that obeys the guard doubles w in place; a commit doubles v.
fn guarded_step() -> Result<Tape, String> {
    tape(|t| {
        let flag = t.input("guard", Type::u32([1]))?;
        t.set_guard(flag)?;
        let (w, v) = (t.state("w", Type::f32([2]))?, t.state("v", Type::f32([2]))?);
        let new = t.apply1(Double, &[w, flag])?;
        t.assign("w", new)?;
        let new = t.add(v, v)?;
        t.assign("v", new)?;
        t.output("twice v", new);
        Ok(())
    })
}

fn guard() -> Result<(), String> {
    let gpu = gpu(true)?;
    let state = store(&gpu, &[("w", &[1.0, 2.0]), ("v", &[3.0, 4.0])])?;
    let plan = plan(&gpu, &guarded_step()?, &state)?;
    for (flag, times) in [(1u32, 1.0), (0, 2.0), (7, 2.0), (0, 4.0)] {
        plan.run(&gpu, &Feed::new().input("guard", &[flag])).map_err(text)?;
        let read = |n| state.read_f32(&gpu, n).map_err(text);
        let (w, v) = (read("w")?, read("v")?);
        let holds = w == [times, 2.0 * times] && v == [3.0 * times, 4.0 * times];
        ensure(
            holds,
            format!("after the flag {flag}: w is {w:?} and v is {v:?}; both must be {times} times the start"),
        )?;
    }
    Ok(())
}

/// A queue and its pointer, recorded before the guard, which is made of a later gradient-like value.
fn early() -> Result<(), String> {
    let gpu = gpu(true)?;
    let tape = tape(|t| {
        let rows = t.input("rows", Type::f32([1, 2]))?;
        let old = t.state("queue", Type::f32([3, 2]))?;
        t.enqueue("queue", "pointer", rows)?;
        let sums = t.add(old, old)?;
        t.output("twice the old queue", sums);
        let flag = t.found_inf(&[rows])?;
        t.set_guard(flag)
    })?;
    let mut state = store(&gpu, &[])?;
    state.insert_missing(&gpu, &tape.state_types()).map_err(text)?;
    let plan = plan(&gpu, &tape, &state)?;
    let nan = f32::NAN;
    let steps: [([f32; 2], [f32; 6]); 4] = [
        ([1.0, 2.0], [1.0, 2.0, 0.0, 0.0, 0.0, 0.0]),
        ([nan, 9.0], [1.0, 2.0, 0.0, 0.0, 0.0, 0.0]),
        ([3.0, 4.0], [1.0, 2.0, 3.0, 4.0, 0.0, 0.0]),
        ([5.0, f32::INFINITY], [1.0, 2.0, 3.0, 4.0, 0.0, 0.0]),
    ];
    let mut before = [0.0; 6];
    for (rows, want) in steps {
        plan.run(&gpu, &Feed::new().input("rows", &rows)).map_err(text)?;
        let (now, seen) = (state.read_f32(&gpu, "queue"), plan.read_f32(&gpu, "twice the old queue"));
        let (now, seen) = (now.map_err(text)?, seen.map_err(text)?);
        ensure(now == want, format!("after the rows {rows:?} the queue is {now:?}, but must be {want:?}"))?;
        ensure(seen == before.map(|v: f32| 2.0 * v), format!("{rows:?}: the step saw {seen:?} of {before:?}"))?;
        before = want;
    }
    Ok(())
}

/// A loss scale falls after a bad step. It must fall also where the step keeps the old value as an output: then the new
/// value is committed, not written in place.
fn defiance() -> Result<(), String> {
    let gpu = gpu(true)?;
    for kept in [false, true] {
        let op = LossScale { initial: 64.0, interval: 10 };
        let tape = tape(|t| {
            let flag = t.input("guard", Type::u32([1]))?;
            t.set_guard(flag)?;
            let old = t.state("loss_scale.scale", Type::f32([1]))?;
            let now = t.loss_scale(op)?;
            t.update_loss_scale(op, flag)?;
            t.output("now", if kept { old } else { now });
            Ok(())
        })?;
        let mut state = State::new();
        state.insert_missing(&gpu, &tape.state_types()).map_err(text)?;
        let plan = plan(&gpu, &tape, &state)?;
        for (flag, scale) in [(1u32, 32.0), (0, 32.0), (1, 16.0)] {
            plan.run(&gpu, &Feed::new().input("guard", &[flag])).map_err(text)?;
            let now = state.read_f32(&gpu, "loss_scale.scale").map_err(text)?;
            ensure(
                now == [scale],
                format!("old value kept: {kept}; the scale after flag {flag} is {now:?}, but must be {scale}"),
            )?;
        }
    }
    Ok(())
}

fn program() -> Result<(), String> {
    let gpu = gpu(true)?;
    let state = store(&gpu, &[("a", &[1.0]), ("b", &[0.0])])?;
    let double = tape(|t| {
        let a = t.state("a", Type::f32([1]))?;
        let new = t.apply1(Double, &[a])?;
        t.assign("a", new)
    })?;
    let collect = tape(|t| {
        let (a, b) = (t.state("a", Type::f32([1]))?, t.state("b", Type::f32([1]))?);
        let x = t.input("x", Type::f32([1]))?;
        let sum = t.add(a, b)?;
        let sum = t.add(sum, x)?;
        t.assign("b", sum)
    })?;
    let program = Program::new().then(plan(&gpu, &double, &state)?, 3).then(plan(&gpu, &collect, &state)?, 2);
    let mut calls = Vec::new();
    program
        .run(&gpu, |stage, repeat, run| {
            calls.push((stage, repeat));
            run(&if stage == 0 { Feed::new() } else { Feed::new().input("x", &[0.5f32]) })
        })
        .map_err(text)?;
    ensure(calls == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)], format!("stages ran as {calls:?}"))?;
    let b = state.read_f32(&gpu, "b").map_err(text)?;
    ensure(b == [17.0], format!("b is {b:?}; 2 × (8 + 0.5) is 17"))
}

fn feeds() -> Result<(), String> {
    let gpu = gpu(true)?;
    let t = tape(|t| {
        let x = t.input("x", Type::f32([4]))?;
        let w = t.state("w", Type::f32([4]))?;
        let y = t.add(x, w)?;
        let _ = t.scalar("lr")?;
        t.output("y", y);
        Ok(())
    })?;
    let options = Options::new(gpu.caps());
    let made = |state: &State| Plan::new(&gpu, Schedule::new(&t, &options)?, state);
    must_fail("a store without w", made(&State::new()), &["w"])?;
    must_fail("a store with another w", made(&store(&gpu, &[("w", &[1.0])])?), &["w", "[1]", "[4]"])?;
    let plan = made(&store(&gpu, &[("w", &[1.0; 4])])?).map_err(text)?;
    let x = [1.0f32; 4];
    must_fail("no x", plan.run(&gpu, &Feed::new().scalar("lr", 0.1)), &["x", "[4]"])?;
    must_fail("a short x", plan.run(&gpu, &Feed::new().input("x", &x[..3]).scalar("lr", 0.1)), &["x", "[4]", "12"])?;
    must_fail("no lr", plan.run(&gpu, &Feed::new().input("x", &x)), &["lr"])?;
    let fed = || Feed::new().input("x", &x).scalar("lr", 0.1);
    must_fail("an unknown input", plan.run(&gpu, &fed().input("labels", &[1u32])), &["labels", "x"])?;
    must_fail("an unknown scalar", plan.run(&gpu, &fed().scalar("tau", 0.5)), &["tau", "lr"])?;
    must_fail("the scalars' own name", plan.run(&gpu, &fed().input("scalars", &[0f32; 64])), &["scalars", "x"])?;
    must_fail("x twice", plan.run(&gpu, &fed().input("x", &x)), &["x", "twice"])?;
    must_fail("lr twice", plan.run(&gpu, &fed().scalar("lr", 0.2)), &["lr", "twice"])?;
    must_fail("an unknown output", plan.read(&gpu, "z"), &["z"])?;
    plan.run(&gpu, &Feed::new().input("x", &x).scalar("lr", 0.1)).map_err(text)?;
    let y = plan.read_f32(&gpu, "y").map_err(text)?;
    ensure(y == [2.0; 4], format!("y is {y:?}"))
}

fn allocates_nothing() -> Result<(), String> {
    let gpu = gpu(true)?;
    let state = store(&gpu, &[("w", &[1.0, 2.0]), ("v", &[3.0, 4.0])])?;
    let plan = plan(&gpu, &guarded_step()?, &state)?;
    let before = (gpu.meter().buffers_made(), gpu.meter().bind_groups_made());
    for _ in 0..3 {
        plan.run(&gpu, &Feed::new().input("guard", &[0u32])).map_err(text)?;
    }
    let after = (gpu.meter().buffers_made(), gpu.meter().bind_groups_made());
    ensure(before == after, format!("buffers and bind groups made: {before:?} before, {after:?} after three runs"))
}

fn budget() -> Result<(), String> {
    let options = wgslab::device::GpuOptions { memory_budget_bytes: Some(1000), ..Default::default() };
    let gpu = Gpu::open(&options).map_err(text)?;
    let t = tape(|t| {
        let x = t.input("x", Type::f32([200]))?;
        let y = t.relu(x)?;
        t.output("y", y);
        Ok(())
    })?;
    // The input and the value have 800 bytes each; a block of parameters is added.
    must_fail("a plan past the budget", Plan::new(&gpu, schedule(&t)?, &State::new()), &["1856", "1000", "batch"])
}

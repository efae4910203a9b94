//! Single rules of the tape and the schedule, each on the smallest step that shows it.

use super::{Double, Named, ensure, kernels, must_fail, schedule, tape, text};
use std::collections::BTreeSet;
use wgslab::device::Caps;
use wgslab::ssl::{Method, moco::Moco, simclr::SimClr};
use wgslab::tape::schedule::Place;
use wgslab::tape::{Options, Schedule, Tape, Type, Var};

pub fn list() -> Vec<Named> {
    vec![
        ("what nothing needs is dropped", dropped),
        ("a chain needs two buffers, a trace one for each value", chain),
        ("an optimizer writes its state directly", takes_over),
        ("an old value that is read later is copied first", copies),
        ("an op that ignores the guard never writes state directly", guard_denies),
        ("an op that was recorded before its guard waits for it", waits),
        ("running statistics and a queue of keys are never copied", never_copied),
        ("states swap through a copy", swap),
        ("a guard that is a state holds through the whole commit", guard_state),
        ("views share memory", views),
        ("detach stops the gradient", detach),
        ("only wanted gradients are computed", wrt),
        ("gradients of gradients are refused", second_order),
        ("mistakes are named", mistakes),
        ("nothing is lost to a second of one name", seconds),
        ("assigns obey only the guard of their scope", scopes),
        ("the same tape gives the same schedule", repeatable),
    ]
}

const TY: [usize; 1] = [8];

fn x(t: &mut Tape) -> wgslab::base::Result<Var> {
    t.input("x", Type::f32(TY))
}

fn dropped() -> Result<(), String> {
    let s = schedule(&tape(|t| {
        let x = x(t)?;
        let y = t.relu(x)?;
        t.add(y, y)?;
        t.output("y", y);
        Ok(())
    })?)?;
    ensure(kernels(&s) == ["relu.forward"], format!("the sum is not needed:\n{s}"))
}

fn chain() -> Result<(), String> {
    let t = tape(|t| {
        let mut v = x(t)?;
        for _ in 0..9 {
            v = t.relu(v)?;
        }
        t.output("y", v);
        Ok(())
    })?;
    let s = schedule(&t)?;
    ensure(s.slabs.len() == 2 && s.values_bytes == 9 * 32, format!("nine values in two buffers, not\n{s}"))?;
    let caps = Caps::portable();
    let s = Schedule::new(&t, &Options { reuse: false, fence_bytes: 64, ..Options::new(&caps) }).map_err(text)?;
    ensure(s.slabs == vec![96; 9], format!("nine buffers of 32 bytes and a fence of 64, not {:?}", s.slabs))
}

/// w' = 2·w: with or without a later reader of w, with or without a guard.
fn doubled(guard: bool, obeys: bool, later: bool) -> Result<Schedule, String> {
    schedule(&tape(|t| {
        let w = t.state("w", Type::f32(TY))?;
        let flag = guard.then(|| t.input("guard", Type::u32([1]))).transpose()?;
        if let Some(flag) = flag {
            t.set_guard(flag)?;
        }
        let inputs: Vec<Var> = [w].into_iter().chain(flag.filter(|_| obeys)).collect();
        let new = t.apply1(Double, &inputs)?;
        t.assign("w", new)?;
        if later {
            let old = t.relu(w)?;
            t.output("old", old);
        }
        Ok(())
    })?)
}

fn takes_over() -> Result<(), String> {
    let s = doubled(false, false, false)?;
    ensure(kernels(&s) == ["double.plain"] && s.slabs.is_empty(), format!("one launch on the state itself, not\n{s}"))?;
    let s = doubled(true, true, false)?;
    ensure(kernels(&s) == ["double.guarded"] && s.slabs.is_empty(), format!("one guarded launch, not\n{s}"))
}

fn copies() -> Result<(), String> {
    let s = doubled(false, false, true)?;
    let want = ["assign.copy", "double.plain", "relu.forward", "assign.copy"];
    ensure(kernels(&s) == want, format!("the old value is needed; must be {want:?}, is\n{s}"))
}

fn guard_denies() -> Result<(), String> {
    let s = doubled(true, false, false)?;
    let want = ["assign.copy", "double.plain", "assign.guarded"];
    ensure(kernels(&s) == want, format!("must be {want:?}, is\n{s}"))
}

/// A queue of keys takes new rows before the guard is known, as MoCo's does. `newest` reads the queue with its new rows in
/// the same step.
fn queued(newest: bool) -> Result<Schedule, String> {
    schedule(&tape(|t| {
        let rows = t.input("rows", Type::f32([2, 4]))?;
        let old = t.state("queue", Type::f32([8, 4]))?;
        let y = t.matmul(rows, old, false, true)?;
        t.output("y", y);
        t.enqueue("queue", "pointer", rows)?;
        let now = t.state("queue", Type::f32([8, 4]))?;
        // A reader behind the enqueue of the queue as it was.
        let sums = t.relu(if newest { now } else { old })?;
        t.output("sums", sums);
        let flag = t.input("guard", Type::u32([1]))?;
        t.set_guard(flag)
    })?)
}

fn waits() -> Result<(), String> {
    let s = queued(false)?;
    let (names, last) = (kernels(&s), s.steps.last().and_then(|s| s.launches.last()).map(|(_, places)| places.clone()));
    let ends = names.ends_with(&["relu.forward", "enqueue.forward", "enqueue.advance"]);
    ensure(ends && names.len() == 4, format!("both writes must stand last, without a copy, not\n{s}"))?;
    let places = [Place::Input("guard".into()), Place::State("pointer".into())];
    ensure(last.is_some_and(|l| places.iter().all(|p| l.contains(p))), format!("the guard must be read:\n{s}"))?;
    // What reads the new rows in the same step needs them before the guard is known.
    let s = queued(true)?;
    let copies = kernels(&s).iter().filter(|k| k.starts_with("assign.")).count();
    ensure(copies == 2, format!("the queue must be copied and committed, not\n{s}"))
}

/// The whole step of a method: state that moves in place lies in the state's own memory, whether its op stands before the
/// guard or behind it.
fn never_copied() -> Result<(), String> {
    let simclr = SimClr { temperature: 0.5, projection_dims: [64, 32] };
    let projection_dims = [32, 16];
    let moco = Moco { temperature: 0.2, momentum: 0.99, queue_size: 64, batch_norm_splits: 2, projection_dims };
    for method in [&simclr as &dyn Method, &moco] {
        let s = schedule(&super::simclr::step(method).map_err(text)?)?;
        let copies = s.steps.iter().filter(|s| ["copy", "assign"].contains(&s.op.name())).map(|s| s.label());
        let copies: Vec<String> = copies.collect();
        ensure(copies.is_empty(), format!("{copies:?} of {method:?} move state through a copy"))?;
    }
    Ok(())
}

fn swap() -> Result<(), String> {
    let s = schedule(&tape(|t| {
        let (a, b) = (t.state("a", Type::f32(TY))?, t.state("b", Type::f32(TY))?);
        t.assign("a", b)?;
        t.assign("b", a)
    })?)?;
    let launches: Vec<_> = s.steps.iter().flat_map(|s| &s.launches).collect();
    let first_write = launches.iter().position(|(_, p)| matches!(p.last(), Some(Place::State(_))));
    let last_read = launches.iter().rposition(|(_, p)| matches!(p.first(), Some(Place::State(_))));
    ensure(first_write > last_read, format!("every old value must be read before one is overwritten:\n{s}"))
}

fn guard_state() -> Result<(), String> {
    let s = schedule(&tape(|t| {
        let flag = t.state("a flag", Type::u32([1]))?;
        t.set_guard(flag)?;
        let w = t.state("w", Type::f32(TY))?;
        let (new, down) = (t.add(w, w)?, t.fill_u32([1], 0)?);
        t.assign("w", new)?;
        t.assign("a flag", down)
    })?)?;
    let written = s.steps.iter().flat_map(|s| &s.launches).filter_map(|(_, p)| p.last());
    let flag = Place::State("a flag".into());
    let at = written.clone().position(|p| *p == flag);
    let late =
        s.steps.iter().flat_map(|s| &s.launches).enumerate().any(|(i, (_, p))| Some(i) > at && p.contains(&flag));
    ensure(!late, format!("the flag is read after it was overwritten:\n{s}"))
}

fn views() -> Result<(), String> {
    let mut v = Vec::new();
    let t = tape(|t| {
        let x = x(t)?;
        let y = t.relu(x)?;
        let flat = t.reshape(y, [2, 4])?;
        let z = t.relu(flat)?;
        t.output("z", z);
        v = vec![y, flat];
        Ok(())
    })?;
    let s = schedule(&t)?;
    ensure(kernels(&s).len() == 2, format!("a view launches nothing:\n{s}"))?;
    ensure(s.places[&v[0]].1 == s.places[&v[1]].1, "a view must be where its source is")
}

fn detach() -> Result<(), String> {
    tape(|t| {
        let x = x(t)?;
        let stopped = t.detach(x)?;
        let y = t.relu(stopped)?;
        assert_eq!(t.gradient(y, &[x])?, [None], "no gradient passes a detach");
        let both = t.add(y, x)?;
        let dx = t.gradient(both, &[x])?;
        assert!(dx[0].is_some(), "the other path has a gradient");
        Ok(())
    })
    .map(drop)
}

fn wrt() -> Result<(), String> {
    let s = schedule(&tape(|t| {
        let (a, b) = (t.input("a", Type::f32(TY))?, t.input("b", Type::f32(TY))?);
        let (ra, rb) = (t.relu(a)?, t.relu(b)?);
        let y = t.add(ra, rb)?;
        let before = t.len();
        let da = t.gradient(y, &[a])?;
        assert_eq!(t.len() - before, 2, "must be the ones and the gradient of one relu, and nothing for b");
        assert!(da[0].is_some());
        t.output("da", da[0].unwrap());
        Ok(())
    })?)?;
    ensure(kernels(&s).iter().filter(|k| **k == "relu.grad").count() == 1, format!("one gradient, not\n{s}"))
}

fn second_order() -> Result<(), String> {
    let mut t = Tape::new();
    let a = x(&mut t).map_err(text)?;
    let y = t.relu(a).map_err(text)?;
    // relu.grad reads y, so its result depends on a through y.
    let da = t.gradient(y, &[a]).map_err(text)?[0].unwrap();
    must_fail("a gradient of a gradient", t.gradient(da, &[a]), &["relu.grad", "detach"])
}

fn mistakes() -> Result<(), String> {
    let mut t = Tape::new();
    let a = x(&mut t).map_err(text)?;
    let b = t.input("b", Type::f32([2, 3])).map_err(text)?;
    let labels = t.input("labels", Type::u32(TY)).map_err(text)?;
    must_fail("a sum of unlike shapes", t.add(a, b), &["add", "[8]", "[2, 3]"])?;
    must_fail("a sum of floats and words", t.add(a, labels), &["add", "F32", "U32"])?;
    must_fail("a second input of that name", t.input("b", Type::f32(TY)), &["b"])?;
    must_fail("a view of another size", t.reshape(a, [3, 3]), &["[8]", "[3, 3]"])?;
    must_fail("a layer's mistake", t.layer("stem", |t| t.add(a, b)), &["stem", "[8]", "[2, 3]"])?;
    must_fail("an assign to what was never read", t.assign("w", a), &["w"])?;
    let w = t.state("w", Type::f32(TY)).map_err(text)?;
    must_fail("a state as another type", t.state("w", Type::f32([3])), &["w", "[8]", "[3]"])?;
    must_fail("an assign of another type", t.assign("w", b), &["w", "[8]", "[2, 3]"])?;
    must_fail("a guard of floats", t.set_guard(w), &["U32 [1]", "F32 [8]"])?;
    let y = t.relu(a).map_err(text)?;
    must_fail("a cotangent of another shape", t.backward(&[y], &[Some(b)], &[a]), &["[2, 3]", "[8]"])?;
    must_fail("fewer cotangents than outputs", t.backward(&[y], &[], &[a]), &["1", "0"])
}

/// A call that would silently lose something is an error that gives the name and the way out. Calls that are meant so
/// work.
fn seconds() -> Result<(), String> {
    let mut t = Tape::new();
    let (a, flag) = (x(&mut t).map_err(text)?, t.input("flag", Type::u32([1])).map_err(text)?);
    let (b, w) = (t.relu(a).map_err(text)?, t.state("w", Type::f32(TY)).map_err(text)?);
    t.set_guard(flag).map_err(text)?;
    must_fail("a second guard", t.set_guard(flag), &["outside any scope", "Tape::scope"])?;
    let guard = |t: &mut Tape| t.scope("d", |t| t.set_guard(flag));
    guard(&mut t).map_err(text)?;
    must_fail("a second guard of a player", guard(&mut t), &["the scope d", "Tape::scope"])?;
    must_fail("a scope within one", t.scope("d", |t| t.scope("g", |_| Ok(()))), &["g", "d", "nest"])?;
    must_fail("a player with a dot", t.scope("a.b", |_| Ok(())), &["a.b", "dot"])?;
    t.assign("w", a).map_err(text)?;
    must_fail("an assign that loses the first", t.assign("w", w), &["w", "twice", "Tape::state"])?;
    t.assign("w", b).map_err(text)?; // this assign depends on the first
    let newest = t.state("w", Type::f32(TY)).map_err(text)?;
    t.assign("w", a).map_err(text)?; // the first value was read before
    t.output("y", newest);
    schedule(&t)?;
    let row = t.scalar("row").map_err(text)?;
    let value = t.state("v", Type::f32([1])).map_err(text)?;
    t.ring("losses", 4, row, &[value]).map_err(text)?;
    must_fail("a second ring", t.ring("losses", 4, row, &[value]), &["losses", "second ring", "another name"])?;
    let scale = wgslab::kernels::loss_scale::LossScale { initial: 1.0, interval: 9 };
    t.update_loss_scale(scale, flag).map_err(text)?;
    must_fail("a second loss scale", t.update_loss_scale(scale, flag), &["loss_scale.scale", "Tape::scope"])?;
    t.scope("g", |t| t.update_loss_scale(scale, flag)).map_err(text)?;
    must_fail("an input of the scalars' name", t.input("scalars", Type::f32([1])), &["scalars"])?;
    t.output("y", b);
    must_fail("a second output", Schedule::new(&t, &Options::new(&Caps::portable())), &["y", "outputs"])?;
    let adam = wgslab::nn::optimizer::Optimizer::adam(0.0);
    let grad = t.input("grad", Type::f32(TY)).map_err(text)?;
    let update = |t: &mut Tape, name: &str| {
        let lr = t.scoped("lr");
        let lr = t.scalar(&lr)?;
        adam.update(t, &[(name.to_string(), grad)], lr)
    };
    update(&mut t, "p").map_err(text)?;
    must_fail("a second Adam", update(&mut t, "q"), &["optim.step", "second optimizer", "Tape::scope"])?;
    t.scope("g", |t| update(t, "q")).map_err(text)
}

/// The guard that each commit obeys, by state.
fn scopes() -> Result<(), String> {
    let t = tape(|t| {
        let (a, b) = (t.input("a", Type::u32([1]))?, t.input("b", Type::u32([1]))?);
        let x = x(t)?;
        for w in ["outside", "early", "late", "free"] {
            t.state(w, Type::f32(TY))?;
        }
        t.assign("outside", x)?;
        t.scope("d", |t| t.assign("early", x))?;
        t.set_guard(a)?;
        t.scope("d", |t| t.set_guard(b))?;
        t.scope("d", |t| t.assign("late", x))?;
        t.scope("g", |t| t.assign("free", x))
    })?;
    let s = schedule(&t)?;
    let (input, state) = (|n: &str| Place::Input(n.into()), |n: &str| Place::State(n.into()));
    let got: Vec<_> = s.steps.iter().flat_map(|s| &s.launches).map(|(_, p)| p.clone()).collect();
    let want = [
        vec![input("x"), input("b"), state("early")],
        vec![input("x"), state("free")],
        vec![input("x"), input("b"), state("late")],
        vec![input("x"), input("a"), state("outside")],
    ];
    ensure(got == want, format!("commits must take {want:?}:\n{s}"))?;
    let mut t = Tape::new();
    let (flag, y) = (t.input("flag", Type::u32([1])).map_err(text)?, x(&mut t).map_err(text)?);
    t.state("w", Type::f32(TY)).map_err(text)?;
    t.assign("w", y).map_err(text)?;
    let both = |t: &mut Tape| {
        let w = t.state("w", Type::f32(TY))?;
        let y = t.relu(w)?;
        t.scope("d", |t| t.assign("w", y))
    };
    both(&mut t).map_err(text)?;
    schedule(&t)?; // no guard yet
    t.scope("d", |t| t.set_guard(flag)).map_err(text)?;
    let made = Schedule::new(&t, &Options::new(&Caps::portable()));
    must_fail("a state under two guards", made, &["w", "the scope d", "outside any scope"])
}

fn repeatable() -> Result<(), String> {
    let texts: BTreeSet<String> =
        (0..5).map(|_| doubled(true, true, true).map(|s| s.to_string())).collect::<Result<_, _>>()?;
    ensure(texts.len() == 1, "five recordings of one step gave different schedules")
}

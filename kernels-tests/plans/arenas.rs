//! Tensors that lie in one buffer: no plan moves one over another, copies lie as values do, and fences stand behind
//! each.

use super::{ensure, must_fail, tape, text};
use crate::harness::Named;
use crate::harness::device::gpu;
use wgslab::base::Result as BaseResult;
use wgslab::device::{Gpu, Kernel, Piece};
use wgslab::tape::recording::{Memory, PartOf, Role};
use wgslab::tape::{Cost, Emit, Feed, Op, Options, Plan, Replay, Schedule, Slot, State, Tape, Type};

pub fn list() -> Vec<Named> {
    vec![
        ("no plan moves a tensor over one that another store or plan uses", moves),
        ("copies in one buffer are not read and written by one op", copies),
        ("a plan that reads one tensor of a buffer and writes another", read_and_written),
        ("a kernel that writes behind a tensor of an arena is found", overrun),
        ("a recording whose tensor has no other beside it runs on a fresh store", alone),
    ]
}

const N: usize = 64;

/// A store in which each tensor holds its own number.
fn store(gpu: &Gpu, values: &[(&str, f32)]) -> Result<State, String> {
    let mut state = State::new();
    values.iter().try_for_each(|(name, of)| insert(gpu, &mut state, name, *of))?;
    Ok(state)
}

fn insert(gpu: &Gpu, state: &mut State, name: &str, of: f32) -> Result<(), String> {
    state.insert(gpu, name, Type::f32([N]), Some(bytemuck::cast_slice(&[of; N]))).map_err(text)
}

/// Averages of each tensor with an input `x`: half of the tensor and half of x.
fn halving(gpu: &Gpu, state: &State, names: &[&str]) -> BaseResult<Plan> {
    let mut t = Tape::new();
    let x = t.input("x", Type::f32([N]))?;
    for name in names {
        t.state(name, Type::f32([N]))?;
        t.ema(name, x, 0.5, 1.0)?;
    }
    Plan::new(gpu, Schedule::new(&t, &Options::new(gpu.caps()))?, state)
}

/// Runs a plan whose x, if it has one, is 0.
fn run(gpu: &Gpu, plan: &Plan) -> Result<(), String> {
    let zeros = [0.0f32; N];
    let feed = if plan.schedule().inputs.is_empty() { Feed::new() } else { Feed::new().input("x", &zeros) };
    plan.run(gpu, &feed).map(drop).map_err(text)
}

fn holds(gpu: &Gpu, what: &str, state: &State, wanted: &[(&str, f32)]) -> Result<(), String> {
    wanted.iter().try_for_each(|(name, of)| {
        let got = state.read_f32(gpu, name).map_err(text)?;
        ensure(got == [*of; N], format!("{what}: {name} is {of} everywhere, not {:?}", &got[..4]))
    })
}

fn moves() -> Result<(), String> {
    let gpu = gpu(true)?;
    let plan = |state: &State, names: &[&str]| halving(&gpu, state, names).map_err(text);

    let state = store(&gpu, &[("a", 8.0), ("b", 16.0), ("c", 32.0)])?;
    let (ab, ac) = (plan(&state, &["a", "b"])?, plan(&state, &["a", "c"])?);
    ensure(ab.recording().launches.len() == 1, "the first plan has no arena, so that nothing is tried")?;
    holds(&gpu, "two plans with one tensor in common", &state, &[("a", 8.0), ("b", 16.0), ("c", 32.0)])?;
    run(&gpu, &ab)?;
    run(&gpu, &ac)?;
    holds(&gpu, "after a run of each", &state, &[("a", 2.0), ("b", 8.0), ("c", 16.0)])?;

    let mut state = store(&gpu, &[("a", 8.0), ("b", 16.0)])?;
    let first = plan(&state, &["a", "b"])?;
    insert(&gpu, &mut state, "a", 9.0)?;
    let second = plan(&state, &["a", "b"])?;
    run(&gpu, &first)?;
    holds(&gpu, "a tensor in place of one that a plan holds", &state, &[("a", 9.0), ("b", 8.0)])?;
    run(&gpu, &second)?;
    holds(&gpu, "a plan of it", &state, &[("a", 4.5), ("b", 4.0)])?;

    let state = store(&gpu, &[("a", 8.0), ("b", 16.0)])?;
    let first = plan(&state, &["a", "b"])?;
    let mut clone = state.clone();
    insert(&gpu, &mut clone, "a", 9.0)?;
    let second = plan(&clone, &["a", "b"])?;
    holds(&gpu, "a clone has a tensor of its own", &state, &[("a", 8.0), ("b", 16.0)])?;
    run(&gpu, &second)?;
    run(&gpu, &first)?;
    holds(&gpu, "a run over the clone", &state, &[("a", 4.0), ("b", 4.0)])?;
    holds(&gpu, "the clone", &clone, &[("a", 4.5)])
}

fn copies() -> Result<(), String> {
    let gpu = gpu(true)?;
    let t = tape(|t| {
        let (x1, x2) = (t.input("x", Type::f32([N]))?, t.input("z", Type::f32([N]))?);
        let (t1, t2) = (t.state("t1", Type::f32([N]))?, t.state("t2", Type::f32([N]))?);
        t.output("old1", t1);
        t.output("old2", t2);
        let y1 = t.ema("t1", x1, 0.5, 1.0)?;
        t.ema("t2", x2, 0.25, 1.0)?;
        t.ema("t2", y1, 0.75, 1.0)?;
        Ok(())
    })?;
    let ran = |join: bool| -> Result<_, String> {
        let state = store(&gpu, &[("t1", 3.0), ("t2", 7.0)])?;
        let options = Options { join, ..Options::new(gpu.caps()) };
        let plan = Plan::new(&gpu, Schedule::new(&t, &options).map_err(text)?, &state).map_err(text)?;
        let feed = Feed::new().input("x", &[1.5f32; N]).input("z", &[11.0f32; N]);
        plan.run(&gpu, &feed).map_err(text)?;
        let all = [state.read_f32(&gpu, "t1"), state.read_f32(&gpu, "t2"), plan.read_f32(&gpu, "old2")];
        Ok((all.into_iter().collect::<BaseResult<Vec<_>>>().map_err(text)?, plan.recording().launches.len()))
    };
    let ((joined, few), (apart, many)) = (ran(true)?, ran(false)?);
    // 3/2 + 1.5/2, then 0.75 · (7/4 + 0.75 · 11) + 0.25 · 2.25.
    ensure(
        joined == apart && joined[0][0] == 2.25 && joined[1][0] == 8.0625 && joined[2][0] == 7.0,
        format!("{joined:?}"),
    )?;
    ensure(few <= many, format!("{few} launches, and {many} one by one"))
}

fn read_and_written() -> Result<(), String> {
    let gpu = gpu(true)?;
    let t = tape(|t| {
        t.state("a", Type::f32([N]))?;
        let b = t.state("b", Type::f32([N]))?;
        t.ema("a", b, 0.5, 1.0).map(drop)
    })?;
    let mix = |state: &State| Schedule::new(&t, &Options::new(gpu.caps())).and_then(|s| Plan::new(&gpu, s, state));
    let state = store(&gpu, &[("a", 8.0), ("b", 16.0)])?;
    let both = halving(&gpu, &state, &["a", "b"]).map_err(text)?;
    must_fail("a buffer that a plan holds", mix(&state), &["reads b", "writes a", "first"])?;
    drop(both);
    // Nobody holds the buffer any more, so that one of them leaves it.
    run(&gpu, &mix(&state).map_err(text)?)?;
    holds(&gpu, "one left the buffer", &state, &[("a", 12.0), ("b", 16.0)])?;
    let state = store(&gpu, &[("a", 8.0), ("b", 16.0)])?;
    let first = mix(&state).map_err(text)?;
    let both = halving(&gpu, &state, &["a", "b"]).map_err(text)?;
    run(&gpu, &first)?;
    run(&gpu, &both)?;
    holds(&gpu, "made first, as the error says", &state, &[("a", 6.0), ("b", 8.0)])
}

/// y = x, and `past` more elements behind y.
#[derive(Clone, Debug, serde::Serialize)]
struct Past {
    past: u32,
}

wgslab::params! {
    struct Params { words: u32, past: u32 }
}

const PAST: &[Piece] = &[Piece {
    path: "test/past.wgsl",
    text: "struct Params { words: u32, past: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < p.words + p.past) { y[id.x] = x[min(id.x, p.words - 1u)]; }
}",
}];

impl Op for Past {
    fn name(&self) -> &'static str {
        "past"
    }

    fn infer(&self, x: &[Type]) -> BaseResult<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> BaseResult<()> {
        let params = Params { words: e.y[0].shape.numel() as u32, past: self.past };
        e.launch(Kernel::new("past.forward", "portable", PAST), &[Slot::In(0), Slot::Out(0)], &params, [2, 1, 1]);
        Ok(())
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: 2 * y[0].bytes() }
    }
}

fn overrun() -> Result<(), String> {
    let gpu = gpu(true)?;
    let fence_bytes = 64;
    let ran = |past: [u32; 3]| -> Result<BaseResult<()>, String> {
        let t = tape(|t| {
            let x = t.input("x", Type::f32([N]))?;
            let all = past.into_iter().map(|past| t.apply1(Past { past }, &[x])).collect::<BaseResult<Vec<_>>>()?;
            let flag = t.found_inf(&all)?;
            t.output("flag", flag);
            Ok(())
        })?;
        let options = Options { reuse: false, fence_bytes, ..Options::new(gpu.caps()) };
        let plan = Plan::new(&gpu, Schedule::new(&t, &options).map_err(text)?, &State::new()).map_err(text)?;
        let parts = plan.recording().buffers.iter().filter(|b| b.part_of.is_some()).count();
        ensure(parts == 3, format!("{parts} parts, so that no arena is tried"))?;
        plan.poison(&gpu, fence_bytes).map_err(text)?;
        run(&gpu, &plan)?;
        Ok(plan.expect_fences(&gpu, fence_bytes))
    };
    ran([0; 3])?.map_err(text)?;
    for at in 0..3 {
        let mut past = [0; 3];
        past[at] = 1;
        must_fail("a tensor that is written past its end", ran(past)?, &["word 0 behind a value"])?;
    }
    Ok(())
}

fn alone() -> Result<(), String> {
    let gpu = gpu(true)?;
    let state = store(&gpu, &[("a", 8.0), ("b", 16.0)])?;
    let reader = tape(|t| {
        let b = t.state("b", Type::f32([N]))?;
        let y = t.relu(b)?;
        t.output("y", y);
        Ok(())
    })?;
    let options = Options::new(gpu.caps());
    let _held = Plan::new(&gpu, Schedule::new(&reader, &options).map_err(text)?, &state).map_err(text)?;
    let mut recording = halving(&gpu, &state, &["a", "b"]).map_err(text)?.recording().clone();
    let again = |recording| -> Result<(), String> {
        let fresh = store(&gpu, &[("a", 8.0), ("b", 16.0)])?;
        let replay = Replay::new(&gpu, recording, &fresh).map_err(text)?;
        replay.run(&gpu, &Feed::new().input("x", &[0.0f32; N])).map_err(text)?;
        holds(&gpu, "a replay", &fresh, &[("a", 4.0), ("b", 8.0)])
    };
    again(recording.clone())?;
    // As a file may say it: the buffer of a is a part of a larger one, and nothing else lies there.
    let at = recording.buffers.len() - 1;
    let larger = Memory { role: Role::State, name: "arena".into(), bytes: 1024, part_of: None };
    recording.buffers.insert(at, larger);
    let a = recording.states.iter().find(|s| s.name == "a").ok_or("no state is called a")?.buffer;
    recording.buffers[a].part_of = Some(PartOf { buffer: at, offset: 256 });
    again(recording)
}

//! What runs over many tensors at once gives the bits that it gives one by one, wherever the tensors lie.

use super::{ensure, must_fail, tape, text};
use crate::harness::device::gpu;
use std::collections::BTreeMap;
use wgslab::base::Result as BaseResult;
use wgslab::device::Gpu;
use wgslab::nn::Optimizer;
use wgslab::nn::optimizer::{Limits, Vectors};
use wgslab::tape::{Feed, Options, Plan, Replay, Schedule, State, Tape, Trace, Type};

/// The weights: one takes several workgroups, one is a vector, and two end within a vec4.
const WEIGHTS: [(&str, &[usize]); 4] = [("a", &[33, 41]), ("b", &[5]), ("c", &[7, 3]), ("d", &[2, 2])];

fn ty(shape: &[usize]) -> Type {
    Type::f32(wgslab::base::Shape::new(shape))
}

/// Gradients x·w under a common clip, an update, an average of each x and one of each weight.
fn step(optimizer: Optimizer) -> BaseResult<Tape> {
    let mut t = Tape::new();
    let (mut names, mut gradients) = (Vec::new(), Vec::new());
    for (name, shape) in WEIGHTS {
        let (w, x) = (t.state(name, ty(shape))?, t.input(&format!("x.{name}"), ty(shape))?);
        gradients.push(t.mul(w, x)?);
        names.push(name.to_string());
        t.state(&format!("mean.{name}"), ty(shape))?;
        t.ema(&format!("mean.{name}"), x, 0.75, 1.25)?;
    }
    let limits = Limits { max_grad_norm: Some(3.0), vectors: Vectors::ExcludedAtOwnRate, ..Limits::default() };
    let done = optimizer.descend_within(&mut t, &names, gradients, limits)?;
    done.grad_norm.into_iter().for_each(|norm| t.output("norm", norm));
    let keep = t.scalar("keep")?;
    for (name, shape) in WEIGHTS {
        let newest = t.state(name, ty(shape))?;
        t.state(&format!("teacher.{name}"), ty(shape))?;
        t.ema_scheduled(&format!("teacher.{name}"), newest, keep)?;
    }
    Ok(t)
}

fn numbers(n: usize, of: f32) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 % 101) as f32 / 101.0 - 0.5) * of).collect()
}

/// A store in which every weight holds a number of its own.
fn store(gpu: &Gpu, tape: &Tape) -> BaseResult<State> {
    let mut state = State::new();
    for (i, (name, ty)) in tape.state_types().into_iter().enumerate() {
        // Moments and the count of steps begin at zero.
        let start = if name.starts_with("optim.") { 0.0 } else { 1.0 + i as f32 };
        let values = numbers(ty.shape.numel(), start);
        state.insert(gpu, &name, ty, Some(bytemuck::cast_slice(&values)))?;
    }
    Ok(state)
}

/// Runs three steps, the second with a gradient that is not finite. Gives the bits of all states.
fn bits(
    gpu: &Gpu,
    state: &State,
    mut run: impl FnMut(&Feed<'_>) -> BaseResult<()>,
) -> BaseResult<BTreeMap<String, Vec<u8>>> {
    let inputs: Vec<(String, usize)> = WEIGHTS.iter().map(|(n, s)| (format!("x.{n}"), s.iter().product())).collect();
    for (k, of) in [1.0, f32::INFINITY, 2.0].into_iter().enumerate() {
        let values: Vec<Vec<f32>> = inputs.iter().map(|(_, n)| numbers(*n, of)).collect();
        let mut feed = Feed::new().scalar("lr", 0.1).scalar("bias_lr", 0.03 * k as f32).scalar("keep", 0.9);
        for ((name, _), values) in inputs.iter().zip(&values) {
            feed = feed.input(name, values);
        }
        run(&feed)?;
    }
    state.names().map(|name| Ok((name.to_string(), state.read(gpu, name)?))).collect()
}

fn launches(plan: &Plan) -> usize {
    plan.recording().launches.len()
}

pub fn same_bits() -> Result<(), String> {
    let gpu = gpu(true)?;
    let sgd = Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.01 };
    for optimizer in [sgd, Optimizer::adamw(0.01), Optimizer::lars(0.01)] {
        let t = step(optimizer).map_err(text)?;
        let ran = |join: bool| -> BaseResult<_> {
            let (state, options) = (store(&gpu, &t)?, Options { join, ..Options::new(gpu.caps()) });
            let plan = Plan::new(&gpu, Schedule::new(&t, &options)?, &state)?;
            let got = bits(&gpu, &state, |feed| plan.run(&gpu, feed).map(drop))?;
            Ok((got, plan.read(&gpu, "norm")?, plan))
        };
        let ((one_by_one, norm, apart), (at_once, joined_norm, joined)) =
            (ran(false).map_err(text)?, ran(true).map_err(text)?);
        ensure(
            one_by_one == at_once && norm == joined_norm,
            format!("{optimizer:?}: the bits are not those of one by one"),
        )?;
        let (many, few) = (launches(&apart), launches(&joined));
        ensure(few + 12 <= many, format!("{optimizer:?}: {few} launches, and {many} one by one"))?;
        let state = store(&gpu, &t).map_err(text)?;
        let start: BTreeMap<_, _> =
            at_once.keys().map(|n| (n.clone(), state.read(&gpu, n).unwrap_or_default())).collect();
        let moved = at_once.keys().all(|name| at_once[name] != start[name]);
        ensure(moved, "a state stayed where it was, so equal bits say nothing")?;
        let options = Options::new(gpu.caps());
        let traced = bits(&gpu, &state, |feed| Trace::run(&gpu, &t, &options, &state, feed).map(drop)).map_err(text)?;
        ensure(traced == at_once, format!("{optimizer:?}: the trace has other bits"))?;
    }
    Ok(())
}

/// A plan that only reads comes first, so the tensors that it holds stay where they are, and the update takes these one
/// by one. A recording by itself is refused then. Plans of one schedule share what the first has laid out.
pub fn held() -> Result<(), String> {
    let gpu = gpu(true)?;
    let t = step(Optimizer::adam(0.0)).map_err(text)?;
    let reader = tape(|t| {
        let w = t.state("b", ty(&[5]))?;
        let y = t.add(w, w)?;
        t.output("y", y);
        Ok(())
    })?;
    let schedule = |t: &Tape| Schedule::new(t, &Options::new(gpu.caps())).map_err(text);
    let run = |first: bool| -> Result<_, String> {
        let state = store(&gpu, &t).map_err(text)?;
        let before = first.then(|| Plan::new(&gpu, schedule(&reader)?, &state).map_err(text)).transpose()?;
        let plan = Plan::new(&gpu, schedule(&t)?, &state).map_err(text)?;
        let got = bits(&gpu, &state, |feed| plan.run(&gpu, feed).map(drop)).map_err(text)?;
        let after = match before {
            Some(before) => before,
            None => Plan::new(&gpu, schedule(&reader)?, &state).map_err(text)?,
        };
        after.run(&gpu, &Feed::new()).map_err(text)?;
        let (y, w) = (after.read_f32(&gpu, "y").map_err(text)?, state.read_f32(&gpu, "b").map_err(text)?);
        ensure(y.iter().zip(&w).all(|(y, w)| *y == 2.0 * w), format!("the reader sees {y:?}, the state is {w:?}"))?;
        Ok((got, plan, state))
    };
    let ((plain, plan, state), (held, other, held_state)) = (run(false)?, run(true)?);
    ensure(plain == held, "bits depend on where tensors lie")?;
    let (few, more) = (launches(&plan), launches(&other));
    ensure(few < more && more <= few + 3, format!("{few} launches, and {more} with a tensor held elsewhere"))?;
    let twin = Plan::new(&gpu, schedule(&t)?, &state).map_err(text)?;
    ensure(launches(&twin) == few, "a second plan of one schedule does not share its buffers")?;
    let recording = plan.recording().clone();
    ensure(recording.buffers.iter().filter(|b| b.part_of.is_some()).count() > 12, "the recording has no parts")?;
    must_fail(
        "a recording whose state is held",
        Replay::new(&gpu, recording, &held_state),
        &["b", "make this one first"],
    )
}

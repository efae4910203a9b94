//! One step with two players, each with Adam. Each player has its own state.

use super::{ensure, tape, text};
use crate::harness::device::gpu;
use wgslab::base::Result as BaseResult;
use wgslab::device::Gpu;
use wgslab::nn::optimizer::Optimizer;
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Trace, Type};

/// Each player: its scope, weight, input, and the scalar of its learning rate.
const PLAYERS: [[&str; 4]; 2] = [["d", "wd", "xd", "d.lr"], ["g", "wg", "xg", "g.lr"]];
const LR: [f32; 2] = [0.1, 0.02];
const START: f32 = 1.5;

/// The inputs of the players in each of five steps. Each is the gradient of that player's loss, w·x.
const X: [[f32; 2]; 5] = [[1.0, 2.0], [f32::INFINITY, -3.0], [-0.5, f32::NAN], [0.25, 1.0], [2.0, 0.5]];

/// Records, for each player in its scope, the loss w·x, whose gradient with respect to w is x, and a step of Adam.
fn step() -> Result<Tape, String> {
    tape(|t| {
        for [player, weight, input, _] in PLAYERS {
            let (w, x) = (t.state(weight, Type::f32([1, 1]))?, t.input(input, Type::f32([1, 1]))?);
            let loss = t.matmul(w, x, false, false)?;
            let loss = t.reshape(loss, [1])?;
            let names = [weight.to_string()];
            let skipped = t.scope(player, |t| Optimizer::adam(0.0).minimize(t, loss, &names))?;
            t.output(&format!("{player} skipped"), skipped);
        }
        Ok(())
    })
}

/// Adam by hand, in f64, over the gradients that are finite. Gives the weight and the number of those gradients.
fn by_hand(gradients: impl Iterator<Item = f64>, lr: f64) -> (f64, f64) {
    let (mut w, mut m, mut v, mut steps) = (f64::from(START), 0.0, 0.0, 0);
    for g in gradients.filter(|g| g.is_finite()) {
        steps += 1;
        (m, v) = (0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g);
        let (mean, square) = (m / (1.0 - 0.9f64.powi(steps)), v / (1.0 - 0.999f64.powi(steps)));
        w -= lr * mean / (square.sqrt() + 1e-8);
    }
    (w, f64::from(steps))
}

fn fresh(gpu: &Gpu, tape: &Tape) -> BaseResult<State> {
    let mut state = State::new();
    for [_, weight, ..] in PLAYERS {
        state.insert(gpu, weight, Type::f32([1, 1]), Some(&START.to_le_bytes()))?;
    }
    state.insert_missing(gpu, &tape.state_types())?;
    Ok(state)
}

/// Checks that the states agree with Adam by hand after each step that `once` runs.
fn follow(gpu: &Gpu, state: &State, mut once: impl FnMut(&Feed<'_>) -> BaseResult<()>) -> Result<(), String> {
    for k in 0..X.len() {
        let mut feed = Feed::new();
        for (p, [_, _, input, lr]) in PLAYERS.into_iter().enumerate() {
            feed = feed.input(input, &X[k][p..p + 1]).scalar(lr, LR[p]);
        }
        once(&feed).map_err(text)?;
        for (p, [player, weight, ..]) in PLAYERS.into_iter().enumerate() {
            let gradients = X[..=k].iter().map(|x| f64::from(x[p]));
            let (want, steps) = by_hand(gradients, f64::from(LR[p]));
            let read = |name: &str| state.read_f32(gpu, name).map_err(text);
            let (w, count) = (read(weight)?[0], read(&format!("{player}.optim.step"))?[0]);
            let near = (f64::from(w) - want).abs() < 1e-5 && f64::from(count) == steps;
            ensure(
                near,
                format!("after step {k}: {weight} is {w} and counts {count} steps, but must be {want} with {steps}"),
            )?;
        }
    }
    Ok(())
}

/// Where one player's gradient is not finite, only the other moves: weights, step counts and bias corrections.
pub fn two_players() -> Result<(), String> {
    let (gpu, tape) = (gpu(true)?, step()?);
    let options = Options::new(gpu.caps());
    let state = fresh(&gpu, &tape).map_err(text)?;
    ensure(state.ty("optim.step").is_none(), "no player counts its steps outside its scope")?;
    let plan = Plan::new(&gpu, Schedule::new(&tape, &options).map_err(text)?, &state).map_err(text)?;
    follow(&gpu, &state, |feed| plan.run(&gpu, feed).map(drop)).map_err(|e| format!("plan, {e}"))?;
    let state = fresh(&gpu, &tape).map_err(text)?;
    follow(&gpu, &state, |feed| Trace::run(&gpu, &tape, &options, &state, feed).map(drop))
        .map_err(|e| format!("trace, {e}"))
}

//! Two players in one step: a generator makes points, and a critic tells them from real ones (a GAN with the hinge
//! loss). `cargo run --release --example two_players`
//!
//! Each player has a scope: an optimizer with its own step count, learning rate and guard. The critic moves in every
//! step, the generator in every second one, so there are two plans over one state.

use wgslab::base::{Error, Result, rng::Rng};
use wgslab::device::{Gpu, GpuOptions};
use wgslab::kernels::hinge::Hinge;
use wgslab::nn::{Init, Optimizer, Params};
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type, Var};

const BATCH: usize = 64;
const STEPS: u64 = 300;
/// The real points are normal around this one, with this standard deviation.
const CENTRE: [f32; 2] = [2.0, -1.0];
const SPREAD: f32 = 0.5;

/// A network with a hidden layer of the current player: x f32 [BATCH, 2] gives f32 [BATCH, out].
fn network(t: &mut Tape, params: &mut Params, x: Var, out: usize) -> Result<Var> {
    let mut h = x;
    for (layer, [from, to]) in [[2, 32], [32, out]].into_iter().enumerate() {
        let weight = params.named_by_player(&format!("{layer}.weight"));
        let bias = params.named_by_player(&format!("{layer}.bias"));
        h = if layer == 0 { h } else { t.leaky_relu(h, 0.2)? };
        let w = params.weight(t, &weight, [to, from], Init::UniformFanIn(from))?;
        let b = params.weight(t, &bias, [to], Init::Zeros)?;
        h = t.linear(h, w, Some(b))?;
    }
    Ok(h)
}

/// Records `f` as `player`: what it names belongs to the player.
fn played<T>(params: &mut Params, player: &'static str, f: impl FnOnce(&mut Params) -> Result<T>) -> Result<T> {
    let before = params.play(player, None);
    let made = f(params);
    params.resume(before);
    made
}

/// The critic's loss and, where the generator moves too, its own; each optimizer in the scope of its player.
fn step(params: &mut Params, both: bool) -> Result<Tape> {
    let mut tape = Tape::new();
    let t = &mut tape;
    let (real, noise) = (t.input("real", Type::f32([BATCH, 2]))?, t.input("noise", Type::f32([BATCH, 2]))?);
    let weights = t.fill([BATCH], 1.0)?;
    let fake = played(params, "generator", |p| network(t, p, noise, 2))?;
    t.output("points", fake);
    // The critic learns from the points as they are: no gradient flows back into the generator.
    let still = t.detach(fake)?;
    let mut score = |t: &mut Tape, x, of| {
        let scores = played(params, "critic", |p| network(t, p, x, 1))?;
        Ok::<Var, Error>(t.hinge(scores, weights, of)?[0])
    };
    let (on_real, on_fake) = (score(t, real, Hinge::Real)?, score(t, still, Hinge::Fake)?);
    let of_critic = t.add(on_real, on_fake)?;
    // Recorded before the critic's update, so that both players see the same critic.
    let of_generator = score(t, fake, Hinge::Generator)?;
    let adam = Optimizer::Adam { beta1: 0.5, beta2: 0.9, eps: 1e-8, weight_decay: 0.0, decoupled: false };
    let (critic, generator) = (params.trained_by(&["critic"]), params.trained_by(&["generator"]));
    t.scope("critic", |t| adam.minimize(t, of_critic, &critic))?;
    if both {
        t.scope("generator", |t| adam.minimize(t, of_generator, &generator))?;
    }
    Ok(tape)
}

/// How far the middle of points lies from that of the real ones, and the standard deviation around their own.
fn compared(points: &[f32]) -> (f32, f32) {
    let n = (points.len() / 2) as f32;
    let mean = |axis: usize| points.iter().skip(axis).step_by(2).sum::<f32>() / n;
    let [x, y] = [mean(0), mean(1)];
    let squares = points.chunks(2).map(|p| (p[0] - x).powi(2) + (p[1] - y).powi(2)).sum::<f32>();
    ((x - CENTRE[0]).hypot(y - CENTRE[1]), (squares / (2.0 * n)).sqrt())
}

fn main() -> Result<()> {
    let gpu = Gpu::open(&GpuOptions::default())?;
    let (mut params, mut state) = (Params::new(), State::new());
    let tapes = [step(&mut params, false)?, step(&mut params, true)?];
    params.fill(&gpu, &mut state, 3)?;
    for tape in &tapes {
        state.insert_missing(&gpu, &tape.state_types())?;
    }
    let plan = |tape| Plan::new(&gpu, Schedule::new(tape, &Options::new(gpu.caps()))?, &state);
    let [critic_alone, both] = [plan(&tapes[0])?, plan(&tapes[1])?];
    for step in 0..STEPS {
        let mut rng = Rng::new(3, 0, step);
        let noise: Vec<f32> = (0..2 * BATCH).map(|_| rng.normal()).collect();
        let real: Vec<f32> = (0..2 * BATCH).map(|i| CENTRE[i % 2] + SPREAD * rng.normal()).collect();
        // The learning rate of a player is the scalar `<player>.lr`.
        let feed = Feed::new().input("real", &real).input("noise", &noise).scalar("critic.lr", 0.002);
        let ticket = match step % 2 {
            0 => critic_alone.run(&gpu, &feed)?,
            _ => both.run(&gpu, &feed.scalar("generator.lr", 0.001))?,
        };
        gpu.wait_for(&ticket)?; // otherwise steps pile up in front of the device
        if step % 100 == 1 || step == STEPS - 1 {
            let (off, spread) = compared(&both.read_f32(&gpu, "points")?);
            println!(
                "step {step}: made points are {off:.2} off the real ones, their spread is {spread:.2}, not {SPREAD}"
            );
        }
    }
    let steps = |player: &str| -> Result<f32> { Ok(state.read_f32(&gpu, &format!("{player}.optim.step"))?[0]) };
    let (critic, generator) = (steps("critic")?, steps("generator")?);
    println!("Adam has counted {critic} steps of the critic and {generator} of the generator");
    if (critic, generator) != (STEPS as f32, (STEPS / 2) as f32) {
        return Err(Error::Failed("the players share a step count".into()));
    }
    let (off, spread) = compared(&both.read_f32(&gpu, "points")?);
    if off > 0.7 || !(0.2..=1.0).contains(&spread) {
        return Err(Error::Failed("it did not learn: the made points are not where the real ones are".into()));
    }
    Ok(())
}

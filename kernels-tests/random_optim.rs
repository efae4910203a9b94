//! Random cases of optimizers for property tests: hyperparameters, lengths, learning rates and guards are drawn. Each
//! case is one step. `golden.rs` compares several steps with PyTorch's numbers.

use crate::properties::Generator;
use wgslab::base::rng::Rng;
use wgslab::kernels::adam::Adam;
use wgslab::kernels::clip_grad_norm::{ApplyCoefficient, GradNorm};
use wgslab::kernels::ema::Ema;
use wgslab::kernels::lars::Lars;
use wgslab::kernels::loss_scale::{LossScale, Now, Step};
use wgslab::kernels::sgd::Sgd;
use wgslab::kernels::{Case, Fill};
use wgslab::tape::Type;
use wgslab::tape::record::SCALARS;

/// All generators.
pub const GENERATORS: &[(&str, Generator)] = &[
    ("adam", adam),
    ("clip_grad_norm", clip_grad_norm),
    ("ema", ema),
    ("lars", lars),
    ("loss_scale", loss_scale),
    ("sgd", sgd),
];

/// A number in low..high.
fn between(rng: &mut Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.uniform()
}

/// The length of a parameter block: short, or more than a workgroup.
fn length(rng: &mut Rng) -> usize {
    match rng.below(4) {
        0 => 1 + rng.below(2000),
        _ => 1 + rng.below(300),
    }
}

/// The scalars, all holding a learning rate, and sometimes a guard, which may be raised.
fn rest(rng: &mut Rng) -> Vec<(Type, Fill)> {
    let lr = 10f32.powf(between(rng, -4.0, 0.0));
    let mut rest = vec![(Type::f32([SCALARS]), Fill::Values(vec![lr]))];
    if rng.below(2) == 0 {
        rest.push((Type::u32([1]), Fill::Words(vec![rng.below(2) as u32])));
    }
    rest
}

/// A weight decay, which is often 0.
fn decay(rng: &mut Rng) -> f32 {
    if rng.below(3) == 0 { 0.0 } else { between(rng, 0.0, 0.1) }
}

fn sgd(rng: &mut Rng) -> Case {
    let momentum = if rng.below(3) == 0 { 0.0 } else { between(rng, 0.1, 0.99) };
    let nesterov = momentum > 0.0 && rng.below(2) == 0;
    let op = Sgd { momentum, nesterov, weight_decay: decay(rng), lr: rng.below(SCALARS) as u32 };
    let mut x = vec![(Type::f32([length(rng)]), Fill::Normal); 3];
    x.extend(rest(rng));
    Case::new("random", op, x)
}

fn adam(rng: &mut Rng) -> Case {
    let (beta1, beta2) = (between(rng, 0.5, 0.95), between(rng, 0.9, 0.999));
    let (eps, decoupled) = (10f32.powi(-3 - rng.below(6) as i32), rng.below(2) == 0);
    let op = Adam { beta1, beta2, eps, weight_decay: decay(rng), decoupled, lr: rng.below(SCALARS) as u32 };
    let mut x = vec![(Type::f32([length(rng)]), Fill::Normal); 3];
    x.push((x[0].0, Fill::Uniform(0.1, 2.0))); // a mean square is not negative
    x.push((Type::f32([1]), Fill::Values(vec![1.0 + rng.below(5000) as f32])));
    x.extend(rest(rng));
    Case::new("random", op, x)
}

fn lars(rng: &mut Rng) -> Case {
    let (momentum, weight_decay, clip) = (between(rng, 0.0, 0.99), decay(rng), rng.below(2) == 0);
    let eta = 10f32.powf(between(rng, -3.0, 1.0));
    let op = Lars { momentum, weight_decay, eta, clip, lr: rng.below(SCALARS) as u32 };
    let mut x = vec![(Type::f32([length(rng)]), Fill::Normal); 3];
    x.extend(rest(rng));
    Case::new("random", op, x)
}

fn ema(rng: &mut Rng) -> Case {
    let slot = (rng.below(2) == 0).then(|| rng.below(SCALARS) as u32);
    let op = Ema { keep: rng.uniform(), slot, factor: between(rng, 0.5, 1.5) };
    let mut x = vec![(Type::f32([length(rng)]), Fill::Normal); 2];
    if slot.is_some() {
        x.push((Type::f32([SCALARS]), Fill::Uniform(0.5, 1.0)));
    }
    if rng.below(2) == 0 {
        x.push((Type::u32([1]), Fill::Words(vec![rng.below(2) as u32])));
    }
    Case::new("random", op, x)
}

fn clip_grad_norm(rng: &mut Rng) -> Case {
    if rng.below(3) == 0 {
        let by = (Type::f32([1]), Fill::Values(vec![rng.uniform()]));
        return Case::new("random", ApplyCoefficient, vec![(Type::f32([length(rng)]), Fill::Normal), by]);
    }
    let mut x: Vec<_> = (0..1 + rng.below(5)).map(|_| (Type::f32([length(rng)]), Fill::Normal)).collect();
    let scaled = rng.below(2) == 0;
    if scaled {
        x.push((Type::f32([1]), Fill::Values(vec![2f32.powi(rng.below(20) as i32 - 4)])));
    }
    let max_norm = if rng.below(4) == 0 { f32::MAX } else { between(rng, 0.01, 60.0) };
    Case::new("random", GradNorm { max_norm, scaled }, x)
}

fn loss_scale(rng: &mut Rng) -> Case {
    let op = LossScale { initial: 2f32.powi(rng.below(17) as i32), interval: 1 + rng.below(5) as u32 };
    // 0 before the first step, otherwise a power of two up to the largest allowed.
    let state = if rng.below(3) == 0 { 0.0 } else { 2f32.powi(rng.below(101) as i32) };
    let number = |v: f32| (Type::f32([1]), Fill::Values(vec![v]));
    if rng.below(2) == 0 {
        return Case::new("random", Now(op), vec![number(state)]);
    }
    let (good, flag) = (rng.below(op.interval as usize) as f32, rng.below(2) as u32);
    Case::new("random", Step(op), vec![number(state), number(good), (Type::u32([1]), Fill::Words(vec![flag]))])
}

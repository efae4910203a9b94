//! unary: functions of one number, and the error that f32 may have. Errors are counted in halves of an ulp, 2⁻²⁴ of a
//! value: one for each rounding, and twice the ulps that Vulkan grants a built-in. It grants division 2.5, sqrt 4.5,
//! exp and exp2 3 + 2|x|, and log and log2 3; between 0.5 and 2 it grants log and log2 2⁻²¹ whatever the value. An
//! absolute error δ of an exponent is a relative error δ of the power.

use crate::reference::{Answer, Expected, FLUSHED, HALF_ULP, Tensor, cast};
use std::f64::consts::{LN_2, PI, SQRT_2};
use wgslab::kernels::unary::{Approximate, Unary};
use wgslab::tape::Op;

pub const NAMES: &[&str] = &[
    "abs",
    "clamp",
    "exp",
    "gelu",
    "leaky_relu",
    "log",
    "neg",
    "pow",
    "reciprocal",
    "relu",
    "sigmoid",
    "silu",
    "sqrt",
    "tanh",
];

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let exact = |f: &dyn Fn(f64) -> f64| Expected::exact(x[0].f.iter().map(|&v| f(v)).collect());
    let within = |f: &dyn Fn(f64) -> (f64, f64)| Expected::within(x[0].f.iter().map(|&v| f(v)).collect());
    let relative = |v: f64, halves: f64| (v, v.abs() * halves);
    // v·s, where s has a relative error of `halves` and may be flushed to 0.
    let of_product = |v: f64, s: f64, halves: f64| (v * s, (v * s).abs() * (halves + 1.0) + v.abs() * FLUSHED);
    let y = match *cast::<Unary>(op) {
        Unary::Abs => exact(&f64::abs),
        Unary::Clamp { min, max } => exact(&|v| v.clamp(min as f64, max as f64)),
        Unary::Exp => within(&|v| relative(v.exp(), exp_error(v))),
        Unary::Gelu(Approximate::None) => within(&gelu),
        Unary::Gelu(Approximate::Tanh) => within(&|v| {
            // The six roundings of t are relative to its own size. One more rounding multiplies x.
            let t = 2.0 * (2.0 / PI).sqrt() * (v + 0.044715 * v.powi(3));
            let (s, error) = logistic(t, 6.0 * t.abs());
            of_product(v, s, error)
        }),
        Unary::LeakyRelu { negative_slope } => {
            within(&|v| relative(if v > 0.0 { v } else { negative_slope as f64 * v }, 1.0))
        }
        Unary::Log => within(&|v| (v.ln(), log_error(v, v.ln()))),
        Unary::Neg => exact(&|v| -v),
        // Repeated squaring takes n − 1 products in any order, and a division.
        Unary::Pow { exponent } if exponent.fract() == 0.0 => {
            within(&|v| relative(v.powi(exponent as i32), exponent.abs() as f64 + 6.0))
        }
        Unary::Pow { exponent } => within(&|v| {
            let (p, log) = (exponent as f64, v.log2());
            let t = p * log;
            let of_exponent = LN_2 * (p.abs() * log_error(v, log) + t.abs());
            relative(v.powf(p), of_exponent + exp_error(t))
        }),
        Unary::Reciprocal => within(&|v| relative(1.0 / v, 5.0)),
        Unary::Relu => exact(&|v| v.max(0.0)),
        Unary::Sigmoid => within(&|v| {
            let (s, error) = logistic(v, 0.0);
            relative(s, error)
        }),
        Unary::Silu => within(&|v| {
            let (s, error) = logistic(v, 0.0);
            of_product(v, s, error)
        }),
        Unary::Sqrt => within(&|v| relative(v.sqrt(), 9.0)),
        // 1 − d with d = 2/(e^2a + 1): two roundings and the error of d. Below 0.625 a polynomial, good to 2 ulps.
        Unary::Tanh => within(&|v| {
            let d = 2.0 / ((2.0 * v.abs()).exp() + 1.0);
            (v.tanh(), 4.0 * v.tanh().abs() + d.min(v.abs()) * (exp_error(2.0 * v) + 7.0))
        }),
    };
    // Slopes that are computed from y alone cancel where y is near 1. Their error is the error of y there, 6 halves,
    // times |d slope/dy|, which is 2 for 1 − y² and 1 for y·(1 − y), times a cotangent of at most 4.
    let floor = match cast::<Unary>(op) {
        Unary::Tanh => 2.0 * 6.0 * 4.0 * HALF_ULP,
        Unary::Sigmoid => 6.0 * 4.0 * HALF_ULP,
        _ => 0.0,
    };
    Answer::new(vec![y]).gradient(&[0], &[0]).floor(floor)
}

/// Relative error of exp(x), or of exp2.
fn exp_error(x: f64) -> f64 {
    2.0 * (3.0 + 2.0 * x.abs())
}

/// Absolute error of a logarithm of x whose value is `log`.
fn log_error(x: f64, log: f64) -> f64 {
    if (0.5..=2.0).contains(&x) { 8.0 } else { 6.0 * log.abs() }
}

/// σ(t) and its relative error, where t already has an error of `of_t`. d ln σ/dt = 1 − σ = σ(−t).
fn logistic(t: f64, of_t: f64) -> (f64, f64) {
    let rest = 1.0 / (1.0 + t.exp());
    (1.0 / (1.0 + (-t).exp()), 7.0 + rest * (exp_error(t) + of_t))
}

/// x·Φ(x). The kernel states that the relative error of its tail Φ(−|x|) is 32 + x²/2. The error of exp is added.
fn gelu(x: f64) -> (f64, f64) {
    let tail = erfc(x.abs() / SQRT_2) / 2.0;
    let below = if x < 0.0 { tail } else { 1.0 - tail };
    let squared = x * x / 2.0;
    let of_tail = (x * tail).abs() * (32.0 + squared + exp_error(squared));
    (x * below, 2.0 * (x * below).abs() + of_tail + x.abs() * FLUSHED)
}

/// The complementary error function for z ≥ 0: the series of erf (Abramowitz and Stegun 7.1.6) where it converges fast,
/// else the continued fraction of erfc (7.1.14). Both are good to 2e-13 of erfc's own size.
fn erfc(z: f64) -> f64 {
    if z < 2.0 {
        let (mut term, mut sum, mut n) = (z, z, 0.0);
        while term > 1e-18 * sum {
            n += 1.0;
            term *= 2.0 * z * z / (2.0 * n + 1.0);
            sum += term;
        }
        return 1.0 - 2.0 / PI.sqrt() * (-z * z).exp() * sum;
    }
    let fraction = (1..=200).rev().fold(0.0, |f, k| k as f64 / 2.0 / (z + f));
    (-z * z).exp() / PI.sqrt() / (z + fraction)
}

//! random: what base::rng draws on the host. Rng::uniform must agree to the bit; Rng::normal follows its formula in
//! f64.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::random::{Distribution, Random};
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Random>(op);
    let mut rng = op.stream.rng(x[0].f[op.stream.counter as usize] as u32);
    let n = op.shape.numel();
    let expected = match op.distribution {
        Distribution::Uniform { low: 0.0, high: 1.0 } => {
            Expected::exact((0..n).map(|_| f64::from(rng.uniform())).collect())
        }
        Distribution::Uniform { low, high } => {
            let (low, high) = (f64::from(low), f64::from(high));
            let pairs = (0..n).map(|_| {
                let u = f64::from(rng.uniform());
                (low + (high - low) * u, low.abs() + (high - low) * u)
            });
            Expected::sums(pairs.collect(), 2)
        }
        Distribution::Normal { mean, std } => {
            let (mean, std) = (f64::from(mean), f64::from(std));
            let pairs = (0..n).map(|_| {
                let (u, v) = (f64::from(rng.uniform()), f64::from(rng.uniform()));
                let z = (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos();
                (mean + std * z, mean.abs() + (std * z).abs())
            });
            // The terms are: a logarithm or a series over a division, a root, a cosine.
            Expected::sums(pairs.collect(), 2).ulps(3.0 + 2.5 + 4.5 + 2.0)
        }
    };
    Answer::new(vec![expected])
}

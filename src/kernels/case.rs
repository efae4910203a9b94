//! A case of an op: its data and how its inputs are filled. One table feeds value tests, gradient tests and benches.

use crate::base::rng::Rng;
use crate::tape::{Op, Type};
use std::sync::Arc;

/// How an input of a case is filled.
#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    /// Standard normal.
    Normal,
    /// Normal, but at least 0.05 away from zero: for ops with a kink there.
    AwayFromZero,
    /// A shuffled grid of different values at least 0.01 apart: for ops whose ties have no gradient.
    Distinct,
    /// Uniform in the range.
    Uniform(f32, f32),
    /// Integers below the bound, as u32: labels, indices.
    Below(u32),
    /// Each weight 0 or uniform in (0.5, 1.5), about one in four 0, the first never.
    Weights,
    /// These values, as f32, repeated.
    Values(Vec<f32>),
    /// These words, as u32, repeated.
    Words(Vec<u32>),
    /// Random words: packed bytes.
    Bytes,
}

impl Fill {
    /// The words of an input of type `ty`, from (seed, stream).
    pub fn words(&self, ty: Type, seed: u64, stream: u32) -> Vec<u32> {
        let n = ty.shape.numel();
        let mut rng = Rng::new(seed, stream, 0);
        let floats = |f: &mut dyn FnMut(usize) -> f32| (0..n).map(|i| f(i).to_bits()).collect::<Vec<u32>>();
        match self {
            Fill::Normal => floats(&mut |_| rng.normal()),
            Fill::AwayFromZero => floats(&mut |_| {
                let v = rng.normal();
                v + 0.05f32.copysign(v)
            }),
            Fill::Distinct => {
                let order = rng.permutation(n);
                floats(&mut |i| (order[i] as f32 - n as f32 / 2.0) * 0.01)
            }
            Fill::Uniform(low, high) => floats(&mut |_| low + (high - low) * rng.uniform()),
            Fill::Weights => floats(&mut |i| {
                let (keep, w) = (rng.uniform() >= 0.25, 0.5 + rng.uniform());
                if keep || i == 0 { w } else { 0.0 }
            }),
            Fill::Values(v) => floats(&mut |i| v[i % v.len()]),
            Fill::Below(bound) => (0..n).map(|_| rng.below(*bound as usize) as u32).collect(),
            Fill::Words(w) => (0..n).map(|i| w[i % w.len()]).collect(),
            Fill::Bytes => (0..n).map(|_| rng.word()).collect(),
        }
    }
}

/// A named case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name: what it is, or what is awkward about it.
    pub name: &'static str,
    /// The op.
    pub op: Arc<dyn Op>,
    /// Its inputs.
    pub inputs: Vec<(Type, Fill)>,
}

impl Case {
    /// A case.
    pub fn new(name: &'static str, op: impl Op, inputs: Vec<(Type, Fill)>) -> Self {
        Case { name, op: Arc::new(op), inputs }
    }
}

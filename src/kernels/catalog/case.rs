//! A case of an op: its data and how its inputs are filled. One table feeds value tests, gradient tests and benches.

use crate::base::rng::Rng;
use crate::base::{DType, Error, Result};
use crate::tape::{Op, Tape, Type, Var};
use std::sync::Arc;

/// How an input of a case is filled.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
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
    /// The words of an input of type `ty`, from (seed, stream). Floats of an f16 tensor are those of an f32 one, each
    /// rounded to the nearest half.
    pub fn words(&self, ty: Type, seed: u64, stream: u32) -> Vec<u32> {
        if ty.dtype == DType::F16 {
            return match self {
                Fill::Words(_) | Fill::Bytes => self.words(Type::u32([ty.shape.numel().div_ceil(2)]), seed, stream),
                floats => packed(&floats.words(Type::f32(ty.shape), seed, stream)),
            };
        }
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

/// f32 words as half floats, two to a word, an odd end filled with 0.
fn packed(words: &[u32]) -> Vec<u32> {
    let half = |w: &u32| u32::from(half::f16::from_f32(f32::from_bits(*w)).to_bits());
    words.chunks(2).map(|pair| half(&pair[0]) | pair.get(1).map_or(0, half) << 16).collect()
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

/// A case on a tape, every output and gradient of it kept.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The tape.
    pub tape: Tape,
    /// Its inputs and how they are filled: x0, x1, … and the cotangents dy0, ….
    pub inputs: Vec<(String, Type, Fill)>,
}

impl Case {
    /// The op alone.
    pub fn forward(&self) -> Result<Recorded> {
        Ok(self.record()?.0)
    }

    /// The op and the gradient of every float input: through all float outputs together, then through each alone, since an
    /// op may have a kernel for either. What the op has no gradient through is left out, so the list may be empty.
    pub fn gradients(&self) -> Result<Vec<Recorded>> {
        let (forward, inputs, outputs) = self.record()?;
        let float = |v: &Var| forward.tape.ty(*v).dtype.is_float();
        let wrt: Vec<Var> = inputs.into_iter().filter(float).collect();
        let through: Vec<(usize, Var)> = outputs.into_iter().enumerate().filter(|(_, v)| float(v)).collect();
        let mut ways = vec![through.clone()];
        if through.len() > 1 {
            ways.extend(through.iter().map(|&one| vec![one]));
        }
        let mut recorded = Vec::new();
        for way in &ways {
            match forward.clone().differentiate(way, &wrt) {
                Ok(one) => recorded.push(one),
                Err(Error::NoGradient { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(recorded)
    }

    fn record(&self) -> Result<(Recorded, Vec<Var>, Vec<Var>)> {
        let (mut tape, mut inputs, mut vars) = (Tape::new(), Vec::new(), Vec::new());
        for (i, (ty, fill)) in self.inputs.iter().enumerate() {
            let name = format!("x{i}");
            vars.push(tape.input(&name, *ty)?);
            inputs.push((name, *ty, fill.clone()));
        }
        let outputs = tape.apply_dyn(self.op.clone(), &vars)?;
        for (i, &y) in outputs.iter().enumerate() {
            tape.output(&format!("y{i}"), y);
        }
        Ok((Recorded { tape, inputs }, vars, outputs))
    }
}

impl Recorded {
    /// Appends the gradient of `wrt` through `outputs`, each with its index.
    fn differentiate(mut self, outputs: &[(usize, Var)], wrt: &[Var]) -> Result<Self> {
        let (mut ys, mut dys) = (Vec::new(), Vec::new());
        for &(i, y) in outputs {
            let (name, ty) = (format!("dy{i}"), self.tape.ty(y));
            ys.push(y);
            dys.push(Some(self.tape.input(&name, ty)?));
            self.inputs.push((name, ty, Fill::Normal));
        }
        for (i, dx) in self.tape.backward(&ys, &dys, wrt)?.into_iter().enumerate() {
            if let Some(dx) = dx {
                self.tape.output(&format!("dx{i}"), dx);
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::{Cost, Emit};

    /// An op that is never run, with an error of its own as its gradient.
    #[derive(Debug, serde::Serialize)]
    struct Unkind {
        broken: bool,
    }

    impl Op for Unkind {
        fn name(&self) -> &'static str {
            "unkind"
        }

        fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
            Ok(x.to_vec())
        }

        fn emit(&self, _e: &mut Emit<'_>) -> Result<()> {
            Ok(())
        }

        fn grad(&self, _t: &mut Tape, _x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
            match self.broken {
                true => Err(Error::Failed("unkind: it forgot what it was".into())),
                false => Err(Error::no_gradient("unkind", "it has none")),
            }
        }

        fn cost(&self, _x: &[Type], _y: &[Type]) -> Cost {
            Cost::default()
        }
    }

    /// An op without a gradient is listed without one; an op whose gradient fails is not.
    #[test]
    fn only_a_missing_gradient_is_left_out() {
        let case = |broken| Case::new("a row", Unkind { broken }, vec![(Type::f32([4]), Fill::Normal)]);
        assert!(case(false).gradients().unwrap().is_empty());
        let e = case(true).gradients().unwrap_err();
        assert!(matches!(e, Error::Failed(_)) && e.to_string().contains("forgot"), "{e}");
    }
}

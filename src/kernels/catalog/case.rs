//! A case of an op: its data and how its inputs are filled. One table feeds value tests, gradient tests and benches.

use crate::base::rng::Rng;
use crate::base::{DType, Error, Result};
use crate::tape::{Feed, Op, Tape, Type, Var};
use std::sync::Arc;

/// How an input of a case is filled.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub enum Fill {
    /// Standard normal.
    Normal,
    /// Standard normal, each number the nearest half.
    Halves,
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
            Fill::Halves => floats(&mut |_| half::f16::from_f32(rng.normal()).to_f32()),
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

    /// The same with these inputs in f16.
    pub fn halved(mut self, inputs: &[usize]) -> Self {
        inputs.iter().for_each(|&i| self.inputs[i].0.dtype = DType::F16);
        self
    }
}

/// A case on a tape: the op, every output of it kept, and the gradients that were asked for. Tests, the listing, the tuner and
/// benches have no other way from a case to a tape.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The tape.
    pub tape: Tape,
    /// What it is given: x0, x1, … and the cotangents dy0, ….
    pub inputs: Vec<Given>,
    /// What it keeps, by name: y0, y1, … and the gradients dx0, ….
    pub kept: Vec<(String, Var)>,
    x: Vec<Var>,
    y: Vec<Var>,
}

/// An input of a recorded case.
#[derive(Clone, Debug)]
pub struct Given {
    /// Its name on the tape.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// How it is filled.
    pub fill: Fill,
    /// The stream that its random numbers come from.
    pub stream: u32,
}

/// Streams of the cotangents, away from those of the inputs.
const COTANGENTS: u32 = 1000;

impl Case {
    /// The op alone.
    pub fn forward(&self) -> Result<Recorded> {
        let (mut tape, mut inputs, mut x) = (Tape::new(), Vec::new(), Vec::new());
        for (i, (ty, fill)) in self.inputs.iter().enumerate() {
            let given = Given { name: format!("x{i}"), ty: *ty, fill: fill.clone(), stream: i as u32 };
            x.push(tape.input(&given.name, *ty)?);
            inputs.push(given);
        }
        let y = tape.apply_dyn(self.op.clone(), &x)?;
        let mut recorded = Recorded { tape, inputs, kept: Vec::new(), x, y };
        for (i, y) in recorded.y.clone().into_iter().enumerate() {
            recorded.keep(format!("y{i}"), y);
        }
        Ok(recorded)
    }

    /// The op and the gradient of every float input: through all float outputs together, then through each alone, since an
    /// op may have a kernel for either. What the op has no gradient through is left out, so the list may be empty.
    pub fn gradients(&self) -> Result<Vec<Recorded>> {
        let forward = self.forward()?;
        let through: Vec<usize> = (0..forward.y.len()).filter(|&i| forward.is_float(forward.y[i])).collect();
        let mut recorded = Vec::new();
        for way in ways(&through) {
            match forward.differentiate(&way) {
                Ok(one) => recorded.push(one),
                Err(Error::NoGradient { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(recorded)
    }

    /// The words of each input, from a seed: those that the recorded case is given.
    pub fn words(&self, seed: u64) -> Vec<Vec<u32>> {
        self.inputs.iter().enumerate().map(|(i, (ty, fill))| fill.words(*ty, seed, i as u32)).collect()
    }
}

/// Through which outputs gradients are taken: all of them at once, then each alone, as a loss may use them.
pub fn ways(through: &[usize]) -> Vec<Vec<usize>> {
    let alone = through.iter().map(|&i| vec![i]).filter(|_| through.len() > 1);
    std::iter::once(through.to_vec()).chain(alone).collect()
}

impl Recorded {
    /// This and the gradient of every float input through some outputs.
    pub fn differentiate(&self, through: &[usize]) -> Result<Self> {
        let mut to = self.clone();
        let (mut ys, mut dys) = (Vec::new(), Vec::new());
        // A cotangent that becomes f16 on its way is f16 from the start: how it is rounded is for the cases of cast.
        let halves = self.x.iter().any(|&x| self.tape.ty(x).dtype == DType::F16);
        for &i in through {
            let (name, ty) = (format!("dy{i}"), self.tape.ty(self.y[i]));
            let fill = if halves { Fill::Halves } else { Fill::Normal };
            ys.push(self.y[i]);
            dys.push(Some(to.tape.input(&name, ty)?));
            to.inputs.push(Given { name, ty, fill, stream: COTANGENTS + i as u32 });
        }
        let wrt: Vec<usize> = (0..self.x.len()).filter(|&i| self.is_float(self.x[i])).collect();
        let x: Vec<Var> = wrt.iter().map(|&i| self.x[i]).collect();
        for (i, dx) in wrt.into_iter().zip(to.tape.backward(&ys, &dys, &x)?) {
            if let Some(dx) = dx {
                to.keep(format!("dx{i}"), dx);
            }
        }
        Ok(to)
    }

    /// What it keeps under this name.
    pub fn find(&self, name: &str) -> Option<Var> {
        self.kept.iter().find(|k| k.0 == name).map(|k| k.1)
    }

    /// The words of each input, from a seed.
    pub fn words(&self, seed: u64) -> Vec<Vec<u32>> {
        self.inputs.iter().map(|given| given.fill.words(given.ty, seed, given.stream)).collect()
    }

    /// The inputs with their words.
    pub fn feed<'a>(&'a self, words: &'a [Vec<u32>]) -> Feed<'a> {
        let named = self.inputs.iter().zip(words);
        named.fold(Feed::new(), |feed, (given, words)| feed.words(&given.name, given.ty, words))
    }

    fn is_float(&self, v: Var) -> bool {
        self.tape.ty(v).dtype.is_float()
    }

    fn keep(&mut self, name: String, v: Var) {
        self.tape.output(&name, v);
        self.kept.push((name, v));
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

//! A case as a tape: its inputs, its outputs, random cotangents, and the gradient of every f32 input.

use super::answer::{Answer, Expected};
use super::{SEED, text};
use crate::base::{DType, Result as BaseResult};
use crate::device::Caps;
use crate::kernels::{Case, Fill};
use crate::tape::{Feed, Op, Options, Schedule, Tape, Type, Var};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Streams of the cotangents, away from those of the inputs.
const COTANGENTS: u32 = 1000;

/// What a run gave: names, elements and bytes, in a fixed order.
#[derive(Debug)]
pub struct Values(
    /// Each value.
    pub Vec<(String, DType, Vec<u8>)>,
);

impl Values {
    /// A named value.
    pub fn find(&self, name: &str) -> Result<Got, String> {
        let found = self.0.iter().find(|v| v.0 == name).ok_or_else(|| format!("the run has no value {name}"))?;
        Ok(Got { dtype: found.1, words: bytemuck::pod_collect_to_vec(&found.2) })
    }
}

/// A tensor's elements as words.
#[derive(Clone, Debug)]
pub struct Got {
    /// What the words hold.
    pub dtype: DType,
    /// Its elements; two halves to a word.
    pub words: Vec<u32>,
}

impl Got {
    /// Element `i`.
    pub fn number(&self, i: usize) -> f64 {
        match self.dtype {
            DType::F16 => half::f16::from_bits((self.words[i / 2] >> (16 * (i % 2))) as u16).to_f64(),
            DType::F32 | DType::U32 => f32::from_bits(self.words[i]) as f64,
        }
    }

    /// As many elements as `like` has.
    pub fn numbers(&self, like: &Expected) -> Vec<f64> {
        (0..like.len()).map(|i| self.number(i)).collect()
    }
}

/// The tape of a case.
#[derive(Debug)]
pub struct Recording {
    /// The tape.
    pub tape: Tape,
    /// Named values to read: y0, y1, …, dx0, ….
    pub reads: Vec<(String, Var)>,
    /// Index of an output and its cotangent.
    pub cotangents: Vec<(usize, Got)>,
    names: Vec<String>,
    types: Vec<(String, Type)>,
}

impl Recording {
    /// Records `case` and, if the reference says that there is one, its gradient through the outputs `through`.
    pub fn new(case: &Case, answer: &Answer, through: &[usize]) -> Result<Self, String> {
        Self::seeded(case, answer, through, SEED)
    }

    /// The same with cotangents of another seed than every case's.
    pub fn seeded(case: &Case, answer: &Answer, through: &[usize], seed: u64) -> Result<Self, String> {
        let mut tape = Tape::new();
        let names: Vec<String> = (0..case.inputs.len()).map(|i| format!("x{i}")).collect();
        let inputs = names.iter().zip(&case.inputs).map(|(n, (ty, _))| tape.input(n, *ty));
        let inputs = inputs.collect::<BaseResult<Vec<Var>>>().map_err(text)?;
        let outputs = tape.apply_dyn(case.op.clone(), &inputs).map_err(text)?;
        let reads = outputs.iter().enumerate().map(|(i, &v)| (format!("y{i}"), v)).collect();
        let types = names.iter().cloned().zip(case.inputs.iter().map(|i| i.0)).collect();
        let mut r = Recording { tape, reads, cotangents: Vec::new(), names, types };
        if !answer.wrt.is_empty() {
            r.differentiate(answer, through, seed, &inputs, &outputs)?;
        }
        for (name, v) in r.reads.clone() {
            r.tape.output(&name, v);
        }
        Ok(r)
    }

    fn differentiate(
        &mut self,
        answer: &Answer,
        through: &[usize],
        seed: u64,
        inputs: &[Var],
        outputs: &[Var],
    ) -> Result<(), String> {
        let (mut ys, mut dys) = (Vec::new(), Vec::new());
        // A cotangent that becomes f16 on its way is rounded to f16 from the start: rounding is tested by the cases of
        // cast.
        let halves = inputs.iter().any(|&v| self.tape.ty(v).dtype == DType::F16);
        for &i in through {
            let ty = self.tape.ty(outputs[i]);
            let drawn = Fill::Normal.words(ty, seed, COTANGENTS + i as u32);
            let half = |w: &u32| half::f16::from_f32(f32::from_bits(*w)).to_f32().to_bits();
            let words = if halves && ty.dtype == DType::F32 { drawn.iter().map(half).collect() } else { drawn };
            self.cotangents.push((i, Got { dtype: ty.dtype, words }));
            ys.push(outputs[i]);
            let name = format!("dy{i}");
            dys.push(Some(self.tape.input(&name, ty).map_err(text)?));
            self.types.push((name, ty));
        }
        let float = |i: &usize| self.tape.ty(inputs[*i]).dtype.is_float();
        let wrt: Vec<usize> = (0..inputs.len()).filter(float).collect();
        let vars: Vec<Var> = wrt.iter().map(|&i| inputs[i]).collect();
        let grads = self.tape.backward(&ys, &dys, &vars).map_err(text)?;
        for (i, grad) in wrt.into_iter().zip(grads) {
            match (grad, answer.wrt.contains(&i)) {
                (Some(dx), true) => self.reads.push((format!("dx{i}"), dx)),
                (None, false) => {}
                (None, true) if through != answer.through => {} // as good as zeros, which the comparison takes it for
                (Some(_), false) => return Err(format!("input {i} has a gradient and the reference says it has none")),
                (None, true) => return Err(format!("input {i} must have a gradient and the op gives none")),
            }
        }
        Ok(())
    }

    /// The feed of a run.
    pub fn feed<'a>(&'a self, inputs: &'a [Vec<u32>]) -> Feed<'a> {
        let mut feed = Feed::new();
        // Without the padding of an odd number of halves.
        let bytes = |name: &str, words: &'a [u32]| {
            let given = self.types.iter().find(|t| t.0 == name).map_or(0, |t| t.1.bytes() as usize);
            &bytemuck::cast_slice::<u32, u8>(words)[..given]
        };
        for (name, words) in self.names.iter().zip(inputs) {
            feed = feed.input(name, bytes(name, words));
        }
        for ((name, _), (_, dy)) in self.types[self.names.len()..].iter().zip(&self.cotangents) {
            feed = feed.input(name, bytes(name, &dy.words));
        }
        feed
    }

    /// Reads every named value through `read`.
    pub fn read(&self, read: impl Fn(&str) -> BaseResult<Vec<u8>>) -> Result<Values, String> {
        let dtype = |v: &Var| self.tape.ty(*v).dtype;
        let values = self.reads.iter().map(|(n, v)| Ok((n.clone(), dtype(v), read(n).map_err(text)?)));
        Ok(Values(values.collect::<Result<_, String>>()?))
    }

    /// Reads every named value by its handle.
    pub fn read_vars(&self, read: impl Fn(Var) -> BaseResult<Vec<u8>>) -> Result<Values, String> {
        let dtype = |v: &Var| self.tape.ty(*v).dtype;
        let values = self.reads.iter().map(|(n, v)| Ok((n.clone(), dtype(v), read(*v).map_err(text)?)));
        Ok(Values(values.collect::<Result<_, String>>()?))
    }
}

/// The words of each input of a case.
pub fn inputs(case: &Case) -> Vec<Vec<u32>> {
    case.inputs.iter().enumerate().map(|(i, (ty, fill))| fill.words(*ty, SEED, i as u32)).collect()
}

/// The sets of outputs through which gradients are taken: all at once, then each alone, as a loss may use them.
pub fn ways(answer: &Answer) -> Vec<Vec<usize>> {
    let mut ways = vec![answer.through.clone()];
    if answer.through.len() > 1 {
        ways.extend(answer.through.iter().map(|&i| vec![i]));
    }
    ways
}

/// Every variant that an op of a tape offers on `caps`.
pub fn offered(tape: &Tape, caps: &Caps) -> BTreeSet<&'static str> {
    let seen = RefCell::new(BTreeSet::new());
    let note = |_: &dyn Op, _: &[Type], offered: &[&'static str]| {
        seen.borrow_mut().extend(offered.iter().copied());
        None
    };
    let _ = Schedule::new(tape, &Options { choose: &note, ..Options::new(caps) }); // a failure shows in the trial
    seen.into_inner()
}

/// Takes `variant` for every op that offers it, and the first variant of every other op.
pub fn chooser(variant: &'static str) -> impl Fn(&dyn Op, &[Type], &[&'static str]) -> Option<&'static str> {
    move |_, _, offered| offered.contains(&variant).then_some(variant)
}

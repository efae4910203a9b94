//! A recorded case beside its reference: which gradients it must have, its data, and what a run of it gave.

use super::answer::{Answer, Expected};
use super::text;
use crate::base::{DType, Result as BaseResult};
use crate::device::Caps;
use crate::kernels::{Case, Recorded};
use crate::tape::{Feed, Op, Options, Schedule, Tape, Type, Var};
use std::cell::RefCell;
use std::collections::BTreeSet;

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

/// A recorded case with its data and what its reference expects of it.
#[derive(Debug)]
pub struct Recording {
    /// The case on a tape.
    pub recorded: Recorded,
    /// The words of each of its inputs, cotangents last.
    pub words: Vec<Vec<u32>>,
    through: Vec<usize>,
}

impl Recording {
    /// Records `case` and, if the reference says that there is one, its gradient through the outputs `through`.
    pub fn new(case: &Case, answer: &Answer, through: &[usize], seed: u64) -> Result<Self, String> {
        let recorded = record(case, answer, through)?;
        let through = if answer.wrt.is_empty() { Vec::new() } else { through.to_vec() };
        Ok(Recording { words: recorded.words(seed), recorded, through })
    }

    /// Each output that gradients are taken through and its cotangent.
    pub fn cotangents(&self) -> impl Iterator<Item = (usize, Got)> {
        let first = self.words.len() - self.through.len();
        let given = self.recorded.inputs[first..].iter().zip(&self.words[first..]);
        let got = given.map(|(given, words)| Got { dtype: given.ty.dtype, words: words.clone() });
        self.through.iter().copied().zip(got)
    }

    /// The feed of a run.
    pub fn feed(&self) -> Feed<'_> {
        self.recorded.feed(&self.words)
    }

    /// Reads what the case keeps through `read`, by name and handle.
    pub fn read(&self, read: impl Fn(&str, Var) -> BaseResult<Vec<u8>>) -> Result<Values, String> {
        let one = |(name, v): &(String, Var)| {
            let dtype = self.recorded.tape.ty(*v).dtype;
            Ok((name.clone(), dtype, read(name, *v).map_err(text)?))
        };
        Ok(Values(self.recorded.kept.iter().map(one).collect::<Result<_, String>>()?))
    }
}

/// Records `case` with the gradients that the reference says there are. It is an error if the op gives others.
pub fn record(case: &Case, answer: &Answer, through: &[usize]) -> Result<Recorded, String> {
    let forward = case.forward().map_err(text)?;
    let has = |r: &Recorded, i: usize| r.find(&format!("dx{i}")).is_some();
    let inputs = 0..case.inputs.len();
    // At some points, such as an infinite one, there is nothing to compare a gradient with.
    if answer.wrt.is_empty() {
        return Ok(forward);
    }
    let recorded = forward.differentiate(through).map_err(text)?;
    for i in inputs {
        match (has(&recorded, i), answer.wrt.contains(&i)) {
            (true, false) => return Err(format!("input {i} has a gradient and the reference says it has none")),
            // Through one output alone, none is as good as zeros, which the comparison takes it for.
            (false, true) if through == answer.through => {
                return Err(format!("input {i} must have a gradient and the op gives none"));
            }
            _ => {}
        }
    }
    Ok(recorded)
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

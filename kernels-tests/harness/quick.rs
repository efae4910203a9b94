//! Runs a tape over named inputs once on the checked device, for tests that state a fact instead of a case.

use super::recording::Got;
use super::{device, text};
use std::collections::BTreeMap;
use wgslab::base::{DType, Result as BaseResult};
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type, Var};

/// A named input.
#[derive(Clone, Debug)]
pub struct Input {
    pub name: String,
    pub ty: Type,
    pub words: Vec<u32>,
}

impl Input {
    /// An f32 input.
    pub fn f32(name: &str, shape: &[usize], values: &[f32]) -> Self {
        let words = values.iter().map(|v| v.to_bits()).collect();
        Input { name: name.into(), ty: Type::f32(wgslab::base::Shape::new(shape)), words }
    }
}

/// Inputs and states by name, during recording.
pub type Vars = BTreeMap<String, Var>;

/// Runs what `build` records over `inputs`. Gives the values that `build` returned, by name.
pub fn run(
    inputs: &[Input],
    build: impl FnOnce(&mut Tape, &Vars) -> BaseResult<Vec<(&'static str, Var)>>,
) -> Result<BTreeMap<&'static str, Vec<f32>>, String> {
    let gpu = device::gpu(true)?;
    let mut tape = Tape::new();
    let vars = inputs.iter().map(|i| Ok((i.name.clone(), tape.input(&i.name, i.ty)?)));
    let vars = vars.collect::<BaseResult<Vars>>().map_err(text)?;
    let outputs = build(&mut tape, &vars).map_err(text)?;
    for (name, v) in &outputs {
        tape.output(name, *v);
    }
    let mut state = State::new();
    state.insert_missing(&gpu, &tape.state_types()).map_err(text)?;
    let schedule = Schedule::new(&tape, &Options::new(gpu.caps())).map_err(text)?;
    let plan = Plan::new(&gpu, schedule, &state).map_err(text)?;
    let mut feed = Feed::new();
    for i in inputs {
        feed = feed.input(&i.name, &bytemuck::cast_slice::<u32, u8>(&i.words)[..i.ty.bytes() as usize]);
    }
    plan.run(&gpu, &feed).map_err(text)?;
    outputs.iter().map(|(name, _)| Ok((*name, plan.read_f32(&gpu, name).map_err(text)?))).collect()
}

/// Fails where `got` differs from `want` by more than `allowed` times the largest value of `want`.
pub fn near(what: &str, got: &[f32], want: &[f32], allowed: f64) -> Result<(), String> {
    let got = Got { dtype: DType::F32, words: got.iter().map(|v| v.to_bits()).collect() };
    let want: Vec<f64> = want.iter().map(|v| *v as f64).collect();
    if got.words.len() != want.len() {
        return Err(format!("{what} has {} elements, but must have {}", got.words.len(), want.len()));
    }
    let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    super::compare::worst(what, &want, &got, |_| allowed * largest)
}

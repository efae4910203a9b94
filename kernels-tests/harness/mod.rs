//! The harness: runs a case of an op in every way a plan can run it, and compares with the f64 reference.

pub mod compare;
pub mod device;
pub mod gradient;
pub mod quick;
pub mod recording;

use crate::reference::{self, Answer, Reference, Tensor};
use compare::same_bits;
use libtest_mimic::{Failed, Trial};
use recording::{Recording, Values};
use wgslab::device::{Caps, Gpu};
use wgslab::kernels::{Case, ops};
use wgslab::tape::{Options, Plan, Schedule, State, Trace};

/// The seed of every case's data.
pub const SEED: u64 = 20;

/// Bytes of sentinels behind each value.
const FENCE: u64 = 256;

/// A test and its name.
pub type Named = (&'static str, fn() -> Result<(), String>);

/// A trial for each test, its name behind `prefix`.
pub fn named(prefix: &str, list: impl IntoIterator<Item = Named>) -> Vec<Trial> {
    let trial = |(name, test): Named| Trial::test(format!("{prefix} {name}"), move || test().map_err(Failed::from));
    list.into_iter().map(trial).collect()
}

/// An error unless `holds`.
pub fn ensure(holds: bool, what: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// One trial for each op, case and variant.
pub fn trials() -> Vec<Trial> {
    let caps = device::caps();
    let mut trials = Vec::new();
    for (name, cases) in ops() {
        for case in cases {
            for variant in recording::variants(name, &case, &caps) {
                let (case, label) = (case.clone(), format!("T1 {name}::{}::{variant}", case.name));
                trials.push(Trial::test(label, move || check(name, &case, variant).map_err(Failed::from)));
            }
        }
    }
    trials
}

/// Everything that must hold of one case under one variant.
pub fn check(name: &'static str, case: &Case, variant: &'static str) -> Result<(), String> {
    let reference =
        reference::of(name).ok_or_else(|| format!("{name} has no reference in kernels-tests/reference/"))?;
    let inputs = recording::inputs(case);
    let answer = answer(reference, case, &inputs)?;
    for way in recording::ways(&answer) {
        let recording = Recording::new(case, &answer, &way)?;
        let checked = device::gpu(true)?;
        let got = run_plan(&checked, &recording, &inputs, variant)?;
        fenced(&checked, &recording, &inputs, variant, &got)?;
        traced(&checked, &recording, &inputs, variant, &got)?;
        let unchecked = run_plan(&*device::gpu(false)?, &recording, &inputs, variant)?;
        same_bits("with and without runtime checks", &got, &unchecked)?;
        let expected = answer.of(variant, case.op.as_ref(), &tensors(case, &inputs));
        for (i, expected) in expected.iter().enumerate() {
            compare::output(&format!("output {i}"), expected, &got.find(&format!("y{i}"))?)?;
        }
        gradient::check(reference, case, &answer, &recording, &inputs, &got, gradient::WORK)
            .map_err(|e| format!("through the outputs {way:?}: {e}"))?;
    }
    Ok(())
}

/// The reference's answer, after checking that it speaks of the same outputs as the op.
pub fn answer(reference: Reference, case: &Case, inputs: &[Vec<u32>]) -> Result<Answer, String> {
    let answer = reference(case.op.as_ref(), &tensors(case, inputs));
    let types: Vec<_> = case.inputs.iter().map(|i| i.0).collect();
    let outputs = case.op.infer(&types).map_err(|e| e.to_string())?;
    let lengths = |a: &Answer| a.outputs.iter().map(|o| o.len()).collect::<Vec<_>>();
    let want: Vec<usize> = outputs.iter().map(|t| t.shape.numel()).collect();
    if lengths(&answer) != want {
        return Err(format!("the reference has outputs of {:?} elements and the op of {want:?}", lengths(&answer)));
    }
    Ok(answer)
}

/// The inputs as the reference reads them.
pub fn tensors(case: &Case, inputs: &[Vec<u32>]) -> Vec<Tensor> {
    case.inputs.iter().zip(inputs).map(|((ty, _), words)| Tensor::new(*ty, words)).collect()
}

fn options<'a>(caps: &'a Caps, choose: wgslab::tape::schedule::Choose<'a>) -> Options<'a> {
    Options { choose, ..Options::new(caps) }
}

/// The sentence of an error.
pub fn text(e: wgslab::base::Error) -> String {
    e.to_string()
}

/// Runs a plan twice over poisoned buffers; both runs must give the same bits.
fn run_plan(gpu: &Gpu, r: &Recording, inputs: &[Vec<u32>], variant: &'static str) -> Result<Values, String> {
    let choose = recording::chooser(variant);
    let schedule = Schedule::new(&r.tape, &options(gpu.caps(), &choose)).map_err(text)?;
    let plan = Plan::new(gpu, schedule, &State::new()).map_err(text)?;
    let once = || {
        poison(gpu, &plan, 0)?;
        plan.run(gpu, &r.feed(inputs)).map_err(text)?;
        r.read(|name| plan.read(gpu, name))
    };
    let (first, second) = (once()?, once()?);
    same_bits("two runs of one plan", &first, &second)?;
    Ok(first)
}

/// Gives each value a buffer of its own with sentinels behind it, which must survive.
fn fenced(gpu: &Gpu, r: &Recording, inputs: &[Vec<u32>], variant: &'static str, got: &Values) -> Result<(), String> {
    let choose = recording::chooser(variant);
    let options = Options { reuse: false, fence_bytes: FENCE, ..options(gpu.caps(), &choose) };
    let plan = Plan::new(gpu, Schedule::new(&r.tape, &options).map_err(text)?, &State::new()).map_err(text)?;
    poison(gpu, &plan, FENCE)?;
    plan.run(gpu, &r.feed(inputs)).map_err(text)?;
    same_bits("shared and own buffers", got, &r.read(|name| plan.read(gpu, name))?)?;
    plan.expect_fences(gpu, FENCE).map_err(|e| format!("{e} of\n{}", plan.schedule()))
}

/// One dispatch at a time, each value in its own buffer: bit-equal to the plan.
fn traced(gpu: &Gpu, r: &Recording, inputs: &[Vec<u32>], variant: &'static str, got: &Values) -> Result<(), String> {
    let choose = recording::chooser(variant);
    let options = options(gpu.caps(), &choose);
    let trace = Trace::run(gpu, &r.tape, &options, &State::new(), &r.feed(inputs)).map_err(text)?;
    same_bits("plan and trace", got, &r.read_vars(|v| trace.read(gpu, v))?)
}

/// Fills the buffers of a plan with NaN, and the last `fence` bytes of each with sentinels.
pub fn poison(gpu: &Gpu, plan: &Plan, fence: u64) -> Result<(), String> {
    plan.poison(gpu, fence).map_err(text)
}

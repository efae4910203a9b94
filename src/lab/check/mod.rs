//! Checks an op in every way a plan can run it against a reference in f64, ours and other people's alike.
//!
//! A reference is a function of an op and its inputs that says what each output must be ([`Expected`]) and which inputs have a
//! gradient ([`Answer::gradient`]). Write it from the formula, in plain loops, and not from the shader. Gradients need no
//! reference of their own: they are compared with central differences of the same function.
//!
//! ```no_run
//! use wgslab::base::Shape;
//! use wgslab::device::{Gpu, GpuOptions};
//! use wgslab::kernels::{Case, Fill, scale::Scale};
//! use wgslab::lab::check::{self, Answer, Expected};
//! use wgslab::tape::Type;
//!
//! # fn main() -> wgslab::base::Result<()> {
//! let gpu = |checked| Gpu::open(&GpuOptions { checked, ..GpuOptions::default() });
//! let inputs = vec![(Type::f32(Shape::new(&[7, 13])), Fill::Normal)];
//! let case = Case::new("a prime shape", Scale { factor: 0.5 }, inputs);
//! let count = check::all([&gpu(true)?, &gpu(false)?], &[case], &|_, x| {
//!     Answer::new(vec![Expected::exact(x[0].f.iter().map(|v| 0.5 * v).collect())]).gradient(&[0], &[0])
//! })?;
//! println!("{count} variants of cases are right");
//! # Ok(())
//! # }
//! ```

mod answer;
pub mod compare;
pub mod gradient;
pub mod recording;

pub use answer::{Answer, Expected, FLUSHED, HALF_ULP, Outputs, Tensor};

use crate::base::{Error, Result as BaseResult};
use crate::device::{Caps, Gpu, GpuOptions};
use crate::kernels::case::ways;
use crate::kernels::{Case, Recorded};
use crate::tape::{Op, Options, Plan, Schedule, State, Trace, schedule::Choose};
use compare::same_bits;
use recording::{Recording, Values};
use std::collections::BTreeSet;
use std::io::Write;

/// An op's reference: what its outputs must be for these inputs.
pub type Reference<'a> = dyn Fn(&dyn Op, &[Tensor]) -> Answer + 'a;

/// The seed of every case's data.
pub const SEED: u64 = 20;

/// Bytes of sentinels behind each value.
const FENCE: u64 = 256;

/// For tests: an open adapter. None where the machine has none, which is said on standard error; with the environment's
/// `REQUIRE_GPU=1` that is an error.
pub fn gpu_or_skip() -> BaseResult<Option<Gpu>> {
    match Gpu::open(&GpuOptions::default()) {
        Err(Error::NoAdapter(why)) if std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1") => {
            Err(Error::NoAdapter(why))
        }
        Err(Error::NoAdapter(why)) => {
            skipped(&format!("no adapter ({why}). REQUIRE_GPU=1 makes this a failure."));
            Ok(None)
        }
        opened => opened.map(Some),
    }
}

/// For tests: says that one is skipped, and why. Past what a runner captures of a test that passes: a skip must be seen.
pub fn skipped(why: &str) {
    // Where nobody can be told, the test still has nothing to run on.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}

/// Checks every case under every variant that the adapter offers, and gives how many that were. `gpus` are one adapter
/// opened twice: with naga's runtime checks ([`crate::device::GpuOptions::checked`]) and without. The error is of the first
/// case that is wrong: its name, its variant, and the element that is furthest off.
pub fn all(gpus: [&Gpu; 2], cases: &[Case], reference: &Reference<'_>) -> BaseResult<usize> {
    let mut count = 0;
    for case in cases {
        for variant in variants(case, reference, gpus[0].caps()) {
            let named = |what| format!("{}, the case \"{}\", {variant}: {what}", case.op.name(), case.name);
            one(gpus, case, reference, variant).map_err(|what| Error::Failed(named(what)))?;
            count += 1;
        }
    }
    Ok(count)
}

/// Everything that must hold of one case under one variant, or what does not: a plan gives the same bits twice over
/// poisoned memory, with shared and with own buffers, dispatch by dispatch, with and without runtime checks; nothing is
/// written behind an output; outputs are what the reference says, and gradients what its central differences say, through
/// all outputs at once and through each alone.
pub fn one(gpus: [&Gpu; 2], case: &Case, reference: &Reference<'_>, variant: &'static str) -> Result<(), String> {
    let [checked, unchecked] = gpus;
    let inputs = case.words(SEED);
    let answer = answer(reference, case, &inputs)?;
    for way in ways(&answer.through) {
        let recording = Recording::new(case, &answer, &way, SEED)?;
        let got = run_plan(checked, &recording, variant)?;
        fenced(checked, &recording, variant, &got)?;
        traced(checked, &recording, variant, &got)?;
        let unchecked = run_plan(unchecked, &recording, variant)?;
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

/// Every variant that the op of a case, or an op of its gradient, offers on `caps`.
pub fn variants(case: &Case, reference: &Reference<'_>, caps: &Caps) -> Vec<&'static str> {
    let types: Vec<_> = case.inputs.iter().map(|i| i.0).collect();
    let mut seen: BTreeSet<&'static str> = case.op.variants(&types, caps).into_iter().collect();
    seen.extend(bare(case, reference).into_iter().flatten().flat_map(|r| recording::offered(&r.tape, caps)));
    seen.into_iter().collect()
}

/// The tapes of a case without its data, for what needs no numbers.
pub fn bare(case: &Case, reference: &Reference<'_>) -> Result<Vec<Recorded>, String> {
    let answer = reference(case.op.as_ref(), &tensors(case, &case.words(SEED)));
    ways(&answer.through).iter().map(|way| recording::record(case, &answer, way)).collect()
}

/// The reference's answer, after checking that it speaks of the same outputs as the op.
pub fn answer(reference: &Reference<'_>, case: &Case, inputs: &[Vec<u32>]) -> Result<Answer, String> {
    let answer = reference(case.op.as_ref(), &tensors(case, inputs));
    let types: Vec<_> = case.inputs.iter().map(|i| i.0).collect();
    let outputs = case.op.infer(&types).map_err(text)?;
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

fn options<'a>(caps: &'a Caps, choose: Choose<'a>) -> Options<'a> {
    Options { choose, ..Options::new(caps) }
}

/// The sentence of an error.
fn text(e: Error) -> String {
    e.to_string()
}

/// Runs a plan twice over poisoned buffers; both runs must give the same bits.
fn run_plan(gpu: &Gpu, r: &Recording, variant: &'static str) -> Result<Values, String> {
    let choose = recording::chooser(variant);
    let schedule = Schedule::new(&r.recorded.tape, &options(gpu.caps(), &choose)).map_err(text)?;
    let plan = Plan::new(gpu, schedule, &State::new()).map_err(text)?;
    let once = || {
        plan.poison(gpu, 0).map_err(text)?;
        plan.run(gpu, &r.feed()).map_err(text)?;
        r.read(|name, _| plan.read(gpu, name))
    };
    let (first, second) = (once()?, once()?);
    same_bits("two runs of one plan", &first, &second)?;
    Ok(first)
}

/// Gives each value a buffer of its own with sentinels behind it, which must survive.
fn fenced(gpu: &Gpu, r: &Recording, variant: &'static str, got: &Values) -> Result<(), String> {
    let choose = recording::chooser(variant);
    let options = Options { reuse: false, fence_bytes: FENCE, ..options(gpu.caps(), &choose) };
    let plan = Plan::new(gpu, Schedule::new(&r.recorded.tape, &options).map_err(text)?, &State::new()).map_err(text)?;
    plan.poison(gpu, FENCE).map_err(text)?;
    plan.run(gpu, &r.feed()).map_err(text)?;
    same_bits("shared and own buffers", got, &r.read(|name, _| plan.read(gpu, name))?)?;
    plan.expect_fences(gpu, FENCE).map_err(|e| format!("{e} of\n{}", plan.schedule()))
}

/// One dispatch at a time, each value in its own buffer: bit-equal to the plan.
fn traced(gpu: &Gpu, r: &Recording, variant: &'static str, got: &Values) -> Result<(), String> {
    let choose = recording::chooser(variant);
    let options = options(gpu.caps(), &choose);
    let trace = Trace::run(gpu, &r.recorded.tape, &options, &State::new(), &r.feed()).map_err(text)?;
    same_bits("plan and trace", got, &r.read(|_, v| trace.read(gpu, v))?)
}

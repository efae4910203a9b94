//! A NaN in the input must give a NaN in the output. The guard over a step's gradients skips a step with a NaN, so no
//! kernel may turn a NaN into a number on the way. Where an input holds only NaN, an output must hold one, under every
//! variant. An op that behaves otherwise says so in its head and is listed here; the list can only get shorter. The
//! test looks at outputs, not at gradients. The gradients of an op that reads the output have its NaN in them, and the
//! guard sees those. `kernels watch` checks the same for an edit: it compares the edit with the committed text on
//! inputs that hold NaN and infinities.

use crate::harness::recording::{chooser, offered};
use crate::harness::{device, text};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeSet;
use wgslab::base::DType;
use wgslab::kernels::{Case, Recorded, ops};
use wgslab::lab::check::SEED;
use wgslab::lab::check::recording::Got;
use wgslab::tape::record::SCALARS;
use wgslab::tape::{Options, Plan, Schedule, State, Type};

/// Inputs that may hold only NaN while no output holds one, and what the op's head says about it.
const NUMBERS: &[(&str, usize, &str)] = &[
    ("cast", 0, "a cast to words turns NaN into 0"),
    ("correct", 0, "it counts rows, and NaN is never the largest entry"),
    ("crop", 1, "the host draws this share, which places the window"),
    ("cutmix", 4, "the host draws this fraction, which is how much is kept"),
    ("enqueue", 0, "as many new rows as old ones replace all old rows"),
    ("eq", 0, "comparisons give 1 or 0"),
    ("eq", 1, "comparisons give 1 or 0"),
    ("found_inf", 0, "it sets a flag"),
    ("ge", 0, "comparisons give 1 or 0"),
    ("ge", 1, "comparisons give 1 or 0"),
    ("gt", 0, "comparisons give 1 or 0"),
    ("gt", 1, "comparisons give 1 or 0"),
    ("le", 0, "comparisons give 1 or 0"),
    ("le", 1, "comparisons give 1 or 0"),
    ("loss_scale", 0, "the scale stays within 2⁻¹⁰⁰ and 2¹⁰⁰"),
    ("lt", 0, "comparisons give 1 or 0"),
    ("lt", 1, "comparisons give 1 or 0"),
    ("ne", 0, "comparisons give 1 or 0"),
    ("ne", 1, "comparisons give 1 or 0"),
    ("rank", 0, "it gives ranks; NaN is last"),
    ("select", 0, "any mask value that is not 0 chooses the first"),
];

/// The most elements of a case. Larger cases would show no more and take longer.
const ELEMENTS: usize = 3000;

/// A trial for each op that takes floats.
pub fn trials() -> Vec<Trial> {
    let list = ops().into_iter().filter_map(|(name, cases)| Some((name, largest(cases)?)));
    let trial = |(name, case): (&'static str, Case)| {
        Trial::test(format!("T1 NaN {name}"), move || one(name, &case).map_err(Failed::from))
    };
    list.map(trial).collect()
}

/// The largest case of up to [`ELEMENTS`] that has a float input besides the scalars of a step, which the host writes.
/// Of equally large cases it is the first. Small cases do not suit: a whole image may be cut out. Cases with a raised
/// guard do not suit: nothing moves.
fn largest(cases: Vec<Case>) -> Option<Case> {
    let elements = |case: &Case| case.inputs.iter().map(|i| i.0.shape.numel()).sum::<usize>();
    let fit = cases.into_iter().filter(|case| case.inputs.iter().any(|i| is_data(i.0)) && elements(case) <= ELEMENTS);
    let fit = fit.filter(|case| !case.name.contains("guard up"));
    fit.rev().max_by_key(elements)
}

fn is_data(ty: Type) -> bool {
    ty.dtype.is_float() && ty != Type::f32([SCALARS])
}

fn one(name: &str, case: &Case) -> Result<(), String> {
    let gpu = device::gpu(true)?;
    let recorded = case.forward().map_err(text)?;
    let mut kept = BTreeSet::new();
    for variant in offered(&recorded.tape, gpu.caps()) {
        let choose = chooser(variant);
        let options = Options { choose: &choose, ..Options::new(gpu.caps()) };
        let plan =
            Plan::new(&gpu, Schedule::new(&recorded.tape, &options).map_err(text)?, &State::new()).map_err(text)?;
        for i in (0..case.inputs.len()).filter(|&i| is_data(case.inputs[i].0)) {
            let mut words = recorded.words(SEED);
            let nan = if case.inputs[i].0.dtype == DType::F16 { 0x7e00_7e00 } else { f32::NAN.to_bits() };
            words[i].fill(nan);
            plan.run(&gpu, &recorded.feed(&words)).map_err(text)?;
            let passes = holds_nan(&recorded, |name| plan.read(&gpu, name).map_err(text))?;
            match NUMBERS.iter().find(|n| (n.0, n.1) == (name, i)) {
                None if !passes => {
                    let case = case.name;
                    return Err(format!(
                        "input {i} of the case '{case}' is NaN, but no output under the variant {variant} holds NaN"
                    ));
                }
                Some((_, _, why)) if !passes => drop(kept.insert((i, *why))),
                _ => {}
            }
        }
    }
    let listed: BTreeSet<(usize, &str)> = NUMBERS.iter().filter(|n| n.0 == name).map(|n| (n.1, n.2)).collect();
    let closed: Vec<_> = listed.difference(&kept).collect();
    if closed.is_empty() {
        Ok(())
    } else {
        Err(format!("{closed:?} gives NaN now: remove it from the list in not_numbers.rs"))
    }
}

/// Whether a kept float output holds NaN.
fn holds_nan(recorded: &Recorded, read: impl Fn(&str) -> Result<Vec<u8>, String>) -> Result<bool, String> {
    for (name, v) in &recorded.kept {
        let ty = recorded.tape.ty(*v);
        if ty.dtype.is_float() {
            let got = Got { dtype: ty.dtype, words: bytemuck::pod_collect_to_vec(&read(name)?) };
            if (0..ty.shape.numel()).any(|i| got.number(i).is_nan()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

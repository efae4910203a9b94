//! A NaN in the input must give a NaN in the output. The guard over a step's gradients skips a step with a NaN, so no
//! kernel may turn a NaN into a number on the way. Where an input holds only NaN, an output must hold one, under every
//! variant. An op that behaves otherwise says so in its head and is listed here; the list can only get shorter. The
//! test looks at outputs, not at gradients. The gradients of an op that reads the output have its NaN in them, and the
//! guard sees those. `golden_not_numbers.rs` compares outputs and gradients with PyTorch's. `kernels watch` checks the same for an edit: it compares the edit with the committed text on
//! inputs that hold NaN and infinities.

use crate::harness::recording::{chooser, offered};
use crate::harness::{device, text};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeSet;
use wgslab::base::DType;
use wgslab::kernels::matmul::MatMul;
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
    ("found_inf", 1, "it sets a flag"),
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
    let drops = ["dropout", "drop_path"].map(|name| {
        let test = move || dropped(name).map_err(Failed::from);
        Trial::test(format!("T1 NaN in what {name} multiplies, and in the cotangent"), test)
    });
    let product = Trial::test("T1 NaN in one element of a matrix spoils one row or column of a product", || {
        PRODUCTS.iter().try_for_each(|case| product(case)).map_err(Failed::from)
    });
    list.map(trial).chain(drops).chain([product]).collect()
}

/// Cases of matmul that every variant computes in several tiles or slices: the golden ones are smaller than a tile.
const PRODUCTS: [&str; 6] = [
    "several tiles",
    "a long sum",
    "whole tiles",
    "whole tiles, both transposed, a batch",
    "f16, a tile and one",
    "f16, a long sum of whole vec4",
];

/// A NaN, then an infinity, in one element of one operand: it must be in every element of its row or column of the
/// product and in no other, under every variant.
fn product(name: &str) -> Result<(), String> {
    let gpu = device::gpu(true)?;
    let cases = ops().into_iter().find(|op| op.0 == "matmul").ok_or("there is no matmul")?.1;
    let case = cases.into_iter().find(|c| c.name == name).ok_or_else(|| format!("matmul has no case '{name}'"))?;
    let any: &dyn std::any::Any = &*case.op;
    let MatMul { trans_a, trans_b, .. } = *any.downcast_ref::<MatMul>().ok_or("a case of matmul is not one")?;
    let recorded = case.forward().map_err(text)?;
    let y = recorded.tape.ty(recorded.kept[0].1).shape;
    let (rows, columns) = (y.dim(y.rank() - 2), y.dim(y.rank() - 1));
    for variant in offered(&recorded.tape, gpu.caps()) {
        let choose = chooser(variant);
        let options = Options { choose: &choose, ..Options::new(gpu.caps()) };
        let schedule = Schedule::new(&recorded.tape, &options).map_err(text)?;
        let plan = Plan::new(&gpu, schedule, &State::new()).map_err(text)?;
        for (operand, what) in [(0, f32::NAN), (0, f32::INFINITY), (1, f32::NAN), (1, f32::INFINITY)] {
            let ty = case.inputs[operand].0;
            let (high, wide) = (ty.shape.dim(ty.shape.rank() - 2), ty.shape.dim(ty.shape.rank() - 1));
            for at in [0, high * wide / 3, high * wide - 1] {
                let mut words = recorded.words(SEED);
                place(&mut words[operand], ty.dtype, at, what);
                plan.run(&gpu, &recorded.feed(&words)).map_err(text)?;
                let got = plan.read_f32(&gpu, "y0").map_err(text)?;
                // Of the first product of a batch.
                let lies = |across: bool| if across { at % wide } else { at / wide };
                let hit = |i: usize| match operand {
                    _ if i >= rows * columns => false,
                    0 => i / columns == lies(trans_a),
                    _ => i % columns == lies(!trans_b),
                };
                if let Some(i) = (0..got.len()).find(|&i| got[i].is_finite() == hit(i)) {
                    return Err(format!(
                        "'{name}' under the variant {variant}: element {i} is {} with {what} at {at} of operand {operand}",
                        got[i]
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Writes element `at` of a tensor of floats.
fn place(words: &mut [u32], dtype: DType, at: usize, v: f32) {
    if dtype == DType::F16 {
        let (half, shift) = (u32::from(half::f16::from_f32(v).to_bits()), 16 * (at % 2));
        words[at / 2] = words[at / 2] & !(0xffff << shift) | half << shift;
    } else {
        words[at] = v.to_bits();
    }
}

/// An op that drops: y = m · x and dx = m · dy, with the m that it drew, which it gives for ones. 0 · NaN and 0 · ∞ are
/// NaN, as in PyTorch.
fn dropped(name: &str) -> Result<(), String> {
    let gpu = device::gpu(true)?;
    let mut had = BTreeSet::new();
    for case in ops().into_iter().filter(|op| op.0 == name).flat_map(|op| op.1) {
        let recorded = case.gradients().map_err(text)?.swap_remove(0);
        let plan =
            Plan::new(&gpu, Schedule::new(&recorded.tape, &Options::new(gpu.caps())).map_err(text)?, &State::new());
        let plan = plan.map_err(text)?;
        let n = case.inputs[0].0.shape.numel();
        let read = |of: &str, x: &[f32]| -> Result<Vec<f32>, String> {
            let mut words = recorded.words(SEED);
            for (given, words) in recorded.inputs.iter().zip(&mut words) {
                if given.name == "x0" || given.name == "dy0" {
                    *words = x.iter().map(|v| v.to_bits()).collect();
                }
            }
            plan.run(&gpu, &recorded.feed(&words)).map_err(text)?;
            plan.read_f32(&gpu, of).map_err(text)
        };
        let mask = read("y0", &vec![1.0; n])?;
        had.extend(mask.iter().map(|m| *m == 0.0));
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.5];
        for shift in 0..special.len() {
            let x: Vec<f32> = (0..n).map(|i| special[(i + shift) % special.len()]).collect();
            for of in ["y0", "dx0"] {
                let like = |(g, (m, x)): (f32, (&f32, &f32))| g == m * x || (g.is_nan() && (m * x).is_nan());
                let got = read(of, &x)?;
                if let Some(i) = got.iter().copied().zip(mask.iter().zip(&x)).position(|t| !like(t)) {
                    let (case, m, x) = (case.name, mask[i], x[i]);
                    return Err(format!(
                        "element {i} of {of} of the case '{case}' is {}, but {m} · {x} is due",
                        got[i]
                    ));
                }
            }
        }
    }
    if had.len() == 2 { Ok(()) } else { Err(format!("the cases of {name} must drop some elements and keep some")) }
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
            // A NaN has a sign, and a test on bits must not take it for a number's.
            let [nan, negative] = match case.inputs[i].0.dtype {
                DType::F16 => [0x7e00_fe00, 0xfe00_7e00],
                _ => [f32::NAN.to_bits(), f32::NAN.to_bits() | 1 << 31],
            };
            words[i].iter_mut().enumerate().for_each(|(at, word)| *word = [nan, negative][at % 2]);
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

//! The tuner: which of an op's variants runs fastest on the adapter at hand, at the shapes of a recorded step.
//!
//! Each candidate runs alone on made-up inputs of the op's own types and is compared with the naive variant. Where an op
//! has none, candidates are compared with each other: the value that most agree on is right, and two that differ are an
//! error. Only then may a candidate race (`device/tune.rs`). A candidate that does not fit the device, or whose values are further off than f32
//! sums of that length may be, is refused and the table says why. Candidates stand in the order in which a model of flops
//! and bytes expects them (estimate.rs), and one behind must win clearly. Where times cannot be told apart and a compiler tells
//! what it makes of the kernels, that decides (`device/tie.rs`). Made-up indices and lengths are small, so the race of
//! an op that is masked by them says little.

use crate::base::{DType, Error, Result};
use crate::device::tie::{Made, untied};
use crate::device::tune::{Rules, Table, TunedOp, median, race};
use crate::device::{Caps, Gpu, Kernel};
use crate::kernels::estimate::{Rates, in_order};
use crate::kernels::{Case, Fill};
use crate::tape::fence::POISON;
use crate::tape::schedule::Step;
use crate::tape::{Feed, Op, Options, Plan, Schedule, State, Tape, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An op at the types of its inputs, with more than one variant to choose from.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Where its result stands in the table.
    pub key: String,
    /// The op.
    pub op: Arc<dyn Op>,
    /// Types of its inputs.
    pub x: Vec<Type>,
    /// Its variants on this adapter, in the op's own order.
    pub variants: Vec<&'static str>,
}

/// Where the result of an op with inputs of these types stands: the op's name and constants (see
/// [`crate::tape::constants`]) and the types, each whole number above 16 rounded to the nearest power of two, so that a
/// slightly different batch or image is not raced again; `+` marks those that are no multiple of four, for which an op
/// may run another kernel. Then the variants that may be chosen, in their order: they depend on exact sizes, and a race
/// among others says nothing of these. A change of this text raises [`crate::device::tune::KEYS`].
pub fn key(op: &dyn Op, x: &[Type], variants: &[&str]) -> String {
    let dims = |ty: &Type| ty.shape.dims().iter().map(|d| bucket(u64::from(*d))).collect::<Vec<_>>().join(", ");
    let types: Vec<String> = x.iter().map(|ty| format!("{} [{}]", ty.dtype.name(), dims(ty))).collect();
    format!("{} {} {} of {}", op.name(), op.constants(bucket), types.join(" "), variants.join(" "))
}

/// A whole number, rounded where it is above 16.
fn bucket(n: u64) -> String {
    if n <= 16 {
        return n.to_string();
    }
    let near = (n as f64).log2().round().min(63.0) as u32;
    format!("{}{}", 1u64 << near, if n.is_multiple_of(4) { "" } else { "+" })
}

/// What a [`Schedule`] asks for the variant of each op: the table's, where it has one that the op offers.
pub fn chooser(table: &Table) -> impl Fn(&dyn Op, &[Type], &[&'static str]) -> Option<&'static str> + '_ {
    |op, x, variants| {
        let wanted = if variants.len() > 1 { table.variant(&key(op, x, variants)) } else { None };
        wanted.and_then(|w| variants.iter().find(|v| **v == w).copied())
    }
}

/// The ops of a schedule that the table has no result for, or one of other kernels than today's.
pub fn missing(gpu: &Gpu, schedule: &Schedule, table: &Table) -> Result<Vec<Subject>> {
    let (mut seen, mut list) = (BTreeSet::new(), Vec::new());
    for step in &schedule.steps {
        let subject = Subject::of(step, gpu.caps());
        if subject.variants.len() < 2 || !seen.insert(subject.key.clone()) {
            continue;
        }
        let known = table.entries.get(&subject.key).map(|e| e.checksum.as_str());
        if known != Some(checksum(gpu, &subject)?.as_str()) {
            list.push(subject);
        }
    }
    Ok(list)
}

/// Whether the table has a result for any op of the schedule; an error where it has one that other kernels than today's
/// raced for, or of a variant that the op does not offer.
pub fn expect_fresh(gpu: &Gpu, schedule: &Schedule, table: &Table) -> Result<bool> {
    let mut used = false;
    for step in &schedule.steps {
        let variants = step.op.variants(&step.x, gpu.caps());
        let known = table.variant(&key(step.op.as_ref(), &step.x, &variants));
        let Some(chosen) = known.filter(|_| variants.len() > 1) else { continue };
        used = true;
        if !variants.contains(&chosen) {
            let (op, there) = (step.op.name(), variants.join(", "));
            let what = format!("the table of kernels names the variant {chosen} of {op}, which offers {there} here");
            return Err(Error::Usage(format!("{what}; run `wgslab tune` again")));
        }
    }
    let stale = missing(gpu, schedule, table)?.into_iter().find(|s| table.entries.contains_key(&s.key));
    match stale {
        None => Ok(used),
        Some(s) => Err(Error::Usage(format!(
            "the table of kernels was tuned before a kernel of {} was edited; run `wgslab tune` on it again",
            s.op.name()
        ))),
    }
}

/// Says what a compiler makes of a candidate's kernels, if it tells anything.
pub type Told<'a> = &'a dyn Fn(&[Kernel]) -> Option<Made>;

/// What a race goes by.
pub struct Tuning<'a> {
    /// How long it may take.
    pub rules: Rules,
    /// The adapter's rates, by which the candidates are put in order.
    pub rates: Rates,
    /// The compiler of the driver in use, which is asked where times cannot be told apart.
    pub told: Option<Told<'a>>,
}

impl Tuning<'_> {
    /// The usual rules and rates for an adapter, and no compiler.
    pub fn usual(caps: &Caps) -> Self {
        Tuning { rules: Rules::default(), rates: Rates::usual(caps), told: None }
    }
}

/// Runs the race of one op and gives its entry of the table.
pub fn tune(gpu: &Gpu, subject: &Subject, tuning: &Tuning<'_>) -> Result<TunedOp> {
    let inputs = subject.inputs();
    let (op, caps) = (subject.op.as_ref(), gpu.caps());
    let (order, estimate_ms) = in_order(op, &subject.x, &subject.variants, caps, &tuning.rates);
    let (mut refused, mut ran) = (BTreeMap::new(), Vec::new());
    for variant in order {
        match subject.plan(gpu, variant, 0).and_then(|plan| Ok((values(gpu, &plan, &inputs)?, plan))) {
            Ok((got, plan)) => ran.push((variant, got, plan)),
            Err(e @ Error::TryAgain(_)) => return Err(e), // a lost device says nothing of the variant
            Err(e) => {
                gpu.check()?;
                refused.insert(variant.to_string(), e.to_string());
            }
        }
    }
    let oracle = oracle(subject, &ran, &inputs)?.clone();
    let mut plans = Vec::new();
    for (variant, got, plan) in ran {
        match subject.agree(&got, &oracle, &inputs) {
            Ok(()) => plans.push((variant, plan)),
            Err(e) => drop(refused.insert(variant.to_string(), e.to_string())),
        }
    }
    if plans.is_empty() {
        let why = refused.values().next().cloned().unwrap_or_default();
        return Err(Error::Failed(format!("no variant of {} can run here: {why}", subject.key)));
    }
    let result = race(plans.len(), &tuning.rules, |i| {
        let timed = gpu.time_repeated(plans[i].1.dispatches(), 1)?;
        Ok(timed.device_ms.unwrap_or(timed.wall_ms))
    })?;
    let names: Vec<&str> = plans.iter().map(|p| p.0).collect();
    let told = |i: usize| tuning.told.and_then(|told| told(&kernels(&plans[i].1)));
    let (winner, tie) = untied(&result, gpu.tick_ms(), &names, told);
    let variant = plans[winner].0.to_string();
    let times = plans.iter().map(|p| p.0.to_string()).zip(result.samples_ms);
    let samples_ms: BTreeMap<String, Vec<f64>> = times.collect();
    let median_ms = samples_ms.iter().map(|(variant, ms)| (variant.clone(), median(ms))).collect();
    Ok(TunedOp { variant, checksum: checksum(gpu, subject)?, median_ms, samples_ms, tie, estimate_ms, refused })
}

/// The kernels that a plan launches, each once.
fn kernels(plan: &Plan) -> Vec<Kernel> {
    let mut list: Vec<Kernel> = Vec::new();
    for (launch, _) in plan.schedule().steps.iter().flat_map(|s| &s.launches) {
        if !list.contains(&launch.kernel) {
            list.push(launch.kernel.clone());
        }
    }
    list
}

/// What a variant gave: type and words of every output.
pub type Values = Vec<(Type, Vec<u32>)>;

/// The values that the others are compared with: the naive variant's, else those that most variants agree with, the one
/// expected to win first.
fn oracle<'a>(subject: &Subject, ran: &'a [(&'static str, Values, Plan)], inputs: &[Vec<u32>]) -> Result<&'a Values> {
    if let Some((_, naive, _)) = ran.iter().find(|r| r.0 == "naive") {
        return Ok(naive);
    }
    let friends = |one: &Values| ran.iter().filter(|r| subject.agree(&r.1, one, inputs).is_ok()).count();
    let most = ran.iter().map(|r| friends(&r.1)).max().unwrap_or(0);
    if ran.len() > 1 && most < 2 {
        let why = subject.agree(&ran[1].1, &ran[0].1, inputs).err().map(|e| e.to_string()).unwrap_or_default();
        return Err(Error::Failed(format!("no two variants of {} agree on this adapter: {why}", subject.key)));
    }
    let found = ran.iter().find(|r| friends(&r.1) == most).map(|r| &r.1);
    found.ok_or_else(|| Error::Failed(format!("no variant of {} can run on this adapter", subject.key)))
}

/// Folders of `shaders/` that count for every op: some of its sizes need them and some do not.
const CORES: [&str; 5] = ["common", "core/epilogue", "core/gemm", "layers/matmul", "tape/assign"];

/// The hash of the text of every piece, as it runs, in the folders that any candidate takes pieces from: another size with
/// the same key may take other pieces of these folders.
fn checksum(gpu: &Gpu, subject: &Subject) -> Result<String> {
    let (tape, mut folders) = (subject.tape()?, BTreeSet::from(CORES));
    for &variant in &subject.variants {
        let choose = move |_: &dyn Op, _: &[Type], _: &[&'static str]| Some(variant);
        let schedule = Schedule::new(&tape, &Options { choose: &choose, ..Options::new(gpu.caps()) })?;
        for (launch, _) in schedule.steps.iter().flat_map(|s| &s.launches) {
            folders.extend(launch.kernel.pieces.iter().filter_map(|p| Some(p.path.rsplit_once('/')?.0)));
        }
    }
    Ok(gpu.tree().hash_of(&folders))
}

impl Subject {
    /// A node of a schedule.
    pub fn of(step: &Step, caps: &Caps) -> Self {
        let (op, x) = (step.op.clone(), step.x.clone());
        let variants = op.variants(&x, caps);
        Subject { key: key(op.as_ref(), &x, &variants), variants, op, x }
    }

    /// The op alone, every output kept.
    fn tape(&self) -> Result<Tape> {
        Ok(self.case().forward()?.tape)
    }

    /// Made-up words of each input.
    pub fn inputs(&self) -> Vec<Vec<u32>> {
        self.case().words(0)
    }

    /// The op with inputs made up. Floats are positive: sums then have no cancellation, and where a variant deviates from
    /// the naive one, its kernel is wrong, not the data. The sums of an op that may saturate are near 1, or it would give
    /// the same for right and wrong ones. Integers are below the smallest size of any float input, so that they are labels
    /// and indices of anything; a lone one is 0, a lowered flag.
    fn case(&self) -> Case {
        let floats = self.x.iter().filter(|t| t.dtype.is_float());
        let bound = floats.flat_map(|t| t.shape.dims().to_vec()).filter(|d| *d > 1).min().unwrap_or(1);
        let length = self.op.infer(&self.x).map_or(1.0, |y| self.length(&y));
        let fill = |(i, ty): (usize, &Type)| match ty.dtype {
            _ if i == 0 && self.op.may_saturate() => {
                let scale = (2.0 / length) as f32; // of as many terms
                Fill::Uniform(0.25 * scale, 1.25 * scale)
            }
            DType::F16 | DType::F32 => Fill::Uniform(0.25, 1.25),
            DType::U32 if ty.shape.numel() == 1 => Fill::Words(vec![0]),
            DType::U32 => Fill::Below(bound),
        };
        let inputs = self.x.iter().enumerate().map(|(i, ty)| (*ty, fill((i, ty)))).collect();
        Case { name: "made up", op: self.op.clone(), inputs }
    }

    /// Flops of an element of the largest output `y`, at least 1.
    fn length(&self, y: &[Type]) -> f64 {
        let elements = y.iter().map(|t| t.shape.numel()).max().unwrap_or(1).max(1) as f64;
        (self.op.cost(&self.x, y).flops as f64 / elements).max(1.0)
    }

    /// The plan of a variant. With `fence_bytes`, each value has a buffer of its own and so many bytes behind it, see
    /// [`Plan::expect_fences`].
    pub fn plan(&self, gpu: &Gpu, variant: &'static str, fence_bytes: u64) -> Result<Plan> {
        // Copies of in-place inputs, which the schedule adds, have one variant and it is not this one.
        let choose =
            move |_: &dyn Op, _: &[Type], offered: &[&'static str]| offered.contains(&variant).then_some(variant);
        let plain = Options::new(gpu.caps());
        let options = Options { choose: &choose, reuse: fence_bytes == 0, fence_bytes, ..plain };
        Plan::new(gpu, Schedule::new(&self.tape()?, &options)?, &State::new())
    }

    /// An error unless each value is as near the naive one as two f32 sums of the op's length may be: each is within
    /// 4·√K · 2⁻²⁴ of the truth for terms of one sign, built-ins included, relative to the largest value; where an op's
    /// terms cancel, to a thousandth of the largest input.
    pub fn agree(&self, got: &Values, naive: &Values, inputs: &[Vec<u32>]) -> Result<()> {
        let y: Vec<Type> = got.iter().map(|g| g.0).collect();
        let length = self.length(&y);
        let single = |w: &u32| f64::from(f32::from_bits(*w));
        let half = |w: u32| half::f16::from_bits(w as u16).to_f64();
        let floats = |ty: &Type, words: &[u32]| match ty.dtype {
            DType::F16 => words.iter().flat_map(|w| [half(*w), half(w >> 16)]).take(ty.shape.numel()).collect(),
            _ => words.iter().map(single).collect::<Vec<f64>>(),
        };
        let largest = |v: &[f64]| v.iter().filter(|v| v.is_finite()).fold(0.0, |a: f64, b| a.max(b.abs()));
        let given = self.x.iter().zip(inputs).filter(|(t, _)| t.dtype.is_float());
        let around = given.map(|(t, w)| largest(&floats(t, w))).fold(0.0, f64::max);
        for (i, ((ty, got), (_, naive))) in got.iter().zip(naive).enumerate() {
            if ty.dtype == DType::U32 {
                if got != naive {
                    return Err(Error::Failed(format!("output {i}, whole numbers, is not what it should be")));
                }
                continue;
            }
            let words = got;
            let (got, naive) = (floats(ty, words), floats(ty, naive));
            // Sums this near may still round to neighbouring halves: 2⁻¹⁰ apart.
            let rounding = if ty.dtype == DType::F16 { 16_384.0 } else { 0.0 };
            let allowed = (8.0 * length.sqrt() + 32.0 + rounding) / 16_777_216.0 * largest(&naive).max(around * 1e-3);
            // Not "> allowed": a NaN must not pass, unless it is the right value and one that the kernel wrote.
            let same = |k: usize| {
                let (a, b) = (got[k], naive[k]);
                (a - b).abs() <= allowed || a == b || a.is_nan() && b.is_nan() && !is_poison(*ty, words, k)
            };
            if let Some(at) = (0..got.len()).find(|&k| !same(k)) {
                let what = format!("element {at} of output {i} is {} and should be {}", got[at], naive[at]);
                return Err(Error::Failed(format!("{what}: further apart than {allowed:.2e}")));
            }
        }
        Ok(())
    }
}

/// Whether element `k` is as [`Plan::poison`] left it.
fn is_poison(ty: Type, words: &[u32], k: usize) -> bool {
    match ty.dtype {
        DType::F16 => words[k / 2] >> (16 * (k % 2)) & 0xffff == POISON & 0xffff,
        _ => words[k] == POISON,
    }
}

/// Runs a plan of [`Subject::plan`] on these words and reads every output.
pub fn values(gpu: &Gpu, plan: &Plan, inputs: &[Vec<u32>]) -> Result<Values> {
    let names: Vec<String> = (0..inputs.len()).map(|i| format!("x{i}")).collect();
    let mut feed = Feed::new();
    for (name, ty) in &plan.schedule().inputs {
        if let Some(i) = names.iter().position(|n| n == name) {
            feed = feed.words(name, *ty, &inputs[i]);
        }
    }
    for name in &plan.schedule().scalars {
        feed = feed.scalar(name, 1.0);
    }
    plan.run(gpu, &feed)?;
    let outputs = plan.schedule().outputs.iter();
    outputs.map(|(name, ty, _)| Ok((*ty, bytemuck::pod_collect_to_vec(&plan.read(gpu, name)?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::epilogue::{Epilogue, Fused, Shift};
    use crate::kernels::matmul::MatMul;
    use crate::kernels::unary::Unary;
    use crate::tape::constants::exact;

    #[test]
    fn near_sizes_share_a_key_and_transposes_do_not() {
        let plain = MatMul::new(false, false);
        let types = |n: usize| [Type::f32([n, 64]), Type::f32([64, 7])];
        let key = |op: &dyn Op, x: &[Type]| key(op, x, &["tiled_64", "naive"]);
        assert_eq!(key(&plain, &types(60)), key(&plain, &types(68)));
        assert_ne!(key(&plain, &types(68)), key(&plain, &types(70)), "whole vec4 or not");
        assert_ne!(key(&plain, &types(60)), key(&plain, &types(128)));
        assert_ne!(key(&plain, &types(7)), key(&plain, &types(8)), "small sizes are exact");
        let transposed = MatMul::new(false, true);
        let square = [Type::f32([64, 64]), Type::f32([64, 64])];
        assert_ne!(key(&plain, &square), key(&transposed, &square));
    }

    /// Where this literal moves, [`crate::device::tune::KEYS`] is raised, so that no table is misread.
    #[test]
    fn a_key_holds_values_and_no_names_of_rust() {
        let op = MatMul::new(false, true);
        let x = [Type::f32([60, 7]), Type::f16([33, 7])];
        assert_eq!(
            key(&op, &x, &["tiled_64", "naive"]),
            "matmul (false,true) F32 [64, 7] F16 [32+, 7] of tiled_64 naive"
        );
    }

    /// Two ops that print differently have different constants: no field is left out of them.
    #[test]
    fn constants_tell_ops_apart() {
        let cases = crate::kernels::ops().into_iter().flat_map(|op| op.1);
        let (mut of, mut prints) = (BTreeMap::new(), BTreeMap::new());
        for op in cases.map(|case| case.op) {
            let (what, printed) = ((op.name(), op.constants(exact)), format!("{op:?}"));
            assert_eq!(of.entry(what.clone()).or_insert(printed.clone()), &printed);
            assert_eq!(prints.entry((op.name(), printed)).or_insert(what.clone()), &what);
        }
        assert!(of.len() > 200, "{}", of.len());
    }

    /// Sizes of one bucket may offer other candidates, or the same in another order: each has an entry of its own, or a
    /// table that holds one would never be fresh for the other.
    #[test]
    fn other_candidates_have_another_key() {
        let (op, caps) = (MatMul::new(false, false), Caps::portable());
        let of = |m: usize, k: usize| {
            let x = [Type::f32([m, k]), Type::f32([k, m])];
            key(&op, &x, &op.variants(&x, &caps))
        };
        assert_ne!(of(1000, 1024), of(1024, 1024), "whole tiles or not");
        assert_ne!(of(2044, 64), of(2052, 64), "few tiles or many");
        assert_eq!(of(1000, 1000), of(1004, 1000));
    }

    /// What an epilogue's function gets is neither 0 nor so large that it gives 1 whatever it gets.
    #[test]
    fn functions_of_sums_do_not_saturate() {
        let epilogue = Epilogue { shift: Shift::Bias, residual: false, activation: Some(Unary::Sigmoid) };
        let op = Fused { product: MatMul::new(false, false), epilogue };
        let k = 4096;
        let x = vec![Type::f32([8, k]), Type::f32([k, 8]), Type::f32([8])];
        let subject = Subject { key: String::new(), op: Arc::new(op), x, variants: Vec::new() };
        let inputs = subject.inputs();
        let at = |i: usize, j: usize| f32::from_bits(inputs[i][j]);
        let sum: f32 = (0..k).map(|j| at(0, j) * at(1, 8 * j)).sum::<f32>() + at(2, 0);
        assert!((0.1..4.0).contains(&sum), "{sum}");
    }

    #[test]
    fn nan_is_right_where_it_is_due_and_was_written() {
        let (op, x) = (MatMul::new(false, false), vec![Type::f32([1, 1]), Type::f32([1, 2])]);
        let subject = Subject { key: String::new(), op: Arc::new(op), x, variants: vec!["naive"] };
        let inputs = [vec![1f32.to_bits()], vec![1f32.to_bits(); 2]];
        let (one, nan) = (1f32.to_bits(), f32::NAN.to_bits());
        let agree = |ty: Type, got: &[u32], right: &[u32]| {
            let values = |words: &[u32]| vec![(ty, words.to_vec())];
            subject.agree(&values(got), &values(right), &inputs).is_ok()
        };
        let single = Type::f32([1, 2]);
        assert!(agree(single, &[one, nan], &[one, nan]) && agree(single, &[one, nan | 1], &[one, nan]));
        assert!(!agree(single, &[one, POISON], &[one, nan]), "an element that was not written");
        assert!(!agree(single, &[one, nan], &[one, one]) && !agree(single, &[one, one], &[one, nan]));
        let half = Type::f16([1, 2]);
        let (due, left) = (0x7e00_3c00, POISON & 0xffff_0000 | 0x3c00); // 1 and NaN
        assert!(agree(half, &[due], &[due]) && !agree(half, &[left], &[due]));
    }
}

//! Tries an edited shader: does it compile and fit its op, are its values right, and how fast is it beside the
//! committed text?
//!
//! Values are compared in every given case with those of the committed naive variant, or of the same variant if the op
//! has no naive one, within the tuner's tolerance. They are compared on two sets of inputs: the tuner's made-up ones,
//! which avoid cancellation, and those that the node gets when its case runs, with negative numbers and edge cases.
//!
//! NaN and infinities are put into each float input in turn. Training skips a step if a gradient is not finite, so a
//! kernel must not turn such a value into a number. Right variants may differ here (a maximum over NaN depends on the
//! order), so the edit must do what the committed text of the same variant does: NaN for NaN, the same infinity, a
//! number for a number. `kernels-tests/not_numbers.rs` tests that the committed text passes NaN on, unless the op's head
//! says otherwise.
//!
//! Each output is filled with NaN and fenced by sentinels before a run. The first case is timed: samples of both texts
//! are interleaved, both with naga's runtime checks, since an edited kernel never runs without them. The time of the
//! committed text without checks, as it is shipped, is given as well.

use super::Spread;
use super::check::SEED;
use super::compare::{self, Judgement, THRESHOLD};
use crate::base::{DType, Error, Result};
use crate::device::tune::{Rules, race};
use crate::device::{Gpu, GpuOptions, Tree};
use crate::kernels::Case;
use crate::kernels::listing::{Found, entry_name};
use crate::kernels::tune::{Subject, Values, values};
use crate::tape::constants::exact;
use crate::tape::schedule::{Place, Step};
use crate::tape::{Options, Plan, Schedule, Slot, State, Type};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of sentinels behind each value.
const FENCE: u64 = 4096;

/// A timed sample takes at least this long, ms: a shorter one would measure the timer.
const SAMPLE_MS: f64 = 2.0;

/// The result of a trial. In JSON the key `verdict` says which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum TrialVerdict {
    /// It does not compile, does not fit its op, or the device refused it.
    Broken {
        /// With the file and line where naga names them.
        why: String,
    },
    /// It ran and its values are wrong, or it wrote outside its outputs.
    Wrong {
        /// Which element, and by how much.
        why: String,
    },
    /// It did not end in time, or ended the process that ran it.
    Stopped {
        /// After how long, or how.
        why: String,
    },
    /// Its values agree.
    Right(Times),
}

/// Interleaved samples, ms a run of the entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// In how many cases the values agree; the times are of the largest.
    pub cases: usize,
    /// Times of the edited text, with runtime checks.
    pub edited_ms: Vec<f64>,
    /// Times of the committed text, with runtime checks.
    pub committed_ms: Vec<f64>,
    /// Times of the committed text without checks, as it is shipped.
    pub shipped_ms: Vec<f64>,
}

impl Times {
    /// Median and quartiles of the edited text, of the committed one, and of the committed one as it is shipped.
    pub fn spreads(&self) -> [Spread; 3] {
        [&self.edited_ms, &self.committed_ms, &self.shipped_ms].map(|ms| Spread::of(ms))
    }

    /// Times of the edited text over the committed one's, judged as `wgslab bench --ab` does.
    pub fn judgement(&self) -> Judgement {
        compare::judge(&self.committed_ms, &self.edited_ms, THRESHOLD)
    }

    /// The verdict in words that can follow "right and".
    pub fn word(&self) -> &'static str {
        match self.judgement().verdict {
            compare::Verdict::Faster => "faster",
            compare::Verdict::Slower => "slower",
            compare::Verdict::Same => "as fast",
            compare::Verdict::TooNoisy => "too noisy to judge",
        }
    }
}

/// Compiles an entry with the tree of `options`, checks it in each of the cases in `found`, and times the first. An
/// endless loop does not return, so run this in a process of its own. Timing takes about `patience`.
pub fn judge(options: &GpuOptions, found: &[Found], patience: Duration) -> Result<TrialVerdict> {
    let open = |shaders: Arc<Tree>, checked| Gpu::open(&GpuOptions { shaders, checked, ..options.clone() });
    let (edited, committed) = (open(options.shaders.clone(), true)?, open(Arc::default(), true)?);
    for found in found {
        if let Some(verdict) = mistake(&edited, &committed, found)? {
            return Ok(verdict);
        }
    }
    let first = found.first().ok_or_else(|| Error::Failed("an edit is judged in a case".into()))?;
    let racers = [edited, committed, open(Arc::default(), false)?];
    let [edited_ms, committed_ms, shipped_ms] = times(&racers, first, patience)?;
    Ok(TrialVerdict::Right(Times { cases: found.len(), edited_ms, committed_ms, shipped_ms }))
}

/// What is wrong with the edit in a case.
fn mistake(edited: &Gpu, committed: &Gpu, found: &Found) -> Result<Option<TrialVerdict>> {
    let (subject, case) = (Subject::of(&found.step, committed.caps()), found.case.name);
    let plan = match subject.plan(edited, found.variant, FENCE) {
        Ok(plan) => plan,
        Err(e) => return Ok(Some(TrialVerdict::Broken { why: e.to_string() })),
    };
    let naive = if subject.variants.contains(&"naive") { "naive" } else { found.variant };
    let [naive, same] = [naive, found.variant].map(|v| subject.plan(committed, v, 0));
    let (naive, same, given) = (naive?, same?, given(committed, found)?);
    let mut trials = vec![("made-up inputs".to_string(), subject.inputs(), &naive)];
    for (i, ty) in subject.x.iter().enumerate().filter(|(_, ty)| ty.dtype.is_float() && ty.shape.numel() > 0) {
        let mut inputs = given.clone();
        not_numbers(*ty, i, &mut inputs[i]);
        trials.push((format!("the case's inputs with NaN and infinities in input {i}"), inputs, &same));
    }
    trials.insert(1, ("the case's inputs".to_string(), given, &naive));
    for (what, inputs, built_in) in trials {
        let right = values(committed, built_in, &inputs)?;
        if let Err(e) = run(edited, &plan, &subject, &inputs, &right) {
            return Ok(Some(match edited.check() {
                Ok(()) => TrialVerdict::Wrong { why: format!("in the case '{case}', on {what}, {e}") },
                Err(device) => TrialVerdict::Broken { why: device.to_string() },
            }));
        }
    }
    Ok(None)
}

/// Writes NaN and, if there is room, both infinities into the words of a float input: at its start, in its middle and
/// at its end. Each input gets them at other places, so that they fall into different lanes of a vector.
fn not_numbers(ty: Type, input: usize, words: &mut [u32]) {
    let n = ty.shape.numel();
    for (k, value) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().enumerate().take(n) {
        let apart = if n < 3 { k } else { k * (n - 1) / 2 };
        let at = (apart + input) % n;
        match ty.dtype {
            DType::F16 => {
                let shift = 16 * (at % 2);
                let half = u32::from(half::f16::from_f32(value).to_bits());
                words[at / 2] = words[at / 2] & !(0xffff << shift) | half << shift;
            }
            _ => words[at] = value.to_bits(),
        }
    }
}

/// Interleaved samples of an entry on each device, ms a run.
fn times(racers: &[Gpu; 3], found: &Found, patience: Duration) -> Result<[Vec<f64>; 3]> {
    let (subject, inputs) = (Subject::of(&found.step, racers[1].caps()), given(&racers[1], found)?);
    let plans = racers.iter().map(|gpu| ready(gpu, &subject, found.variant, &inputs)).collect::<Result<Vec<_>>>()?;
    let time = |i: usize, repeats: usize| {
        let timed = racers[i].time_repeated(plans[i].dispatches(), repeats)?;
        Ok::<f64, Error>(timed.device_ms.unwrap_or(timed.wall_ms) / repeats as f64)
    };
    // Each racer has its own number: an edit that is a thousand times slower must still end.
    let repeats = |i: usize| {
        time(i, 1)?; // the first run of a pipeline pays for more than itself
        Ok((SAMPLE_MS / time(i, 1)?.max(1e-3)).ceil().clamp(1.0, 1000.0) as usize)
    };
    let repeats = (0..racers.len()).map(repeats).collect::<Result<Vec<_>>>()?;
    let rules = Rules { rounds: 40, limit: patience, behind: f64::INFINITY, margin: 1.0 };
    <[_; 3]>::try_from(race(3, &rules, |i| time(i, repeats[i]))?.samples_ms)
        .map_err(|_| Error::Failed("a race of three has other samples than three".into()))
}

/// Runs over poisoned, fenced outputs; an error unless the values are right.
fn run(gpu: &Gpu, plan: &Plan, subject: &Subject, inputs: &[Vec<u32>], right: &Values) -> Result<()> {
    plan.poison(gpu, FENCE)?;
    let got = values(gpu, plan, inputs)?;
    plan.expect_fences(gpu, FENCE)?;
    subject.agree(&got, right, inputs)
}

/// A plan that ran once on the inputs, ready to be timed.
fn ready(gpu: &Gpu, subject: &Subject, variant: &'static str, inputs: &[Vec<u32>]) -> Result<Plan> {
    let plan = subject.plan(gpu, variant, 0)?;
    values(gpu, &plan, inputs)?;
    Ok(plan)
}

/// The words that a node gets when its case runs. Inputs that are updated in place, or that the case does not give, are
/// made up.
fn given(gpu: &Gpu, found: &Found) -> Result<Vec<Vec<u32>>> {
    let (case, step) = (&found.case, &found.step);
    if entry_name(case.op.as_ref()) == entry_name(step.op.as_ref()) && types(case) == step.x {
        return Ok(case.words(SEED));
    }
    let mut inputs = Subject::of(step, gpu.caps()).inputs();
    for recorded in case.gradients()? {
        let schedule = Schedule::new(&recorded.tape, &Options { reuse: false, ..Options::new(gpu.caps()) })?;
        let what = |s: &Step| (s.op.name(), s.op.constants(exact));
        let same = |s: &Step| what(s) == what(step) && s.x == step.x;
        let Some(at) = schedule.steps.iter().position(same) else { continue };
        let before: usize = schedule.steps[..at].iter().map(|s| s.launches.len()).sum();
        let plan = Plan::new(gpu, schedule, &State::new())?;
        plan.write(gpu, &recorded.feed(&recorded.words(SEED)))?;
        gpu.submit(gpu.encode(&plan.dispatches()[..before]));
        gpu.wait()?;
        for (slot, place) in bound(&plan.schedule().steps[at]) {
            if let Slot::In(x) = slot {
                inputs[x] = bytemuck::pod_collect_to_vec(&plan.read_place(gpu, &place, step.x[x])?);
            }
        }
        return Ok(inputs);
    }
    Ok(inputs)
}

fn types(case: &Case) -> Vec<Type> {
    case.inputs.iter().map(|i| i.0).collect()
}

/// The buffers of a node by role.
fn bound(step: &Step) -> Vec<(Slot, Place)> {
    let of = |(launch, places): &(crate::tape::Launch, Vec<Place>)| {
        launch.buffers.iter().copied().zip(places.iter().cloned()).collect::<Vec<_>>()
    };
    step.launches.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::super::check::gpu_or_skip;
    use super::*;
    use crate::device::tree::pieces;
    use crate::device::tune::Table;
    use crate::kernels::listing::{Asked, Wanted, entries_without_limits, find_all};

    /// A device that runs each piece in these folders of shaders/ as changed by `edit`, and one that runs them as
    /// committed; `None` without an adapter.
    fn devices(folders: &[&str], edit: &dyn Fn(&str, &str) -> String) -> Option<[Gpu; 2]> {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = Tree::default();
        for (path, text) in pieces().filter(|(path, _)| folders.contains(&path.rsplit_once('/').unwrap().0)) {
            let file = dir.path().join(path.replace('/', "-"));
            std::fs::write(&file, edit(path, text)).unwrap();
            tree = tree.with(path, &file).unwrap();
        }
        let open = |shaders: Tree| {
            Gpu::open(&GpuOptions { shaders: Arc::new(shaders), checked: true, ..GpuOptions::default() }).unwrap()
        };
        gpu_or_skip().unwrap().map(|_| [open(tree), open(Tree::default())])
    }

    /// What is wrong with `entry` in its smallest case; `None` if nothing is, or if no kernel of it is made of these folders.
    fn judged([edited, committed]: &[Gpu; 2], entry: &str) -> Option<Option<TrialVerdict>> {
        let (table, tree) = (Table::default(), edited.tree());
        let asked = Asked { caps: committed.caps(), tree, table: &table };
        let found = find_all(&Wanted { entry, variant: None, case: None }, &asked).unwrap();
        let touched = |f: &&Found| f.kernels().unwrap().iter().any(|k| !tree.edited_of(k).is_empty());
        let found = found.iter().rev().find(touched)?;
        Some(mistake(edited, committed, found).unwrap())
    }

    const ELEMENTWISE: [&str; 7] = [
        "elementwise/unary",
        "elementwise/binary",
        "elementwise/scale",
        "elementwise/select",
        "elementwise/cast",
        "layers/add_bias",
        "images/normalize",
    ];

    /// Text that differs only in a comment is right, whatever NaN and infinities do in it.
    #[test]
    fn a_copy_of_an_elementwise_shader_is_right() {
        let Some(gpus) = devices(&ELEMENTWISE, &|_, text| format!("{text}// a copy\n")) else { return };
        let (caps, tree, table) = (gpus[1].caps(), gpus[1].tree(), Table::default());
        let all = entries_without_limits(&Asked { caps, tree, table: &table }).unwrap();
        let mut right = 0;
        for entry in &all {
            if let Some(wrong) = judged(&gpus, &entry.name) {
                assert_eq!(wrong, None, "{}", entry.name);
                right += 1;
            }
        }
        assert!(right > 30, "{right}");
    }

    /// The case that slipped through: right on every number.
    #[test]
    fn a_lost_nan_is_wrong() {
        let lose = |path: &str, text: &str| match path {
            "elementwise/unary/relu.wgsl" => {
                "fn apply(x: vec4<f32>) -> vec4<f32> { return select(vec4(0.0), x, x > vec4(0.0)); }\n\
                 fn apply_grad(x: vec4<f32>, dy: vec4<f32>) -> vec4<f32> { \
                 return select(vec4(0.0), dy, (x > vec4(0.0)) & (dy == dy)); }\n"
                    .to_string()
            }
            _ => text.to_string(),
        };
        let Some(gpus) = devices(&["elementwise/unary"], &lose) else { return };
        for (entry, says) in [("relu.forward", " is 0 and should be NaN"), ("relu.grad", " is 0 and should be ")] {
            let Some(Some(TrialVerdict::Wrong { why })) = judged(&gpus, entry) else { panic!("{entry} passed") };
            assert!(why.contains("NaN and infinities in input") && why.contains(says), "{why}");
        }
    }

    #[test]
    fn not_numbers_fit_whatever_there_is() {
        let floats = |n: usize, input: usize| {
            let mut words = vec![1f32.to_bits(); n];
            not_numbers(Type::f32([n]), input, &mut words);
            words.into_iter().map(f32::from_bits).filter(|v| !v.is_finite()).count()
        };
        assert_eq!([1, 2, 3, 9, 1000].map(|n| floats(n, 5)), [1, 2, 3, 3, 3]);
        let mut halves = vec![0x3c00_3c00; 2];
        not_numbers(Type::f16([3]), 1, &mut halves);
        assert_eq!(halves, [0x7e00_fc00, 0x3c00_7c00]);
    }
}

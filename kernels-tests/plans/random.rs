//! Runs random steps in three ways: as written, as scheduled on the CPU, and (in device.rs) as planned on the device. A
//! value that is overwritten too early, a commit that comes too soon, or a guard that is not obeyed would change a
//! number.

use super::{Double, ensure, text};
use std::collections::BTreeMap;
use wgslab::base::Result as BaseResult;
use wgslab::base::rng::Rng;
use wgslab::device::Caps;
use wgslab::tape::schedule::Place;
use wgslab::tape::{Launch, Options, Schedule, Slot, StepPart, Tape, Type, Var};

/// One operation of a step. The numbers are indices of earlier values.
#[derive(Clone, Copy, Debug)]
pub enum Do {
    Add(usize, usize),
    Relu(usize),
    View(usize),
    /// (value, player): doubles in place; obeys the guard of that player if it has one.
    Double(usize, usize),
    /// Doubles in place and ignores the guard.
    DoubleAnyway(usize),
    /// The newest value of a state.
    Read(usize),
    /// (state, value).
    Assign(usize, usize),
}

/// A step over states s0, s1, … and inputs x0, x1, …, all of one length. State `i` belongs to player `i`. The first
/// player is the step outside any scope.
#[derive(Clone, Debug)]
pub struct Step {
    pub list: Vec<Do>,
    pub outputs: Vec<usize>,
    /// For each player, whether it has a guard.
    pub guarded: [bool; 3],
    /// Whether the guards are set after everything else. They must hold also for what was recorded before.
    pub late: bool,
    /// From this place of the list on, operations are recorded as a backward pass.
    pub backward: usize,
}

/// The names of inputs; those of states, outputs and guards follow.
pub const INPUTS: [&str; 2] = ["x0", "x1"];
pub const STATES: [&str; 3] = ["s0", "s1", "s2"];
pub const OUTPUTS: [&str; 2] = ["o0", "o1"];
pub const GUARDS: [&str; 3] = ["guard", "d.guard", "g.guard"];
const PLAYERS: [&str; 3] = ["", "d", "g"];
/// The number of elements of every value.
pub const LEN: usize = 5;

impl Step {
    /// A random step of about `n` operations. Values 0 and 1 are the inputs, 2 to 4 the states.
    pub fn random(rng: &mut Rng, n: usize) -> Self {
        let (mut list, mut values) = (Vec::new(), INPUTS.len() + STATES.len());
        let mut unread = [false; STATES.len()];
        for _ in 0..n {
            // Mostly recent values, so that chains arise. Sometimes any value, so that old ones stay in use.
            let mut pick = || match rng.below(3) {
                0 => rng.below(values),
                _ => values - 1 - rng.below(values.min(3)),
            };
            let (a, b) = (pick(), pick());
            let what = match rng.below(12) {
                0..=2 => Do::Add(a, b),
                3 | 4 => Do::Relu(a),
                5 => Do::View(a),
                6 | 7 => Do::Double(a, rng.below(GUARDS.len())),
                8 => Do::DoubleAnyway(a),
                9 => Do::Read(rng.below(STATES.len())),
                _ => match rng.below(STATES.len()) {
                    s if unread[s] => Do::Read(s), // a second assign would lose the first, so the tape refuses it
                    s => Do::Assign(s, a),
                },
            };
            match what {
                Do::Read(s) => unread[s] = false,
                Do::Assign(s, _) => unread[s] = true,
                _ => {}
            }
            values += !matches!(what, Do::Assign(..)) as usize;
            list.push(what);
        }
        let outputs = (0..OUTPUTS.len()).map(|_| rng.below(values)).collect();
        let guarded = [0; 3].map(|_| rng.below(2) == 1);
        let (late, backward) = (rng.below(4) == 0, n / 2 + rng.below(2 + n / 2));
        Step { list, outputs, guarded, late, backward }
    }

    /// A random step in the shape of a training step: a long chain, then operations that read its values in reverse order.
    pub fn there_and_back(rng: &mut Rng, n: usize) -> Self {
        let mut step = Step::random(rng, 0);
        let first = INPUTS.len() + STATES.len();
        let (mut last, mut values, mut unread) = (0, first, [false; STATES.len()]);
        for _ in 0..n {
            let (s, p) = (rng.below(STATES.len()), rng.below(GUARDS.len()));
            let what = match rng.below(16) {
                0..=5 => Do::Add(last, values - 1 - rng.below(values.min(4))),
                6..=10 => Do::Relu(last),
                11 | 12 => Do::View(last),
                13 => Do::Double(last, p),
                14 if !unread[s] => Do::Assign(s, last),
                _ => Do::Read(s),
            };
            match what {
                Do::Read(s) => unread[s] = false,
                Do::Assign(s, _) => unread[s] = true,
                _ => last = values, // what was read joins the chain by a later sum
            }
            values += !matches!(what, Do::Assign(..)) as usize;
            step.list.push(what);
        }
        step.backward = step.list.len();
        for v in (first..values).rev().filter(|_| rng.below(5) > 0).collect::<Vec<_>>() {
            step.list.push(Do::Add(last, v));
            (last, values) = (values, values + 1);
        }
        step.outputs = vec![last, rng.below(values)];
        step
    }

    /// The step as a tape.
    pub fn record(&self) -> BaseResult<Tape> {
        let mut t = Tape::new();
        let ty = Type::f32([LEN]);
        let mut v: Vec<Var> = INPUTS.iter().map(|n| t.input(n, ty)).collect::<BaseResult<_>>()?;
        for s in STATES {
            v.push(t.state(s, ty)?);
        }
        let guards = (0..GUARDS.len()).map(|p| {
            let guard = self.guarded[p].then(|| t.input(GUARDS[p], Type::u32([1]))).transpose()?;
            Ok(guard)
        });
        let guards = guards.collect::<BaseResult<Vec<Option<Var>>>>()?;
        let set = |t: &mut Tape| {
            let mut each = guards.iter().enumerate().filter_map(|(p, g)| Some((p, (*g)?)));
            each.try_for_each(|(p, guard)| within(t, p, |t| t.set_guard(guard)))
        };
        if !self.late {
            set(&mut t)?;
        }
        for (i, what) in self.list.iter().enumerate() {
            let part = if i < self.backward { StepPart::Forward } else { StepPart::Backward };
            let mut apply = |f: &dyn Fn(&mut Tape) -> BaseResult<Var>| t.part(part, f);
            let new = match *what {
                Do::Add(a, b) => apply(&|t| t.add(v[a], v[b]))?,
                Do::Relu(a) => apply(&|t| t.relu(v[a]))?,
                Do::View(a) => apply(&|t| t.reshape(v[a], [LEN]))?,
                Do::Double(a, p) => {
                    let inputs: Vec<Var> = [v[a]].into_iter().chain(guards[p]).collect();
                    apply(&|t| t.apply1(Double, &inputs))?
                }
                Do::DoubleAnyway(a) => apply(&|t| t.apply1(Double, &[v[a]]))?,
                Do::Read(s) => t.state(STATES[s], ty)?,
                Do::Assign(s, a) => {
                    within(&mut t, s, |t| t.assign(STATES[s], v[a]))?;
                    continue;
                }
            };
            v.push(new);
        }
        if self.late {
            set(&mut t)?;
        }
        for (name, &o) in OUTPUTS.iter().zip(&self.outputs) {
            t.output(name, v[o]);
        }
        Ok(t)
    }

    /// What the step must give: outputs, then states.
    pub fn meaning(&self, data: &Data) -> Vec<Vec<f32>> {
        let raised = |p: usize| self.guarded[p] && data.raised[p];
        let mut v: Vec<Vec<f32>> = data.inputs.iter().chain(&data.states).cloned().collect();
        let mut states = data.states.clone();
        let double = |x: &Vec<f32>| x.iter().map(|x| 2.0 * x).collect::<Vec<f32>>();
        for what in &self.list {
            let new = match *what {
                Do::Add(a, b) => v[a].iter().zip(&v[b]).map(|(a, b)| a + b).collect(),
                Do::Relu(a) => v[a].iter().map(|x| if *x <= 0.0 { 0.0 } else { *x }).collect(),
                Do::Double(a, p) if raised(p) => v[a].clone(),
                Do::Double(a, _) | Do::DoubleAnyway(a) => double(&v[a]),
                Do::View(a) => v[a].clone(),
                Do::Read(s) => states[s].clone(),
                Do::Assign(s, a) => {
                    states[s] = v[a].clone();
                    continue;
                }
            };
            v.push(new);
        }
        let outputs = self.outputs.iter().map(|&o| v[o].clone());
        let held = |(p, new): (usize, Vec<f32>)| if raised(p) { data.states[p].clone() } else { new };
        outputs.chain(states.into_iter().enumerate().map(held)).collect()
    }
}

/// Records `f` as player `p`.
fn within<T>(t: &mut Tape, p: usize, f: impl FnOnce(&mut Tape) -> BaseResult<T>) -> BaseResult<T> {
    if p == 0 { f(t) } else { t.scope(PLAYERS[p], f) }
}

/// The values that a step works on.
#[derive(Clone, Debug)]
pub struct Data {
    pub inputs: Vec<Vec<f32>>,
    pub states: Vec<Vec<f32>>,
    /// For each player, whether its guard is raised.
    pub raised: [bool; 3],
}

impl Data {
    pub fn random(rng: &mut Rng) -> Self {
        let mut some = |n: usize| (0..n).map(|_| (0..LEN).map(|_| rng.normal()).collect()).collect::<Vec<Vec<f32>>>();
        let (inputs, states) = (some(INPUTS.len()), some(STATES.len()));
        Data { inputs, states, raised: [0; 3].map(|_| rng.below(2) == 1) }
    }
}

/// The bits of values, for comparison.
pub fn bits(v: &[Vec<f32>]) -> Vec<Vec<u32>> {
    v.iter().map(|v| v.iter().map(|x| x.to_bits()).collect()).collect()
}

/// Runs a schedule of add, relu, double and commits on the CPU: outputs, then states.
fn execute(s: &Schedule, data: &Data) -> Result<Vec<Vec<f32>>, String> {
    let mut memory: BTreeMap<Place, Vec<f32>> = BTreeMap::new();
    for (i, _) in s.slabs.iter().enumerate() {
        memory.insert(Place::Slab(i), vec![f32::NAN; LEN]);
    }
    memory.extend(INPUTS.iter().zip(&data.inputs).map(|(n, v)| (Place::Input(n.to_string()), v.clone())));
    memory.extend(STATES.iter().zip(&data.states).map(|(n, v)| (Place::State(n.to_string()), v.clone())));
    for (launch, places) in s.steps.iter().flat_map(|s| &s.launches) {
        let (at, new) = run(launch, places, &memory, &data.raised)?;
        memory.insert(at, new);
    }
    let outputs = s.outputs.iter().map(|o| memory[&o.2].clone());
    let states = STATES.iter().map(|n| memory[&Place::State(n.to_string())].clone());
    Ok(outputs.chain(states).collect())
}

fn run(
    launch: &Launch,
    places: &[Place],
    memory: &BTreeMap<Place, Vec<f32>>,
    raised: &[bool; 3],
) -> Result<(Place, Vec<f32>), String> {
    let player = |p: &Place| GUARDS.iter().position(|g| *p == Place::Input(g.to_string()));
    let is_guard = |p: &&Place| player(p).is_some();
    let obeys = places.iter().filter_map(player).any(|p| raised[p]);
    let pairs = || launch.buffers.iter().zip(places);
    let x: Vec<&Vec<f32>> = pairs()
        .filter(|(s, p)| matches!(s, Slot::In(_)) && !is_guard(p))
        .map(|(_, p)| memory.get(p).ok_or_else(|| format!("{p:?} is read but was never written")))
        .collect::<Result<_, _>>()?;
    let at = pairs().find(|(s, _)| matches!(s, Slot::Out(_))).map(|(_, p)| p).ok_or("a launch writes nothing")?;
    let y = &memory[at];
    let new = match launch.kernel.name {
        "add.forward" => x[0].iter().zip(x[1]).map(|(a, b)| a + b).collect(),
        "relu.forward" => x[0].iter().map(|x| if *x <= 0.0 { 0.0 } else { *x }).collect(),
        "double.plain" => y.iter().map(|x| 2.0 * x).collect(),
        "double.guarded" | "assign.guarded" if obeys => y.clone(),
        "double.guarded" => y.iter().map(|x| 2.0 * x).collect(),
        "assign.copy" | "assign.guarded" => x[0].clone(),
        other => return Err(format!("nobody recorded {other}")),
    };
    Ok((at.clone(), new))
}

/// Many random steps: the schedule, with and without reuse of memory and recompute, must give what the step means.
pub fn on_the_cpu() -> Result<(), String> {
    let mut repeats = 0;
    for round in 0..3000 {
        let mut rng = Rng::new(3, 0, round);
        let n = 3 + rng.below(14);
        let step = if round % 3 == 0 { Step::there_and_back(&mut rng, 2 * n) } else { Step::random(&mut rng, n) };
        let data = Data::random(&mut rng);
        let tape = step.record().map_err(text)?;
        let caps = Caps::portable();
        let kept = Schedule::new(&tape, &Options::new(&caps)).map_err(text)?;
        for (reuse, recompute) in [(true, false), (false, false), (true, true), (false, true)] {
            let options = Options { reuse, recompute, ..Options::new(&caps) };
            let schedule = Schedule::new(&tape, &options).map_err(text)?;
            repeats += usize::from(schedule.steps.len() > kept.steps.len());
            let got = execute(&schedule, &data).map_err(|e| format!("round {round}: {e}\n{step:?}\n{schedule}"))?;
            let want = step.meaning(&data);
            let same = bits(&got) == bits(&want);
            ensure(
                same,
                format!(
                    "round {round}, reuse {reuse}, recompute {recompute}, raised {:?}:\n{step:?}\n{schedule}\nis {got:?}\nmust be {want:?}",
                    data.raised
                ),
            )?;
        }
    }
    ensure(repeats > 300, format!("only {repeats} schedules compute something again"))
}

//! Compares every op that has a gradient with PyTorch where an input or the cotangent holds NaN or an infinity, under
//! every variant. `golden/not_numbers.py` made the numbers. A NaN or an infinity must stand where PyTorch has one, and
//! every other element must be near PyTorch's. Where an infinity was put into an op that sums, a NaN and an infinity are alike:
//! ∞ − ∞ and 0 · ∞ come up, or do not, with the order of sums and with where a factor is taken out of one. Both are not
//! finite, and the guard over gradients sees both. [`DEPARTURES`] holds what is otherwise, each with a reason; it can only get shorter.

use crate::golden::{self, Tensors, floats};
use crate::golden_elementwise::apply;
use crate::golden_losses::LOSSES;
use crate::harness::quick::Input;
use crate::harness::recording::{chooser, offered};
use crate::harness::{device, text};
use crate::spoiled::{Element, may_reach};
use libtest_mimic::{Failed, Trial};
use std::collections::{BTreeMap, BTreeSet};
use wgslab::base::{DType, Error, Result as BaseResult};
use wgslab::device::Gpu;
use wgslab::kernels::conv2d::Conv2d;
use wgslab::kernels::reduce::Reduction;
use wgslab::kernels::resize::Filter;
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Var};

/// What an element is, as far as the comparison goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Nan,
    Infinite,
    Number,
}

use Kind::{Infinite, Nan, Number};

fn kind(v: f32) -> Kind {
    if v.is_nan() {
        Nan
    } else if v.is_infinite() {
        Infinite
    } else {
        Number
    }
}

/// What an op of the file makes of a result where PyTorch has something else, and why.
struct Departure {
    op: &'static str,
    /// A name of the file.
    result: &'static str,
    got: Kind,
    /// A part of what was put in.
    put: &'static str,
    why: &'static str,
}

const fn departs(op: &'static str, result: &'static str, got: Kind, put: &'static str, why: &'static str) -> Departure {
    Departure { op, result, got, put, why }
}

const DEPARTURES: &[Departure] = &[
    departs("attention", "grad_x0", Nan, "", MASKED),
    departs("attention", "grad_x0", Number, "inf in x0", UNSEEN),
    departs("attention", "grad_x1", Nan, "", MASKED),
    departs("attention", "grad_x1", Number, "inf in x0", UNSEEN),
    departs("attention", "grad_x2", Nan, "", MASKED),
    departs("attention", "grad_x2", Number, "inf in x0", UNSEEN),
    departs("attention", "y", Nan, "", MASKED),
    departs("attention", "y", Number, "inf in x0", UNSEEN),
    departs("batch_norm_eval", "grad_x0", Nan, "", "what flows through statistics is 0 times x − mean"),
    departs("conv2d", "grad_x0", Nan, "", BORDER),
    departs("conv2d", "grad_x1", Nan, "", BORDER),
    departs("conv2d", "y", Nan, "", BORDER),
    departs("conv_transpose2d", "grad_x0", Nan, "", BORDER),
    departs("conv_transpose2d", "grad_x1", Nan, "", BORDER),
    departs("conv_transpose2d", "y", Nan, "", BORDER),
    departs("cross_entropy", "grad_x0", Number, "inf in x2", "a row whose share is 0 has a gradient of 0, as padding"),
    departs("hinge", "grad_x0", Number, "inf in x0", FLOOR),
    departs("hinge", "y", Number, "inf in x0", FLOOR),
    departs("hinge", "grad_x0", Nan, "", "0 · ∞ where the hinge is closed is NaN, and a NaN score has a NaN slope"),
    departs("log_softmax", "grad_x0", Number, "a row of −inf", NOTHING),
    departs("resize", "grad_x0", Number, "grad_y", "an output that reads an element with weight 0 gives it nothing"),
    departs("softmax", "grad_x0", Number, "a row of −inf", NOTHING),
    departs("softmax", "y", Number, "a row of −inf", NOTHING),
    departs("top_k", "grad_x0", Number, "only NaN", "PyTorch does not say which of equal elements come first"),
];

const FLOOR: &str = "the generator's loss of a score ends at the least f32: its head says so";
const UNSEEN: &str = "a query whose every score is −inf sees no key: its head says so";
const MASKED: &str =
    "what a mask hides may be multiplied by 0, and 0 · NaN is NaN; no other head and no other query is reached";
const BORDER: &str = "products multiply the border by 0, and Winograd adds neighbours, so that a NaN reaches all of its plane, and no other";
const NOTHING: &str = "a row of impossible entries has no probability anywhere: its head says so";

/// One trial for each op of the file.
pub fn trials() -> Vec<Trial> {
    let trial = |label: String, test: Box<dyn FnOnce() -> Result<(), String> + Send>| {
        Trial::test(format!("T1 NaN golden {label}"), move || test().map_err(Failed::from))
    };
    let all = match golden::read("not_numbers") {
        Ok(all) => all,
        Err(e) => return vec![trial("file".into(), Box::new(move || Err(e)))],
    };
    let mut ops: BTreeMap<String, BTreeMap<String, Tensors>> = BTreeMap::new();
    for (key, input) in all {
        if let [op, case, name] = key.split('/').collect::<Vec<_>>()[..] {
            let tensors = ops.entry(op.into()).or_default().entry(case.into()).or_default();
            tensors.insert(name.into(), Input { name: name.into(), ..input });
        }
    }
    ops.into_iter().map(|(op, cases)| trial(op.clone(), Box::new(move || check(&op, &cases)))).collect()
}

/// A result that differs from the file, and how.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Difference {
    case: String,
    variant: &'static str,
    /// The tensor that was changed, and to what.
    put: String,
    result: String,
    got: Kind,
    want: Kind,
}

fn check(op: &str, cases: &BTreeMap<String, Tensors>) -> Result<(), String> {
    let gpu = device::gpu(true)?;
    let mut found: BTreeMap<Difference, String> = BTreeMap::new();
    for (name, tensors) in cases {
        let case = Case { op, name, tensors };
        case.run(&gpu, &mut found).map_err(|e| format!("{name}: {e}"))?;
    }
    let listed: Vec<_> = DEPARTURES.iter().filter(|d| d.op == op).collect();
    let is = |l: &Departure, d: &Difference| (l.result, l.got) == (&d.result[..], d.got) && d.put.contains(l.put);
    let known = |d: &Difference| listed.iter().position(|l| is(l, d));
    let used: BTreeSet<usize> = found.keys().filter_map(known).collect();
    let new: Vec<String> = found
        .iter()
        .filter(|(d, _)| known(d).is_none())
        .map(|(d, at)| {
            let Difference { case, variant, put, result, got, want } = d;
            format!("{case}, {variant}, {put}: {result} is {got:?}, but must be {want:?}: {at}")
        })
        .collect();
    if !new.is_empty() {
        return Err(format!("{} differences from PyTorch:\n{}", new.len(), new.join("\n")));
    }
    match (0..listed.len()).find(|i| !used.contains(i)) {
        None => Ok(()),
        Some(i) => {
            let Departure { result, got, why, .. } = listed[i];
            Err(format!("no {result} of {op} is {got:?} any more ({why}): remove it from golden_not_numbers.rs"))
        }
    }
}

/// A case of the file.
struct Case<'a> {
    op: &'a str,
    name: &'a str,
    tensors: &'a Tensors,
}

impl Case<'_> {
    /// The inputs of the case in order, and the cotangent.
    fn given(&self) -> Vec<&Input> {
        let inputs = (0..).map_while(|i| self.tensors.get(&format!("x{i}")));
        inputs.chain(self.tensors.get("grad_y")).collect()
    }

    /// The inputs that are states of the op: the tape does not have them.
    fn is_state(&self, name: &str) -> bool {
        self.op == "spectral_norm" && ["x1", "x2"].contains(&name)
    }

    /// Runs the case under every variant and notes every difference with its first place.
    fn run(&self, gpu: &Gpu, found: &mut BTreeMap<Difference, String>) -> Result<(), String> {
        let (tape, results) = self.record().map_err(text)?;
        let given = self.given();
        let runs = self.tensors.get("runs");
        let runs: Vec<Option<[u32; 3]>> = match runs {
            None => vec![None],
            Some(runs) => runs.words.chunks(3).map(|r| Some([r[0], r[1], r[2]])).collect(),
        };
        for variant in offered(&tape, gpu.caps()) {
            let choose = chooser(variant);
            let options = Options { choose: &choose, ..Options::new(gpu.caps()) };
            let mut state = State::new();
            state.insert_missing(gpu, &tape.state_types()).map_err(text)?;
            let plan = Plan::new(gpu, Schedule::new(&tape, &options).map_err(text)?, &state).map_err(text)?;
            for (r, run) in runs.iter().enumerate() {
                let inputs: Vec<Input> = given.iter().enumerate().map(|(t, i)| changed(i, t, *run)).collect();
                for (name, ty) in tape.state_types() {
                    let words = match name.as_str() {
                        "u" => inputs[1].words.clone(),
                        "v" => inputs[2].words.clone(),
                        _ => vec![0; ty.shape.numel()],
                    };
                    state.write(gpu, &name, bytemuck::cast_slice(&words)).map_err(text)?;
                }
                let mut feed = Feed::new();
                for i in inputs.iter().filter(|i| !self.is_state(&i.name)) {
                    feed = feed.input(&i.name, &bytemuck::cast_slice::<u32, u8>(&i.words)[..i.ty.bytes() as usize]);
                }
                plan.run(gpu, &feed).map_err(text)?;
                for name in &results {
                    let got = plan.read_f32(gpu, name).map_err(text)?;
                    let all = floats(&self.tensors[name]);
                    let want = &all[r * got.len()..(r + 1) * got.len()];
                    let put = run.map_or("all at once".into(), |[t, _, what]| describe(&given, t, what));
                    let note = |at: usize| Difference {
                        case: self.name.into(),
                        variant,
                        put: put.clone(),
                        result: name.clone(),
                        got: kind(got[at]),
                        want: kind(want[at]),
                    };
                    let infinite = run.is_some_and(|[_, _, what]| ![0, 4].contains(&what));
                    for (at, why) in self.differences(&got, want, largest(&all), infinite) {
                        if run.is_some_and(|run| self.spreads(&given, run, name, at)) {
                            return Err(format!(
                                "{variant}, {put}: {name}: {why}: nothing that was put in belongs there"
                            ));
                        }
                        found.entry(note(at)).or_insert(why);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a convolution or attention differs from PyTorch where what was put in has no part.
    fn spreads(&self, given: &[&Input], run: [u32; 3], result: &str, at: usize) -> bool {
        let [tensor, put, what] = run;
        if !["conv2d", "conv_transpose2d", "attention"].contains(&self.op) || what > 3 {
            return false;
        }
        let input = given[tensor as usize];
        let shape = match result.strip_prefix("grad_") {
            Some(of) => self.tensors[of].ty.shape,
            None => self.tensors["grad_y"].ty.shape,
        };
        let groups = if self.op == "conv2d" { floats(&self.tensors["parameters"])[3] as usize } else { 1 };
        let puts =
            if what == 3 { vec![put as usize, (put as usize + 1) % input.words.len()] } else { vec![put as usize] };
        !puts.into_iter().any(|put| {
            let put = Element { tensor: &input.name, shape: input.ty.shape, at: put };
            may_reach(self.op, groups, put, Element { tensor: result, shape, at })
        })
    }

    /// The elements that are not what they must be: NaN where PyTorch has one, the same infinity, or a number as near as
    /// rounding allows. An elementwise op rounds each number twice at most; others are sums of terms up to `largest`.
    /// Where something `infinite` was put in, a NaN is as good as an infinity.
    fn differences(&self, got: &[f32], want: &[f32], largest: f32, infinite: bool) -> Vec<(usize, String)> {
        let allowed = |w: f32| if self.tensors.contains_key("runs") { 1e-5 * largest } else { 4e-6 * w.abs() };
        let alike = |g: f32, w: f32| (g.is_nan() && w.is_nan()) || (infinite && !g.is_finite() && !w.is_finite());
        let like = |g: f32, w: f32| alike(g, w) || g == w || (g - w).abs() <= allowed(w);
        let wrong = (0..got.len()).filter(|&i| !like(got[i], want[i]));
        wrong.map(|i| (i, format!("element {i} is {}, not {}", got[i], want[i]))).collect()
    }

    /// Records the op and its gradients. Gives the names of the results.
    fn record(&self) -> BaseResult<(Tape, Vec<String>)> {
        let mut t = Tape::new();
        let mut vars = BTreeMap::new();
        for i in self.given().into_iter().filter(|i| !self.is_state(&i.name)) {
            vars.insert(i.name.clone(), t.input(&i.name, i.ty)?);
        }
        let x: Vec<Var> = (0..).map_while(|i| vars.get(&format!("x{i}")).copied()).collect();
        let y = self.build(&mut t, &x)?;
        t.output("y", y);
        let mut results = vec!["y".to_string()];
        let wrt: Vec<usize> = (0..x.len()).filter(|i| self.tensors.contains_key(&format!("grad_x{i}"))).collect();
        if wrt.is_empty() {
            return Ok((t, results)); // comparisons
        }
        let of: Vec<Var> = wrt.iter().map(|&i| x[i]).collect();
        for (i, grad) in wrt.into_iter().zip(t.backward(&[y], &[Some(vars["grad_y"])], &of)?) {
            let name = format!("grad_x{i}");
            t.output(&name, grad.ok_or_else(|| Error::Failed(format!("{} gives no {name}", self.op)))?);
            results.push(name);
        }
        Ok((t, results))
    }

    /// Records the op of the case.
    fn build(&self, t: &mut Tape, x: &[Var]) -> BaseResult<Var> {
        let p = self.tensors.get("parameters").map(floats).unwrap_or_default();
        let n = |i: usize| p[i] as usize;
        let [stride, padding, dilation, groups] = [0, 1, 2, 3].map(|i| p.get(i).map_or(1, |v| *v as u32));
        match self.op {
            "softmax" => t.softmax(x[0], p[0]),
            "log_softmax" => t.log_softmax(x[0], p[0]),
            "layer_norm" => t.layer_norm(x[0], x[1], x[2], EPS),
            "group_norm" => t.group_norm(x[0], x[1], x[2], n(0), EPS),
            "batch_norm" => Ok(t.batch_norm(x[0], x[1], x[2], EPS)?[0]),
            "batch_norm_eval" => t.batch_norm_eval(x[0], x[1], x[2], x[3], x[4], EPS),
            "batch_norm_split" => Ok(t.batch_norm_split(x[0], x[1], x[2], EPS, n(0))?[0]),
            "batch_norm_weighted" => Ok(t.batch_norm_weighted(x[0], x[1], x[2], x[3], EPS)?[0]),
            "merge_statistics" => {
                let [mean, variance] = t.merge_statistics(x[0], x[1], x[2])?;
                let c = t.shape(mean).dim(0);
                let rows = [t.reshape(mean, [1, c])?, t.reshape(variance, [1, c])?];
                t.concat(&rows, 0)
            }
            "spectral_norm" => t.spectral_norm(x[0], "u", "v", 1, 1e-12),
            "l2_normalize" => t.l2_normalize(x[0], 1e-12),
            "add_bias" => t.add_bias(x[0], x[1]),
            "matmul" => t.matmul(x[0], x[1], p[0] == 1.0, p[1] == 1.0),
            "conv2d" => t.conv2d(x[0], x[1], Conv2d { dilation, groups, ..Conv2d::new(stride, padding) }),
            "conv_transpose2d" => t.conv_transpose2d(x[0], x[1], Conv2d::new(stride, padding), p[2] as u32),
            "attention" => Ok(t.attention(x[0], x[1], x[2], None, p[0] == 1.0)?[0]),
            "resize" => {
                let filter = if p[2] == 1.0 { Filter::Nearest } else { Filter::Bilinear };
                t.resize(x[0], [n(0) as u32, n(1) as u32], filter)
            }
            "mixup" => t.mixup(x[0], x[1], x[2]),
            "nt_xent" => t.nt_xent(x[0], p[0]),
            "center" => t.center(x[0]),
            op => match LOSSES.iter().find(|l| l.0 == op) {
                Some((_, loss)) => Ok(loss(t, x, &p)?[0].1),
                None => self.build_move(t, x, &p),
            },
        }
    }

    /// Records an op that moves, reduces, pools or converts elements, or an elementwise one.
    fn build_move(&self, t: &mut Tape, x: &[Var], p: &[f32]) -> BaseResult<Var> {
        let n = |i: usize| p[i] as usize;
        let sizes = |i: usize| [p[i] as u32; 2];
        let digits = |text: &str| text.chars().map(|c| c.to_digit(10).unwrap() as usize).collect::<Vec<_>>();
        let parts = || self.name.split('_').collect::<Vec<_>>();
        match self.op {
            "reduce" => {
                let kind = match parts()[0] {
                    "sum" => Reduction::Sum,
                    "mean" => Reduction::Mean,
                    "max" => Reduction::Max,
                    _ => Reduction::Var { correction: 1 },
                };
                t.reduce(x[0], kind, &digits(parts()[1]), false)
            }
            "permute" => t.permute(x[0], &digits(self.name)),
            "concat" => t.concat(x, 1),
            "slice" => {
                let at: Vec<usize> = parts().iter().map(|v| v.parse().unwrap()).collect();
                t.slice(x[0], at[0], at[1], at[2])
            }
            "broadcast" => t.broadcast(x[0], self.tensors["grad_y"].ty.shape),
            "gather" => t.gather(x[0], x[1]),
            "scatter_add" => t.scatter_add(x[0], x[1], n(0)),
            "top_k" => Ok(t.top_k(x[0], n(0))?[0]),
            "scale" => t.scale(x[0], p[0]),
            "cast" => {
                let half = t.cast(x[0], DType::F16)?;
                t.cast(half, DType::F32)
            }
            "avg_pool2d" => t.avg_pool2d(x[0], sizes(0), sizes(1), sizes(2)),
            "max_pool2d" => t.max_pool2d(x[0], n(0) as u32, n(1) as u32, n(2) as u32),
            "adaptive_avg_pool2d" => t.adaptive_avg_pool2d(x[0], [n(0) as u32, n(1) as u32]),
            "adaptive_max_pool2d" => t.adaptive_max_pool2d(x[0], [n(0) as u32, n(1) as u32]),
            op => apply(t, op, x, p),
        }
    }
}

const EPS: f32 = 1e-5;

/// The largest finite number of any run.
fn largest(all: &[f32]) -> f32 {
    all.iter().filter(|v| v.is_finite()).fold(0.0, |m, v| m.max(v.abs()))
}

/// What [`changed`] puts in: the constants of not_numbers.py.
const PUTS: [&str; 6] = ["NaN", "+inf", "−inf", "+inf and −inf", "only NaN", "a row of −inf"];

fn describe(given: &[&Input], tensor: u32, what: u32) -> String {
    format!("{} in {}", PUTS[what as usize], given[tensor as usize].name)
}

/// The input as a run has it.
fn changed(input: &Input, tensor: usize, run: Option<[u32; 3]>) -> Input {
    let mut input = input.clone();
    let Some([_, at, what]) = run.filter(|r| r[0] as usize == tensor) else { return input };
    let (words, at) = (&mut input.words, at as usize);
    let next = (at + 1) % words.len();
    match what {
        0 => words[at] = f32::NAN.to_bits(),
        1 => words[at] = f32::INFINITY.to_bits(),
        2 => words[at] = f32::NEG_INFINITY.to_bits(),
        3 => (words[at], words[next]) = (f32::INFINITY.to_bits(), f32::NEG_INFINITY.to_bits()),
        4 => words.fill(f32::NAN.to_bits()),
        _ => {
            let length = input.ty.shape.dim(input.ty.shape.rank() - 1);
            words[at / length * length..][..length].fill(f32::NEG_INFINITY.to_bits());
        }
    }
    input
}

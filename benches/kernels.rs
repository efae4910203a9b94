//! Times single kernels: what an op or its gradient runs, packing of operands included, at named shapes.
//!
//! `cargo bench --bench kernels -- --set peers --json FILE` times convolution (forward and both gradients) and matmul at
//! the shapes that Burn 0.22.1 was measured at. `--set cases` times every op at the shapes its tests use. `--filter TEXT`
//! keeps the rows with the text in their name, `--variant NAME|all` takes other variants than each op's first.
//!
//! Each case runs once as a whole, so that every kernel reads real values; each row is run once more, and then samples
//! are taken round and round over the rows of an op, because a shared machine is faster in one minute than in the next.
//! What takes less than a millisecond is repeated within one submission. Times are the device's timestamps where it has
//! them, with the wall clock as a witness.

mod common;

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use wgslab::base::{Error, Result};
use wgslab::device::{Dispatch, Gpu, GpuOptions, Timed};
use wgslab::kernels::conv2d::Conv2d;
use wgslab::kernels::listing::entry_name;
use wgslab::kernels::matmul::MatMul;
use wgslab::kernels::{Case, Fill, Recorded, ops};
use wgslab::lab::Spread;
use wgslab::tape::{Cost, Feed, Op, Options, Plan, Schedule, State, Type};

/// Times single kernels
#[derive(Parser, Debug)]
#[command(name = "cargo bench --bench kernels --")]
struct Arguments {
    /// Which shapes
    #[arg(long, value_enum, default_value_t = Set::Peers)]
    set: Set,
    /// A variant by name, or all [default: the one each op offers first here]
    #[arg(long, value_name = "NAME|all")]
    variant: Option<String>,
    /// Only rows whose name holds this text, such as conv2d.forward
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Seconds of samples a row, after its warm-up
    #[arg(long, value_name = "S", default_value_t = 3.0)]
    seconds: f64,
    /// The most samples a row
    #[arg(long, value_name = "N", default_value_t = 50)]
    samples: usize,
    /// Print the device time of each kernel of a row too
    #[arg(long)]
    kernels: bool,
    /// Write the report there
    #[arg(long)]
    json: Option<PathBuf>,
    /// cargo adds it
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Debug, ValueEnum)]
enum Set {
    /// The shapes at which Burn was measured
    Peers,
    /// A tiny shape each: shows that the bench works
    Smoke,
    /// Every op at the shapes its tests use
    Cases,
}

/// What another framework reached, and under which mean the ratio counts.
#[derive(Clone, Copy, Debug)]
struct Peer {
    family: &'static str,
    /// Burn 0.22.1 (wgpu), forward, GFLOP/s.
    burn: f64,
}

/// Cases, and the peer's figure at each.
type Shapes = Vec<(Case, Option<Peer>)>;

/// Seed of the data.
const SEED: u64 = 20;
/// A sample of something short is repeated until it takes about this long, in milliseconds: by timestamps, by the clock.
const SAMPLE_MS: (f64, f64) = (5.0, 20.0);
/// The most repeats of a sample.
const REPEATS: f64 = 1000.0;

fn conv(name: &'static str, x: [usize; 4], w: [usize; 4], stride: u32) -> Case {
    let padding = w[2] as u32 / 2;
    let inputs = vec![(Type::f32(x), Fill::Normal), (Type::f32(w), Fill::Normal)];
    Case::new(name, Conv2d::new(stride, padding), inputs)
}

fn product(name: &'static str, n: usize) -> Case {
    let square = (Type::f32([n, n]), Fill::Normal);
    Case::new(name, MatMul { trans_a: false, trans_b: false }, vec![square.clone(), square])
}

/// Burn's figures: autotuned, steady, on Mesa llvmpipe 22.3.6 with 2 cores. It was not measured at 2048, where its
/// best, that of 1024, stands in.
fn peers() -> Shapes {
    let peer = |family, burn, case| (case, Some(Peer { family, burn }));
    vec![
        peer("3x3", 3.5, conv("3x3 64@56 N16", [16, 64, 56, 56], [64, 64, 3, 3], 1)),
        peer("3x3", 3.3, conv("3x3 128@28 N16", [16, 128, 28, 28], [128, 128, 3, 3], 1)),
        peer("3x3", 2.4, conv("3x3 256@14 N16", [16, 256, 14, 14], [256, 256, 3, 3], 1)),
        peer("3x3", 2.7, conv("3x3 512@7 N16", [16, 512, 7, 7], [512, 512, 3, 3], 1)),
        peer("1x1", 6.0, conv("1x1 64->256@56 N16", [16, 64, 56, 56], [256, 64, 1, 1], 1)),
        peer("7x7/2", 0.8, conv("7x7/2 3->64@224 N8", [8, 3, 224, 224], [64, 3, 7, 7], 2)),
        peer("matmul", 9.5, product("512", 512)),
        peer("matmul", 11.0, product("1024", 1024)),
        peer("matmul", 11.0, product("2048", 2048)),
    ]
}

fn smoke() -> Shapes {
    vec![
        (conv("3x3 8@8 N2", [2, 8, 8, 8], [8, 8, 3, 3], 1), None),
        (conv("1x1 8->16@8 N2", [2, 8, 8, 8], [16, 8, 1, 1], 1), None),
        (product("48", 48), None),
    ]
}

/// A node of a case under a variant, with its samples.
struct Row {
    entry: String,
    case: &'static str,
    variant: &'static str,
    plan: Rc<Plan>,
    launches: Range<usize>,
    cost: Cost,
    peer: Option<Peer>,
    repeats: usize,
    samples: Vec<Timed>,
    spent_ms: f64,
}

impl Row {
    fn dispatches(&self) -> &[Dispatch] {
        &self.plan.dispatches()[self.launches.clone()]
    }

    fn sample(&mut self, gpu: &Gpu) -> Result<Timed> {
        let t = gpu.time_repeated(self.dispatches(), self.repeats)?;
        self.spent_ms += t.wall_ms;
        Ok(t)
    }

    /// A first sample of one run sets how often the later ones repeat it.
    fn start(&mut self, gpu: &Gpu) -> Result<()> {
        let t = self.sample(gpu)?;
        let (ms, aim) = t.device_ms.map_or((t.wall_ms, SAMPLE_MS.1), |ms| (ms, SAMPLE_MS.0));
        if ms < 1.0 {
            self.repeats = (aim / ms.max(1e-6)).min(REPEATS).ceil() as usize;
        }
        self.spent_ms = 0.0;
        Ok(())
    }

    fn done(&self, a: &Arguments) -> bool {
        self.samples.len() >= a.samples.max(1) || !self.samples.is_empty() && self.spent_ms >= a.seconds * 1e3
    }

    fn result(&self) -> Timing {
        let each = |ms: f64| ms / self.repeats as f64;
        let ms = Spread::of(&self.samples.iter().map(|t| each(t.device_ms.unwrap_or(t.wall_ms))).collect::<Vec<_>>());
        Timing {
            entry: self.entry.clone(),
            case: self.case,
            variant: self.variant,
            cost: self.cost,
            peer: self.peer,
            repeats: self.repeats,
            samples: self.samples.len(),
            timestamps: self.samples.iter().all(|t| t.device_ms.is_some()),
            ms,
            wall_ms: Spread::of(&self.samples.iter().map(|t| each(t.wall_ms)).collect::<Vec<_>>()).median,
        }
    }
}

/// What was measured of a row.
struct Timing {
    entry: String,
    case: &'static str,
    variant: &'static str,
    cost: Cost,
    peer: Option<Peer>,
    repeats: usize,
    samples: usize,
    timestamps: bool,
    ms: Spread,
    wall_ms: f64,
}

impl Timing {
    fn gflop_per_s(&self) -> f64 {
        self.cost.flops as f64 / self.ms.median * 1e-6
    }

    fn gb_per_s(&self) -> f64 {
        self.cost.bytes as f64 / self.ms.median * 1e-6
    }

    fn ratio(&self) -> Option<f64> {
        self.peer.map(|p| self.gflop_per_s() / p.burn)
    }

    fn line(&self) -> String {
        let peer = match (self.peer, self.ratio()) {
            (Some(p), Some(r)) => format!("{:5.1} {r:6.1}", p.burn),
            _ => String::new(),
        };
        let (name, ms) = (format!("{} {}", self.entry, self.case), self.ms);
        let (gf, gb) = (self.gflop_per_s(), self.gb_per_s());
        let times = format!("{:10.4} {:10.4} {:10.4} {:10.4}", ms.median, ms.q1, ms.q3, self.wall_ms);
        format!("{name:44} {:20} {times} {gf:8.2} {gb:7.2} {peer}", self.variant).trim_end().to_string()
    }

    fn json(&self) -> Value {
        json!({
            "entry": self.entry, "case": self.case, "variant": self.variant,
            "flops": self.cost.flops, "bytes": self.cost.bytes, "samples": self.samples, "repeats": self.repeats,
            "clock": if self.timestamps { "timestamps" } else { "wall" },
            "ms": self.ms, "wall_ms": self.wall_ms,
            "gflop_per_s": self.gflop_per_s(), "gb_per_s": self.gb_per_s(),
            "burn_gflop_per_s": self.peer.map(|p| p.burn), "ratio": self.ratio(),
        })
    }
}

/// The variants to run of a case: `None` is each op's first.
fn choices(gpu: &Gpu, a: &Arguments, recorded: &Recorded) -> Result<Vec<Option<&'static str>>> {
    let Some(wanted) = &a.variant else { return Ok(vec![None]) };
    let schedule = Schedule::new(&recorded.tape, &Options::new(gpu.caps()))?;
    let offered = schedule.steps.iter().flat_map(|s| s.op.variants(&s.x, gpu.caps()));
    let fits = |v: &&'static str| wanted == "all" || wanted == v;
    Ok(offered.filter(fits).collect::<BTreeSet<_>>().into_iter().map(Some).collect())
}

/// The entries of `op` in a schedule that were asked for: name, place among the steps and launches.
fn wanted(
    a: &Arguments,
    op: &str,
    case: &Case,
    choice: Option<&str>,
    s: &Schedule,
) -> Vec<(String, usize, Range<usize>)> {
    let (mut found, mut at): (Vec<(String, usize, Range<usize>)>, usize) = (Vec::new(), 0);
    for (i, step) in s.steps.iter().enumerate() {
        let launches = at..at + step.launches.len();
        at = launches.end;
        let entry = entry_name(step.op.as_ref());
        let own = i == 0 || entry.split('.').next() == Some(op);
        let chosen = choice.is_none_or(|v| v == step.variant);
        let named = format!("{entry} {}", case.name).contains(&a.filter);
        // An op whose gradient is itself (matmul) is timed forward.
        if own && chosen && named && !launches.is_empty() && found.iter().all(|f| f.0 != entry) {
            found.push((entry, i, launches));
        }
    }
    found
}

/// The rows of a case, its plan run once. Each value has a buffer of its own, so that a node can be run again later.
fn rows(gpu: &Gpu, a: &Arguments, op: &str, case: &Case, peer: Option<Peer>) -> Result<Vec<Row>> {
    let forward = case.forward()?;
    let whole = case.gradients()?.into_iter().next().unwrap_or_else(|| forward.clone());
    let mut rows = Vec::new();
    for choice in choices(gpu, a, &whole)? {
        let choose = |_: &dyn Op, _: &[Type], offered: &[&'static str]| choice.filter(|v| offered.contains(v));
        let options = Options { choose: &choose, reuse: false, ..Options::new(gpu.caps()) };
        let (short, long) = (Schedule::new(&forward.tape, &options)?, Schedule::new(&whole.tape, &options)?);
        let list = |s: &Schedule| wanted(a, op, case, choice, s);
        let enough = list(&short).len() == list(&long).len();
        let (schedule, recorded) = if enough { (short, &forward) } else { (long, &whole) };
        let found = list(&schedule);
        if found.is_empty() {
            continue;
        }
        let plan = Rc::new(Plan::new(gpu, schedule, &State::new())?);
        run_once(gpu, &plan, recorded)?;
        for (entry, i, launches) in found {
            let step = &plan.schedule().steps[i];
            let (variant, cost) = (step.variant, step.cost());
            let (plan, case, samples) = (plan.clone(), case.name, Vec::new());
            rows.push(Row { entry, case, variant, plan, launches, cost, peer, repeats: 1, samples, spent_ms: 0.0 });
        }
    }
    Ok(rows)
}

fn run_once(gpu: &Gpu, plan: &Plan, recorded: &Recorded) -> Result<()> {
    let fill = |(i, (_, ty, fill)): (usize, &(String, Type, Fill))| fill.words(*ty, SEED, i as u32);
    let words: Vec<Vec<u32>> = recorded.inputs.iter().enumerate().map(fill).collect();
    let mut feed = Feed::new();
    for ((name, _, _), words) in recorded.inputs.iter().zip(&words) {
        feed = feed.input(name, words);
    }
    plan.run(gpu, &feed)?;
    gpu.wait()
}

/// Times the rows of one op, round and round.
fn measure(gpu: &Gpu, a: &Arguments, rows: &mut [Row]) -> Result<Vec<Timing>> {
    for row in rows.iter_mut() {
        row.start(gpu)?;
    }
    while rows.iter().any(|r| !r.done(a)) {
        for row in rows.iter_mut().filter(|r| !r.done(a)) {
            let t = row.sample(gpu)?;
            row.samples.push(t);
        }
    }
    Ok(rows.iter().map(Row::result).collect())
}

/// Geometric mean and least of the ratios to Burn's forward pass, by window and by direction; of several variants the
/// fastest at each shape counts.
fn means(timings: &[Timing]) -> Vec<Value> {
    let mut best: BTreeMap<(&str, &str, &str), f64> = BTreeMap::new();
    for t in timings {
        if let (Some(p), Some(r)) = (t.peer, t.ratio()) {
            let most = best.entry((p.family, &t.entry, t.case)).or_insert(r);
            *most = most.max(r);
        }
    }
    let mut means = Vec::new();
    let mut mean = |over: &str, entry: &str, families: &[&str], aim: Option<&str>| {
        let fits = |k: &(&str, &str, &str)| k.1 == entry && families.contains(&k.0);
        let ratios: Vec<f64> = best.iter().filter(|(k, _)| fits(k)).map(|(_, r)| *r).collect();
        if !ratios.is_empty() {
            let mean = (ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64).exp();
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let shapes = ratios.len();
            means.push(
                json!({ "over": over, "entry": entry, "shapes": shapes, "mean": mean, "least": least, "aim": aim }),
            );
        }
    };
    for entry in ["conv2d.forward", "conv2d.grad_input", "conv2d.grad_weight"] {
        let each = (entry == "conv2d.forward").then_some("each at least 5");
        mean("3x3", entry, &["3x3"], each);
        mean("1x1", entry, &["1x1"], None);
        mean("3x3 and 1x1", entry, &["3x3", "1x1"], Some("mean at least 8"));
    }
    mean("512 to 2048", "matmul.forward", &["matmul"], Some("mean at least 3"));
    means
}

fn print_means(means: &[Value]) {
    println!("\ntimes Burn's forward pass, geometric mean (least)");
    for m in means {
        let (entry, over) = (m["entry"].as_str().unwrap_or(""), m["over"].as_str().unwrap_or(""));
        let number = |key: &str| m[key].as_f64().unwrap_or(f64::NAN);
        let aim = m["aim"].as_str().map_or(String::new(), |a| format!("   aim: {a}"));
        println!("{:44} {:6.1} ({:.1}){aim}", format!("{entry} {over}"), number("mean"), number("least"));
    }
}

fn run() -> Result<()> {
    let a = Arguments::parse();
    let gpu = Gpu::open(&GpuOptions::default())?;
    let groups: Vec<(&str, Shapes)> = match a.set {
        Set::Cases => {
            ops().into_iter().map(|(op, cases)| (op, cases.into_iter().map(|c| (c, None)).collect())).collect()
        }
        set => {
            let all = if set == Set::Peers { peers() } else { smoke() };
            let of = |op| (op, all.iter().filter(|c| c.0.op.name() == op).cloned().collect());
            ["conv2d", "matmul"].map(of).to_vec()
        }
    };
    println!("{}, {}", gpu.adapter().name, gpu.adapter().driver);
    println!(
        "{:44} {:20} {:>10} {:>10} {:>10} {:>10} {:>8} {:>7} {:>5} {:>6}",
        "kernel and shape", "variant", "median ms", "q1", "q3", "wall ms", "GFLOP/s", "GB/s", "Burn", "times"
    );
    let mut timings = Vec::new();
    for (op, cases) in groups {
        let mut list = Vec::new();
        for (case, peer) in cases {
            list.extend(rows(&gpu, &a, op, &case, peer.filter(|_| gpu.caps().software))?);
        }
        let timed = measure(&gpu, &a, &mut list)?;
        for (row, t) in list.iter().zip(timed) {
            println!("{}", t.line());
            timings.push(t);
            if a.kernels {
                common::by_kernel(&gpu, row.dispatches())?;
            }
        }
    }
    if timings.is_empty() {
        let variant = a.variant.as_deref().unwrap_or("default");
        return Err(Error::Usage(format!("no row has '{}' in its name and the {variant} variant", a.filter)));
    }
    let means = means(&timings);
    if !means.is_empty() {
        print_means(&means);
    }
    let rows: Vec<Value> = timings.iter().map(Timing::json).collect();
    common::write(&gpu, json!({ "set": format!("{:?}", a.set), "rows": rows, "means": means }), a.json.as_deref())?;
    Ok(())
}

fn main() -> std::process::ExitCode {
    common::ended(run())
}

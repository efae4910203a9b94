//! `wgslab bench`.

use super::listener::Listener;
use super::options::Options;
use super::output::{print, table};
use crate::base::{Error, Result, nearest};
use crate::kernels::ops;
use crate::lab::sets::{self, CASES, Set};
use crate::lab::{Asked, Cache, Report, Row, Rule, Timer, bench};
use clap::Args;
use std::path::{Path, PathBuf};

/// Time kernels, forward and backward, one by one
///
/// Takes the cases of a set (quick, resnet18, resnet50, vit, simclr, deepbench, peers, smoke, or
/// cases: every op at the shapes of its tests), of a TOML file like those in benches/sets/, or
/// of one op of your own shape; any other word keeps the rows of `cases` with it in their name.
///
/// A row is a kernel (conv2d.grad_weight), a case and a variant. It is warmed up and sampled, in
/// turn with the other rows of its case, at least --samples times and for --seconds; then until
/// the quartiles lie within 5 % of the median, or for --time-limit: what has not settled by then
/// is marked noisy. Times are the device's timestamps, or the wall clock where it has none (the
/// timer column says which); GFLOP/s counts the operations of the formula, GB/s each operand
/// once. A reference kernel of fixed work is timed in every round and stored with the samples.
/// A case that cannot run on the adapter is listed as skipped.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab bench                                         the set quick
  wgslab bench resnet18 --variant all --json run.json
  wgslab bench conv2d.grad_weight
  wgslab bench --op conv2d --shape x=16,64,56,56 weight=64,64,3,3 padding=1 --variant all
  wgslab bench my.toml --cache cold --csv run.csv"
)]
pub(super) struct Bench {
    /// A set, a TOML file, or a text that rows of `cases` have in their name [default: quick]
    #[arg(value_name = "SET|FILE|FILTER")]
    what: Option<String>,
    /// One op, of the shape that --shape says
    #[arg(long, conflicts_with = "what", requires = "shape")]
    op: Option<String>,
    /// Fields of that op as in a set file: x=16,64,56,56 stride=2
    #[arg(long, value_name = "FIELD=VALUE", num_args = 1.., requires = "op")]
    shape: Vec<String>,
    /// Variants by name, first for the one the adapter would run, or all [default: those of the set]
    #[arg(long, value_name = "NAME|first|all", num_args = 1.., value_delimiter = ',')]
    variant: Vec<String>,
    /// forward, grad (every gradient) or one by name, such as grad_weight [default: all]
    #[arg(long)]
    direction: Option<String>,
    /// hot: operands may lie in a cache; cold: a buffer larger than the caches is written before each sample
    #[arg(long, value_name = "hot|cold", value_parser = cache, default_value = "hot")]
    cache: Cache,
    /// The least samples of a row
    #[arg(long, value_name = "N", default_value_t = Rule::default().samples)]
    samples: usize,
    /// The least seconds of sampling a row
    #[arg(long, value_name = "S", value_parser = seconds, default_value_t = Rule::default().seconds)]
    seconds: f64,
    /// The most seconds of sampling a row
    #[arg(long, value_name = "S", value_parser = seconds, default_value_t = Rule::default().limit)]
    time_limit: f64,
    /// Write the report with every sample there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn cache(text: &str) -> Result<Cache, String> {
    match text {
        "hot" => Ok(Cache::Hot),
        "cold" => Ok(Cache::Cold),
        _ => Err("use hot or cold".into()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|s: &f64| (0.0..1e6).contains(s)).ok_or_else(|| "use seconds from 0 up".into())
}

impl Bench {
    pub fn run(&self, options: &Options) -> Result<()> {
        let (set, filter) = self.set()?;
        let (samples, seconds, limit) = (self.samples, self.seconds, self.time_limit.max(self.seconds));
        let asked = Asked {
            variants: self.variant.clone(),
            direction: self.direction.clone(),
            filter,
            cache: self.cache,
            rule: Rule { samples, seconds, limit, ..Rule::default() },
        };
        let listener = Listener::new(options.quiet);
        let gpu = options.open(&listener, "kernels run on the CPU")?;
        let ended = bench(&[&gpu], &set, &asked, &listener);
        listener.clear();
        for report in ended? {
            if let Some(path) = &self.json {
                report.save(path)?;
            }
            print(&shown(&report))?;
        }
        Ok(())
    }

    /// What to measure, and the text that rows must have in their name.
    fn set(&self) -> Result<(Set, String)> {
        let all = String::new();
        if let Some(op) = &self.op {
            return Ok((Set::one(op, &self.shape)?, all));
        }
        let what = self.what.as_deref().unwrap_or("quick");
        if let Some(set) = Set::built_in(what) {
            return Ok((set?, all));
        }
        if what.ends_with(".toml") || Path::new(what).is_file() {
            return Ok((Set::load(Path::new(what))?, all));
        }
        let Some(mut set) = Set::built_in(CASES).transpose()? else { return Err(unknown(what)) };
        // An entry's name begins with an op's; the rows themselves are filtered once their entries are known.
        set.subjects.retain(|s| {
            let op = s.case.op.name();
            what.starts_with(op)
                || what.starts_with(&s.op)
                || op.contains(what)
                || s.op.contains(what)
                || s.name.contains(what)
        });
        if set.subjects.is_empty() {
            return Err(unknown(what));
        }
        // `relu` is the op's listing, whatever its entries are called.
        let listed = set.subjects.iter().all(|s| s.op == what);
        Ok((set, if listed { all } else { what.to_string() }))
    }
}

/// An error for a word that is no set, op or part of a case's name.
fn unknown(what: &str) -> Error {
    let list = ops();
    let known: Vec<&str> = sets::names().into_iter().chain(list.iter().map(|o| o.0)).collect();
    let near = nearest(what.split('.').next().unwrap_or(what), &known);
    let meant = near.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
    Error::Usage(format!(
        "{what} is no set ({}), no TOML file and in no name of an op or a case{meant}",
        sets::names().join(", ")
    ))
}

/// The report for people.
fn shown(report: &Report) -> String {
    let e = &report.environment;
    let head = ["kernel", "case", "variant", "median ms", "q1", "q3", "wall ms", "GFLOP/s", "GB/s", "timer", ""];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(report.rows.iter().map(line));
    let mut text = format!("{}, {}\n\n{}\n", e.adapter, e.driver, table(&rows));
    if let Some(r) = &report.reference {
        let ms = r.ms();
        text += &format!(
            "\nreference kernel: {} ms (quartiles {} and {}) over {} rounds{}\n",
            short(ms.median),
            short(ms.q1),
            short(ms.q3),
            r.samples_ms.len(),
            if r.noisy { ", noisy" } else { "" }
        );
    }
    for s in &report.skipped {
        text += &format!("skipped: {} {}: {}\n", s.op, s.case, s.why);
    }
    text
}

fn line(r: &Row) -> Vec<String> {
    let ms = r.ms();
    let wall = crate::lab::Spread::of(&r.wall_ms).median;
    let rate = |v: f64| if v >= 100.0 { format!("{v:.0}") } else { format!("{v:.1}") };
    vec![
        r.entry.clone(),
        r.case.clone(),
        r.variant.clone(),
        short(ms.median),
        short(ms.q1),
        short(ms.q3),
        short(wall),
        if r.flops == 0 { "-".into() } else { rate(r.gflop_per_s()) },
        if r.bytes == 0 { "-".into() } else { rate(r.gb_per_s()) },
        match r.timer {
            Timer::Timestamps => "device".into(),
            Timer::Wall => "wall".into(),
        },
        if r.noisy { "noisy".into() } else { String::new() },
    ]
}

/// Milliseconds with four digits that count.
fn short(ms: f64) -> String {
    let digits = (3 - ms.abs().max(1e-9).log10().floor() as i32).clamp(0, 6) as usize;
    format!("{ms:.digits$}")
}

//! Samples rows by the rule of `wgslab bench` (src/lab/sampling_rule.rs and bench.rs there). Rows are warmed up. The
//! rows of a case take turns, every other round backwards. A row ends when it has at least 10 samples and 0.5 s and its
//! quartiles lie close, or when its time is up. A row that is too slow for its least samples gets five times that time.
//! The host's clock runs until the work is done, because Burn gives no timestamps of single ops.

use crate::forms::{Entry, Form};
use burn::tensor::Device;
use serde_json::{Value, json};
use std::any::Any;
use std::time::Instant;

/// The outputs of an op. They are kept until the clock has stopped, so that no work is left out as unused.
pub type Made = Box<dyn Any>;

/// What a row runs.
pub enum Work {
    /// An op.
    Forward(Box<dyn Fn() -> Made>),
    /// Makes a graph and gives a function that differentiates it. A graph of Burn can be used only once, so each run
    /// has its own, made before the clock starts.
    Gradient(Box<dyn Fn() -> Box<dyn FnOnce() -> Made>>),
}

/// A sample of something short repeats it until it takes about this long, in ms.
const SAMPLE_MS: f64 = 20.0;
const REPEATS: f64 = 1000.0;
/// The most graphs in one sample. Graphs that wait to be differentiated hold their values in memory.
const GRAPHS: f64 = 16.0;
const WARM_MS: f64 = 50.0;
/// A row without its least samples may take this many times the limit.
const PATIENCE: f64 = 5.0;

/// The rule for when a row has enough samples.
pub struct Rule {
    pub samples: usize,
    pub seconds: f64,
    pub spread: f64,
    pub limit: f64,
}

impl Default for Rule {
    fn default() -> Self {
        Rule { samples: 10, seconds: 0.5, spread: 0.05, limit: 2.0 }
    }
}

impl Rule {
    fn settled(&self, ms: &[f64], seconds: f64) -> bool {
        let [median, q1, q3] = spread(ms);
        ms.len() >= self.samples && seconds >= self.seconds && (q3 - q1) / median <= self.spread
    }
}

/// Median and quartiles, linear between neighbours.
pub fn spread(samples: &[f64]) -> [f64; 3] {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0.5, 0.25, 0.75].map(|share| {
        let place = sorted.len().saturating_sub(1) as f64 * share;
        let low = sorted.get(place as usize).copied().unwrap_or(f64::NAN);
        let high = sorted.get(place.ceil() as usize).copied().unwrap_or(f64::NAN);
        low + (high - low) * place.fract()
    })
}

struct Running<'a> {
    device: &'a Device,
    entry: Entry,
    repeats: usize,
    wall_ms: Vec<f64>,
    spent_s: f64,
}

impl Running<'_> {
    /// The time of all repeats, in ms.
    fn time(&self) -> f64 {
        let mut made: Vec<Made> = Vec::new();
        let clock;
        match &self.entry.work {
            Work::Forward(run) => {
                wait(self.device);
                clock = Instant::now();
                for _ in 0..self.repeats {
                    // Only the last output is kept, because a thousand would not fit into memory.
                    made = vec![run()];
                }
            }
            Work::Gradient(graph) => {
                let graphs: Vec<_> = (0..self.repeats).map(|_| graph()).collect();
                wait(self.device);
                clock = Instant::now();
                made.extend(graphs.into_iter().map(|differentiate| differentiate()));
            }
        }
        wait(self.device);
        let ms = clock.elapsed().as_secs_f64() * 1e3;
        drop(made);
        ms
    }

    /// The first runs compile and tune. Later runs decide how often a sample repeats the work.
    fn warm(&mut self) {
        self.time();
        self.time();
        let most = if matches!(self.entry.work, Work::Forward(_)) { REPEATS } else { GRAPHS };
        let mut spent = 0.0;
        while spent < WARM_MS {
            let ms = self.time();
            spent += ms.max(0.1);
            let each = ms / self.repeats as f64;
            self.repeats = if each < 1.0 { (SAMPLE_MS / each.max(1e-6)).min(most).ceil() as usize } else { 1 };
        }
    }

    fn sample(&mut self) {
        let ms = self.time();
        self.wall_ms.push(ms / self.repeats as f64);
        self.spent_s += ms * 1e-3;
    }

    fn is_over(&self, rule: &Rule) -> bool {
        let limit = if self.wall_ms.len() >= rule.samples { rule.limit } else { PATIENCE * rule.limit };
        rule.settled(&self.wall_ms, self.spent_s) || !self.wall_ms.is_empty() && self.spent_s >= limit
    }
}

/// Waits until the device has run everything.
pub fn wait(device: &Device) {
    device.sync().expect("the device failed");
}

/// The rows of a case.
pub fn rows(op: &str, case: &str, form: Form, device: &Device, rule: &Rule) -> Vec<Value> {
    let (shape, variant) = (form.shape(), if form.composed { "burn-wgpu, composed" } else { "burn-wgpu" });
    let running = |entry| Running { device, entry, repeats: 1, wall_ms: Vec::new(), spent_s: 0.0 };
    let mut group: Vec<Running<'_>> = form.entries.into_iter().map(running).collect();
    group.iter_mut().for_each(Running::warm);
    for round in 0.. {
        let mut going: Vec<_> = group.iter_mut().filter(|r| !r.is_over(rule)).collect();
        if going.is_empty() {
            break;
        }
        if round % 2 == 1 {
            going.reverse();
        }
        going.into_iter().for_each(Running::sample);
    }
    let row = |r: &Running<'_>| {
        json!({
            "op": op, "entry": format!("{op}.{}", r.entry.direction), "direction": r.entry.direction, "case": case,
            "shape": shape, "variant": variant, "flops": r.entry.flops, "bytes": r.entry.bytes, "cache": "hot",
            "timer": "wall", "repeats": r.repeats, "samples_ms": r.wall_ms, "wall_ms": r.wall_ms, "reference_ms": [],
            "noisy": !rule.settled(&r.wall_ms, r.spent_s), "roof_share": null,
        })
    };
    group.iter().map(row).collect()
}

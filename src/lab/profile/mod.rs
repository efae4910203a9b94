//! Profiles one training step: the time of each dispatch, summed by kernel, by layer and by part of the step; the
//! memory at each moment and what holds it; the host's time.
//!
//! Three kinds of step run in turns: plain steps by the host's clock, plain steps between two timestamps, and steps
//! with each dispatch in a timed pass of its own. So a profile says how far it can be trusted: how much the separate
//! passes slow a step, and how far the sum of all kernels is from the device's time of a plain step.

pub mod memory;
#[cfg(feature = "study")]
pub mod page;
pub mod sums;
pub mod trace;

pub use memory::Memory;
pub use sums::Sum;

use super::roofline::Roof;
use super::step::{Host, Preparation, Ready};
use super::{Environment, Figures, Spread, Timer};
use crate::base::{Error, Result};
use crate::device::{Clocked, Gpu};
use crate::kernels::listing::entry_name;
use crate::tape::StepPart;
use crate::tape::recording::Cuts;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// What `schema` says in a file of the current form.
pub const SCHEMA: &str = "wgslab-profile/1";

/// A profile.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Where and how.
    pub environment: Environment,
    /// What was run.
    pub subject: String,
    /// Images of a step.
    pub images: usize,
    /// How often each kind of step was run.
    pub steps: usize,
    /// Dispatches, passes and barriers of a step.
    pub cuts: Cuts,
    /// The times of whole steps.
    pub whole: Whole,
    /// What the host did before.
    pub preparation: Preparation,
    /// What the host does in a plain step, medians.
    pub host: Host,
    /// Time by part of the step, in its order.
    pub phases: Vec<Sum>,
    /// Time by kernel, the longest first.
    pub kernels: Vec<Sum>,
    /// What the driver's compiler says of the kernels that each of these launches, by its name. `None` if the driver tells
    /// nothing.
    pub compiled: Option<BTreeMap<String, Vec<Figures>>>,
    /// Time by layer, in the order of the step.
    pub layers: Vec<Sum>,
    /// Memory over the step.
    pub memory: Memory,
    /// The adapter's roofs, if they were measured.
    pub roof: Option<Roof>,
    /// The dispatches of one step: the one whose sum is the median. `host_ms` and each `span_ms` are of that step.
    pub launches: Vec<Launched>,
    /// Encoding, submitting and waiting of that step, ms.
    pub host_ms: [f64; 3],
}

/// The times of whole steps, and the two ratios that say how far a profile can be trusted.
#[derive(Clone, Debug, Serialize)]
pub struct Whole {
    /// A plain step by the host's clock, ms.
    pub step_ms: Spread,
    /// The device's time of a plain step, ms. Without timestamps: from the submission until the device was done.
    pub device_ms: Spread,
    /// A step profiled per kernel by the host's clock, ms.
    pub profiled_ms: Spread,
    /// The sum of its kernels' times, ms.
    pub kernels_ms: Spread,
    /// Profiled step over plain step (median of neighbours): what profiling costs.
    pub overhead: f64,
    /// Sum of the kernels over the device's time (median of neighbours): how well the parts add up to the whole.
    pub agreement: f64,
}

/// A dispatch of a step.
#[derive(Clone, Debug, Serialize)]
pub struct Launched {
    /// Path of layers; that of a gradient ends in '.
    pub layer: String,
    /// `<op>.<entry>` of its node.
    pub entry: String,
    /// The node's variant.
    pub variant: &'static str,
    /// The kernel: a variant may launch several.
    pub kernel: &'static str,
    /// The part of the step.
    pub phase: &'static str,
    /// The node, by its place in the step; dispatches of one node share it.
    pub node: usize,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Floating-point operations of the whole node.
    pub node_flops: u64,
    /// Bytes that the whole node must move.
    pub node_bytes: u64,
    /// Begin and end, ms after the first dispatch began.
    pub span_ms: [f64; 2],
    /// Its time over all steps, ms.
    pub ms: Spread,
}

/// How a step is run.
#[derive(Clone, Copy)]
enum Kind {
    /// By the host's clock.
    Plain,
    /// In the same passes, by the device's.
    Device,
    /// Dispatch by dispatch.
    Each,
}

/// What the rounds of steps took.
#[derive(Default)]
struct Rounds {
    /// Plain steps.
    plain: Vec<Host>,
    /// The device's time of a plain step, ms.
    device_ms: Vec<f64>,
    /// Profiled steps, by the host's clock.
    profiled_ms: Vec<f64>,
    /// The same, dispatch by dispatch.
    runs: Vec<Clocked>,
}

/// Runs each kind of step `steps` times, unless `stop` is set.
fn rounds(gpu: &Gpu, ready: &Ready<'_>, steps: usize, timer: Timer, stop: &AtomicBool) -> Result<Rounds> {
    let (list, stamps) = (ready.plan.dispatches(), timer == Timer::Timestamps);
    let each = |gpu: &Gpu| if stamps { gpu.clock_each(list) } else { gpu.clock_alone(list) };
    let mut all = Rounds::default();
    ready.clocked(gpu, each)?; // once before: what it allocates is new to the driver
    for round in 0..steps.max(1) {
        if stop.load(Ordering::SeqCst) {
            return Err(Error::TryAgain(format!(
                "stopped after {round} of {steps} rounds; nothing was written, and the same command begins anew"
            )));
        }
        // The profiled step stands between the two that it is compared with, and every other round runs backwards. A
        // machine that becomes slower then slows all of them alike.
        let order = if round % 2 == 0 {
            [Kind::Plain, Kind::Each, Kind::Device]
        } else {
            [Kind::Device, Kind::Each, Kind::Plain]
        };
        for kind in order {
            match kind {
                Kind::Plain => all.plain.push(ready.plain(gpu)?),
                Kind::Device if stamps => {
                    all.device_ms.push(ready.clocked(gpu, |gpu| gpu.clock_plain(list))?.0.ms().iter().sum());
                }
                Kind::Device => {
                    let host = ready.plain(gpu)?;
                    all.device_ms.push(host.submit_ms + host.wait_ms);
                }
                Kind::Each => {
                    let (run, ms) = ready.clocked(gpu, each)?;
                    all.profiled_ms.push(ms);
                    all.runs.push(run);
                }
            }
        }
    }
    Ok(all)
}

/// Runs each kind of step `steps` times and sums up. Without timestamps, or if `timer` is [`Timer::Wall`], each
/// dispatch is submitted alone and waited for. With a `roof`, sums say how near to it they are.
pub fn profile(gpu: &Gpu, ready: &Ready<'_>, steps: usize, timer: Timer, roof: Option<Roof>) -> Result<Profile> {
    profile_until(gpu, ready, steps, timer, roof, &AtomicBool::new(false))
}

/// As [`profile`]. If `stop` is set, it ends with an error that says to try again.
pub fn profile_until(
    gpu: &Gpu,
    ready: &Ready<'_>,
    steps: usize,
    timer: Timer,
    roof: Option<Roof>,
    stop: &AtomicBool,
) -> Result<Profile> {
    let Rounds { plain, device_ms: device, profiled_ms: profiled, runs } = rounds(gpu, ready, steps, timer, stop)?;
    let sums: Vec<f64> = runs.iter().map(|r| r.ms().iter().sum()).collect();
    let shown = &runs[middle(&sums)];
    let launches = launches(ready, shown, &runs);
    let totals: Vec<f64> = plain.iter().map(Host::total_ms).collect();
    let ratio = |a: &[f64], b: &[f64]| Spread::of(&a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>()).median;
    let whole = Whole {
        step_ms: Spread::of(&totals),
        device_ms: Spread::of(&device),
        profiled_ms: Spread::of(&profiled),
        kernels_ms: Spread::of(&sums),
        overhead: ratio(&profiled, &totals),
        agreement: ratio(&sums, &device),
    };
    let sums = sums::Sums::new(ready.plan.schedule(), &runs, roof.as_ref());
    Ok(Profile {
        schema: SCHEMA,
        environment: Environment { timer, ..Environment::of(gpu) },
        subject: ready.subject.name.clone(),
        images: ready.subject.images,
        steps: runs.len(),
        cuts: ready.plan.recording().cuts(),
        whole,
        preparation: ready.preparation,
        host: Host::medians(&plain),
        phases: StepPart::ALL.iter().filter_map(|&p| sums.part(p)).collect(),
        kernels: sums.kernels(),
        compiled: None,
        layers: sums.layers(),
        memory: Memory::of(ready),
        roof: roof.clone(),
        host_ms: shown.host_ms,
        launches,
    })
}

/// The place of the sample nearest the median.
fn middle(samples: &[f64]) -> usize {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by(|&a, &b| samples[a].total_cmp(&samples[b]));
    order.get(order.len() / 2).copied().unwrap_or(0)
}

fn launches(ready: &Ready<'_>, shown: &Clocked, runs: &[Clocked]) -> Vec<Launched> {
    let steps = ready.plan.schedule().steps.iter().enumerate();
    let all = steps.flat_map(|(node, step)| step.launches.iter().map(move |(launch, _)| (node, step, launch)));
    let one = |(i, (node, step, launch)): (usize, (usize, &crate::tape::schedule::Step, &crate::tape::Launch))| {
        let ms: Vec<f64> = runs.iter().map(|r| r.passes[i][1] - r.passes[i][0]).collect();
        Launched {
            layer: step.layer.clone(),
            entry: entry_name(step.op.as_ref()),
            variant: step.variant,
            kernel: launch.kernel.name,
            phase: step.part.name(),
            node,
            grid: launch.grid,
            node_flops: step.cost().flops,
            node_bytes: step.cost().bytes,
            span_ms: shown.passes[i],
            ms: Spread::of(&ms),
        }
    };
    all.enumerate().map(one).collect()
}

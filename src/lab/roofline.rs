//! The adapter's own roofs, measured with kernels that do one thing each: multiply and add in registers, move memory
//! that no cache holds, read what a cache holds, read workgroup memory, or do nothing. A kernel of f flops and b bytes
//! takes at least max(f / peak, b / bandwidth): the roofline model (Williams, Waterman and Patterson 2009, CACM 52(4)).
//!
//! For each roof several shapes race, and the median of the fastest counts. Shaders: shaders/lab/roofline/.

#[cfg(feature = "study")]
mod chart;
mod probe;

#[cfg(feature = "study")]
pub use chart::{Point, svg};
pub use probe::{Probe, kernels};

use super::{Environment, Spread};
use crate::base::{DType, Error, Result, files};
use crate::device::tune::{Rules, race};
use crate::device::{Caps, Cooperative, Gpu};
use crate::kernels::estimate::Rates;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// What `schema` says in a file of the current form.
pub const SCHEMA: &str = "wgslab-roof/1";

/// The rates in GFLOP/s or GB/s that are plausible on any machine.
const MEASURABLE: std::ops::RangeInclusive<f64> = 1e-9..=1e12;

/// The roofs of an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roof {
    /// [`SCHEMA`].
    pub schema: String,
    /// Where and how.
    pub environment: Environment,
    /// Fused multiply-adds of f32, GFLOP/s.
    pub f32: Peak,
    /// Fused multiply-adds of f16, GFLOP/s.
    pub f16: Peak,
    /// Products of cooperative matrices, GFLOP/s.
    pub matrix: Peak,
    /// Copying what no cache holds, GB/s, read and write counted.
    pub copy: Peak,
    /// Reading what a cache holds, GB/s.
    pub cache: Peak,
    /// Reading workgroup memory, GB/s.
    pub workgroup: Peak,
    /// An empty dispatch among others in a pass, µs.
    pub launch: Peak,
    /// A dispatch that waits for the one before it, µs.
    pub dependent_launch: Peak,
    /// Encoding, submitting and waiting for one dispatch, by the host's clock, µs.
    pub round_trip: Peak,
}

/// A figure of an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peak {
    /// The median and quartiles of the samples; `None` if it could not be measured.
    pub value: Option<Spread>,
    /// Which shape won, or why there is no value.
    pub how: String,
}

impl Peak {
    fn missing(why: &str) -> Peak {
        Peak { value: None, how: why.to_string() }
    }

    /// The median.
    pub fn median(&self) -> Option<f64> {
        self.value.map(|v| v.median)
    }
}

/// The f32 roof, and the probe that won.
pub fn f32_probe(gpu: &Gpu) -> Result<(Probe, Peak)> {
    best(gpu, probe::fma(gpu, false)?)
}

/// The roof of copies, and the probe that won.
pub fn copy_probe(gpu: &Gpu) -> Result<(Probe, Peak)> {
    best(gpu, probe::copy(gpu)?)
}

/// The least samples of a figure.
const SAMPLES: usize = 11;

/// Measures all roofs; a minute at most.
pub fn measure(gpu: &Gpu) -> Result<Roof> {
    let peak = |probes: Vec<Probe>| Ok::<_, Error>(best(gpu, probes)?.1);
    let caps = gpu.caps();
    Ok(Roof {
        schema: SCHEMA.into(),
        environment: Environment::of(gpu),
        f32: f32_probe(gpu)?.1,
        f16: match caps.f16 {
            true => peak(probe::fma(gpu, true)?)?,
            false => Peak::missing("not there: the adapter has no shader-f16"),
        },
        matrix: matrix(gpu)?,
        copy: copy_probe(gpu)?.1,
        cache: peak(probe::cache(gpu)?)?,
        workgroup: peak(probe::local(gpu)?)?,
        launch: probe::launch(gpu, false)?,
        dependent_launch: probe::launch(gpu, true)?,
        round_trip: probe::round_trip(gpu)?,
    })
}

/// The roof of cooperative matrices, or why there is none.
fn matrix(gpu: &Gpu) -> Result<Peak> {
    match matrix_lanes(&gpu.adapter().cooperative, gpu.caps()) {
        // No hardware has run this probe. Where it fails, the other roofs are still wanted.
        Ok(lanes) => match probe::matrix(gpu, lanes).and_then(|probes| best(gpu, probes)) {
            Ok((_, peak)) => Ok(peak),
            Err(e @ Error::TryAgain(_)) => Err(e), // a lost device has no other roofs either
            Err(e) => Ok(Peak::missing(&format!("its probe failed: {e}"))),
        },
        Err(why) => Ok(Peak::missing(why)),
    }
}

/// The invocations of a workgroup that holds at least one subgroup of any size that the adapter may choose; or why its
/// matrices, of which it reports these shapes, cannot be probed.
fn matrix_lanes(reported: &[String], caps: &Caps) -> Result<u32, &'static str> {
    let halves = |c: &Cooperative| c.operands == DType::F16;
    match (caps.subgroup, caps.cooperative.is_empty()) {
        _ if reported.is_empty() => Err("not there: the adapter has no cooperative matrices"),
        (_, true) => Err("not opted in: --experimental-cooperative-matrix"),
        (None, false) => Err("not there: the adapter has no subgroup operations"),
        _ if !caps.f16 && caps.cooperative.iter().all(halves) => {
            Err("not there: its matrices hold f16, and the adapter has no shader-f16")
        }
        (Some((_, largest)), false) => Ok(largest),
    }
}

/// The winner of a race between probes, with the median and quartiles of its rates.
fn best(gpu: &Gpu, mut probes: Vec<Probe>) -> Result<(Probe, Peak)> {
    // The smallest value wins a race, so it runs over the time of a unit of work.
    let rules = Rules { rounds: 15, limit: Duration::from_secs(6), behind: 1.25, margin: 1.0 };
    let result = race(probes.len(), &rules, |i| Ok(1.0 / probes[i].sample(gpu)?))?;
    let mut rates: Vec<f64> = result.samples_ms[result.winner].iter().map(|t| 1.0 / t).collect();
    // If all others left early, the winner has few samples.
    while rates.len() < SAMPLES {
        rates.push(probes[result.winner].sample(gpu)?);
    }
    let winner = probes.swap_remove(result.winner);
    let peak = Peak { value: Some(Spread::of(&rates)), how: winner.how.clone() };
    Ok((winner, peak))
}

impl Roof {
    /// The least time of a kernel of `flops` f32 operations and `bytes` of memory, ms.
    pub fn least_ms(&self, flops: u64, bytes: u64) -> Option<f64> {
        let (peak, bandwidth) = (self.f32.median()?, self.copy.median()?);
        Some((flops as f64 / peak).max(bytes as f64 / bandwidth) * 1e-6)
    }

    /// The share of the roof that a kernel of `flops` f32 operations and `bytes` reaches in `ms`. 1 is the roof. It is
    /// above 1 only if the operands lie in a cache.
    pub fn share(&self, flops: u64, bytes: u64, ms: f64) -> Option<f64> {
        Some(self.least_ms(flops, bytes)? / ms)
    }

    /// The rates that the model of flops and bytes divides by (`kernels/catalog/estimate.rs`): those that were measured, and
    /// the usual ones of the adapter's kind for the others.
    pub fn rates(&self, caps: &Caps) -> Rates {
        let usual = Rates::usual(caps);
        Rates {
            gflop_per_s: self.f32.median().unwrap_or(usual.gflop_per_s),
            memory_gb_per_s: self.copy.median().unwrap_or(usual.memory_gb_per_s),
            cache_gb_per_s: self.cache.median().unwrap_or(usual.cache_gb_per_s),
            workgroup_gb_per_s: self.workgroup.median().unwrap_or(usual.workgroup_gb_per_s),
            launch_us: self.dependent_launch.median().unwrap_or(usual.launch_us).max(0.0), // a difference of two times
            ..usual
        }
    }

    /// Reads a file. An error says what in it does not fit the schema.
    pub fn load(path: &Path) -> Result<Roof> {
        let shown = path.display();
        let bad = |why: String| {
            Error::Data(format!("{shown} is no file of roofs that `wgslab bench --roofline` wrote: {why}"))
        };
        let value: serde_json::Value =
            serde_json::from_str(&files::read_text(path)?).map_err(|e| bad(e.to_string()))?;
        match value["schema"].as_str() {
            Some(SCHEMA) => {
                let roof: Roof = serde_json::from_value(value).map_err(|e| bad(e.to_string()))?;
                let off = |s: &Spread| [s.q1, s.median, s.q3].iter().any(|v| !MEASURABLE.contains(v));
                // Only the rates are checked: the times of a launch are differences and may be 0.
                match roof.figures()[..6].iter().find(|f| f.1.value.as_ref().is_some_and(off)) {
                    Some((name, ..)) => Err(bad(format!("the figures of {name} are none that can be measured"))),
                    None => Ok(roof),
                }
            }
            Some(other) => Err(bad(format!("its schema is {other} and this program reads {SCHEMA}"))),
            None => Err(bad(format!("it has no \"schema\": \"{SCHEMA}\""))),
        }
    }

    /// Writes the file, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::Failed(format!("{}: {e}", path.display())))?;
        files::write_atomic(path, format!("{text}\n").as_bytes())
    }

    /// Every figure: its name, the figure and its unit.
    pub fn figures(&self) -> [(&'static str, &Peak, &'static str); 9] {
        [
            ("f32 multiply-add", &self.f32, "GFLOP/s"),
            ("f16 multiply-add", &self.f16, "GFLOP/s"),
            ("cooperative matrix", &self.matrix, "GFLOP/s"),
            ("copy past the caches", &self.copy, "GB/s"),
            ("read from a cache", &self.cache, "GB/s"),
            ("read workgroup memory", &self.workgroup, "GB/s"),
            ("empty dispatch", &self.launch, "µs"),
            ("dependent dispatch", &self.dependent_launch, "µs"),
            ("submit and wait", &self.round_trip, "µs"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_probed_whatever_size_the_driver_chooses_for_subgroups() {
        let of = |side, operands| Cooperative { side, operands };
        let reported = ["16x16x16 F16 to F32".to_string()];
        let amd =
            Caps { subgroup: Some((32, 64)), f16: true, cooperative: vec![of(16, DType::F16)], ..Caps::portable() };
        assert_eq!(matrix_lanes(&reported, &amd), Ok(64));
        assert_eq!(matrix_lanes(&reported, &Caps { subgroup: Some((32, 32)), ..amd.clone() }), Ok(32));
        let why = |reported: &[String], caps: Caps| matrix_lanes(reported, &caps).unwrap_err();
        assert!(why(&[], amd.clone()).contains("has no cooperative matrices"));
        assert!(why(&reported, Caps { cooperative: Vec::new(), ..amd.clone() }).contains("not opted in"));
        assert!(why(&reported, Caps { subgroup: None, ..amd.clone() }).contains("no subgroup operations"));
        let no_halves = Caps { f16: false, ..amd };
        assert!(why(&reported, no_halves.clone()).contains("no shader-f16"));
        let apple =
            Caps { subgroup: Some((4, 64)), cooperative: vec![of(8, DType::F16), of(8, DType::F32)], ..no_halves };
        assert_eq!(matrix_lanes(&reported, &apple), Ok(64));
    }
}

//! A probe is a kernel whose amount of work is known; timing it gives a rate.

use super::Peak;
use crate::base::{DType, Error, Result};
use crate::device::cooperative::Cooperative;
use crate::device::dispatch::ParamBlocks;
use crate::device::{Buffer, Dispatch, Gpu, Kernel, Piece, groups_1d};
use crate::lab::Spread;
use crate::piece;
use crate::tape::op::ParamBlock;
use std::time::Instant;

crate::params! { struct FmaParams { rounds: u32, m: f32, b: f32 } }
crate::params! { struct CopyParams { vectors: u32 } }
crate::params! { struct CacheParams { rounds: u32, mask: u32 } }
crate::params! { struct RoundsParams { rounds: u32 } }

const F32: &[Piece] = &[piece!("lab/roofline/f32.wgsl"), piece!("lab/roofline/fma.wgsl")];
const F16: &[Piece] =
    &[piece!("common/enable_f16.wgsl"), piece!("lab/roofline/f16.wgsl"), piece!("lab/roofline/fma.wgsl")];
const COOP_F32: &[Piece] = &[
    piece!("common/enable_cooperative.wgsl"),
    piece!("layers/matmul/coop_f32.wgsl"),
    piece!("lab/roofline/coop.wgsl"),
];
const COOP_F16: &[Piece] = &[
    piece!("common/enable_f16.wgsl"),
    piece!("common/enable_cooperative.wgsl"),
    piece!("layers/matmul/coop_f16.wgsl"),
    piece!("lab/roofline/coop.wgsl"),
];
const COPY: &[Piece] = &[piece!("common/index.wgsl"), piece!("lab/roofline/copy.wgsl")];
const CACHE: &[Piece] = &[piece!("common/index.wgsl"), piece!("lab/roofline/cache.wgsl")];
const LOCAL: &[Piece] = &[piece!("lab/roofline/local.wgsl")];
const EMPTY: &[Piece] = &[piece!("lab/roofline/empty.wgsl")];
const TOUCH: &[Piece] = &[piece!("lab/roofline/touch.wgsl")];

/// A sample takes at least this long, ms: far more than a launch, far less than a driver's watchdog allows.
const SAMPLE_MS: f64 = 12.0;
/// Rounds of the loops. A workgroup of any probe then takes much less than a sample.
const ROUNDS: u32 = 256;
/// Products of a round of a chain of cooperative matrices, written out one after the other.
const STEPS: u32 = 32;
/// Multiply-adds of a round, over all chains, written out one after the other. They are so many that the loop itself
/// costs little, however few the chains are. On Mesa's software driver the loop costs as much as a dozen multiply-adds.
const ADDS: u32 = 128;
/// How many sums an invocation of a reading probe keeps, and the size of its workgroup. Many sums hide latency on a
/// GPU; a CPU has registers for few.
const SUMS: [(u32, u32); 6] = [(1, 64), (2, 64), (8, 64), (1, 256), (2, 256), (8, 256)];
/// Bytes of a buffer to copy: more than any cache of a GPU holds.
const COPIED: u64 = 256 << 20;
/// Bytes that the cache probe walks.
const CACHED: u64 = 2 << 20;

fn fma_kernel(half: bool, chains: u32, width: u32) -> Kernel {
    let (name, pieces) = if half { ("roofline.fma_f16", F16) } else { ("roofline.fma", F32) };
    Kernel::new(name, "probe", pieces).with("CHAINS", chains).with("WIDTH", width).with("STEPS", ADDS / chains)
}

fn coop_kernel(shape: Cooperative, chains: u32, lanes: u32) -> Kernel {
    let pieces = if shape.operands == DType::F16 { COOP_F16 } else { COOP_F32 };
    let kernel = Kernel::new("roofline.coop", "probe", pieces).with("SIDE", shape.side).with("LANES", lanes);
    kernel.with("CHAINS", chains).with("STEPS", STEPS)
}

fn copy_kernel(each: u32, width: u32) -> Kernel {
    Kernel::new("roofline.copy", "probe", COPY).with("EACH", each).with("WIDTH", width)
}

fn cache_kernel(steps: u32, width: u32) -> Kernel {
    Kernel::new("roofline.cache", "probe", CACHE).with("WIDTH", width).with("STEPS", steps)
}

fn local_kernel(steps: u32, width: u32) -> Kernel {
    Kernel::new("roofline.local", "probe", LOCAL).with("WIDTH", width).with("STEPS", steps).with("SIZE", 512)
}

/// Every kernel that measures a roof, on an adapter that has every feature. For the tests of shaders.
pub fn kernels() -> Vec<Kernel> {
    let launches = [Kernel::new("roofline.empty", "probe", EMPTY), Kernel::new("roofline.touch", "probe", TOUCH)];
    let shapes = [(16, DType::F16), (8, DType::F16), (8, DType::F32)];
    let coop = shapes.map(|(side, operands)| coop_kernel(Cooperative { side, operands }, 4, 32));
    [fma_kernel(false, 4, 64), fma_kernel(true, 4, 64), copy_kernel(4, 64), cache_kernel(4, 64), local_kernel(4, 64)]
        .into_iter()
        .chain(launches)
        .chain(coop)
        .collect()
}

/// A kernel with its work, ready to be timed.
pub struct Probe {
    /// What it is, for people.
    pub how: String,
    /// Its bind group keeps its buffers alive.
    list: [Dispatch; 1],
    /// Flops or bytes of a run.
    work: f64,
    repeats: usize,
}

impl Probe {
    /// One sample, in 10⁹ flops or bytes a second.
    pub fn sample(&self, gpu: &Gpu) -> Result<f64> {
        Ok(self.work / self.ms(gpu)? * 1e-6)
    }

    /// The time of one run, ms.
    fn ms(&self, gpu: &Gpu) -> Result<f64> {
        let timed = gpu.time_repeated(&self.list, self.repeats)?;
        Ok(timed.device_ms.unwrap_or(timed.wall_ms) / self.repeats as f64)
    }
}

/// A probe of one grid.
fn probe<P: ParamBlock>(
    gpu: &Gpu,
    how: &str,
    (kernel, buffers, params): (&Kernel, &[&Buffer], &P),
    groups: usize,
    work: f64,
) -> Result<Probe> {
    let params = ParamBlocks::new(std::iter::once(bytemuck::bytes_of(params))).upload(gpu)?;
    let dispatch = gpu.dispatch(kernel.name, kernel, buffers, (&params, 0), groups_1d(groups))?;
    let probe = Probe { how: how.to_string(), list: [dispatch], work, repeats: 1 };
    probe.ms(gpu)?; // the driver compiles, memory is touched
    Ok(probe)
}

/// A probe of as many workgroups as a sample needs; `work` is that of one.
fn grown<P: ParamBlock>(gpu: &Gpu, how: &str, what: (&Kernel, &[&Buffer], &P), work: f64) -> Result<Probe> {
    let mut groups = 16;
    loop {
        let probe = probe(gpu, how, what, groups, work * groups as f64)?;
        let ms = probe.ms(gpu)?;
        if ms >= SAMPLE_MS || groups >= 1 << 21 {
            return Ok(probe);
        }
        let factor = (SAMPLE_MS * 1.2 / ms.max(1e-3)).clamp(1.25, 16.0);
        groups = (groups as f64 * factor).ceil() as usize;
    }
}

/// Multiply-adds in few and in many chains: few fit into registers, many hide latency.
pub(super) fn fma(gpu: &Gpu, half: bool) -> Result<Vec<Probe>> {
    let y = gpu.buffer("roofline", 4 * 256)?;
    let params = FmaParams { rounds: ROUNDS, m: 0.75, b: 0.5 };
    let mut probes = Vec::new();
    for width in [64, 256] {
        for chains in [1, 2, 3, 4, 8] {
            let kernel = fma_kernel(half, chains, width);
            let how = format!("{chains} chains of vec4, workgroups of {width}");
            let work = f64::from(width * chains * (ADDS / chains) * ROUNDS) * 8.0;
            probes.push(grown(gpu, &how, (&kernel, &[&y], &params), work)?);
        }
    }
    Ok(probes)
}

/// Products of cooperative matrices of each shape that kernels here use, in workgroups of as many invocations as the largest
/// subgroup has. The driver chooses for each kernel how many subgroups that are, so each is asked.
pub(super) fn matrix(gpu: &Gpu, lanes: u32) -> Result<Vec<Probe>> {
    let params = RoundsParams { rounds: ROUNDS };
    let mut probes = Vec::new();
    for &shape in &gpu.caps().cooperative {
        let Cooperative { side, operands } = shape;
        if operands == DType::F16 && !gpu.caps().f16 {
            continue;
        }
        let (ab, c) = (gpu.buffer("roofline", 4 * 256)?, gpu.buffer("roofline c", 4 * 256 * 8)?);
        // Ones, because a device may be faster with zeros.
        let one: &[u8] = if operands == DType::F16 { &[0x00, 0x3c] } else { &[0x00, 0x00, 0x80, 0x3f] };
        gpu.write(&ab, 0, &one.repeat(1024 / one.len()))?;
        let counted = gpu.buffer("roofline subgroups", 4)?;
        for chains in [1, 2, 4, 8] {
            let (kernel, buffers) = (coop_kernel(shape, chains, lanes), [&ab, &ab, &c, &counted]);
            gpu.write(&counted, 0, &[0; 4])?;
            probe(gpu, "", (&kernel, &buffers, &params), 1, 1.0)?;
            let subgroups = match gpu.read(&counted, 4)?[..] {
                [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
                _ => 0,
            };
            if subgroups == 0 || !lanes.is_multiple_of(subgroups) {
                let what =
                    format!("the probe of {side}x{side} matrices counts {subgroups} subgroups in {lanes} invocations");
                return Err(Error::Failed(what));
            }
            let size = lanes / subgroups;
            let how = format!("{side}x{side}x{side} {operands:?} to F32, {chains} chains, subgroups of {size}");
            let work = f64::from(subgroups * chains * STEPS * ROUNDS) * 2.0 * f64::from(side).powi(3);
            probes.push(grown(gpu, &how, (&kernel, &buffers, &params), work)?);
        }
    }
    Ok(probes)
}

/// Copies between two buffers of `bytes` each, repeated until they make a sample.
fn copies(gpu: &Gpu, bytes: u64) -> Result<Vec<Probe>> {
    let (x, y) = (gpu.buffer("roofline x", bytes)?, gpu.buffer("roofline y", bytes)?);
    let vectors = (bytes / 16) as u32;
    let mut probes = Vec::new();
    for width in [64, 256] {
        for each in [1, 4, 16] {
            let groups = vectors.div_ceil(width * each) as usize;
            let how = format!("copies of {} MiB, {each} vec4 an invocation, workgroups of {width}", bytes >> 20);
            let what = (&copy_kernel(each, width), &[&x, &y][..], &CopyParams { vectors });
            let mut probe = probe(gpu, &how, what, groups, 2.0 * bytes as f64)?;
            probe.repeats = (SAMPLE_MS / probe.ms(gpu)?.max(1e-3)).ceil() as usize;
            probes.push(probe);
        }
    }
    Ok(probes)
}

/// Copies between two buffers that are larger than any cache, or as large as the adapter and its budget allow.
pub(super) fn copy(gpu: &Gpu) -> Result<Vec<Probe>> {
    let budget = gpu.options().memory_budget_bytes.unwrap_or(u64::MAX);
    copies(gpu, COPIED.min(gpu.caps().binding_bytes / 16 * 16).min(budget / 4 / 16 * 16))
}

/// Reads a window that fits a cache, and copies within it.
pub(super) fn cache(gpu: &Gpu) -> Result<Vec<Probe>> {
    let (x, y) = (gpu.buffer("roofline x", CACHED)?, gpu.buffer("roofline", 4 * 256)?);
    let params = CacheParams { rounds: ROUNDS, mask: (CACHED / 16 - 1) as u32 };
    let mut probes = copies(gpu, CACHED / 2)?;
    for (steps, width) in SUMS {
        let how = format!("reads of {} MiB, {steps} sums of vec4, workgroups of {width}", CACHED >> 20);
        let work = f64::from(width * steps * ROUNDS) * 16.0;
        probes.push(grown(gpu, &how, (&cache_kernel(steps, width), &[&x, &y], &params), work)?);
    }
    Ok(probes)
}

/// Reads of workgroup memory.
pub(super) fn local(gpu: &Gpu) -> Result<Vec<Probe>> {
    let y = gpu.buffer("roofline", 4 * 256)?;
    let mut probes = Vec::new();
    for (steps, width) in SUMS {
        let how = format!("reads of 8 KiB, {steps} sums of vec4, workgroups of {width}");
        let work = f64::from(width * steps * ROUNDS) * 16.0;
        let what = (&local_kernel(steps, width), &[&y][..], &RoundsParams { rounds: ROUNDS });
        probes.push(grown(gpu, &how, what, work)?);
    }
    Ok(probes)
}

/// µs of one of many dispatches in a pass, each waiting for the one before or not.
pub(super) fn launch(gpu: &Gpu, dependent: bool) -> Result<Peak> {
    const MANY: usize = 1000;
    let list = [smallest(gpu, dependent)?];
    let mut samples = Vec::new();
    for _ in 0..12 {
        let timed = gpu.time_repeated(&list, MANY)?;
        samples.push(timed.device_ms.unwrap_or(timed.wall_ms) * 1e3 / MANY as f64);
    }
    let how = format!("{MANY} in a pass, one workgroup of one invocation each");
    Ok(Peak { value: Some(Spread::of(&samples[2..])), how })
}

fn smallest(gpu: &Gpu, touching: bool) -> Result<Dispatch> {
    let none = ParamBlocks::new(std::iter::empty());
    if !touching {
        let kernel = Kernel::new("roofline.empty", "probe", EMPTY);
        return gpu.dispatch(kernel.name, &kernel, &[], (&none, 0), [1, 1, 1]);
    }
    let kernel = Kernel::new("roofline.touch", "probe", TOUCH);
    let y = gpu.buffer("roofline", 4)?;
    gpu.dispatch(kernel.name, &kernel, &[&y], (&none, 0), [1, 1, 1])
}

/// µs from encoding an empty dispatch until the host knows that it is done.
pub(super) fn round_trip(gpu: &Gpu) -> Result<Peak> {
    let (list, mut samples) = ([smallest(gpu, false)?], Vec::new());
    for _ in 0..60 {
        let clock = Instant::now();
        let ticket = gpu.submit(gpu.encode(&list));
        gpu.wait_for(&ticket)?;
        samples.push(clock.elapsed().as_secs_f64() * 1e6);
    }
    Ok(Peak { value: Some(Spread::of(&samples[10..])), how: "an empty dispatch, by the host's clock".into() })
}

//! Time on the device: timestamps around dispatches if the adapter has them, with the wall clock beside them.

use super::dispatch::{CHUNK, Dispatch, Encoded};
use super::{Buffer, Gpu};
use crate::base::{Error, Result};
use std::time::Instant;

/// The time of one submission.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// Milliseconds on the device, if the adapter has timestamps.
    pub device_ms: Option<f64>,
    /// Milliseconds from submitting until the device was done: the device's time plus the cost of submitting.
    pub wall_ms: f64,
}

/// The times of a list of dispatches that ran once.
#[derive(Clone, Debug)]
pub struct Clocked {
    /// The begin and end of each pass, in ms after the first began.
    pub passes: Vec<[f64; 2]>,
    /// The host's time in ms: encoding, submitting, and waiting until the times were read.
    pub host_ms: [f64; 3],
}

impl Clocked {
    /// Milliseconds of each pass.
    pub fn ms(&self) -> Vec<f64> {
        self.passes.iter().map(|p| p[1] - p[0]).collect()
    }
}

/// Timestamps of one submission or several, a pair around each pass.
struct Timestamps {
    /// Sets of [`SET`] passes; the last one may have fewer.
    sets: Vec<(wgpu::QuerySet, Buffer, u32)>,
    period_ns: f32,
}

/// The most passes of a query set. Drivers allow at least 4096 queries, and a pass needs two.
const SET: usize = 1024;

impl Timestamps {
    /// The timestamps around pass `i`.
    fn around(&self, i: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let at = (i % SET) as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.sets[i / SET].0,
            beginning_of_pass_write_index: Some(2 * at),
            end_of_pass_write_index: Some(2 * at + 1),
        }
    }

    /// Appends a copy of all timestamps written so far.
    fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        for (queries, resolved, passes) in &self.sets {
            encoder.resolve_query_set(queries, 0..2 * passes, &resolved.raw, 0);
        }
    }

    /// The begin and end of each pass, in ms after the first began.
    fn read(&self, gpu: &Gpu) -> Result<Vec<[f64; 2]>> {
        let mut ticks: Vec<[u64; 2]> = Vec::new();
        for (_, resolved, passes) in &self.sets {
            let bytes = gpu.read(resolved, 16 * *passes as u64)?;
            ticks.extend(bytes.chunks_exact(16).map(bytemuck::pod_read_unaligned::<[u64; 2]>));
        }
        let zero = ticks.first().map_or(0, |t| t[0]);
        let ms = |t: u64| t.saturating_sub(zero) as f64 * self.period_ns as f64 * 1e-6;
        Ok(ticks.into_iter().map(|[begin, end]| [ms(begin), ms(end.max(begin))]).collect())
    }
}

impl Gpu {
    /// Whether the adapter has timestamps. Without them, times are the host's.
    pub fn has_timestamps(&self) -> bool {
        self.timestamp_period_ns.is_some()
    }

    /// The step of the timestamps in ms; 0 where times are the host's, whose clock is finer than what it measures.
    pub fn tick_ms(&self) -> f64 {
        f64::from(self.timestamp_period_ns.unwrap_or(0.0)) * 1e-6
    }

    /// Runs `list` with each dispatch in a pass of its own between two timestamps. Returns the milliseconds of each
    /// dispatch. Separate passes cost a little, so the sum is an upper bound of a plain run.
    pub fn time_each(&self, list: &[Dispatch]) -> Result<Vec<f64>> {
        Ok(self.clock_each(list)?.ms())
    }

    /// As [`Gpu::time_each`], with the time at which each dispatch ran. An error if the adapter has no timestamps.
    pub fn clock_each(&self, list: &[Dispatch]) -> Result<Clocked> {
        self.clock_passes(list, 1)
    }

    /// Runs `list` in the passes of a plain run, each between two timestamps. An error if the adapter has none.
    pub fn clock_plain(&self, list: &[Dispatch]) -> Result<Clocked> {
        self.clock_passes(list, CHUNK)
    }

    /// Runs `list` with timestamps around each `per_pass` dispatches. It makes as many submissions as a plain run.
    fn clock_passes(&self, list: &[Dispatch], per_pass: usize) -> Result<Clocked> {
        let Some(stamps) = self.timestamps(list.len().div_ceil(per_pass))? else {
            return Err(Error::Failed(format!("{} has no timestamp queries", self.adapter().name)));
        };
        let clock = Instant::now();
        let (mut work, mut pass, chunks) = (Vec::new(), 0, list.len().div_ceil(CHUNK));
        for (i, chunk) in list.chunks(CHUNK).enumerate() {
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for part in chunk.chunks(per_pass) {
                let label = (per_pass == 1).then_some(part[0].label.as_str());
                self.pass(&mut encoder, part, label, Some(stamps.around(pass)));
                pass += 1;
            }
            if i + 1 == chunks {
                stamps.resolve(&mut encoder);
            }
            work.push(encoder.finish());
        }
        let encoded = clock.elapsed();
        self.submit(Encoded(work));
        let submitted = clock.elapsed();
        let passes = stamps.read(self)?;
        let ms = [encoded, submitted - encoded, clock.elapsed() - submitted].map(|d| d.as_secs_f64() * 1e3);
        Ok(Clocked { passes, host_ms: ms })
    }

    /// Runs `list` with each dispatch submitted alone and waited for, by the host's clock. Each time includes the cost
    /// of a submission. An adapter without timestamps has no other way.
    pub fn clock_alone(&self, list: &[Dispatch]) -> Result<Clocked> {
        let started = Instant::now();
        let ms = || started.elapsed().as_secs_f64() * 1e3;
        let (mut passes, mut host_ms, mut done) = (Vec::with_capacity(list.len()), [0.0; 3], ms());
        for d in list {
            // Counted from the end of the dispatch before, so that the three add up to all the time that passed.
            let begun = done;
            let work = self.encode(std::slice::from_ref(d));
            let encoded = ms();
            let ticket = self.submit(work);
            let submitted = ms();
            self.wait_for(&ticket)?;
            done = ms();
            passes.push([encoded, done]);
            let took = [encoded - begun, submitted - encoded, done - submitted];
            host_ms.iter_mut().zip(took).for_each(|(sum, ms)| *sum += ms);
        }
        let zero = passes.first().map_or(0.0, |p| p[0]);
        passes.iter_mut().flatten().for_each(|t| *t -= zero);
        Ok(Clocked { passes, host_ms })
    }

    /// Runs `list` `repeats` times in one pass of one submission and waits. This times work that is shorter than a
    /// submission. Each round overwrites the result of the round before, so rounds do not overlap. From the second
    /// round on, operands may be in the device's caches.
    pub fn time_repeated(&self, list: &[Dispatch], repeats: usize) -> Result<Timed> {
        let stamps = self.timestamps(1)?;
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let rounds = (0..repeats).flat_map(|_| list);
        self.pass(&mut encoder, rounds, None, stamps.as_ref().map(|s| s.around(0)));
        if let Some(s) = &stamps {
            s.resolve(&mut encoder);
        }
        let work = encoder.finish();
        let clock = Instant::now();
        self.queue.submit([work]);
        self.wait()?;
        let wall_ms = clock.elapsed().as_secs_f64() * 1e3;
        let device_ms = stamps.map(|s| Ok::<_, Error>(s.read(self)?.iter().map(|p| p[1] - p[0]).sum())).transpose()?;
        Ok(Timed { device_ms, wall_ms })
    }

    /// Room for the timestamps of `passes` passes, if the adapter has them.
    fn timestamps(&self, passes: usize) -> Result<Option<Timestamps>> {
        let Some(period_ns) = self.timestamp_period_ns else { return Ok(None) };
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let mut sets = Vec::new();
        for first in (0..passes).step_by(SET) {
            let passes = SET.min(passes - first) as u32;
            let queries = self.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timing"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * passes,
            });
            sets.push((queries, self.raw_buffer("timestamps", 16 * passes as u64, usage)?, passes));
        }
        Ok(Some(Timestamps { sets, period_ns }))
    }
}

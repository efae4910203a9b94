//! Time on the device: timestamps around dispatches where the adapter has them, the wall clock beside them.

use super::dispatch::{Dispatch, encode};
use super::{Buffer, Gpu};
use crate::base::{Error, Result};
use std::time::Instant;

/// What one submission took.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// Milliseconds on the device, where the adapter has timestamps.
    pub device_ms: Option<f64>,
    /// Milliseconds from submitting until the device was done: more than the device's own by the cost of submitting.
    pub wall_ms: f64,
}

/// Timestamps of one command encoder, a pair around each pass.
struct Timestamps {
    queries: wgpu::QuerySet,
    resolved: Buffer,
    count: u32,
    period_ns: f32,
}

impl Timestamps {
    /// Around pass `i`.
    fn around(&self, i: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * i as u32),
            end_of_pass_write_index: Some(2 * i as u32 + 1),
        }
    }

    fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..self.count, &self.resolved.raw, 0);
    }

    /// Milliseconds of each pass.
    fn read(&self, gpu: &Gpu) -> Result<Vec<f64>> {
        let bytes = gpu.read(&self.resolved, 8 * self.count as u64)?;
        let ticks: Vec<u64> = bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect();
        let ms = |t: &[u64]| t[1].saturating_sub(t[0]) as f64 * self.period_ns as f64 * 1e-6;
        Ok(ticks.chunks(2).map(ms).collect())
    }
}

impl Gpu {
    /// Whether the adapter has timestamps; without them times are the host's.
    pub fn has_timestamps(&self) -> bool {
        self.timestamp_period_ns.is_some()
    }

    /// Runs `list`, each dispatch in a pass of its own between two timestamps, and returns milliseconds per dispatch.
    /// Separate passes cost a little; the sum is an upper bound of a plain run.
    pub fn time_each(&self, list: &[Dispatch]) -> Result<Vec<f64>> {
        let mut ms = Vec::with_capacity(list.len());
        for chunk in list.chunks(256) {
            let Some(stamps) = self.timestamps(chunk.len())? else {
                return Err(Error::Failed(format!("{} has no timestamp queries", self.adapter().name)));
            };
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for (i, d) in chunk.iter().enumerate() {
                encode(&mut encoder, [d], Some(stamps.around(i)));
            }
            stamps.resolve(&mut encoder);
            self.queue.submit([encoder.finish()]);
            ms.extend(stamps.read(self)?);
        }
        Ok(ms)
    }

    /// Runs `list` `repeats` times in one pass of one submission and waits: the way to time what is shorter than a
    /// submission. Each round writes what the one before wrote, so rounds do not overlap; from the second on their
    /// operands may lie in the device's caches.
    pub fn time_repeated(&self, list: &[Dispatch], repeats: usize) -> Result<Timed> {
        let stamps = self.timestamps(1)?;
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let rounds = (0..repeats).flat_map(|_| list);
        encode(&mut encoder, rounds, stamps.as_ref().map(|s| s.around(0)));
        if let Some(s) = &stamps {
            s.resolve(&mut encoder);
        }
        let work = encoder.finish();
        let clock = Instant::now();
        self.queue.submit([work]);
        self.wait()?;
        let wall_ms = clock.elapsed().as_secs_f64() * 1e3;
        let device_ms = stamps.map(|s| Ok::<_, Error>(s.read(self)?.iter().sum())).transpose()?;
        Ok(Timed { device_ms, wall_ms })
    }

    /// Room for the timestamps of `passes` passes, where the adapter has them.
    fn timestamps(&self, passes: usize) -> Result<Option<Timestamps>> {
        let Some(period_ns) = self.timestamp_period_ns else { return Ok(None) };
        let count = 2 * passes as u32;
        let queries = self.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timing"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = self.raw_buffer("timestamps", 8 * count as u64, usage)?;
        Ok(Some(Timestamps { queries, resolved, count, period_ns }))
    }
}
